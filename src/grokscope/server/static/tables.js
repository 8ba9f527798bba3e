// Members, anomalies, what was run, whom to cite.
import { dotted, el, number, percent, plural, seconds, step } from "./common.js";
import { lift } from "./chart.js";

const SHORT = { "optimizer.lr": "lr", "optimizer.weight_decay": "weight decay", "model.init_scale": "init scale",
  "task.train_fraction": "train share" };
const KNOWN = new Set(["seed", "member", "label", "t_train", "t_test", "delay", "ratio", "censored", "steps", "ended",
  "note",
  "final", "segments", "anomalies"]);
const byId = (id) => document.getElementById(id);
const value = (v) => (typeof v === "number" ? number(v) : String(v ?? "–"));

// Rows are replaced only where their words changed, so that focus and hover stay while a run is written.
function swap(host, rows) {
  rows.forEach((row, i) => {
    const old = host.children[i];
    if (!old) host.append(row);
    else if (old.textContent !== row.textContent) old.replaceWith(row);
  });
  while (host.children.length > rows.length) host.lastChild.remove();
}

export function membersTable(info) {
  const members = info.summary.members;
  const differs = members.length ? Object.keys(members[0]).filter((k) => !KNOWN.has(k)) : [];
  byId("members").hidden = !members.length;
  const heads = [["seed", "number"], ...differs.map((f) => [SHORT[f] || f, "number"]), ["label", ""], ["memorised",
    "number"],
    ["generalised", "number"], ["delay", "number"], ["ratio", "number roomy"], ["test accuracy", "number"],
    ["steps", "number roomy"], ["course", "course"]];
  const table = document.querySelector("table.members");
  swap(table.tHead, [el("tr", {}, heads.map(([name, kind]) => el("th", { scope: "col", className: kind }, name)))]);
  swap(table.tBodies[0], members.map((m) => row(m, differs)));
}

function row(m, differs) {
  const open = `> ${step(m.steps)}`;
  const never = m.t_train === null || m.t_test !== null;
  const wait = m.delay !== null ? number(m.delay) : never ? "–" : `> ${step(m.steps - m.t_train)}`;
  const ratio = m.ratio !== null ? `${m.ratio.toFixed(1)}×` : never ? "–"
    : `> ${(m.steps / Math.max(m.t_train, 1)).toFixed(1)}×`;
  const odd = [...new Set(m.anomalies.map((a) => a.name))].join(", ");
  const cell = (text, kind = "number") => el("td", { className: kind }, text);
  const made = el("tr", { data: { member: m.member }, onmouseenter: () => lift(m.member),
    onmouseleave: () => lift(null) },
    el("th", { scope: "row", className: "number" }, String(m.seed)), differs.map((f) => cell(value(m[f]))),
    el("td", { className: "label" }, dotted(m.label), m.label, odd ? el("span", { className: "odd" },
      ` ${odd}`) : null),
    cell(m.t_train !== null ? step(m.t_train) : open), cell(m.t_test !== null ? step(m.t_test) : open), cell(wait),
    cell(ratio, "number roomy"), cell(percent(m.final["test/accuracy"])),
    cell(step(m.steps) + (m.ended ? "" : " …"), "number roomy"),
    el("td", { className: "course" }, el("div", { className: "strip", "aria-hidden": "true",
      data: { member: m.member } })));
  return made;
}

export function anomalies(members) {
  const all = members.flatMap((m) => m.anomalies.map((a) => ({ seed: m.seed, ...a })));
  byId("anomalies").hidden = !all.length;
  const where = (a) => (a.start === a.end ? `step ${step(a.start)}` : `steps ${step(a.start)} to ${step(a.end)}`);
  const lines = all.slice(0, 12).map((a) => el("li", {}, el("i", { className: "hatch" }), el("strong", {}, a.name),
    `, seed ${a.seed}, ${where(a)}${a.note ? `: ${a.note}` : ""}.`));
  if (all.length > 12) lines.push(el("li", {}, `and ${all.length - 12} more.`));
  swap(byId("anomalies").querySelector("ul"), lines);
}

export function facts(info) {
  const { meta, experiment } = info;
  const list = (object) => Object.entries(object || {}).map(([k, v]) => `${k} ${v}`).join(", ");
  const machine = meta.machine || {};
  const found = [
    ["experiment", experiment.name],
    ["rows", list(meta.rows)],
    ["parameters", meta.parameters ? step(meta.parameters) : ""],
    ["engine", meta.plan?.engine ? `${meta.plan.engine}${meta.plan.why ? `, because ${meta.plan.why}` : ""}` : ""],
    ["machine", [machine.cpu, machine.cores ? plural(machine.cores, "core") : "", machine.system,
      meta.plan?.device].filter(Boolean).join(", ")],
    ["time", [meta.seconds?.wall ? seconds(meta.seconds.wall) : "", meta.ms_per_step
      ? `${number(meta.ms_per_step)} ms a step and member` : ""].filter(Boolean).join(", ")],
    ["versions", list(meta.versions)],
    ["commit", meta.git?.commit
      ? `${meta.git.commit.slice(0, 12)}${meta.git.dirty ? ", with uncommitted changes" : ""}` : ""],
    ["made", String(meta.created || "").replace("T", " ").replace("+00:00", " UTC")],
    ["hash", meta.hash || ""],
  ].filter(([, v]) => v);
  byId("made").hidden = false;
  byId("command").hidden = !meta.command;
  byId("command").querySelector("code").textContent = meta.command || "";
  byId("experiment").querySelector("code").textContent = yaml(experiment);
  swap(document.querySelector("#made dl"), found.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v))));
  swap(document.querySelector("#made .cite"), unique(info.citations).map((c) => el("li", {}, `${c.short}. `,
    el("cite", {}, c.title), ". ", c.url ? el("a", { href: c.url, rel: "noreferrer" },
      c.url.replace(/^https?:\/\/(arxiv\.org\/abs\/)?/, "")) : null)));
}

const unique = (sources) => [...new Map(sources.map((c) => [c.key || c.title, c])).values()];

// Nested plain data as YAML reads it.
function yaml(thing, indent = "") {
  return Object.entries(thing).map(([key, v]) => {
    if (Array.isArray(v) && v.some((one) => one && typeof one === "object")) {
      return `${indent}${key}:\n${v.map((one) => `${indent}- ${yaml(one, `${indent}  `).trimStart()}`).join("\n")}`;
    }
    if (v && typeof v === "object" && !Array.isArray(v)) {
      return Object.keys(v).length ? `${indent}${key}:\n${yaml(v, `${indent}  `)}` : `${indent}${key}: {}`;
    }
    return `${indent}${key}: ${typeof v === "string" && /^[\w./ -]+$/.test(v) ? v : JSON.stringify(v)}`;
  }).join("\n");
}
