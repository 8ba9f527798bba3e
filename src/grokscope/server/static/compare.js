// Runs side by side: one panel a quantity, a colour a run, aligned by step or by the step of generalising.
import { announce, api, debounce, dress, el, follow, link, number, oneAtATime, plural } from "./common.js";
import { adorn, drawAll, forget, isLog, library, show, startSwitches } from "./chart.js";
import { data, state, X } from "./figures.js";
import { median } from "./median.js";
import { idOf } from "./panels.js";
import { picker } from "./picker.js";

const asked = new URLSearchParams(location.search);
const COLOURS = 8;
const TICKS = [0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
let runs = [...new Set(asked.getAll("run"))];
let keys = asked.getAll("key");
let align = asked.get("align") === "t_test" ? "t_test" : "step";
if (!keys.length) keys = ["test/accuracy", "test/loss"];
const offered = new Map();
const form = document.getElementById("add");
const byId = (id) => document.getElementById(id);
const tone = (i) => `run-${i % COLOURS}`;

function remember() {
  const query = new URLSearchParams([...runs.map((r) => ["run", r]), ...keys.map((k) => ["key", k])]);
  if (align !== "step") query.set("align", align);
  history.replaceState(null, "", String(query) ? `?${query}` : location.pathname);
}

// The shortest ends of the names that still tell the runs apart.
function short(name) {
  const id = name.includes("/") ? name.split("/").slice(-1)[0] : name.split("-").slice(-1)[0];
  return runs.filter((r) => r.endsWith(id)).length === 1 && runs.length > 3 ? id : name;
}

function chips() {
  document.querySelector(".chips").replaceChildren(...runs.map((name, i) => el("li", {},
    el("i", { style: { background: `var(--${tone(i)})` } }), el("a", { href: link("run", name) }, name),
    el("button", { type: "button", "aria-label": `Take ${name} away`, onclick: () => {
      runs = runs.filter((r) => r !== name);
      change();
      form.querySelector("input").focus();
    } }, "×"))));
}

function differences(rows) {
  byId("difference").hidden = runs.length < 2;
  const table = document.querySelector("table.difference");
  const cell = (v) => (typeof v === "number" ? number(v) : v === null || v === undefined ? "–" : String(v));
  table.tHead.replaceChildren(el("tr", {}, el("th", { scope: "col" }, "field"), runs.map((name, i) =>
    el("th", { scope: "col", className: "number" }, el("i", { style: { background: `var(--${tone(i)})` } }),
      short(name)))));
  table.tBodies[0].replaceChildren(...(rows.length ? rows.map((row) => el("tr", {}, el("th", { scope: "row" },
    el("code", {}, row.field)), row.values.map((v) => el("td", { className: "number" }, cell(v)))))
    : [el("tr", {}, el("td", { colspan: runs.length + 1 }, "Nothing but seeds and time."))]));
}

// Every run's members under names of their own, as the figure code knows members by one number each.
function fill(found) {
  data.series = {};
  data.members = [];
  data.member = null;
  data.last = 1e-9;
  found.runs.forEach((one, i) => {
    const seen = new Set();
    for (const key of keys) {
      const own = {};
      for (const [m, s] of Object.entries(one.series[key] || {})) {
        own[i * 1e5 + Number(m)] = { x: s.x, y: s.value };
        seen.add(m);
        data.last = Math.max(data.last, s.x[s.x.length - 1]);
      }
      if (Object.keys(own).length) data.series[`${key}|${i}`] = own;
    }
    for (const m of seen) data.members.push({ id: i * 1e5 + Number(m), seed: `${m} of ${short(one.run)}`,
      segments: [], anomalies: [] });
  });
  data.offset = align === "t_test" ? 0.01 : Math.max(1, 10 ** Math.floor(Math.log10(data.last / 200)));
}

function panel(key) {
  const own = runs.map((_, i) => `${key}|${i}`).filter((k) => data.series[k]);
  const log = isLog(key, Object.assign({}, ...own.map((k) => data.series[k])));
  const lines = own.map((k) => {
    const i = Number(k.split("|").pop());
    const members = Object.keys(data.series[k]).map(Number);
    const scaled = align === "t_test" ? 1e4 : 1; // the median interpolates in log(1 + step)
    const stretched = Object.fromEntries(members.map((m) => [m, { x: data.series[k][m].x.map((x) => x * scaled),
      y: data.series[k][m].y }]));
    const middle = members.length > 1 ? median(stretched, log, new Set()) : null;
    const main = middle && { x: middle.x.map((x) => x / scaled), y: middle.y, n: middle.n };
    return { key: k, name: short(runs[i]), label: short(runs[i]), tone: tone(i), main: main || { m: members[0] },
      each: middle ? members : [] };
  });
  if (!lines.length) return null;
  const n = own.reduce((sum, k) => sum + Object.keys(data.series[k]).length, 0);
  const by = align === "t_test"
    ? "step over each member's own step of generalising; members that never generalised are left out" : "step";
  return { id: idOf(key), heading: key, rows: [{ title: "", log, percent: key.endsWith("accuracy"), share: 1,
    lines }], keys: own,
    note: `The median of each run's members, each faint (n = ${n}); by ${by}.`, source: "",
      members: data.members.map((m) => m.id) };
}

function rows(one) {
  const [key] = one.keys[0].split("|");
  const out = [["run", "member", align === "t_test" ? "step_over_t_test" : "step", key]];
  for (const k of one.keys) {
    for (const [m, s] of Object.entries(data.series[k])) {
      const name = runs[Number(k.split("|").pop())];
      s.x.forEach((x, j) => out.push([name, m % 1e5, x, s.y[j] ?? ""]));
    }
  }
  return out;
}

// The shared axis counts whole steps; multiples of t_test have ticks and words of their own.
adorn((figure) => {
  if (align !== "t_test") return figure;
  const axis = figure.layout.xaxis;
  const least = state.log ? 0 : data.last / 8;
  const ticks = (state.log ? TICKS : [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12]).filter((t) => t <= data.last);
  const kept = ticks.filter((t, i) => i === 0 || t - ticks[i - 1] >= Math.min(least, 0.5));
  Object.assign(axis, { tickvals: kept.map(X), ticktext: kept.map((t) => `${t}×`) });
  for (const trace of figure.traces) {
    if (trace.customdata) trace.customdata = trace.x.map((x) =>
      `${number(state.log ? 10 ** x - data.offset : x)} × t_test`);
    if (trace.hovertemplate) trace.hovertemplate = trace.hovertemplate.replace("step %{", "%{");
  }
  return figure;
});

function emptyFigure(id) {
  return el("figure", { className: "wide", id, "aria-labelledby": `${id}-heading` },
    el("figcaption", {}, el("h2", { id: `${id}-heading` }), el("p", { className: "note" })),
    el("div", { className: "plot", role: "img" }),
    el("p", { className: "source" }, el("span"), el("button", { type: "button", className: "csv" }, "CSV")));
}

const picks = picker(document.querySelector(".picker"), keys, (next) => { keys = next; change(); }, 8);

async function offer() {
  const wanted = runs.filter((name) => !offered.has(name));
  for (const name of wanted) offered.set(name, (await api(`run/${name}`)).keys.filter((q) => !q.array));
  const all = new Map(runs.flatMap((name) => offered.get(name)).map((q) => [q.key, q]));
  picks.offer([...all.values()].sort((a, b) => a.key.localeCompare(b.key)));
  picks.choose(keys);
}

const load = oneAtATime(async () => {
  chips();
  const host = byId("figures");
  byId("lead").textContent = runs.length
    ? `${plural(runs.length, "run")}, aligned by ${align === "step" ? "step" : "the step of generalising"}.`
    : "Choose runs in the list, or add them by name here.";
  if (!runs.length) {
    for (const old of [...host.children]) { forget(old.id); old.remove(); }
    byId("difference").hidden = true;
    document.documentElement.classList.add("drawn");
    return;
  }
  const found = await api("compare", { run: runs, key: keys, align });
  await offer();
  await library();
  fill(found);
  differences(found.difference);
  const panels = keys.map(panel);
  for (const old of [...host.children]) if (!panels.some((p) => p && p.id === old.id)) { forget(old.id); old.remove(); }
  for (const one of panels) {
    if (!one) continue;
    if (!byId(one.id)) host.append(emptyFigure(one.id));
    show(one, rows);
  }
  const missing = keys.filter((_, i) => !panels[i]);
  announce(missing.length
    ? `None of these runs has ${missing.join(", ")}${align === "t_test" ? " in a member that generalised" : ""}.` : "");
  byId("lead").textContent += missing.length
    ? ` Nothing to draw of ${missing.join(", ")}${align === "t_test" ? ": no member generalised" : ""}.` : "";
  document.documentElement.classList.add("drawn");
});

function change() {
  state.range = null;
  remember();
  load();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const input = form.querySelector("input[list]");
  const name = input.value.trim();
  if (!name || runs.includes(name)) return;
  runs.push(name);
  input.value = "";
  change();
});
form.querySelector("input[list]").addEventListener("input", debounce(async (event) => {
  const found = await api("runs", { q: event.target.value, limit: 20 });
  byId("names").replaceChildren(...found.runs.map((r) => el("option", { value: r.run }, r.experiment || "")));
}, 180));
form.addEventListener("change", (event) => {
  if (event.target.name !== "align") return;
  align = event.target.value;
  change();
});
form.querySelector(`[value=${align}]`).checked = true;
startSwitches();
dress(drawAll);
load();
follow((names) => { if (!names || runs.some((r) => names.has(r))) load(); });
