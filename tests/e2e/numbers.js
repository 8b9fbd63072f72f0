// The number that a picture carries (tests/pipeline/numbered_videos.py), read off the screen: ten
// blocks of 16 pixels, white for a one. Noted at each frame of the page while a video moves, after the
// player brought its clock up to date.
const reader = document.createElement("canvas");
reader.width = 160; reader.height = 120;
const pen = reader.getContext("2d", { willReadFrequently: true });

const numberOf = (video, moving) => {
  if (video.seeking || video.readyState < 2 || !video.videoWidth || video.paused === moving) return null;
  if (!video.closest(".screen").querySelector(".nothing").hidden) return null;
  pen.drawImage(video, 0, 0, 160, 120);
  let number = 0;
  for (let bit = 0; bit < 10; bit++) {
    const data = pen.getImageData(bit * 16 + 4, 4, 8, 24).data;
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i];
    if (sum / (data.length / 4) > 127) number += 2 ** bit;
  }
  return number;
};

window.numbersShown = (moving) =>
  [...document.querySelectorAll(".screen video")].map((video) => numberOf(video, moving));
window.seen = [];
const note = () => {
  const shown = window.numbersShown(true);
  if (shown.some((n) => n !== null)) window.seen.push([Number(at.value), shown]);
  requestAnimationFrame(note);
};
requestAnimationFrame(note);
