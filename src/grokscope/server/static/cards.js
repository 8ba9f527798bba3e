// A small chart for each experiment: mean test accuracy over step, and the band of the seeds.
import { api, el, percent, plural, step } from "./common.js";

const WIDTH = 200;
const HEIGHT = 48;
const SHOWN = 8;
const NEWEST = 50; // runs of a band at most: each is read by the server
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function chart(svg, band) {
  const log = (x) => Math.log1p(x);
  const last = band.x[band.x.length - 1];
  const at = (x) => (log(x) / (log(last) || 1)) * WIDTH;
  const up = (v) => HEIGHT - 2 - Math.min(1, Math.max(0, v)) * (HEIGHT - 4);
  const points = (values) => values.map((v, i) => [band.x[i], v]).filter(([, v]) => v !== null)
    .map(([x, v]) => `${at(x).toFixed(1)},${up(v).toFixed(1)}`);
  const rounded = [...points(band.high), ...points(band.low).reverse()];
  svg.replaceChildren(shape("polygon", { points: rounded.join(" ") }), shape("polyline",
    { points: points(band.mean).join(" ") }));
  const end = band.mean[band.mean.length - 1];
  svg.setAttribute("aria-label", `mean test accuracy ${percent(end, 1)} at step ${step(last)}`);
  return end;
}

// `pick(name)` is called when an experiment is chosen. Gives a function that shows a list of experiments.
export function cards(section, pick) {
  const list = section.querySelector("ul");
  const more = section.querySelector(".more");
  const shown = new Map();
  let all = [];
  let open = false;

  const fill = async (card, experiment) => {
    const stamp = `${experiment.runs}/${experiment.members}`;
    const now = Date.now();
    if (card.stamp === stamp && now - card.asked < 4000) return; // a running run moves its curve now and then
    Object.assign(card, { stamp, asked: now });
    const many = experiment.runs > NEWEST;
    card.said.textContent = `${plural(experiment.runs, "run")}, n = ${step(experiment.members)}${
      many ? `; drawn: the newest ${NEWEST}` : ""}`;
    try {
      const newest = many ? await api("runs", { experiment: experiment.name, limit: NEWEST }) : null;
      const which = many ? { run: newest.runs.map((r) => r.run) } : { experiment: experiment.name };
      const band = await api("band", { ...which, key: "test/accuracy", points: 80 });
      if (band.x.length > 1) card.last.textContent = percent(chart(card.svg, band), 1);
    } catch {
      card.last.textContent = ""; // a damaged run among them: the table names it
    }
  };
  const watch = new IntersectionObserver((seen) => {
    for (const card of seen.filter((s) => s.isIntersecting).map((s) => shown.get(s.target.dataset.name))) {
      fill(card, card.experiment);
    }
  });
  const make = (experiment) => {
    const last = el("span");
    const said = el("p", { className: "soft" });
    const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
      "aria-label": "test accuracy" });
    const button = el("button", { type: "button", title: "Show these runs", onclick: () => pick(experiment.name) },
      experiment.name);
    const item = el("li", { data: { name: experiment.name } }, el("p", {}, el("strong", {}, button), last), svg, said);
    shown.set(experiment.name, { item, svg, last, said, experiment });
    watch.observe(item);
    return item;
  };
  const show = () => {
    section.hidden = !all.length;
    for (const experiment of open ? all : all.slice(0, SHOWN)) {
      if (!shown.has(experiment.name)) { list.append(make(experiment)); continue; }
      const card = shown.get(experiment.name);
      card.experiment = experiment;
      const box = card.item.getBoundingClientRect();
      if (box.bottom > 0 && box.top < innerHeight) fill(card, experiment);
    }
    more.hidden = open || all.length <= SHOWN;
    more.textContent = `show all ${all.length} experiments`;
  };
  more.addEventListener("click", () => { open = true; show(); });
  return (experiments) => { all = experiments; show(); };
}
