// The map: a rectangle for each cell, marks over it, borders between labels, words on the largest regions.
let layout = null;
const gapOf = ({ w, h }) => (w >= 14 && h >= 14 ? 1 : 0); // small cells touch

// What a cell shows of the quantity: a value, or why there is none.
function reading(cell) {
  const { key, kind } = quantity();
  if (cell.state !== "measured") return { why: cell.state, name: key === "label" ? cell.label : null };
  if (key === "label") return { name: cell.label, why: SPOILT.includes(cell.label) ? cell.label : "" };
  if (SPOILT.includes(cell.label)) return { why: cell.label };
  if (key === "regime") return { name: cell.regime, why: cell.regime ? "" : "neither" };
  return cell[key] === null ? { why: kind === "steps" ? "open" : "unknown" } : { value: cell[key], why: "" };
}

// Members with another name than the cell's, for the strip at its foot.
function others(cell) {
  const key = state.quantity === "regime" ? "regime" : "label";
  const mine = cell[key];
  const counts = new Map();
  for (const row of cell.rows) {
    const name = SPOILT.includes(row.label) ? row.label : row[key];
    if (name !== mine && cell.label !== name) counts.set(name, (counts.get(name) || 0) + 1);
  }
  return counts;
}

// From the smallest to the largest number of the whole sweep, so that slices of it compare.
function scaleOf(q) {
  if (q.kind === "share") return { low: 0, high: 1, at: (v) => v };
  const known = cells.map((c) => c[q.key]).filter((v) => v !== null && v !== undefined);
  const [low, high] = [Math.max(1, Math.min(...known)), Math.max(1, ...known)];
  const reach = Math.log(high / low) || 1;
  return { low, high, none: !known.length, at: (v) => Math.max(0, Math.log(Math.max(v, low) / low) / reach) };
}
const valueText = (q, v) => (q.kind === "share" ? percent(v, v === 1 || v === 0 ? 0 : 1) : halves(v));

// The border's names: regimes on the map of regimes, else labels.
function borderName(cell) {
  if (state.quantity === "regime") return cell.state === "measured" ? cell.regime || "neither" : null;
  return cell.label;
}

function place(width) {
  const [nr, nc] = [rowCount(), colCount()];
  const [rowAxis, colAxis] = [state.row === null ? null : data.axes[state.row], data.axes[state.col]];
  const longest = rowAxis ? Math.max(...rowAxis.names.map((n) => wide(clip(n, 110)))) : 0;
  const left = rowAxis ? Math.ceil(longest) + 34 : 2;
  const w = Math.max(2, Math.min(rowAxis ? 150 : 240, (width - left - 8) / nc));
  const h = rowAxis ? Math.max(3, Math.min(w * 0.8, 92, Math.max(460 / nr, 10))) : Math.min(64, Math.max(34, w));
  const turned = colAxis.scale === "category" && colAxis.names.some((n) => wide(clip(n, 110)) > w - 4);
  const foot = 42 + (turned ? Math.min(80, Math.max(...colAxis.names.map((n) => wide(clip(n, 110)))) * 0.7) : 0);
  return { nr, nc, rowAxis, colAxis, left, w, h, turned, foot };
}
function clip(text, room, size = 12) {
  if (wide(text, size) <= room) return text;
  let cut = text;
  while (cut.length > 1 && wide(`${cut}…`, size) > room) cut = cut.slice(0, -1);
  return `${cut}…`;
}

// The first row is at the bottom where its axis has an order, as on any plot.
const rowTop = (r) => {
  const up = layout.rowAxis && layout.rowAxis.scale !== "category";
  return layout.top + (up ? layout.nr - 1 - r : r) * layout.h;
};
const colLeft = (c) => layout.left + c * layout.w;

