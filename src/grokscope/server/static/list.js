// The list of runs: search, filters, order and page live in the address; rows are kept by name as the store changes.
import { announce, api, base, debounce, dotted, dress, el, follow, link, oneAtATime, percent, plural, seconds, step,
  when } from "./common.js";
import { cards } from "./cards.js";

const LIMIT = 100;
const form = document.querySelector(".filters");
const body = document.querySelector(".runs tbody");
const paging = document.querySelector(".paging");
const asked = new URLSearchParams(location.search);
const state = { sort: asked.get("sort") || "created", desc: asked.get("desc") !== "0",
  offset: Number(asked.get("offset")) || 0 };
const chosen = new Set(JSON.parse(sessionStorage.getItem("grokscope-chosen") || "[]"));
const rows = new Map();

for (const name of ["q", "status", "label"]) form.elements[name].value = asked.get(name) || "";
const first = asked.get("experiment");
if (first) form.elements.experiment.append(el("option", {}, first));
form.elements.experiment.value = first || "";

const filters = () => Object.fromEntries(["q", "experiment", "status", "label"].map((n) => [n,
  form.elements[n].value.trim()]));

function remember() {
  const query = new URLSearchParams(Object.entries(filters()).filter(([, v]) => v));
  if (state.sort !== "created") query.set("sort", state.sort);
  if (!state.desc) query.set("desc", "0");
  if (state.offset) query.set("offset", state.offset);
  history.replaceState(null, "", String(query) ? `?${query}` : location.pathname);
}

const state_of = (run) => (run.status || "").split(":")[0];

// A row's cells as text; the row itself stays, so that focus and ticks stay.
function fill(row, run) {
  const labels = Object.entries(run.labels || {}).sort((a, b) => b[1] - a[1]);
  const many = labels.length > 1;
  const label = labels.map(([name, n]) => el("span", { className: "one-label" }, dotted(name),
    many ? `${n} ${name}` : name));
  const cells = { label: label.length ? label : ["–"], status: [el("span", { className: `state ${state_of(run)}`,
    title: run.status },
    state_of(run))], members: [step(run.members)], memorised: [step(run.t_train)], generalised: [step(run.t_test)],
    accuracy: [percent(run.test_accuracy)], steps: [step(run.steps)], time: [seconds(run.seconds)],
    created: [when(run.created)] };
  for (const [name, content] of Object.entries(cells)) {
    const cell = row.querySelector(`.is-${name}`);
    const text = content.map((c) => c.textContent ?? c).join("|");
    if (cell.dataset.text === text) continue;
    cell.dataset.text = text;
    cell.replaceChildren(...content);
  }
}

function made(run) {
  const tick = el("input", { type: "checkbox", checked: chosen.has(run.run), "aria-label": `Compare ${run.run}` });
  tick.addEventListener("change", () => {
    if (tick.checked) chosen.add(run.run); else chosen.delete(run.run);
    showChosen();
  });
  const cell = (name, kind = "") => el("td", { className: `is-${name} ${kind}` });
  return el("tr", { data: { run: run.run } }, el("td", {}, tick),
    el("th", { scope: "row" }, el("a", { href: link("run", run.run) }, run.run)), cell("label", "label"),
    cell("status", "roomy"), cell("members", "number roomy"), cell("memorised", "number roomy"),
    cell("generalised", "number"), cell("accuracy", "number"), cell("steps", "number roomy"),
    cell("time", "number roomy"), cell("created", "number roomy"));
}

function showRows(runs) {
  const wanted = new Set(runs.map((r) => r.run));
  for (const [name, row] of rows) if (!wanted.has(name)) { row.remove(); rows.delete(name); }
  body.querySelector(".nothing")?.remove();
  let before = body.firstElementChild;
  for (const run of runs) {
    if (!rows.has(run.run)) rows.set(run.run, made(run));
    const row = rows.get(run.run);
    fill(row, run);
    if (row === before) before = before.nextElementSibling;
    else body.insertBefore(row, before); // moved only where the order changed: a moved element loses its focus
  }
  if (!runs.length) body.append(el("tr", { className: "nothing" }, el("td", { colspan: 11 }, "No run fits this.")));
}

