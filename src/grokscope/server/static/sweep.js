// A sweep: its phase diagram as a table that fills in, and the members behind a cell.
import { announce, api, csv, dotted, dress, el, follow, link, number, oneAtATime, percent, plural, seconds, slugged,
  step } from "./common.js";

const name = location.pathname.split("/sweep/")[1].split("/").map(decodeURIComponent).join("/");
const asked = new URLSearchParams(location.search);
const byId = (id) => document.getElementById(id);
const SHORT = { "optimizer.lr": "learning rate", "optimizer.weight_decay": "weight decay",
  "model.init_scale": "init scale",
  "task.train_fraction": "train share" };
const table = document.querySelector(".diagram");
const places = new Map();
const seen = [];
let found = null;
let shown = asked.get("shown") || "label";
let slice = [];
let open = asked.get("cell");
let built = "";

const axisName = (axis) => SHORT[axis.field] || axis.field;
const word = (v) => (typeof v === "number" ? number(v) : String(v));
const coordinates = (cell) => found.axes.map((a, i) => `${axisName(a)} ${word(a.values[cell[i]])}`).join(", ");

function remember() {
  const query = new URLSearchParams();
  if (shown !== "label") query.set("shown", shown);
  if (open) query.set("cell", open);
  history.replaceState(null, "", String(query) ? `?${query}` : location.pathname);
}

// Where the value of a cell lies between the least and the largest, steps in log.
function scale() {
  const values = found.cells.map((c) => c[shown]).filter((v) => v !== null && v !== undefined);
  if (shown === "test_accuracy" || shown === "disagreement") return { low: 0, high: 1, at: (v) => v };
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = (v) => Math.log(Math.max(v, 1));
  return { low, high, at: (v) => (high > low ? (log(v) - log(low)) / (log(high) - log(low)) : 0.5) };
}

const written = (v) => (shown === "test_accuracy" || shown === "disagreement" ? percent(v, v % 1 ? 1 : 0)
  : step(v));

function paint(button, cell, summary, of) {
  const where = coordinates(cell);
  button.className = "cell";
  button.style.removeProperty("background");
  button.textContent = "";
  if (!summary) {
    button.classList.add("empty");
    button.setAttribute("aria-label", `${where}: not ended`);
    button.title = `${where}\nnot ended`;
    return;
  }
  const says = [summary.label, summary.t_test !== null ? `generalised at step ${step(summary.t_test)}`
    : "never generalised",
    summary.test_accuracy !== null ? `test accuracy ${percent(summary.test_accuracy, 1)}` : "",
      `n = ${summary.n}`].filter(Boolean);
  button.title = `${where}\n${says.join("\n")}`;
  button.setAttribute("aria-label", `${where}: ${says.join(", ")}`);
  if (summary.disagreement > 0 && shown === "label") button.classList.add("torn");
  if (shown === "label") { button.style.background = `var(--label-${slugged(summary.label)}, var(--anomaly))`; return; }
  const v = summary[shown];
  if (v === null || v === undefined) { button.classList.add("never"); return; }
  const share = Math.round(100 * of.at(v));
  button.style.background = `color-mix(in oklab, var(--heat-high) ${share}%, var(--heat-low))`;
}

// The last axis runs across, the one before it upwards; further axes are chosen.
function build() {
  const { axes } = found;
  const [up, across] = axes.length > 1 ? [axes.length - 2, axes.length - 1] : [null, 0];
  const others = axes.map((_, i) => i).filter((i) => i !== up && i !== across);
  if (slice.length !== axes.length) slice = axes.map(() => 0);
  byId("slices").replaceChildren(...others.map((i) => el("label", {}, `${axisName(axes[i])} `, el("select",
    { onchange: (event) => {
    slice[i] = Number(event.target.value);
    built = "";
    draw();
  } }, axes[i].values.map((v, j) => el("option", { value: j, selected: slice[i] === j }, word(v)))))));
  byId("axes").textContent = `${up === null ? "" : `${axisName(axes[up])} upwards, `}${axisName(axes[across])} across`;
  places.clear();
  const columns = axes[across].values.map((_, i) => i);
  const lines = up === null ? [null] : axes[up].values.map((_, i) => i).reverse();
  const cell = (i, j) => axes.map((_, k) => (k === across ? j : k === up ? i : slice[k]));
  const row = (i) => el("tr", {}, el("th", { scope: "row" }, i === null ? "" : word(axes[up].values[i])),
    columns.map((j) => {
    const at = cell(i, j);
    const button = el("button", { type: "button", tabIndex: -1, data: { cell: at.join() } });
    places.set(at.join(), button);
    return el("td", {}, button);
  }));
  table.replaceChildren(
    el("tbody", {}, lines.map(row)),
    el("tfoot", {}, el("tr", {}, el("td"), columns.map((j) => el("th", { scope: "col" },
      word(axes[across].values[j]))))));
  table.classList.toggle("many", columns.length > 10);
  table.style.setProperty("--columns", columns.length);
  const first = places.get(open) || places.values().next().value;
  first.tabIndex = 0;
}

