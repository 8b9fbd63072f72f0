// Which moment each video shows: its own clock, of which second 0 is the same moment for all. Noted in
// the page 20 times a second, for a driver on a busy machine would be too slow to see both at once.
const ZERO = Math.floor(JSON.parse(player.dataset.plan).start) - 600;

const momentOf = (video, moving) => {
  const shows = !video.seeking && video.readyState >= 2 && video.videoWidth > 0;
  return shows && video.paused !== moving ? ZERO + video.currentTime : null;
};

window.shown = (moving) =>
  [...document.querySelectorAll(".screen video")].map((video) => momentOf(video, moving));
window.clockNow = () => JSON.parse(player.dataset.plan).start + Number(at.value);
window.moments = [];
setInterval(() => {
  const now = window.shown(true);
  if (now.every((moment) => moment !== null)) window.moments.push(now);
}, 50);
