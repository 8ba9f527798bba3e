// Draws panels with the report's figure code, keeps their zoom together, and redraws what changed in place.
import { base, csv } from "./common.js";
import { data, lineFigure, margins, plots, spectrumFigure, state, stepAt, whole, X, drawRibbon, memberOf,
  words } from "./figures.js";

let Chart = null;
let loading = null;
const panels = new Map();
let decorate = (figure) => figure;
let after = () => {};

// Plotly is 5 MB: it is asked for when the words already stand.
export function library() {
  loading ||= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = `${base}/static/plotly.min.js`;
    script.addEventListener("load", () => { Chart = window.Plotly; done(Chart); });
    script.addEventListener("error", () => fail(new Error("the figures need plotly, which this server does not give")));
    document.head.append(script);
  });
  return loading;
}

export const adorn = (change) => { decorate = change; };
export const afterwards = (work) => { after = work; };

function draw(panel) {
  const host = document.querySelector(`#${CSS.escape(panel.id)} .plot`);
  const width = Math.floor(host.clientWidth);
  if (!Chart || !width) return;
  const figure = decorate(panel.id === "spectrum" ? spectrumFigure(panel, width) : lineFigure(panel, width), panel);
  const fresh = plots.get(panel.id) !== host;
  plots.set(panel.id, host);
  figure.layout.uirevision = "kept";
  Chart.react(host, figure.traces, figure.layout, { displayModeBar: false, doubleClick: false, responsive: false });
  if (fresh) {
    host.on("plotly_relayout", (change) => {
      const [a, b] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (a === undefined || !(b > a)) return;
      const [low, high] = whole();
      state.range = [Math.max(a, low), Math.min(b, high)];
      drawAll();
    });
    host.on("plotly_doubleclick", () => { state.range = null; drawAll(); });
  }
  if (panel.id === "picture") ribbon(panel, width);
}

function ribbon(panel, width) {
  const host = document.querySelector("#picture .ribbon");
  const m = margins(panel);
  host.style.margin = `0 ${m.r}px 0 ${m.l}px`;
  const member = memberOf(data.member);
  if (member) drawRibbon(host, member, width - m.l - m.r);
  const told = data.forecast;
  if (!member || !told || !(told.t_high > told.t_low)) return;
  const [a, b] = state.range || whole();
  const place = (s) => Math.min(100, Math.max(0, ((X(s) - a) / (b - a)) * 100));
  const bracket = document.createElement("span");
  bracket.className = "bracket";
  bracket.style.left = `${place(told.t_low)}%`;
  bracket.style.width = `${place(told.t_high) - place(told.t_low)}%`;
  bracket.title = `forecast: steps ${words(told.t_low)} to ${words(told.t_high)}`;
  host.append(bracket);
}

// Show a panel in its figure (or show it again with new data): words, source, CSV, picture.
export function show(panel, rows) {
  const figure = document.getElementById(panel.id);
  figure.hidden = false;
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  put(figure.querySelector("h2"), panel.heading);
  put(figure.querySelector(".note"), panel.note);
  put(figure.querySelector(".source span"), panel.source || "");
  figure.querySelector(".plot").setAttribute("aria-label", `${panel.heading}. ${panel.note}`);
  const button = figure.querySelector(".csv");
  button.setAttribute("aria-label", `Data of “${panel.heading}” as CSV`);
  button.onclick = () => csv(`${data.run || "compare"}-${panel.id}`, rows(panel));
  if (panel.id === "circle") return;
  panels.set(panel.id, panel);
  draw(panel);
}

export function forget(id) {
  const host = plots.get(id);
  if (host && Chart) Chart.purge(host);
  panels.delete(id);
  plots.delete(id);
}

export function drawAll() {
  const button = document.getElementById("unzoom");
  if (button) button.hidden = !state.range;
  panels.forEach(draw);
  after();
}

// A row of the table under the pointer or the focus lifts its member's lines in every plot.
export function lift(member) {
  for (const host of plots.values()) {
    if (!host.data) continue;
    const found = host.data.map((t, i) => [t.meta && t.meta.member, i]).filter(([m]) => m !== undefined && m !== null);
    if (!found.length) continue;
    Chart.restyle(host, {
      opacity: found.map(([m, i]) => (m === member ? 1 : host.data[i].meta.faint)),
      "line.width": found.map(([m]) => (m === member ? 2 : 1)),
    }, found.map(([, i]) => i));
  }
}

export function lineRows(panel) {
  const keys = panel.keys.filter((k) => data.series[k]);
  const rows = [["seed", "member", "step", ...keys]];
  for (const m of data.members) {
    const values = keys.map((k) => {
      const s = data.series[k][m.id];
      return new Map(s ? s.x.map((x, i) => [x, s.y[i]]) : []);
    });
    const all = [...new Set(values.flatMap((c) => [...c.keys()]))].sort((a, b) => a - b);
    for (const s of all) rows.push([m.seed, m.id, s, ...values.map((c) => c.get(s) ?? "")]);
  }
  return rows;
}

// The switch between log and linear steps, the way back from a zoom, and the width of the window.
export function startSwitches() {
  const scale = document.getElementById("scale");
  scale.addEventListener("click", () => {
    const before = state.range && state.range.map(stepAt);
    state.log = !state.log;
    state.range = before && before.map(X);
    scale.setAttribute("aria-pressed", String(!state.log));
    drawAll();
  });
  document.getElementById("unzoom").addEventListener("click", () => { state.range = null; drawAll(); scale.focus(); });
  let width = window.innerWidth;
  let waiting = null;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's address bar changes the height only
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 120);
  });
}

// Whether a quantity is drawn on a log axis: all above zero, and a loss or wide.
export function isLog(key, series) {
  if (key.endsWith("accuracy")) return false;
  const values = Object.values(series || {}).flatMap((s) => s.y).filter((v) => v !== null);
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  return low > 0 && (key.endsWith("loss") || high > 1e3 * low);
}