function showChosen() {
  sessionStorage.setItem("grokscope-chosen", JSON.stringify([...chosen]));
  const bar = document.querySelector(".chosen");
  bar.hidden = !chosen.size;
  bar.querySelector("span").textContent = `${plural(chosen.size, "run")} chosen`;
  const query = new URLSearchParams([...chosen].map((name) => ["run", name]));
  bar.querySelector("a").href = `${base}/compare?${query}`;
}

function showOrder() {
  document.querySelectorAll("th[data-sort]").forEach((head) => {
    if (head.dataset.sort === state.sort) head.setAttribute("aria-sort", state.desc ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

function showPaging(total, here) {
  paging.hidden = total <= LIMIT;
  const [back, on] = paging.querySelectorAll("button");
  const [from, to] = [state.offset + 1, state.offset + here];
  paging.querySelector("span").textContent = `${step(from)}–${step(to)} of ${step(total)}`;
  back.disabled = state.offset === 0;
  on.disabled = state.offset + here >= total;
}

function showExperiments(experiments) {
  const select = form.elements.experiment;
  const known = [...select.options].map((o) => o.value);
  select.append(...experiments.filter((e) => !known.includes(e.name)).map((e) => el("option", {}, e.name)));
}

async function showSweeps() {
  const sweeps = await api("sweeps");
  const section = document.getElementById("sweeps");
  section.hidden = !sweeps.length;
  const text = (s) => [`${step(s.ended)} of ${plural(s.members, "member")} ended`, plural(s.cells, "cell"), s.status]
    .join(", ");
  section.querySelector("ul").replaceChildren(...sweeps.slice(0, 12).map((s) => el("li", {},
    el("a", { href: link("sweep", s.sweep) }, s.sweep),
    el("progress", { max: s.members || 1, value: s.ended, "aria-label": `${s.sweep}: members that have ended` }),
    el("span", { className: "soft" }, text(s)))));
}

let everything = "";
const load = oneAtATime(async () => {
  const found = await api("runs", { ...filters(), sort: state.sort, desc: state.desc ? 1 : 0, offset: state.offset,
    limit: LIMIT });
  if (state.offset && !found.runs.length) { state.offset = 0; remember(); load(); return; }
  const runs = found.experiments.reduce((n, e) => n + e.runs, 0);
  const filtered = Object.values(filters()).some(Boolean);
  document.getElementById("empty").hidden = runs > 0 || found.total > 0;
  document.getElementById("runs").hidden = runs === 0 && found.total === 0 && !filtered;
  const members = found.experiments.reduce((n, e) => n + e.members, 0);
  const kinds = plural(found.experiments.length, "experiment");
  const all = `${plural(runs, "run")} of ${kinds}, ${plural(members, "member")}.`;
  const told = runs ? (filtered ? `${plural(found.total, "run")} of ${step(runs)} fit.` : all) : "";
  document.getElementById("count").textContent = told;
  if (everything && told !== everything) announce(told);
  everything = told;
  form.querySelector("[type=reset]").hidden = !filtered;
  showExperiments(found.experiments);
  showRows(found.runs);
  showOrder();
  showPaging(found.total, found.runs.length);
  page_cards(found.experiments);
  await showSweeps();
  document.documentElement.classList.add("drawn");
});

const page_cards = cards(document.getElementById("experiments"), (name) => {
  form.elements.experiment.value = name;
  again();
  form.scrollIntoView({ block: "nearest" });
});

const again = () => { state.offset = 0; remember(); load(); };
form.addEventListener("submit", (event) => event.preventDefault());
form.elements.q.addEventListener("input", debounce(again, 180));
form.addEventListener("change", (event) => { if (event.target.name !== "q") again(); });
form.addEventListener("reset", () => setTimeout(() => { again(); form.elements.q.focus(); }));
document.querySelectorAll("th[data-sort] button").forEach((button) => button.addEventListener("click", () => {
  const sort = button.closest("th").dataset.sort;
  Object.assign(state, state.sort === sort ? { desc: !state.desc } : { sort, desc: sort !== "name" });
  again();
}));
paging.addEventListener("click", (event) => {
  const go = Number(event.target.dataset?.go);
  if (!go) return;
  state.offset = Math.max(0, state.offset + go * LIMIT);
  remember();
  load();
  document.getElementById("runs").scrollIntoView();
});
document.querySelector(".chosen button").addEventListener("click", () => {
  chosen.clear();
  body.querySelectorAll("input").forEach((tick) => { tick.checked = false; });
  showChosen();
});

dress();
showChosen();
load();
follow(() => load());
