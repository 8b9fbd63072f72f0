// The player: one clock (UTC seconds) moves, and every camera's video follows it. A video that has
// to load holds the clock for all, so what stands side by side was filmed at the same moment.
"use strict";

(() => {
  const player = document.getElementById("player");
  if (!player) return;
  const plan = JSON.parse(player.dataset.plan);
  const at = document.getElementById("at");
  const rate = document.getElementById("rate");
  const boxesOn = document.getElementById("boxes");
  const clock = player.querySelector(".clock");
  const toggle = player.querySelector("[data-act=toggle]");
  const AHEAD = 60;         // seconds that one video is asked for: browsers keep that much
  const ENCODED = 12;       // seconds, where the server has to encode them first
  const OFF = 0.15;         // seconds a playing video may be off the clock
  const PATIENCE = 20000;   // ms that the clock waits for a video before it goes on without it
  const BRIDGED = 1.0;      // seconds between two boxes over which a box is drawn
  let now = plan.start, playing = false, last = 0, held = 0;

  const has = (spans, t) => spans.some(([a, b]) => t >= a - 0.05 && t <= b + 0.05);
  const colour = (identity) =>
    identity === null ? "#ffffff" : `hsl(${(identity * 137.5) % 360} 85% 70%)`;

  class Screen {
    constructor(figure, camera) {
      this.figure = figure;
      this.camera = camera.camera;
      this.footage = camera.footage;
      this.video = figure.querySelector("video");
      this.canvas = figure.querySelector("canvas");
      this.nothing = figure.querySelector(".nothing");
      this.state = figure.querySelector(".state");
      this.from = this.to = null;   // the stretch the video was asked for
      this.origin = null;           // capture time of its second 0; null while it loads
      this.turn = 0;
      this.ahead = AHEAD;
      this.boxes = null;
      this.video.addEventListener("error", () => this.failed());
      this.loadBoxes();
    }

    query(from, to) {
      const q = new URLSearchParams({ camera: this.camera, from: from.toFixed(3), to: to.toFixed(3) });
      return q;
    }

    async loadBoxes() {
      const q = this.query(plan.start, plan.end);
      for (const [key, value] of new URLSearchParams(player.dataset.person)) q.set(key, value);
      const answer = await fetch(`/replay/boxes?${q}`);
      if (answer.ok) this.boxes = await answer.json();
      draw();
    }

    failed() {
      if (!this.video.getAttribute("src")) return;
      this.state.textContent = "the video cannot be played";
      this.broken = true;
    }

    async load(from) {
      const turn = ++this.turn;
      const to = Math.min(plan.end + 1, from + this.ahead);
      this.from = from; this.to = to; this.origin = null; this.broken = false;
      this.state.textContent = "loading";
      const q = this.query(from, to);
      try {
        const answer = await fetch(`/replay/origin?${q}`);
        if (turn !== this.turn) return;
        if (!answer.ok) {
          this.state.textContent = answer.status === 422 ? "no footage" : "not available";
          this.broken = true;
          return;
        }
        const found = await answer.json();
        if (turn !== this.turn) return;
        if (!found.copied && this.ahead > ENCODED) { this.ahead = ENCODED; this.load(from); return; }
        this.origin = found.origin;
        this.video.src = `/replay/video?${q}`;
        this.video.currentTime = Math.max(0, now - this.origin);
      } catch {
        if (turn === this.turn) { this.state.textContent = "the server does not answer"; this.broken = true; }
      }
    }

    covers(t) { return this.from !== null && t >= this.from - 0.05 && t < this.to - 0.05; }

    // Brings the video to the clock; true if it shows that moment (or never will).
    follow(seeked) {
      const there = has(this.footage, now);
      this.nothing.hidden = there;
      if (!there) { this.video.pause(); this.state.textContent = "no footage"; return true; }
      if (!this.covers(now)) { this.load(now); return false; }
      if (this.broken) return true;
      if (this.origin === null) return false;
      const wanted = Math.max(0, now - this.origin), off = this.video.currentTime - wanted;
      if (!this.reachable(wanted)) {
        if (this.video.readyState < 2 || this.loading()) return false;
        this.load(now);
        return false;
      }
      if (seeked || Math.abs(off) > OFF * Math.max(1, Number(rate.value))) {
        if (!this.video.seeking) this.video.currentTime = wanted;
      }
      if (playing && !held) {
        this.video.playbackRate = Number(rate.value);
        if (this.video.paused) this.video.play().catch(() => {});
      } else if (!this.video.paused) this.video.pause();
      const ready = this.video.readyState >= 2 && !this.video.seeking;
      this.state.textContent = ready ? "" : "loading";
      return ready;
    }

    // What the browser holds can be jumped to at once; a new video is sooner there than the rest of it.
    reachable(wanted) {
      const ranges = this.video.buffered;
      for (let i = 0; i < ranges.length; i++)
        if (wanted >= ranges.start(i) - 0.3 && wanted <= ranges.end(i) + 0.3) return true;
      return ranges.length === 0 && wanted < 3;
    }

    loading() { return this.video.networkState === 2; }

    draw() {
      const box = this.canvas.getBoundingClientRect(), sharp = window.devicePixelRatio || 1;
      if (!box.width) return;
      const w = Math.round(box.width * sharp), h = Math.round(box.height * sharp);
      if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h; }
      const c = this.canvas.getContext("2d");
      c.clearRect(0, 0, w, h);
      if (!boxesOn.checked || !this.boxes || !this.nothing.hidden) return;
      if (this.origin === null || this.video.readyState < 2) return;  // a box belongs to its picture
      const shown = this.origin + this.video.currentTime;
      const width = this.video.videoWidth || this.boxes.width, height = this.video.videoHeight || this.boxes.height;
      if (!width || !height) return;
      const scale = Math.min(w / width, h / height), left = (w - width * scale) / 2, top = (h - height * scale) / 2;
      c.font = `600 ${Math.round(13 * sharp)}px system-ui, sans-serif`;
      c.textBaseline = "bottom";
      for (const track of this.boxes.tracks) {
        const b = where(track.points, shown);
        if (!b) continue;
        const x = left + b[0] * scale, y = top + b[1] * scale;
        c.lineWidth = (track.chosen ? 3.5 : 1.5) * sharp;
        c.strokeStyle = track.chosen ? "#ffd24a" : colour(track.identity);
        c.strokeRect(x, y, b[2] * scale, b[3] * scale);
        const said = track.identity === null ? `track ${track.track}` : `identity ${track.identity}`;
        if (track.chosen || scale * b[3] > 60 * sharp) {
          const wide = c.measureText(said).width + 8 * sharp, high = 18 * sharp;
          c.fillStyle = "#000c";
          c.fillRect(x - c.lineWidth / 2, y - high, wide, high);
          c.fillStyle = c.strokeStyle;
          c.fillText(said, x + 4 * sharp, y - 2 * sharp);
        }
      }
    }
  }

  // A track's box at a time, between two of its points; null where it is not known.
  const where = (points, t) => {
    let low = 0, high = points.length;
    while (low < high) { const mid = (low + high) >> 1; if (points[mid][0] < t) low = mid + 1; else high = mid; }
    const b = points[low], a = points[low - 1];
    if (b && b[0] - t < 0.001) return b.slice(1);
    if (!a || !b) return null;
    if (b[0] - a[0] > BRIDGED) return null;
    const s = (t - a[0]) / (b[0] - a[0]);
    return [1, 2, 3, 4].map((i) => a[i] + s * (b[i] - a[i]));
  };

  const screens = [...player.querySelectorAll(".screen")].map((figure, i) => new Screen(figure, plan.cameras[i]));
  const draw = () => screens.forEach((screen) => screen.draw());

  const tell = () => {
    at.value = now - plan.start;
    const text = new Date(now * 1000).toISOString();
    clock.textContent = `${text.slice(0, 10)} ${text.slice(11, 21)} UTC`;
    at.setAttribute("aria-valuetext", clock.textContent);
    toggle.textContent = playing ? "Pause" : "Play";
  };

  const seek = (t) => {
    now = Math.min(Math.max(t, plan.start), plan.end);
    held = 0;
    screens.forEach((screen) => screen.follow(true));
    tell(); draw();
  };

  const play = (on) => {
    if (on && now >= plan.end - 0.05) seek(plan.start);
    playing = on; held = 0; last = performance.now();
    tell();
  };

  const step = (time) => {
    const passed = Math.min(0.25, (time - last) / 1000);
    last = time;
    const ready = screens.map((screen) => screen.follow(false)).every(Boolean);
    if (playing) {
      if (!ready && !held) held = time;
      if (ready || time - held > PATIENCE) {
        if (ready) held = 0;
        now = Math.min(now + passed * Number(rate.value), plan.end);
        if (now >= plan.end) { playing = false; screens.forEach((screen) => screen.video.pause()); }
      }
      tell();
    }
    draw();
    requestAnimationFrame(step);
  };

  const acts = {
    toggle: () => play(!playing),
    back: () => seek(now - 5),
    forward: () => seek(now + 5),
    "step-back": () => { play(false); seek(now - 0.1); },
    step: () => { play(false); seek(now + 0.1); },
  };
  player.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) acts[button.dataset.act]();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-jump]");
    if (button) { seek(Number(button.dataset.jump)); player.scrollIntoView({ block: "nearest" }); }
  });
  at.addEventListener("input", () => seek(plan.start + Number(at.value)));
  boxesOn.addEventListener("change", draw);
  const keys = { " ": "toggle", ArrowLeft: "back", ArrowRight: "forward", ",": "step-back", ".": "step" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, button, a, summary")) return;
    const act = keys[event.key];
    if (act) { event.preventDefault(); acts[act](); }
  });
  seek(plan.start);
  requestAnimationFrame((time) => { last = time; step(time); });
})();
