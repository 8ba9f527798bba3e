// Line charts: members faint, the median (or one member) strong, its band filled, names on the lines.
const plots = new Map();
const narrow = () => window.innerWidth < 620;
const FLOOR = 1e-12;

function margins(panel) {
  return { l: narrow() ? 40 : 58, r: panel.id === "spectrum" ? 34 : narrow() ? 8 : 14,
    t: panel.id === "picture" ? 4 : 14, b: 40 };
}

const seriesOf = (line, member) => (data.series[line.key] || {})[member];
const mainOf = (line) => ("m" in line.main ? seriesOf(line, line.main.m) : line.main);
const shown = (row, y) => y.map((v) => (v === null ? null : row.log ? Math.max(v, FLOOR) : v));

function heights(row) {
  const all = row.lines.flatMap((line) => [mainOf(line), ...line.each.map((m) => seriesOf(line, m))]).filter(Boolean)
    .flatMap((s) => shown(row, s.y)).filter((v) => v !== null);
  if (row.percent) return [-0.03, 1.06];
  for (const mark of row.marks || []) all.push(mark.y);
  let [low, high] = all.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  if (!all.length) [low, high] = [0.1, 1];
  if (row.log) {
    [low, high] = [Math.log10(low), Math.log10(high)];
    const pad = Math.max(0.06 * (high - low), 0.12);
    return [low - pad, high + pad * 1.6];
  }
  if (row.zero) low = Math.min(low, 0);
  const pad = 0.08 * (high - low || 1);
  return [row.zero ? low : low - pad, high + pad * 1.6];
}

function heightTicks(row, [low, high], pixels) {
  if (row.percent) return { tickvals: [0, 0.5, 1], ticktext: ["0", "50", "100 %"] };
  if (!row.log) return { nticks: Math.max(3, Math.floor(pixels / 34)) };
  const most = Math.max(2, Math.floor(pixels / 34));
  const gap = [1, 2, 3, 4, 5, 6].find((g) => (high - low) / g <= most) || 6;
  const powers = [];
  for (let p = Math.ceil(low / gap) * gap; p <= high; p += gap) powers.push(p);
  if (powers.length < 2) return { nticks: 3 };
  const name = (p) => (p >= -2 && p <= 3 ? words10(p) : `10<sup>${String(p).replace("-", "−")}</sup>`);
  return { tickvals: powers.map((p) => 10 ** p), ticktext: powers.map(name) };
}

const words10 = (p) => (p >= 0 ? words(10 ** p) : String(10 ** p));

function traces(panel, row, index) {
  const axis = index ? `y${index + 1}` : "y";
  const out = [];
  const crowd = panel.members.length > 12;
  const base = (s, more) => ({ type: "scatter", mode: "lines", x: s.x.map(X), y: shown(row, s.y), yaxis: axis,
    hoverinfo: "skip", ...more });
  for (const line of row.lines) {
    const colour = css(line.tone === "test" && panel.id === "picture" ? "test" : line.tone);
    for (const m of line.each) {
      const s = seriesOf(line, m);
      if (!s) continue;
      const faint = crowd ? 0.14 : line.tone === "train" ? 0.45 : 0.3;
      out.push(base(s, {
        meta: { member: m, faint }, opacity: faint, line: { color: colour, width: 1 }, customdata: s.x.map(words),
        hoverinfo: undefined,
          hovertemplate: `seed ${memberOf(m).seed}, step %{customdata}<br>${line.name} %{y:.3~g}<extra></extra>`,
      }));
    }
    if (line.main.low) {
      const fill = alpha(css(line.tone === "train" ? "train" : "band"), line.tone === "train" ? 0.14 : 0.16);
      out.push(base({ x: line.main.x, y: line.main.low }, { line: { width: 0 } }));
      out.push(base({ x: line.main.x, y: line.main.high }, { line: { width: 0 }, fill: "tonexty", fillcolor: fill }));
    }
  }
  for (const line of row.lines) {
    const s = mainOf(line);
    const quiet = line.tone === "train";
    const colour = css(line.tone === "test" && panel.id === "picture" ? "test" : line.tone);
    const who = line.main.n ? "median" : `seed ${memberOf(line.main.m).seed}`;
    const fewer = (i) => line.main.n && line.main.n[i] < panel.members.length;
    const texts = s.x.map((x, i) => words(x) + (fewer(i) ? ` (${line.main.n[i]} running)` : ""));
    out.push(base(s, {
      line: { color: colour, width: quiet ? 1.6 : 2.4 }, customdata: texts, hoverinfo: undefined,
        meta: { main: line.main.m },
      hovertemplate: `${who}, step %{customdata}<br>${line.name} %{y:.3~g}<extra></extra>`,
    }));
  }
  return out;
}

// Segments of the member that stands for all: a tint behind each row and, but under the ribbon, a thin bar.
function tints(panel, rows) {
  const member = memberOf(data.member);
  const shapes = [];
  for (const [name, start, end] of member ? member.segments : []) {
    const colour = css(`seg-${slug(name)}`);
    const across = { type: "rect", xref: "x", x0: X(start), x1: X(end), line: { width: 0 }, layer: "below" };
    for (let i = 0; i < rows; i += 1) {
      shapes.push({ ...across, yref: i ? `y${i + 1} domain` : "y domain", y0: 0, y1: 1, fillcolor: alpha(colour,
        0.085) });
    }
    if (panel.id !== "picture") {
      shapes.push({ ...across, yref: "paper", ysizemode: "pixel", yanchor: 1, y0: 3, y1: 7, fillcolor: colour,
        layer: "above" });
    }
  }
  return shapes;
}

