// The literature against what was measured here: statement, criterion, the paper's number beside ours, verdict.
import { api, base, dress, el, follow, oneAtATime, plural } from "./common.js";

const NONE = "no verdict recorded yet";
const TONES = { reproduced: "yes", partly: "partly", "not reproduced": "no", contradicted: "no" };

function text(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${text(v)}`).join(", ");
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}

function verdict(claim) {
  const said = claim.verdict || NONE;
  const tone = Object.entries(TONES).find(([word]) => said === word)?.[1] || "open";
  return el("span", { className: `verdict ${tone}` }, said);
}

const cell = (name, ...content) => el("td", { data: { name } }, ...content);

function claims(paper, heading) {
  if (!paper.claims.length) {
    return el("p", { className: "note" }, `${NONE[0].toUpperCase()}${NONE.slice(1)}; it will stand here once `,
      el("code", {}, `results/${paper.paper}/`), " holds one.");
  }
  const head = ["claim", "the paper", "ours", "n", "verdict"].map((name) => el("th", { scope: "col" }, name));
  const rows = paper.claims.map((c) => el("tr", {},
    el("th", { scope: "row" }, c.statement || c.id, el("small", { className: "soft" }, c.criterion || "")),
    cell("the paper", text(c.paper_value ?? c.expected ?? c.paper)), cell("ours", text(c.observed)), cell("n",
      text(c.n)),
    cell("verdict", verdict(c), c.preset ? el("small", { className: "soft" }, c.preset) : null)));
  return el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-labelledby": heading },
    el("table", { className: "claims" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

function section(paper) {
  const id = `paper-${paper.paper}`;
  const runs = paper.experiments.map((name) => el("a",
    { href: `${base}/?${new URLSearchParams({ experiment: name })}` }, name));
  return el("section", { "aria-labelledby": id }, el("h2", { id }, `${paper.short}. `,
    paper.url ? el("a", { href: paper.url, rel: "noreferrer" }, paper.title) : paper.title),
  runs.length ? el("p", { className: "note" }, "Runs of ", runs.flatMap((r, i) => (i ? [", ", r] : [r]))) : null,
  claims(paper, id));
}

const load = oneAtATime(async () => {
  const papers = await api("papers");
  const all = papers.flatMap((p) => p.claims);
  const judged = all.filter((c) => c.verdict);
  const counts = [...new Set(judged.map((c) => c.verdict))].map((v) =>
    `${judged.filter((c) => c.verdict === v).length} ${v}`);
  document.getElementById("lead").textContent = judged.length
    ? `${plural(papers.length, "paper")}, ${plural(judged.length, "verdict")}: ${counts.join(", ")}.`
    : `${plural(papers.length, "paper")}; ${NONE}.`;
  document.getElementById("papers").replaceChildren(...papers.map(section));
  document.documentElement.classList.add("drawn");
});

dress();
load();
follow((names) => { if (names === null) load(); });