function patterns() {
  const defs = shape("defs");
  const add = (id, size, ...inside) => {
    const p = shape("pattern", { id, width: size, height: size, patternUnits: "userSpaceOnUse" });
    p.append(...inside);
    defs.append(p);
  };
  const line = (d, colour, width) => shape("path", { d, stroke: colour, "stroke-width": width, fill: "none" });
  const across = (s) => `M-1 1L1 -1M0 ${s}L${s} 0M${s - 1} ${s + 1}L${s + 1} ${s - 1}`;
  add("open", 7, line(across(7), css("ink"), 1));
  add("odd", 5, line(across(5), css("anomaly"), 1.8));
  add("taken", 6, shape("circle", { cx: 3, cy: 3, r: 1, fill: css("ink") }));
  return defs;
}

// The largest rectangle of equal names in the map: where there is room in it, the name is written there.
function directNames(grid) {
  const q = quantity();
  const best = new Map();
  if (q.kind !== "names") return best;
  const nameAt = (cell) => (["measured", "left out"].includes(cell.state) ? reading(cell).name : null);
  const heights = Array(layout.nc).fill(0);
  grid.forEach((line, r) => line.forEach((cell, c) => {
    const name = nameAt(cell);
    heights[c] = r && name === nameAt(grid[r - 1][c]) ? heights[c] + 1 : 1;
    if (!name || SPOILT.includes(name)) return;
    let rows = heights[c];
    for (let from = c; from >= 0 && nameAt(line[from]) === name; from -= 1) {
      rows = Math.min(rows, heights[from]);
      const [across, high] = [(c - from + 1) * layout.w, rows * layout.h];
      if (across < wide(name, 13, 600) + 14 || high < 17 || across * high <= (best.get(name)?.area || 0)) continue;
      best.set(name, { name, area: across * high, from, to: c, top: r - rows + 1, bottom: r });
    }
  }));
  return best;
}

function drawNames(over, grid, direct) {
  for (const { name, from, to, top, bottom } of direct.values()) {
    const inside = grid.slice(top, bottom + 1).flatMap((line) => line.slice(from, to + 1));
    const pale = inside.some((cell) => cell.state !== "measured");
    const [x, y] = [(colLeft(from) + colLeft(to) + layout.w) / 2, (rowTop(top) + rowTop(bottom) + layout.h) / 2];
    const around = { stroke: css("paper"), "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" };
    over.append(words(x, y + 4.5, name, {
      "text-anchor": "middle", "font-size": 13, "font-weight": 600, class: "direct",
      fill: pale ? css("ink") : data.inkOn[name] || "#ffffff", ...(pale ? around : {}),
    }));
  }
}

function box(cell, part = {}) {
  const [x, y] = [cell.x, cell.y];
  const b = { x, y, w: layout.w - layout.gap, h: layout.h - layout.gap, ...part };
  return `M${b.x.toFixed(2)} ${b.y.toFixed(2)}h${b.w.toFixed(2)}v${b.h.toFixed(2)}h${(-b.w).toFixed(2)}z`;
}