function nameLines(panel, row, index, box, span, layout) {
  const [a, b] = range();
  const yref = index ? `y${index + 1}` : "y";
  const toY = (v) => (1 - ((row.log ? Math.log10(v) : v) - span[0]) / (span[1] - span[0])) * box.height;
  const curve = (s) => s.x.map((x, i) => [((X(x) - a) / (b - a)) * box.width, shown(row, s.y)[i]]).filter(([,
    y]) => y !== null)
    .map(([x, y]) => [x, toY(y)]);
  const curves = row.lines.map((line) => curve(mainOf(line)));
  const size = narrow() ? 11 : 12;
  const set = [];
  const marks = (row.marks || []).map((mark) => [[0, toY(mark.y)], [box.width, toY(mark.y)]]);
  for (const mark of row.marks || []) {
    layout.shapes.push({ type: "line", xref: "x domain", x0: 0, x1: 1, yref, y0: mark.y, y1: mark.y,
      line: { color: css("faint"), width: 1, dash: "dot" }, layer: "below" });
    const y = toY(mark.y);
    set.push({ left: 0, right: textWidth(mark.text, size - 1) + 12, top: y + 2, bottom: y + 16 });
    layout.annotations.push({ text: mark.text, xref: "x domain", x: 0, xanchor: "left", xshift: 4, yref,
      y: row.log ? Math.log10(mark.y) : mark.y,
      yanchor: "top", showarrow: false, font: { size: size - 1, color: css("soft") } });
  }
  row.lines.forEach((line, i) => {
    if (!line.label) return;
    const s = mainOf(line);
    const edges = s.low ? [curve({ x: s.x, y: s.high }), curve({ x: s.x, y: s.low })] : [curves[i], curves[i]];
    const own = [...edges, curves[i]];
    const spot = placeLabel(line.label, own, [...curves.filter((_, j) => j !== i), ...marks], box, set, size);
    if (!spot) return;
    const tone = line.tone === "train" ? "soft" : line.tone;
    layout.annotations.push({ text: line.label, xref: "x", x: a + ((b - a) * spot.x) / box.width,
      yref: `${yref} domain`, y: 1 - spot.y / box.height,
      xanchor: "center", yanchor: "middle", showarrow: false, font: { size, color: css(tone), weight: 500 } });
  });
  if (row.delay) drawDelay(row.delay, yref, layout, box);
}

function drawDelay(delay, yref, layout, box) {
  const [a, b] = range();
  const [x0, x1] = [Math.max(X(delay.from), a), Math.min(X(delay.to), b)];
  if (x1 <= x0) return;
  const line = { color: css("soft"), width: 1.5 };
  layout.shapes.push({ type: "line", xref: "x", yref, x0, x1, y0: 0.5, y1: 0.5, line });
  for (const x of delay.open ? [x0] : [x0, x1]) {
    layout.shapes.push({ type: "line", xref: "x", yref, x0: x, x1: x, y0: 0.43, y1: 0.57, line });
  }
  if (delay.open) {
    layout.annotations.push({ xref: "x", yref, x: x1, y: 0.5, ax: -14, ay: 0, showarrow: true, arrowhead: 2,
      arrowsize: 1, arrowwidth: 1.5, arrowcolor: line.color, text: "" });
  }
  const size = narrow() ? 11 : 12;
  const half = textWidth(delay.text, size, 600) / 2;
  const middle = ((x0 + x1) / 2 - a) / (b - a) * box.width;
  const inside = Math.min(Math.max(middle, half + 4), box.width - half - 4);
  layout.annotations.push({ xref: "x", yref, x: a + (inside / box.width) * (b - a), y: 0.5, yanchor: "bottom",
    yshift: 2, text: delay.text, showarrow: false,
    font: { size, color: css("ink"), weight: 600 } });
}

function frame(panel, width, height) {
  return {
    width, height, margin: margins(panel), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false, shapes: [], annotations: [],
    font: { family: css("font"), size: narrow() ? 11 : 12, color: css("soft") }, hovermode: "closest",
      hoverdistance: 16, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    hoverlabel: { bgcolor: css("raised"), bordercolor: css("rule"), font: { color: css("ink"), family: css("font"),
      size: 12 } },
  };
}

function lineFigure(panel, width) {
  const height = panel.id === "picture" ? (narrow() ? 430 : 500) : 300;
  const layout = frame(panel, width, height);
  const m = layout.margin;
  const inner = { width: width - m.l - m.r, height: height - m.t - m.b };
  const gap = panel.rows.length > 1 ? 22 / inner.height : 0;
  const traceList = [];
  let top = 1;
  layout.shapes = tints(panel, panel.rows.length);
  layout.xaxis = { ...stepAxis(inner.width, panel.id === "picture"),
    anchor: panel.rows.length > 1 ? `y${panel.rows.length}` : "y" };
  panel.rows.forEach((row, i) => {
    const share = row.share * (1 - gap * (panel.rows.length - 1));
    const span = heights(row);
    const domain = [Math.max(0, top - share), top];
    layout[i ? `yaxis${i + 1}` : "yaxis"] = {
      domain, range: span, type: row.log ? "log" : "linear", fixedrange: true, zeroline: false, showgrid: true,
        ticks: "outside", ticklen: 4, tickcolor: "rgba(0,0,0,0)", gridcolor: alpha(css("faint"), 0.13),
      title: { text: row.title, standoff: narrow() ? 2 : 8, font: { size: 11 } }, automargin: false,
        ...heightTicks(row, span, share * inner.height),
    };
    traceList.push(...traces(panel, row, i));
    nameLines(panel, row, i, { width: inner.width, height: share * inner.height }, span, layout);
    top = domain[0] - gap;
  });
  return { traces: traceList, layout };
}
