// The little that htmx does not do: newer pictures without a flicker, and saying so when the
// server is gone (a wall that silently stands still would be worse than none).
"use strict";

(() => {
  const say = (offline) => {
    const note = document.getElementById("offline");
    if (note && note.hidden === offline) {
      note.hidden = !offline;
      document.body.classList.toggle("is-offline", offline);
    }
  };

  // Pictures are kept over a swap (hx-preserve); here they get the address of the newer one, and
  // the browser shows the old one until that is there.
  const renew = (within) => {
    for (const newer of within.querySelectorAll("data.newer")) {
      const picture = document.getElementById(newer.dataset.for);
      if (picture && picture.getAttribute("src") !== newer.value) {
        picture.setAttribute("src", newer.value);
      }
    }
  };

  document.addEventListener("htmx:afterSwap", (event) => renew(event.target));
  document.addEventListener("htmx:sendError", () => say(true));
  document.addEventListener("htmx:timeout", () => say(true));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.xhr && event.detail.xhr.status > 0) say(false);
  });
})();
