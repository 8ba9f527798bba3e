// Unpack the library, draw everything, and answer the page's switches.
const panelOf = (id) => data.panels.find((p) => p.id === id);
let Chart = null;

async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  return window.Plotly;
}

function drawPanel(panel) {
  if (panel.id === "circle") return;
  const host = document.querySelector(`#${panel.id} .plot`);
  const width = Math.floor(host.clientWidth);
  const figure = panel.id === "spectrum" ? spectrumFigure(panel, width) : lineFigure(panel, width);
  const fresh = !plots.has(panel.id);
  if (fresh) host.replaceChildren();
  plots.set(panel.id, host);
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
  if (panel.id === "picture") {
    const ribbon = document.querySelector("#picture .ribbon");
    const m = margins(panel);
    ribbon.style.margin = `0 ${m.r}px 0 ${m.l}px`;
    const member = memberOf(data.member);
    if (member) drawRibbon(ribbon, member, width - m.l - m.r);
  }
}

function drawAll() {
  document.getElementById("unzoom").hidden = !state.range;
  document.querySelectorAll(".strip").forEach(drawStrip);
  if (Chart) data.panels.forEach(drawPanel);
}

// A row of the table under the pointer or the focus lifts its member's lines in every plot.
function lift(member) {
  for (const host of plots.values()) {
    const found = host.data.map((t, i) => [t.meta && t.meta.member, i]).filter(([m]) => m !== undefined && m !== null);
    if (!found.length) continue;
    Chart.restyle(host, {
      opacity: found.map(([m, i]) => (m === member ? 1 : host.data[i].meta.faint)),
      "line.width": found.map(([m]) => (m === member ? 2 : 1)),
    }, found.map(([, i]) => i));
  }
}

function lineRows(panel) {
  const keys = panel.keys.filter((k) => data.series[k]);
  const rows = [["seed", "member", "step", ...keys]];
  for (const m of data.members) {
    const columns = keys.map((k) => {
      const s = data.series[k][m.id];
      return new Map(s ? s.x.map((x, i) => [x, s.y[i]]) : []);
    });
    const steps = [...new Set(columns.flatMap((c) => [...c.keys()]))].sort((a, b) => a - b);
    for (const step of steps) rows.push([m.seed, m.id, step, ...columns.map((c) => c.get(step) ?? "")]);
  }
  return rows;
}

function spectrumRows(panel) {
  const rows = [["step", "frequency", "share"]];
  panel.steps.forEach((s, i) => panel.power.forEach((row, k) => rows.push([s, k + 1, row[i]])));
  return rows;
}

function download(panel) {
  const rows = ({ circle: circleRows, spectrum: spectrumRows }[panel.id] || lineRows)(panel);
  const text = rows.map((row) => row.join(",")).join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
  link.download = `${data.run}-${panel.id}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy(button) {
  const text = button.parentElement.querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(button.parentElement.querySelector("code")); // the reader's Ctrl-C does the rest
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

function remember(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch { /* a private window remembers nothing */ }
  return null;
}

function startTheme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = dark() ? "light" : "dark";
    button.setAttribute("aria-label", `Use the ${button.textContent} colours`);
    drawAll();
  };
  const saved = remember("grokscope-theme");
  if (saved) root.dataset.theme = saved;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember("grokscope-theme", root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}

function startSwitches() {
  const scale = document.getElementById("scale");
  scale.addEventListener("click", () => {
    const before = state.range && state.range.map(stepAt);
    state.log = !state.log;
    state.range = before && before.map(X);
    scale.setAttribute("aria-pressed", String(!state.log));
    drawAll();
  });
  document.getElementById("unzoom").addEventListener("click", () => { state.range = null; drawAll(); scale.focus(); });
  document.getElementById("switches").hidden = false;
  for (const b of document.querySelectorAll(".csv")) b.addEventListener("click",
    () => download(panelOf(b.dataset.panel)));
  document.querySelectorAll(".copy").forEach((b) => b.addEventListener("click", () => copy(b)));
  document.querySelectorAll("tr[data-member]").forEach((row) => {
    row.addEventListener("mouseenter", () => Chart && lift(Number(row.dataset.member)));
    row.addEventListener("mouseleave", () => Chart && lift(null));
  });
}

async function start() {
  root.classList.add("alive");
  startTheme();
  startSwitches();
  if (panelOf("circle")) startCircle(panelOf("circle"));
  try {
    Chart = await unpack();
  } catch {
    root.classList.add("still"); // no DecompressionStream: the still picture, the circle and the tables remain
    return;
  }
  drawAll();
  root.classList.add("drawn");
  let width = window.innerWidth;
  let waiting = null;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's address bar changes the height only
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 120);
  });
  for (const event of ["beforeprint", "afterprint"]) window.addEventListener(event, () => drawAll());
}

start();
