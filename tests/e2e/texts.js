// Each piece of visible text: its colour, and what lies beneath it from the top down. What is drawn
// in SVG lies on the shapes drawn before it; what cannot be used (disabled) is exempt.
const found = [];
const SKIPPED = ":disabled, option, .unseen, .skip, script, style, noscript, video, title";
const NO_TEXT = ["checkbox", "radio", "hidden", "range"];

const boxOf = (node) => {
  const range = document.createRange();
  range.selectNodeContents(node);
  return range.getBoundingClientRect();
};

const shapesBeneath = (svg, element, box) => {
  const x = box.left + box.width / 2, y = box.top + box.height / 2, beneath = [];
  for (const shape of svg.querySelectorAll("rect, path")) {
    const before = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
    const b = shape.getBoundingClientRect();
    if (before && b.left <= x && x <= b.right && b.top <= y && y <= b.bottom)
      beneath.unshift(getComputedStyle(shape).fill);
  }
  return beneath;
};

const add = (element, box, text, colour) => {
  if (box.width < 2 || box.height < 2 || element.closest(SKIPPED)) return;
  const style = getComputedStyle(element), svg = element.closest("svg");
  if (style.visibility !== "visible") return;
  const ground = svg ? shapesBeneath(svg, element, box) : [];
  let opacity = 1;
  for (let up = svg ? svg.parentElement : element; up; up = up.parentElement) {
    const s = getComputedStyle(up);
    opacity *= parseFloat(s.opacity);
    ground.push(s.backgroundColor);
  }
  const size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
  found.push({
    text: text.trim().slice(0, 60), colour, ground, opacity,
    large: size >= 24 || (bold && size >= 18.66),
    where: `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""}`,
  });
};

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  if (!node.data.trim()) continue;
  const element = node.parentElement, style = getComputedStyle(element);
  const drawn = element instanceof SVGElement;
  add(element, boxOf(node), node.data, drawn ? style.fill : style.color);
}
for (const field of document.querySelectorAll("input, select, textarea")) {
  if (NO_TEXT.includes(field.type)) continue;
  const box = field.getBoundingClientRect();
  add(field, box, field.value || field.name || field.id, getComputedStyle(field).color);
  if (field.placeholder)
    add(field, box, field.placeholder, getComputedStyle(field, "::placeholder").color);
}
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
return { found, canvas: dark ? "rgb(0, 0, 0)" : "rgb(255, 255, 255)" };
