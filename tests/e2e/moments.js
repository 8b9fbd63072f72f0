// Which moment each video shows: its own clock, on top of when its second 0 was filmed. Noted in the
// page 20 times a second, for a driver on a busy machine would be too slow to see both at once.
const origins = new Map();

const momentOf = (video, moving) => {
  const src = video.getAttribute("src");
  if (!src) return null;
  if (!origins.has(src)) {
    origins.set(src, null);
    fetch(src.replace("/video?", "/origin?"))
      .then((answer) => answer.json())
      .then((answer) => origins.set(src, answer.origin));
  }
  const shows = !video.seeking && video.readyState >= 2 && video.videoWidth > 0;
  return shows && video.paused !== moving && origins.get(src) ? origins.get(src) + video.currentTime : null;
};

window.shown = (moving) =>
  [...document.querySelectorAll(".screen video")].map((video) => momentOf(video, moving));
window.clockNow = () => JSON.parse(player.dataset.plan).start + Number(at.value);
window.moments = [];
setInterval(() => {
  const now = window.shown(true);
  if (now.every((moment) => moment !== null)) window.moments.push(now);
}, 50);
