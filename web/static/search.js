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
    // The server would break the sending off, which looks like a lost connection.
    const bytes = Array.from(field.files).reduce((sum, file) => sum + file.size, 0);
    const most = Number(field.dataset.most);
    field.setCustomValidity(bytes > most ? `Together these are ${Math.ceil(bytes / 1e6)} MB; ${Math.floor(most / 1e6)} MB can be sent at once.` : "");
    field.reportValidity();
  });
})();
