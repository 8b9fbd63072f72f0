// Notes, 20 times a second, which moment each video shows: its own clock, on top of when its second
// 0 was filmed. In the page, for a driver on a busy machine would be too slow to see both at once.
window.moments = [];
const videos = [...document.querySelectorAll(".screen video")], origins = new Map();

const momentOf = (video) => {
  const src = video.getAttribute("src");
  if (!origins.has(src)) {
    origins.set(src, null);
    fetch(src.replace("/video?", "/origin?"))
      .then((answer) => answer.json())
      .then((answer) => origins.set(src, answer.origin));
  }
  const plays = !video.paused && !video.seeking && video.readyState >= 2 && video.videoWidth > 0;
  return plays && origins.get(src) ? origins.get(src) + video.currentTime : null;
};

setInterval(() => {
  const shown = videos.map(momentOf);
  if (shown.every((moment) => moment !== null)) window.moments.push(shown);
}, 50);
