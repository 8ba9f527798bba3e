// The step axis, shared by all time plots: log(step + offset) or plain steps, and one zoom.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { log: true, range: null };
const root = document.documentElement;

const X = (step) => (state.log ? Math.log10(step + data.offset) : step);
const stepAt = (x) => (state.log ? 10 ** x - data.offset : x);
const whole = () => [X(0), X(Math.max(data.last, 1))];
const range = () => state.range || whole();
const words = (n) => Math.round(n).toLocaleString("en-US");

// Tick steps between two steps that keep `room` pixels from each other on an axis of `width` pixels.
function tickSteps(low, high, width, room) {
  const [a, b] = [X(low), X(high)];
  const pixel = (step) => ((X(step) - a) / (b - a || 1)) * width;
  let found = [];
  if (state.log && high > 4 * Math.max(low, data.offset)) {
    found.push(0);
    for (let decade = 1; decade <= high; decade *= 10) found.push(decade, 3 * decade);
    const inside = found.filter((s) => s >= low && s <= high);
    const roomy = inside.every((s, i) => i === 0 || s < 3 * data.offset || pixel(s) - pixel(inside[i - 1]) >= room);
    if (!roomy) found = found.filter((s) => s === 0 || Number.isInteger(Math.log10(s)));
  } else {
    const rough = ((high - low) / width) * room * 1.5;
    const unit = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const gap = unit * [1, 2, 5, 10].find((m) => m * unit >= rough || m === 10);
    for (let s = Math.ceil(low / gap) * gap; s <= high; s += gap) found.push(s);
  }
  const kept = [];
  for (const s of found.filter((one) => one >= low - 0.5 && one <= high).reverse()) {
    const last = kept.length ? pixel(kept[kept.length - 1]) : Infinity;
    // zero keeps its tick: the one right of it gives way
    if (s === 0) while (kept.length && pixel(kept[kept.length - 1]) < room * 0.8) kept.pop();
    if (s === 0 || last - pixel(s) >= room) kept.push(s);
  }
  return kept.reverse();
}

function stepAxis(width, title) {
  const [a, b] = range();
  const steps = tickSteps(Math.max(0, stepAt(a)), stepAt(b), width, 46);
  return {
    range: [a, b], tickvals: steps.map(X), ticktext: steps.map(words), showgrid: false, zeroline: false,
    tickcolor: css("rule"), linecolor: css("rule"), showline: true, ticks: "outside", ticklen: 4,
    title: title ? { text: "optimizer step", standoff: 6, font: { size: 11 } } : undefined, fixedrange: false,
  };
}
