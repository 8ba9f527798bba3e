// The embedding's spectrum over time: one column a look, one row a frequency, the key ones named at the end.
function spectrumFigure(panel, width) {
  const height = narrow() ? 300 : 372; // as tall as the circle and its slider beside it
  const layout = frame(panel, width, height);
  const m = layout.margin;
  const inner = { width: width - m.l - m.r, height: height - m.t - m.b };
  const count = panel.power.length;
  const rows = panel.power.map((_, k) => k + 1);
  const steps = panel.steps.map(words);
  const trace = {
    type: "heatmap", x: panel.edges.map(X), y: rows, z: panel.power, customdata: panel.power.map(() => steps),
      showscale: false, zmin: 0,
    colorscale: [[0, css("heat-low")], [0.4, css("heat-middle")], [1, css("heat-high")]], xgap: 0, ygap: 0,
    hovertemplate: "step %{customdata}, k = %{y}<br>%{z:.1%} of the power<extra></extra>",
  };
  layout.shapes = tints(panel, 0);
  layout.xaxis = stepAxis(inner.width, false);
  layout.yaxis = { range: [0.5, count + 0.5], fixedrange: true, showgrid: false, zeroline: false, ticks: "",
    nticks: 7, title: { text: "frequency k", standoff: narrow() ? 2 : 8, font: { size: 11 } } };
  const pixel = (k) => ((k - 0.5) / count) * inner.height;
  const places = spread(panel.marked.map(pixel), 12, 6, inner.height - 6);
  panel.marked.forEach((k, i) => {
    layout.annotations.push({ xref: "paper", yref: "paper", x: 1, xanchor: "left", xshift: 8,
      y: places[i] / inner.height, yanchor: "middle", text: String(k),
      showarrow: false, font: { size: 11, color: css("accent"), weight: 600 } });
    layout.shapes.push({ type: "line", xref: "paper", xsizemode: "pixel", xanchor: 1, x0: 1, x1: 7, yref: "paper",
      y0: pixel(k) / inner.height, y1: places[i] / inner.height,
      line: { color: css("accent"), width: 1 } });
  });
  return { traces: [trace], layout };
}
