// Shows the chosen photos before they are sent. The form works without it.
"use strict";

(() => {
  const field = document.getElementById("photos");
  const preview = document.getElementById("preview");
  if (!field || !preview) return;
  field.addEventListener("change", () => {
    for (const old of preview.querySelectorAll("img")) URL.revokeObjectURL(old.src);
    const shown = Array.from(field.files).slice(0, 8).map((file) => {
      const picture = document.createElement("img");
      picture.alt = "";
      picture.addEventListener("error", () => picture.remove());
      picture.src = URL.createObjectURL(file);
      return picture;
    });
    preview.replaceChildren(...shown);
  });
})();
