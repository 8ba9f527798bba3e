// A run: the sentence, the picture, why we think so, what was run, whom to cite; it follows the run as it is written.
import { announce, api, count, dress, follow, oneAtATime, percent, plural, trouble } from "./common.js";
import { afterwards, drawAll, forget, library, lineRows, show, startSwitches } from "./chart.js";
import { data, drawStrip, state } from "./figures.js";
import { circle, keyFrequencies, spectrum } from "./arrays.js";
import { axisOffset, representative } from "./median.js";
import { circuit, idOf, picture, quantity } from "./panels.js";
import { picker } from "./picker.js";
import { anomalies, facts, membersTable } from "./tables.js";

const run = location.pathname.split("/run/")[1].split("/").map(decodeURIComponent).join("/");
const asked = new URLSearchParams(location.search);
const ALWAYS = ["train/loss", "test/loss", "train/accuracy", "test/accuracy", "fourier/restricted_loss",
  "fourier/excluded_loss"];
const byId = (id) => document.getElementById(id);
let chosen = asked.getAll("key");
let info = null;
let members = [];
let picked = null;

function headline(sentence) {
  const host = byId("sentence");
  if (host.textContent === sentence) return;
  const found = sentence.match(/generalised,? at step [\d,]*\d/);
  host.replaceChildren();
  if (found) {
    const mark = Object.assign(document.createElement("mark"), { textContent: found[0] });
    host.append(sentence.slice(0, found.index), mark, sentence.slice(found.index + found[0].length));
  } else host.append(sentence);
  announce(sentence);
  document.title = `${sentence} · ${run}`;
}

function lead() {
  const labels = new Map();
  for (const m of members) labels.set(m.label, (labels.get(m.label) || 0) + 1);
  const n = members.length;
  if (!n) return "";
  const parts = [...labels].map(([label, k]) => `${k} ${label}`).join(", ");
  const all = n > 2 ? `, all ${count(n)}` : n === 2 ? ", both" : "";
  const rule = "by the rule of Liu et al. 2022";
  const one = labels.size === 1 ? `Label ${rule}: ${[...labels.keys()][0]}${all}.` : `Labels ${rule}: ${parts}.`;
  const ends = members.map((m) => m.final["test/accuracy"]).filter((v) => v !== null && v !== undefined)
    .sort((a, b) => a - b);
  if (!ends.length) return one;
  const middle = (ends[Math.floor((ends.length - 1) / 2)] + ends[Math.ceil((ends.length - 1) / 2)]) / 2;
  const more = ends.length > 1 ? ` (median of ${ends.length}, lowest ${percent(ends[0])})` : "";
  const when = info.status === "running" ? "now" : "at the end";
  return `${one} Test accuracy ${when} ${percent(middle)}${more}.`;
}

const STATUS = {
  running: "This run is going on; the page follows it.",
  crashed: "This run was killed before its end: the page shows it as far as it was written.",
  interrupted: "This run was interrupted: the page shows it as far as it was written.",
};

function words() {
  const { task, model } = info.experiment;
  const parts = [info.summary.run, task.operation ? `${task.operation} mod ${task.modulus}` : task.kind, model.kind];
  byId("where").replaceChildren(...parts.filter(Boolean).map((p, i) =>
    Object.assign(document.createElement(i ? "span" : "strong"), { textContent: p })));
  headline(info.sentence);
  byId("lead").textContent = lead();
  byId("status").hidden = !STATUS[info.status];
  byId("status").textContent = STATUS[info.status] || "";
  const told = info.forecast;
  byId("forecast").hidden = !told;
  if (told) {
    byId("forecast").querySelector("p").textContent = told.sentence
      || `Generalises within the budget with probability ${percent(told.p_generalise, 0)}`
      + (told.t_median ? `, at about step ${Math.round(told.t_median).toLocaleString("en-US")}.` : ".");
  }
  data.forecast = told || null;
}

// What the summary says of each member, with its phases: the figure code reads data.members.
function understand() {
  members = info.summary.members;
  const shown = representative(members);
  const last = Math.max(1, ...members.map((m) => m.steps));
  Object.assign(data, { run, member: shown ? shown.member : null, last: Math.max(last, data.last > 1 ? data.last : 1),
    offset: axisOffset(members, last),
    members: members.map((m) => ({ id: m.member, seed: m.seed, last: m.steps, open: m.censored,
      segments: m.segments.map((s) => [s.name, s.start, s.end]), anomalies: m.anomalies.map((a) => [a.name, a.start,
        a.end]) })) });
  data.lossUnit = info.keys.find((q) => q.key === "test/loss")?.unit || "";
  const style = getComputedStyle(document.documentElement);
  data.inkOn = { memorization: style.getPropertyValue("--on-memorization").trim() };
  byId("axis").textContent = `Steps are drawn as log(step + ${data.offset}), so that step 0 is on the axis.`;
  return shown;
}

