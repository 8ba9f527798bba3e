// The key: names that found no room on the map, the scale of numbers, and the marks that occur.
function drawKey(svg, items, width) {
  let [x, y] = [0, 14];
  for (const item of items) {
    const length = item.length || 24 + wide(item.text);
    if (x && x + length > width) [x, y] = [0, y + 22];
    if (item.draw) item.draw(x, y);
    else {
      for (const { low, ...fill } of item.fills) {
        svg.append(shape("rect", {
          x, y: low ? y - 2 : y - 10, width: 16, height: 12, stroke: css("faint"), "stroke-width": 0.5, ...fill,
        }));
      }
      svg.append(words(x + 22, y, item.text));
    }
    x += length + 18;
  }
  return items.length ? y + 14 : 2;
}

function keyItems(svg, shown, direct, width) {
  const q = quantity();
  const items = [];
  if (q.kind === "names") {
    for (const name of data.names[q.key]) {
      const count = shown.filter((c) => c.state === "measured" && c[q.key] === name).length;
      if (!count || direct.has(name) || SPOILT.includes(name)) continue;
      items.push({ fills: [{ fill: colourOf(q.key, name) }], text: `${name}, ${plural(count, "cell")}` });
    }
  } else if (shown.some((c) => reading(c).value !== undefined)) {
    const s = scaleOfNow(q);
    const [low, high] = [valueText(q, s.low), valueText(q, s.high)];
    const unit = q.kind === "steps" ? "steps, log scale" : "median";
    const long = Math.min(150, width - wide(low) - wide(`${high} ${unit}`) - 24);
    items.push({ length: wide(low) + long + 18 + wide(`${high} ${unit}`), draw: (x, y) => {
      const colour = ramp();
      const at = x + wide(low) + 8;
      svg.append(words(x, y, low));
      for (let i = 0; i < 40; i += 1) {
        const part = { x: at + (i * long) / 40, y: y - 10, width: long / 40 + 0.6, height: 12 };
        svg.append(shape("rect", { ...part, fill: colour(i / 39) }));
      }
      svg.append(words(at + long + 8, y, `${high} ${unit}`));
    } });
  }
  const mark = (test, fills, text) => { if (shown.some(test)) items.push({ fills, text }); };
  const base = { fill: css("paper") };
  const hatch = { fill: "url(#open)", "fill-opacity": 0.45 };
  const by = data.budget ? ` by step ${step(data.budget)}` : " by the end";
  if (q.key === "label") {
    mark((c) => isOpen(c), [{ fill: css("raised") }, hatch], `censored: not generalised${by}`);
  } else if (q.kind === "steps") {
    const done = q.key === "t_train" ? "memorised" : "generalised";
    mark((c) => reading(c).why === "open", [base, hatch], `open: not ${done}${by}`);
  } else {
    mark((c) => reading(c).why === "neither", [base], "neither memorised nor generalised");
    mark((c) => reading(c).why === "unknown", [base], "unknown");
  }
  mark((c) => c.label === "diverged", [base, { fill: "url(#odd)" }], "diverged");
  mark((c) => c.failed > 0, [{ ...base, stroke: css("anomaly"), "stroke-width": 2 }], "failed members (✕)");
  if (q.kind === "names") {
    mark((c) => others(c).size, [base, { fill: css("soft"), height: 4, low: true }], "strip: members that disagree");
  }
  mark((c) => c.state === "left out", [base, { fill: "url(#taken)", "fill-opacity": 0.55 }],
    q.key === "label" ? "dotted: left out, label taken from its neighbours" : "dotted: left out, not measured");
  const dashed = { ...base, "stroke-dasharray": "2 2" };
  mark((c) => ["waiting", "unplanned"].includes(c.state), [dashed], "not run yet");
  return items;
}
const isOpen = (c) => c.state === "measured" && !SPOILT.includes(c.label) && c.censored * 2 > c.n - c.failed;
