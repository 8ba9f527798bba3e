// Slices: t_train and t_test along an axis through the chosen cell; members as dots, censored ones open.
const HIGH = 250;

function sliceAxes() {
  return state.row === null ? [state.col] : [state.col, state.row];
}

// Places of an axis' values: where their scale puts them, one after another in a category.
function spread(axis, left, right) {
  const n = axis.values.length;
  const numbers = axis.scale === "category" ? axis.values.map((_, i) => i) : axis.values;
  const at = axis.scale === "log" ? numbers.map(Math.log) : numbers;
  const pad = Math.min(26, (right - left) / (2 * n));
  const [low, high] = [at[0], at[n - 1]];
  const scale = (right - left - 2 * pad) / (high - low);
  return at.map((v) => (n === 1 ? (left + right) / 2 : left + pad + (v - low) * scale));
}

function drawSlices() {
  const host = document.getElementById("slices");
  host.hidden = !data.steps;
  if (!data.steps) return;
  while (host.children.length < sliceAxes().length) host.append(sliceFigure());
  sliceAxes().forEach((k, i) => drawSlice(host.children[i], k));
}

function sliceFigure() {
  const button = element("button", { type: "button", class: "csv" }, "SVG");
  const figure = element("figure", { class: "half" },
    element("figcaption", {}, element("h2"), element("p", { class: "note" })),
    element("div", { class: "plot", role: "img" }),
    element("p", { class: "source" }, element("span", {}, "lines: medians; dots: members; open: censored"), button));
  button.addEventListener("click", () => saveSvg(figure.querySelector("svg"), figure.dataset.name));
  return figure;
}

function drawSlice(figure, k) {
  const axis = data.axes[k];
  figure.dataset.name = `along-${slug(axis.name)}`;
  const rest = data.axes.map((a, j) => (j === k ? "" : `${a.name} ${a.names[state.at[j]]}`)).filter(Boolean);
  figure.querySelector("h2").textContent = `Along ${axis.name}`;
  figure.querySelector(".note").textContent = rest.length ? `At ${rest.join(", ")}.` : "Every cell of the sweep.";
  const line = axis.values.map((_, i) => cells[indexOf(state.at.map((v, j) => (j === k ? i : v)))]);
  const host = figure.querySelector(".plot");
  const width = Math.floor(host.clientWidth);
  const m = { l: 48, r: 82, t: 12, b: 46 };
  const at = rest.length ? `, at ${rest.join(", ")}` : "";
  const label = `When members memorised and generalised along ${axis.name}${at}`;
  host.setAttribute("aria-label", label);
  const svg = picture(width, HIGH, label);
  const x = spread(axis, m.l, width - m.r);
  const [low, high] = [Math.log(data.steps[0] * 0.8), Math.log(data.steps[1] * 1.25)];
  const y = (s) => HIGH - m.b - ((Math.log(Math.max(s, 1)) - low) / (high - low)) * (HIGH - m.t - m.b);
  sliceGrid(svg, axis, x, y, [low, high], width, m);
  const ends = ["t_train", "t_test"].map((key) => sliceLine(svg, axis, line, x, y, key)).filter(Boolean);
  nameLines(svg, ends, width - m.r);
  host.replaceChildren(svg);
}

