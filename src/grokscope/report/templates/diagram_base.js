// The data, where the reader is in it, and how numbers and shapes are written.
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const named = (fields, list) => Object.fromEntries(fields.map((f, i) => [f, list[i]]));
const cells = data.cells.map((c, i) => Object.assign(named(data.cellFields, c), { index: i, rows: [] }));
const strides = data.axes.map((_, k) => data.axes.slice(k + 1).reduce((n, a) => n * a.values.length, 1));
const indexOf = (at) => at.reduce((sum, i, k) => sum + i * strides[k], 0);
const placeOf = (index) => data.axes.map((a, k) => Math.floor(index / strides[k]) % a.values.length);
const rows = data.rows.map((r) => named(data.rowFields, r));
for (const row of rows) cells[indexOf(row.cell)].rows.push(row);

// The map's rows are the first axis and its columns the second; a single axis lies along the columns.
const state = {
  quantity: "label", row: data.axes.length > 1 ? 0 : null, col: data.axes.length > 1 ? 1 : 0, at: [...data.opening],
};
const quantity = () => data.quantities.find((q) => q.key === state.quantity);
const shownCell = (r, c) => {
  const at = [...state.at];
  if (state.row !== null) at[state.row] = r;
  at[state.col] = c;
  return cells[indexOf(at)];
};
const rowCount = () => (state.row === null ? 1 : data.axes[state.row].values.length);
const colCount = () => data.axes[state.col].values.length;

const colours = new Map(); // of the theme; emptied when it changes
function css(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(root).getPropertyValue(`--${name}`).trim());
  return colours.get(name);
}
const slug = (name) => name.toLowerCase().replace(/[^a-z0-9]/g, "-");
const SPOILT = ["diverged", "failed"];
const colourOf = (key, name) => css(`${key}-${slug(name)}`);

const step = (n) => Math.round(n).toLocaleString("en-US").replace("-", "−");
const halves = (n) => (Number.isInteger(n) ? step(n) : n.toLocaleString("en-US").replace("-", "−"));
function percent(share, digits = 2) {
  let scaled = 100 * share;
  if (share < 1 && Number(scaled.toFixed(digits)) >= 100) scaled = Math.floor(scaled * 10 ** digits) / 10 ** digits;
  return `${scaled.toFixed(digits)} %`;
}
const plural = (n, word) => `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;
const values = (at) => data.axes.map((a, k) => `${a.name} ${a.names[at[k]]}`).join(", ");

// Shapes: explicit colours and fonts, so that an exported picture needs no style sheet.
const FONT = "Inter, system-ui, 'Segoe UI', Roboto, Arial, sans-serif";
function shape(name, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}
function words(x, y, text, attributes = {}) {
  return shape("text", { x, y, "font-size": 12, fill: css("soft"), ...attributes }, text);
}
function picture(width, height, label) {
  const svg = shape("svg", {
    xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT,
    "aria-label": label,
  });
  svg.append(shape("title", {}, label));
  return svg;
}
const pen = document.createElement("canvas").getContext("2d");
function wide(text, size = 12, weight = 400) {
  pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}
function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// Colours of numbers: low, middle, high; text on them dark or light, whichever is further away.
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
function ramp() {
  const stops = ["heat-low", "heat-middle", "heat-high"].map((n) => rgb(css(n)));
  return (t) => {
    const [i, part] = t < 0.5 ? [0, 2 * t] : [1, 2 * t - 1];
    const mixed = stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * part));
    return `#${mixed.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
  };
}
function inkOn(colour) {
  const [r, g, b] = rgb(colour).map((c) => c / 255);
  return 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2 > 0.3 ? "#15171c" : "#ffffff";
}

// Files.
function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${data.sweep}-${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const field = (v) => {
  const text = v === null || v === undefined ? "" : String(v);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const asCsv = (table) => `${table.map((line) => line.map(field).join(",")).join("\n")}\n`;
function saveSvg(svg, name) {
  const copy = svg.cloneNode(true);
  copy.querySelectorAll("[data-screen]").forEach((e) => e.remove());
  copy.prepend(shape("rect", { width: "100%", height: "100%", fill: css("paper") }));
  save(`${name}.svg`, new XMLSerializer().serializeToString(copy), "image/svg+xml");
}