function legend() {
  const host = document.querySelector(".legend");
  if (shown === "label") {
    const counts = new Map();
    for (const c of found.cells) counts.set(c.label, (counts.get(c.label) || 0) + 1);
    host.replaceChildren(...[...counts].map(([label, n]) => el("span", {}, dotted(label), `${label} ${n}`)));
    return;
  }
  const { low, high } = scale();
  host.replaceChildren(...(found.cells.some((c) => c[shown] !== null && c[shown] !== undefined)
    ? [el("span", {}, written(low)), el("i", { className: "ramp" }), el("span", {}, written(high))] : []),
  shown === "t_test" || shown === "delay" ? el("span", {}, el("i", { className: "cell never" }),
    "not by the end") : "");
}

function draw() {
  const stamp = JSON.stringify([found.axes, slice]);
  if (stamp !== built) { build(); built = stamp; }
  const known = new Map(found.cells.map((c) => [c.cell.join(), c]));
  const of = scale();
  for (const [at, button] of places) {
    paint(button, at.split(",").map(Number), known.get(at), of);
    button.setAttribute("aria-pressed", String(at === open));
  }
  legend();
}

function showCell() {
  const section = byId("cell");
  section.hidden = !open;
  if (!open) return;
  const at = open.split(",").map(Number);
  byId("cell-heading").textContent = coordinates(at);
  const rows = found.rows.filter((r) => r.cell.join() === open);
  section.querySelector("tbody").replaceChildren(...(rows.length ? rows.map((r) => el("tr", {},
    el("th", { scope: "row", className: "number" }, String(r.seed)), el("td", { className: "label" }, dotted(r.label),
      r.label),
    ...[step(r.t_train), step(r.t_test), percent(r.test_accuracy)].map((t, i) => el("td",
      { className: i ? "number" : "number roomy" }, t)),
    el("td", {}, r.run ? el("a", { href: link("run", `${name}/runs/${r.run}`) },
      `${r.run}, member ${r.member}`) : r.note)))
    : [el("tr", {}, el("td", { colspan: 6 }, "No member of this cell has ended yet."))]));
}

// Time left from the members that ended while this page watched; nothing is said before it has seen three.
function eta(sweep) {
  seen.push([Date.now(), sweep.ended]);
  const [first, last] = [seen[0], seen[seen.length - 1]];
  const left = sweep.members - sweep.ended;
  if (sweep.status !== "running" || last[1] - first[1] < 3 || !left) return "";
  return `, about ${seconds(((last[0] - first[0]) / 1000 / (last[1] - first[1])) * left)} left`;
}

function counts() {
  const labels = new Map();
  for (const row of found.rows) labels.set(row.label, (labels.get(row.label) || 0) + 1);
  return [...labels].sort((a, b) => b[1] - a[1]).map(([label, n]) => `${n} ${label}`).join(", ");
}

const load = oneAtATime(async () => {
  found = await api(`sweep/${name}`);
  const parts = [name, `${found.axes.map((a) => `${a.values.length} ${axisName(a)}`).join(" × ")}`, found.status];
  byId("where").replaceChildren(...parts.map((p, i) => el(i ? "span" : "strong", {}, p)));
  const whole = found.ended === found.members;
  const has = found.ended === 1 ? "has" : "have";
  const said = `${whole ? "All" : `${step(found.ended)} of`} ${plural(found.members, "member")} ${has} ended`;
  byId("sentence").textContent = `${said}${found.rows.length ? `: ${counts()}` : ""}.`;
  const grid = found.axes.reduce((n, a) => n * a.values.length, 1);
  byId("lead").textContent = `${plural(found.cells.length, "cell")} of ${step(grid)} seen.`;
  announce(`${said}.`);
  document.title = `${said} · ${name}`;
  const bar = byId("progress");
  Object.assign(bar, { max: found.members || 1, value: found.ended });
  bar.parentElement.hidden = found.ended === found.members;
  byId("eta").textContent = `${step(found.ended)} of ${step(found.members)} ended${eta(found)}`;
  draw();
  showCell();
  document.documentElement.classList.add("drawn");
});

table.addEventListener("click", (event) => {
  const at = event.target.dataset?.cell;
  if (!at) return;
  open = open === at ? null : at;
  places.forEach((b) => { b.tabIndex = -1; });
  event.target.tabIndex = 0;
  remember();
  draw();
  showCell();
  const n = byId("cell").querySelectorAll("tbody tr").length;
  if (open) announce(`${byId("cell-heading").textContent}: ${plural(n, "member")}, listed below.`);
});
table.addEventListener("keydown", (event) => {
  const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const from = event.target.closest("td");
  if (!move || !from) return;
  event.preventDefault();
  const lines = [...table.tBodies[0].rows];
  const line = lines[lines.indexOf(from.parentElement) + move[0]];
  const to = line?.cells[from.cellIndex + move[1]]?.querySelector("button");
  if (!to) return;
  event.target.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
});
byId("shown").addEventListener("change", (event) => { shown = event.target.value; remember(); draw(); });
byId("shown").value = shown;
document.querySelector("#diagram .csv").addEventListener("click", () => {
  const columns = ["seed", "label", "regime", "t_train", "t_test", "delay", "steps", "train_accuracy",
    "test_accuracy", "run", "member"];
  csv(name, [[...found.axes.map((a) => a.field), ...columns], ...found.rows.map((r) => [
    ...found.axes.map((a, i) => a.values[r.cell[i]]), ...columns.map((c) => r[c])])]);
});
byId("full").href = link("diagram", name);
dress();
load();
follow((names) => { if (!names || [...names].some((n) => n.startsWith(name))) load(); });
