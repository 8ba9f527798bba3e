// The embedding in Fourier space from the stored arrays: power over time, and the circles with their slider.
import { api, step } from "./common.js";
import { circleRows, startCircle } from "./figures.js";
import { show } from "./chart.js";

const LOOKS = 48; // of the heat-map and the slider at most
const SHOWN = 8; // frequencies that can be chosen
const AT_ONCE = 4;
const kept = new Map();
let drawn = "";

function thin(steps) {
  if (steps.length <= LOOKS) return steps;
  return [...new Set(Array.from({ length: LOOKS }, (_, i) =>
    steps[Math.round((i * (steps.length - 1)) / (LOOKS - 1))]))];
}

async function looks(run, key, member, wanted = thin) {
  const { steps } = await api(`arrays/${run}`, { key, member });
  const list = wanted(steps);
  const out = new Array(list.length);
  const waiting = list.map((s, i) => [s, i]);
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [at, i] = next;
      const name = `${key}|${member}|${at}`;
      if (!kept.has(name)) kept.set(name, await api(`array/${run}`, { key, member, step: at }));
      out[i] = { step: at, ...kept.get(name) };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return out.filter((look) => look.data.every((v) => v !== null));
}

function edges(steps) {
  if (steps.length === 1) return [steps[0] - 0.5, steps[0] + 0.5];
  const inner = steps.slice(1).map((s, i) => Math.expm1((Math.log1p(s) + Math.log1p(steps[i])) / 2));
  return [steps[0], ...inner, steps[steps.length - 1]];
}

// Heat-map of the share of power per frequency; `keys` are the finished model's key frequencies.
export async function spectrum(run, member, seed, keys) {
  const found = (await looks(run, "fourier/embedding_power", member)).filter((l) => l.shape.length === 1);
  if (found.length < 2) return;
  const final = found[found.length - 1].data;
  const strongest = final.map((v, k) => [v, k + 1]).sort((a, b) => b[0] - a[0]).slice(0, SHOWN);
  const marked = keys.length ? keys.slice(0, SHOWN) : strongest.filter(([v]) => v > 4 / final.length).map(([, k]) => k);
  const share = keys.reduce((sum, k) => sum + final[k - 1], 0);
  const some = keys.length === 1 ? "frequency carries" : "frequencies carry";
  const steps = found.map((l) => l.step);
  show({ id: "spectrum", steps, edges: edges(steps), marked: [...marked].sort((a, b) => a - b),
    power: final.map((_, k) => found.map((l) => l.data[k])), source: "Nanda et al. 2023, Sec. 5.1",
    heading: keys.length >= final.length / 2 ? `The power is spread over ${keys.length} of ${final.length} frequencies`
      : keys.length ? `${keys.length} of ${final.length} ${some} ${Math.floor(100 * share)} % of the embedding`
      : "Power of the embedding's frequencies",
    note: `Share of the embedding's power at each frequency k, the constant left out. Seed ${seed}.` },
  (p) => [["step", "frequency", "share"], ...p.steps.flatMap((s, i) => p.power.map((row, k) => [s, k + 1, row[i]]))]);
}

// Share of the points' power that is a circle of this frequency, run through in either sense, in [0, 1].
function circularity(points, frequency) {
  const p = points.length;
  let total = 0;
  const sums = [[0, 0], [0, 0]];
  points.forEach(([x, y], a) => {
    const angle = (2 * Math.PI * frequency * a) / p;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    total += x * x + y * y;
    sums[0][0] += x * c - y * s; sums[0][1] += x * s + y * c;
    sums[1][0] += x * c + y * s; sums[1][1] += y * c - x * s;
  });
  return total ? Math.max(...sums.map(([a, b]) => a * a + b * b)) / (p * total) : 0;
}

// The same panel as report/spectrum.py makes: planes of the key frequencies as 16-bit numbers.
function packed(found, keys) {
  const [planes, elements] = found[0].shape;
  const n = Math.min(planes, keys.length, SHOWN);
  const plane = (look, j) => Array.from({ length: elements }, (_, a) =>
    look.data.slice(2 * (j * elements + a), 2 * (j * elements + a) + 2));
  const table = found.map((look) => Array.from({ length: n }, (_, j) => plane(look, j)));
  const rms = table.map((one) => one.map((points) => Math.sqrt(points.reduce((s, [x, y]) => s + x * x + y * y,
    0) / elements)));
  const scale = [];
  const reach = [];
  for (let j = 0; j < n; j += 1) {
    scale.push(table.reduce((m, one) => one[j].reduce((k, [x, y]) => Math.max(k, Math.abs(x), Math.abs(y)), m),
      0) || 1);
    const last = table[table.length - 1][j];
    const far = Math.max(...last.map(([x, y]) => Math.hypot(x, y)));
    reach.push(Math.max(rms[rms.length - 1][j] / 0.78, 1.35 * Math.max(...rms.map((r) => r[j])), 1.05 * far) || 1);
  }
  const ints = Int16Array.from(table.flatMap((one) => one.flatMap((points, j) =>
    points.flatMap((xy) => xy.map((v) => Math.round((v / scale[j]) * 32767))))));
  const bytes = new Uint8Array(ints.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  const roundness = table.map((one) => one.map((points, j) => circularity(points, keys[j])));
  return { table: btoa(text), scale, reach, roundness, elements, keys: keys.slice(0, n),
    steps: found.map((l) => l.step) };
}

export async function circle(run, member, seed, keys) {
  const all = await looks(run, "fourier/circle", member);
  const found = all.filter((l) => l.shape.length === 3 && l.shape.join() === all[all.length - 1].shape.join());
  const stamp = `${member}|${found.length}|${found.length && found[found.length - 1].step}`;
  if (!found.length || !keys.length || stamp === drawn) return;
  drawn = stamp;
  const panel = packed(found, keys);
  const round = panel.roundness[panel.roundness.length - 1];
  panel.best = round[0] > 0.8 ? 0 : round.indexOf(Math.max(...round));
  const old = document.getElementById("circle");
  const at = old.querySelector("input");
  const where = old.hidden || at.value === at.max ? null : at.value;
  const figure = old.cloneNode(true); // without the listeners of the circle before
  figure.querySelector(".keys").replaceChildren();
  const slider = figure.querySelector("input");
  slider.max = found.length - 1;
  slider.value = where ?? slider.max;
  old.replaceWith(figure);
  show({ ...panel, id: "circle", source: "Nanda et al. 2023, Sec. 4.1, App. C",
    heading: `${panel.elements} numbers ${round[panel.best] > 0.8 ? "become a circle" : "seen along one frequency"}`,
    note: "Each dot is an element's embedding on the plane that a key frequency k spans in the finished model, "
      + `coloured by k·a mod ${panel.elements}: its place on a perfect circle. Seed ${seed}, ${step(found.length)} `
      + "looks." }, circleRows);
  startCircle(panel);
}

// The finished model's key frequencies, strongest first; none while it is not finished.
export async function keyFrequencies(run, member) {
  const found = await looks(run, "fourier/key_frequencies", member, (steps) => steps.slice(-1));
  return found.length ? found[0].data : [];
}