function drawMap() {
  const host = document.getElementById("cells");
  const focused = host.contains(document.activeElement);
  const width = Math.floor(host.clientWidth);
  layout = { ...place(width), top: 0, colour: ramp() };
  layout.gap = gapOf(layout);
  const line = (r) => Array.from({ length: layout.nc }, (_, c) => shownCell(r, c));
  const grid = Array.from({ length: layout.nr }, (_, r) => line(r));
  const shown = grid.flat();
  const direct = directNames(grid);
  const q = quantity();
  const svg = picture(width, 10, `${q.name} of ${plural(shown.length, "cell")}`);
  svg.append(patterns());
  layout.top = drawKey(svg, keyItems(svg, shown, direct, width), width);
  const height = Math.ceil(layout.top + layout.nr * layout.h + layout.foot);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const table = shape("g", { role: "grid", "shape-rendering": "crispEdges", "aria-label": `Map of ${q.name}` });
  const marks = { open: "", taken: "", odd: "", cross: "", dot: "" };
  const strips = new Map();
  const tops = grid.map((_, r) => r).sort((a, b) => (layout.nr > 1 ? rowTop(a) - rowTop(b) : 0));
  for (const r of tops) {
    const row = shape("g", { role: "row" });
    grid[r].forEach((cell, c) => row.append(drawCell(cell, r, c, q, marks, strips)));
    table.append(row);
  }
  svg.append(table);
  const over = shape("g", { "pointer-events": "none" });
  const quiet = q.key === "label" ? 0.2 : 0.28;
  over.append(shape("path", { d: marks.open, fill: "url(#open)", "fill-opacity": quiet, class: "censored" }));
  over.append(shape("path", { d: marks.taken, fill: "url(#taken)", "fill-opacity": 0.55, class: "taken" }));
  over.append(shape("path", { d: marks.odd, fill: "url(#odd)", class: "diverged" }));
  const stroke = { fill: "none", "stroke-width": 2 };
  over.append(shape("path", { d: marks.dot, ...stroke, stroke: css("paper"), "stroke-width": 5 }));
  over.append(shape("path", { d: marks.dot, ...stroke, stroke: css("anomaly"), class: "failed" }));
  const [firm, guessed] = borders(grid);
  over.append(shape("path", { d: firm, ...stroke, stroke: css("paper"), "stroke-width": layout.gap ? 4 : 3 }));
  over.append(shape("path", { d: firm, ...stroke, "stroke-linecap": "square", stroke: css("ink"), class: "border" }));
  const dotted = { ...stroke, stroke: css("soft"), "stroke-dasharray": "2 4" };
  over.append(shape("path", { d: guessed, ...dotted, class: "border-guessed" }));
  for (const [colour, d] of strips) over.append(shape("path", { d, fill: colour, class: "strip" }));
  drawNumbers(over, shown, q);
  drawNames(over, grid, direct);
  svg.append(over);
  drawAxes(svg, height);
  const frame = { fill: "none", "stroke-width": 2.5, "pointer-events": "none" };
  svg.append(shape("rect", { id: "chosen", ...frame, stroke: css("ink") }));
  svg.append(shape("rect", {
    id: "reached", ...frame, "data-screen": "", stroke: css("accent"), visibility: "hidden",
  }));
  host.replaceChildren(svg, element("div", { id: "tip", "aria-hidden": "true", hidden: "" }));
  markChosen();
  listen(svg);
  if (focused) svg.querySelector('[tabindex="0"]')?.focus();
}

function drawCell(cell, r, c, q, marks, strips) {
  [cell.x, cell.y] = [colLeft(c), rowTop(r)];
  const read = reading(cell);
  const rect = shape("rect", {
    x: cell.x.toFixed(2), y: cell.y.toFixed(2),
    width: (layout.w - layout.gap).toFixed(2), height: (layout.h - layout.gap).toFixed(2),
    fill: css("paper"), role: "gridcell", tabindex: -1, "data-cell": cell.index, "data-state": cell.state,
    "aria-label": `${values(placeOf(cell.index))}: ${told(cell).join("; ")}`,
  });
  if (cell.state === "left out" || cell.state === "measured") {
    if (read.name && !SPOILT.includes(read.name)) rect.setAttribute("fill", colourOf(q.key, read.name));
    else if (read.value !== undefined) rect.setAttribute("fill", layout.colour(scaleOfNow(q).at(read.value)));
    if (cell.state === "left out") rect.setAttribute("fill-opacity", 0.3);
  } else rect.setAttribute("stroke-dasharray", "2 2");
  if (rect.getAttribute("fill") === css("paper")) rect.setAttribute("stroke", css("rule"));
  if (cell.state === "left out") marks.taken += box(cell);
  if (cell.label === "diverged" && cell.state === "measured") marks.odd += box(cell);
  else if (read.why === "open" || (q.key === "label" && isOpen(cell))) marks.open += box(cell);
  if (cell.state === "measured" && cell.failed) marks.dot += cross(cell);
  if (q.kind === "names" && cell.state === "measured") footStrip(cell, q, strips);
  return rect;
}
function scaleOfNow(q) {
  if (layout.scaleFor !== q.key) [layout.scaleFor, layout.scale] = [q.key, scaleOf(q)];
  return layout.scale;
}

function cross(cell) {
  const whole = cell.failed === cell.n;
  const s = Math.max(2, whole ? Math.min(layout.w, layout.h) * 0.25 : Math.min(4, layout.w / 6));
  const [x, y] = whole ? [cell.x + layout.w / 2, cell.y + layout.h / 2] : [cell.x + layout.w - s - 4, cell.y + s + 3];
  return `M${x - s} ${y - s}l${2 * s} ${2 * s}M${x + s} ${y - s}l${-2 * s} ${2 * s}`;
}