function chance() {
  const classes = info.experiment.task.modulus;
  const entropy = (info.experiment.objective?.kind || "cross-entropy").includes("entropy");
  return classes && entropy && info.experiment.task.kind?.startsWith("modular")
    ? { loss: Math.log(classes), text: `chance, ln ${classes}` } : null;
}

async function fetchSeries(keys) {
  if (!keys.length) return;
  const found = await api(`series/${run}`, { key: keys, points: members.length > 16 ? 500 : 1200 });
  for (const key of keys) {
    const own = Object.entries(found[key] || {}).map(([m, s]) => [m, { x: s.step, y: s.value }]);
    if (own.length) data.series[key] = Object.fromEntries(own);
  }
}

function drawLines(shown) {
  const one = members.find((m) => m.member === picked) || shown;
  for (const panel of [picture(members, shown, chance()), circuit(members, one)]) if (panel) show(panel, lineRows);
  byId("why").hidden = byId("circuit").hidden && byId("spectrum").hidden && byId("circle").hidden;
}

function drawQuantities() {
  const host = byId("quantities").querySelector(".pair");
  const wanted = chosen.filter((key) => data.series[key]);
  for (const old of [...host.children]) if (!wanted.some((k) => idOf(k) === old.id)) { forget(old.id); old.remove(); }
  for (const key of wanted) {
    const id = idOf(key);
    if (!byId(id)) host.append(emptyFigure(id));
    const panel = quantity(info.keys.find((q) => q.key === key) || { key }, members);
    if (panel) show(panel, lineRows);
  }
}

function emptyFigure(id) {
  const figure = byId("circuit").cloneNode(true);
  figure.id = id;
  figure.querySelector("h2").id = `${id}-heading`;
  figure.setAttribute("aria-labelledby", `${id}-heading`);
  figure.querySelector(".plot").replaceChildren();
  return figure;
}

const has = (key) => info.keys.some((q) => q.key === key);

async function drawArrays(shown) {
  if (!has("fourier/embedding_power") && !has("fourier/circle")) return;
  const member = members.find((m) => m.member === picked) || shown;
  const keys = has("fourier/key_frequencies") ? await keyFrequencies(run, member.member) : [];
  byId("why").hidden = false;
  offerMembers(member);
  if (has("fourier/embedding_power")) await spectrum(run, member.member, member.seed, keys);
  if (has("fourier/circle")) await circle(run, member.member, member.seed, keys);
}

function offerMembers(member) {
  const host = document.querySelector(".pick-member");
  const select = host.querySelector("select");
  host.hidden = members.length < 2;
  if (select.options.length !== members.length) {
    select.replaceChildren(...members.map((m) => new Option(`seed ${m.seed}`, m.member)));
    select.onchange = () => {
      picked = Number(select.value);
      drawLines(representative(members));
      drawArrays(representative(members)).catch(trouble);
    };
  }
  select.value = member.member;
}

const picks = picker(document.querySelector("#quantities .picker"), chosen, async (keys) => {
  chosen = keys;
  const query = new URLSearchParams(keys.map((k) => ["key", k]));
  history.replaceState(null, "", keys.length ? `?${query}` : location.pathname);
  await fetchSeries(keys.filter((k) => !data.series[k])).catch(trouble);
  drawQuantities();
});

const load = oneAtATime(async () => {
  info = await api(`run/${run}`);
  const shown = understand();
  words();
  facts(info);
  membersTable(info);
  anomalies(members);
  if (!shown) return;
  const scalars = info.keys.filter((q) => !q.array);
  const others = scalars.filter((q) => !ALWAYS.slice(0, 4).includes(q.key));
  byId("quantities").hidden = !others.length;
  if (!picks.started && !chosen.length) chosen = ["norm/weights"].filter(has);
  picks.started = true;
  picks.offer(others);
  picks.choose(chosen);
  await fetchSeries([...new Set([...ALWAYS, ...chosen])].filter(has));
  await library();
  drawLines(shown);
  drawQuantities();
  await drawArrays(shown);
  drawAll();
  document.documentElement.classList.add("drawn");
});

afterwards(() => document.querySelectorAll(".strip").forEach(drawStrip));
startSwitches();
dress(drawAll);
state.range = null;
load();
follow((names) => { if (!names || names.has(run)) load(); });
