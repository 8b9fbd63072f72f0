// What has the focus: its name, and whether a person sees where it is.
const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect();
const label = it.labels && it.labels.length ? it.labels[0].innerText : "";
const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
const within = box.width > 2 && box.height > 2 && box.bottom > 0 && box.top < innerHeight;
return {
  name: (it.getAttribute("aria-label") || label || it.innerText || it.name || it.tagName).trim(),
  outline: `${style.outlineStyle} ${style.outlineWidth} ${style.outlineColor}`,
  seen: it === document.body || (outlined && within),
};