function footStrip(cell, q, strips) {
  let x = cell.x + layout.w - layout.gap;
  const high = Math.max(Math.min(4, layout.h / 2), layout.h * 0.24);
  for (const [name, count] of others(cell)) {
    const w = ((layout.w - layout.gap) * count) / cell.n;
    x -= w;
    const colour = !name ? css("paper") : SPOILT.includes(name) ? css("anomaly") : colourOf(q.key, name);
    const d = box(cell, { x, y: cell.y + layout.h - layout.gap - high, w, h: high });
    strips.set(colour, (strips.get(colour) || "") + d);
  }
}

// Lines between cells of different names; firm between measured cells, else guessed. A category has no border.
function borders(grid) {
  let [firm, guessed] = ["", ""];
  const add = (a, b, d) => {
    const [one, two] = [borderName(a), borderName(b)];
    if (!one || !two || one === two) return;
    if (a.state === "measured" && b.state === "measured") firm += d;
    else guessed += d;
  };
  const ordered = (axis) => axis && axis.scale !== "category";
  const half = layout.gap / 2;
  grid.forEach((line, r) => line.forEach((cell, c) => {
    if (c + 1 < line.length && ordered(layout.colAxis)) {
      add(cell, line[c + 1], `M${(cell.x + layout.w - half).toFixed(2)} ${cell.y.toFixed(2)}v${layout.h.toFixed(2)}`);
    }
    if (r + 1 < grid.length && ordered(layout.rowAxis)) {
      add(cell, grid[r + 1][c], `M${cell.x.toFixed(2)} ${(cell.y - half).toFixed(2)}h${layout.w.toFixed(2)}`);
    }
  }));
  return [firm, guessed];
}

// Numbers stand in their cells where there is room.
function drawNumbers(over, shown, q) {
  if (q.kind === "names" || layout.h < 18) return;
  const scale = scaleOfNow(q);
  const texts = shown.map((cell) => [cell, reading(cell).value]).filter(([, v]) => v !== undefined);
  if (texts.some(([, v]) => wide(valueText(q, v), 11.5) > layout.w - 8)) return;
  for (const [cell, v] of texts) {
    over.append(words(cell.x + layout.w / 2, cell.y + layout.h / 2 + 4, valueText(q, v), {
      "text-anchor": "middle", "font-size": 11.5, fill: inkOn(layout.colour(scale.at(v))), class: "value",
    }));
  }
}

function drawAxes(svg, height) {
  const { rowAxis, colAxis, nr, nc, left, w, h, turned } = layout;
  const bottom = layout.top + nr * h;
  const title = (axis) => `${axis.name}${axis.scale === "log" ? " (log)" : ""}`;
  const every = (room, size, n) => [...Array(n).keys()].filter((i) => i % Math.ceil(room / size) === 0);
  const strong = { "text-anchor": "middle", fill: css("ink"), "font-weight": 550 };
  const room = turned ? 14 : Math.max(...colAxis.names.map((n) => wide(n))) + 8;
  for (const c of every(room, w, nc)) {
    const [x, y] = [colLeft(c) + w / 2, bottom + 16];
    const text = words(x, y, clip(colAxis.names[c], 110), { "text-anchor": turned ? "end" : "middle" });
    if (turned) text.setAttribute("transform", `rotate(-40 ${x} ${y - 4})`);
    svg.append(text);
  }
  svg.append(words(left + (nc * w) / 2, height - 6, title(colAxis), strong));
  if (!rowAxis) return;
  for (const r of every(15, h, nr)) {
    svg.append(words(left - 8, rowTop(r) + h / 2 + 4, clip(rowAxis.names[r], 110), { "text-anchor": "end" }));
  }
  const middle = layout.top + (nr * h) / 2;
  svg.append(words(12, middle, title(rowAxis), { ...strong, transform: `rotate(-90 12 ${middle})` }));
}
