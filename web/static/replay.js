// The player: one clock (UTC seconds) moves, and every camera's video follows it. A video that has
// to load holds the clock for all, so what stands side by side was filmed at the same moment.
//
// A video is a Media Source: footage comes in pieces, each of them put where its capture time says,
// and plays while the rest of it is on its way. Second s of every video is the moment ZERO + s.
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
  const Source = window.ManagedMediaSource || window.MediaSource;
  const ZERO = Math.floor(plan.start) - 600;  // a key frame may lie this long before the first moment
  const FIRST = 4, PIECE = 16, ENCODED = 4;   // seconds of a piece: after a jump, copied, encoded anew
  const AHEAD = 30;         // seconds that are asked for before they are needed
  const BEHIND = 60;        // seconds that stay
  const OFF = 0.15;         // seconds a playing video may be off the clock
  const NEAR = 0.3;         // seconds between two pictures that still count as one stretch
  const WAITED = 2.0;       // seconds it may be ahead and is waited for; farther, it is brought back
  const TAIL = 0.6, KEPT = 700;  // seconds before a gap, and ms of waiting there
  const STALL = 2.0;        // seconds without a frame of the page for which the videos played on
  const PATIENCE = 20000;   // ms that the clock waits for a video before it goes on without it
  const AGAIN = 3000;       // ms until the server is asked again after it did not answer
  const HEVC = ["hvc1.1.6.L120.90", "hvc1.2.4.L120.90"];  // 8 and 10 bits, both or we do not ask for it
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
      this.boxes = null;
      this.lost = [];               // stretches that are said to be there, but cannot be had
      this.step = 0.5;              // seconds to go on by where nothing came
      this.piece = null;            // the one on its way
      this.broken = "";             // why it will never play
      this.first = true;            // the next piece is the first after a jump
      this.length = PIECE;
      this.back = this.asked = 0;   // seconds that are shown too early at the end of a stretch; since when
      this.hevc = !!Source && HEVC.every((coding) => Source.isTypeSupported(`video/mp4; codecs="${coding}"`));
      this.video.addEventListener("error", () => this.refuse("the video cannot be played"));
      this.loadBoxes();
      if (!Source) { this.broken = "this browser cannot play it: make the clip"; return; }
      this.video.disableRemotePlayback = true;
      this.open();
    }

    open() {
      if (this.piece) this.piece.abort.abort();
      if (this.video.src) URL.revokeObjectURL(this.video.src);
      this.buffer = this.type = null;
      this.media = new Source();
      this.opened = new Promise((done) => this.media.addEventListener("sourceopen", done, { once: true }));
      this.video.src = URL.createObjectURL(this.media);
    }

    // The browser does not play what it got: if that was HEVC, which it said to play, we ask for H.264.
    refuse(why) {
      if (this.hevc && (this.type || "").includes("hvc1")) { this.hevc = false; this.lost = []; this.open(); }
      else this.broken = why;
    }

    query(from, to) {
      return new URLSearchParams({ camera: this.camera, from: from.toFixed(3), to: to.toFixed(3) });
    }

    async loadBoxes() {
      const q = this.query(plan.start, plan.end);
      for (const [key, value] of new URLSearchParams(player.dataset.person)) q.set(key, value);
      const answer = await fetch(`/replay/boxes?${q}`);
      if (answer.ok) this.boxes = await answer.json();
      draw();
    }

    // What the browser holds, as [from, to] in capture time.
    held() {
      const ranges = this.buffer ? this.buffer.buffered : [], found = [];
      for (let i = 0; i < ranges.length; i++) found.push([ZERO + ranges.start(i), ZERO + ranges.end(i)]);
      return found;
    }

    around(t) { return this.held().find(([a, b]) => t >= a - NEAR && t <= b + NEAR); }

    // The first moment from `t` on that has to be asked for; null if there is none before the end.
    missing(t) {
      const there = [...this.held(), ...this.lost].sort((x, y) => x[0] - y[0]);
      for (;;) {
        const before = t;
        const rest = this.around(t) ? NEAR : 0.02;  // of a stretch, that is not worth asking for
        const span = this.footage.find(([, b]) => b > t + rest);
        if (!span) return null;
        t = Math.max(t, span[0]);
        for (const [a, b] of there) if (t >= a - NEAR && t < b) t = b;
        if (t === before) return t < plan.end ? t : null;
      }
    }

    // Asks for what comes next, one piece at a time.
    pump() {
      if (this.broken || this.waits) return;
      if (this.piece) {
        const { from, to } = this.piece;
        if (now < from - NEAR && !this.around(now) || now > to + AHEAD) this.piece.abort.abort();
        return;
      }
      const from = this.missing(now);
      if (from === null) this.complete();
      if (from === null || from > now + AHEAD) return;
      this.piece = { from, to: Math.min(plan.end + 1, from + (this.first ? FIRST : this.length)), abort: new AbortController() };
      this.first = false;
      this.fetch(this.piece).catch((error) => {
        if (error.name === "AbortError" || this.piece.abort.signal.aborted) return;
        this.state.textContent = "the server does not answer";
        this.waits = true;
        setTimeout(() => { this.waits = false; }, AGAIN);
      }).finally(() => { this.piece = null; });
    }

    // Nothing comes behind what is there: without being told, a browser waits for it with the last pictures.
    complete() {
      if (this.media.readyState === "open" && this.buffer && !this.buffer.updating) this.media.endOfStream();
    }

    async fetch({ from, to, abort }) {
      await this.opened;
      const answer = await fetch(`/replay/video?${this.query(from, to)}${this.hevc ? "&hevc=1" : ""}`, { signal: abort.signal });
      if (answer.status === 422) { this.lost.push([from, to]); return; }
      if (!answer.ok) {
        if (answer.status >= 500) throw new Error(answer.statusText);
        this.broken = "not available";
        return;
      }
      this.length = answer.headers.get("crosscam-copied") === "1" ? PIECE : ENCODED;
      this.prepare(answer.headers.get("content-type"));
      this.buffer.timestampOffset = Number(answer.headers.get("crosscam-origin")) - ZERO;
      const reader = answer.body.getReader(), { buffer, media } = this;
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          await this.append(value);
          if (buffer !== this.buffer) return;
        }
      } finally {
        reader.cancel().catch(() => {});
        if (buffer === this.buffer) {
          if (buffer.updating) await this.idle();
          if (media.readyState === "open") buffer.abort();  // the next one begins with its own head
        }
      }
      const end = this.held().reduce((t, [a, b]) => (t >= a - NEAR && b > t ? b : t), from);
      if (end > from + 0.05) { this.step = 0.5; return; }
      this.lost.push([from, from + this.step]);  // said to be recorded, but it gave no picture
      this.step *= 2;
    }

    prepare(type) {
      if (this.type === type) return;
      this.type = type;
      try {
        if (this.buffer) this.buffer.changeType(type);
        else this.buffer = this.media.addSourceBuffer(type);
      } catch (error) {
        if (error.name !== "NotSupportedError") throw error;
        this.refuse("this browser cannot play it: make the clip");
        throw new DOMException("", "AbortError");
      }
    }

    // Until the browser has taken in what it was given, or will take no more.
    idle() {
      return new Promise((done) => {
        this.buffer.addEventListener("updateend", done, { once: true });
        this.media.addEventListener("sourceclose", done, { once: true });
      });
    }

    async append(bytes) {
      for (const keep of [BEHIND, 1]) {
        const old = now - keep - ZERO;
        const ranges = this.buffer.buffered;
        if (ranges.length && ranges.start(0) < old - 30 || keep === 1) {
          this.buffer.remove(0, Math.max(0.1, old));
          await this.idle();
          this.buffer.remove(now + 4 * AHEAD - ZERO, Infinity);
          await this.idle();
        }
        try {
          this.buffer.appendBuffer(bytes);
          await this.idle();
          return;
        } catch (error) {
          if (error.name !== "QuotaExceededError" || keep === 1) throw error;
        }
      }
    }

    // Brings the video to the clock; true if it shows that moment (or never will).
    follow(seeked) {
      if (seeked && !this.around(now)) this.first = true;
      if (seeked) { this.back = 0; this.asked = performance.now(); }
      this.pump();
      const there = has(this.footage, now);
      this.nothing.hidden = there;
      if (!there) { this.video.pause(); this.state.textContent = "no footage"; return true; }
      if (this.broken) { this.video.pause(); this.state.textContent = this.broken; return true; }
      const range = this.around(now), next = range && now > range[1] - 0.02 ? this.missing(now) : null;
      if (!range || (next !== null && next < now + NEAR)) {
        this.video.pause();
        if (!this.waits) this.state.textContent = "loading";
        if (!this.lost.some(([a, b]) => now >= a && now < b)) return false;
        this.state.textContent = "the footage cannot be read";
        return true;
      }
      // A decoder may keep the last pictures before a gap to itself: then those before them are shown.
      const last = range[1] - now < TAIL;
      if (!last) this.back = 0;
      const wanted = Math.max(Math.min(now, range[1] - 0.02) - this.back, range[0] + 0.001) - ZERO;
      const off = this.video.currentTime - wanted;
      const ready = () => this.video.readyState >= 2 && !this.video.seeking;
      // Ahead of the clock it stands still until that is there: nobody wants to see a step back.
      if (playing && !seeked && ready() && off > OFF * Math.max(1, Number(rate.value)) && off < WAITED) {
        this.video.pause();
        return true;
      }
      if (seeked || Math.abs(off) > OFF * Math.max(1, Number(rate.value))) {
        if (!this.video.seeking || Math.abs(this.target - wanted) > OFF) this.video.currentTime = this.target = wanted;
      }
      if (playing && !held) {
        this.video.playbackRate = Number(rate.value);
        if (this.video.paused && !this.video.ended) this.video.play().catch(() => {});
      } else if (!this.video.paused) this.video.pause();
      if (ready() || !last) this.asked = performance.now();
      else if (performance.now() - this.asked > KEPT && this.back < TAIL) {
        this.back += 0.2;
        this.asked = performance.now();
      }
      this.state.textContent = ready() ? "" : "loading";
      return ready();
    }

    // Width and height in pixels of the camera's picture of a moment: a camera may change its own.
    size(t) {
      const seen = [this.video.videoWidth, this.video.videoHeight];
      const of = this.boxes.sizes.filter((row) => row[0] <= t + 0.001).pop() || this.boxes.sizes[0];
      if (!of) return seen;
      const turned = (of[2] > of[3]) !== (seen[0] > seen[1]);
      return turned ? [of[3], of[2]] : [of[2], of[3]];
    }

    draw() {
      const box = this.canvas.getBoundingClientRect(), sharp = window.devicePixelRatio || 1;
      if (!box.width) return;
      const w = Math.round(box.width * sharp), h = Math.round(box.height * sharp);
      if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h; }
      const c = this.canvas.getContext("2d");
      c.clearRect(0, 0, w, h);
      if (!boxesOn.checked || !this.boxes || !this.nothing.hidden) return;
      if (this.video.readyState < 2) return;  // a box belongs to its picture
      const shown = ZERO + this.video.currentTime;
      const [width, height] = this.size(shown);
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

  // A moment by the site's clock: 2026-01-31 13:00:00.0 CET.
  const wall = new Intl.DateTimeFormat("en-GB", {
    timeZone: player.dataset.zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1, timeZoneName: "short",
  });
  const said = (t) => {
    const part = Object.fromEntries(wall.formatToParts(new Date(t * 1000)).map((p) => [p.type, p.value]));
    const day = `${part.year}-${part.month}-${part.day}`;
    return `${day} ${part.hour}:${part.minute}:${part.second}.${part.fractionalSecond} ${part.timeZoneName}`;
  };

  const tell = () => {
    at.value = now - plan.start;
    clock.textContent = said(now);
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
    const passed = Math.min(STALL, (time - last) / 1000);
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