function sliceGrid(svg, axis, x, y, [low, high], width, m) {
  const [bottom, right] = [HIGH - m.b, width - m.r];
  const line = (d, more) => svg.append(shape("path", { d, fill: "none", stroke: css("rule"), ...more }));
  let ticks = [];
  for (let p = 0; p < 9; p += 1) for (const f of [1, 3]) ticks.push(f * 10 ** p);
  ticks = ticks.filter((s) => Math.log(s) >= low && Math.log(s) <= high);
  if (ticks.length > 6) ticks = ticks.filter((s) => Number.isInteger(Math.log10(s)));
  for (const s of ticks) {
    line(`M${m.l} ${y(s)}H${right}`);
    svg.append(words(m.l - 7, y(s) + 4, step(s), { "text-anchor": "end", "font-size": 11 }));
  }
  line(`M${m.l} ${bottom}H${right}`, { stroke: css("faint") });
  const here = x[state.at[data.axes.indexOf(axis)]];
  line(`M${here} ${m.t}V${bottom}`, { stroke: css("accent"), "stroke-opacity": 0.25, "stroke-width": 7 });
  if (data.budget && Math.log(data.budget) <= high) {
    line(`M${m.l} ${y(data.budget)}H${right}`, { stroke: css("faint"), "stroke-dasharray": "3 3" });
    svg.append(words(right + 8, y(data.budget) + 4, "budget", { "font-size": 11, fill: css("faint") }));
  }
  const texts = axis.names.map((name) => clip(name, 90, 11));
  const overlap = (i, j) => x[j] - x[i] < (wide(texts[i], 11) + wide(texts[j], 11)) / 2 + 8;
  let every = 1;
  const crowded = (_, i) => i % every === 0 && i + every < x.length && overlap(i, i + every);
  while (every < x.length && x.some(crowded)) every += 1;
  texts.forEach((text, i) => {
    if (i % every === 0) svg.append(words(x[i], bottom + 16, text, { "text-anchor": "middle", "font-size": 11 }));
  });
  const title = `${axis.name}${axis.scale === "log" ? " (log)" : ""}`;
  svg.append(words((m.l + right) / 2, HIGH - 8, title, { "text-anchor": "middle" }));
  svg.append(words(14, (m.t + bottom) / 2, "step (log)", {
    "text-anchor": "middle", "font-size": 11, transform: `rotate(-90 14 ${(m.t + bottom) / 2})`,
  }));
}

// The median's line breaks where the median is censored; it is thin where cells between were not measured.
function sliceLine(svg, axis, line, x, y, key) {
  const strong = key === "t_test";
  const colour = css(strong ? "test" : "train");
  const known = line.map((c, i) => ({ i, v: c[key], ended: c.state === "measured" })).filter((p) => p.ended);
  known.forEach((p, j) => {
    const next = known[j + 1];
    if (!next || p.v === null || next.v === null || axis.scale === "category") return;
    const far = next.i - p.i > 1;
    svg.append(shape("path", {
      d: `M${x[p.i]} ${y(p.v)}L${x[next.i]} ${y(next.v)}`, stroke: colour, fill: "none", "stroke-linecap": "round",
      "stroke-width": far ? 1 : strong ? 2.4 : 1.6, "stroke-dasharray": far ? "2 4" : "none", class: `median ${key}`,
    }));
  });
  const room = Math.min(60, ...x.slice(1).map((v, i) => v - x[i]));
  const radius = Math.max(1.4, Math.min(3.2, room * 0.16));
  line.forEach((cell, i) => cell.rows.forEach((row, j) => {
    if (row.label === "failed") return;
    const open = row[key] === null;
    const apart = Math.min(3, 16 / cell.rows.length);
    const aside = ((strong ? 4 : -4) + (j - (cell.rows.length - 1) / 2) * apart) * Math.min(1, room / 40);
    const dot = shape("circle", {
      cx: x[i] + aside, cy: y(open ? row.steps : row[key]), r: radius, fill: open ? css("paper") : colour,
      stroke: colour, "stroke-width": 1.3, class: `member ${key}${open ? " censored" : ""}`,
    });
    const what = strong ? "generalised" : "memorised";
    const when = open ? `not ${what} by step ${step(row.steps)}` : `${what} at ${step(row[key])}`;
    dot.append(shape("title", {}, `seed ${row.seed}: ${when}`));
    svg.append(dot);
  }));
  const last = known.filter((p) => p.v !== null).pop();
  return last && { y: y(last.v), text: strong ? "generalised" : "memorised", colour, weight: strong ? 600 : 400 };
}

function nameLines(svg, ends, right) {
  const tight = ends.length === 2 && Math.abs(ends[0].y - ends[1].y) < 14;
  const upper = tight && ends[0].y <= ends[1].y ? 0 : 1;
  ends.forEach((end, i) => {
    let at = end.y + 4;
    if (tight) at = (ends[0].y + ends[1].y) / 2 + (i === upper ? -4 : 11);
    if (data.budget && Math.abs(at - 4 - svgBudget(svg)) < 13) at = svgBudget(svg) + 17;
    svg.append(words(right + 8, at, end.text, { "font-size": 11.5, fill: end.colour, "font-weight": end.weight }));
  });
}
function svgBudget(svg) {
  const found = [...svg.querySelectorAll("text")].find((t) => t.textContent === "budget");
  return found ? Number(found.getAttribute("y")) - 4 : -99;
}
