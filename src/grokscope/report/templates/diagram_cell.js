// One cell: what it says under the pointer, and its members when it is open.
const WAITS = {
  waiting: "no member has ended yet", "left out": "left out by refinement, not run", unplanned: "not run",
};

function medianText(cell, key) {
  const q = data.quantities.find((one) => one.key === key);
  const v = cell[key];
  const unit = key === "delay" ? " steps" : "";
  const median = cell.n > 1 ? ", the median" : "";
  const number = (n) => (q.kind === "share" ? percent(n) : `${halves(n)}${unit}`);
  if (v !== null) return `${q.name} ${number(v)}${median}`;
  if (q.kind === "share" || cell.failed === cell.n) return `${q.name} unknown`;
  return `${q.name}: open, ${plural(cell.censored, "member")} of ${cell.n} censored`;
}

// The lines that a cell has to say; the same under the pointer and to a screen reader.
function told(cell) {
  if (cell.state !== "measured") {
    const guess = cell.state === "left out" && cell.label ? [`label ${cell.label} taken from its neighbours`] : [];
    return [WAITS[cell.state], ...guess];
  }
  const lines = [];
  const share = cell.disagreement ? `, ${cell.n - Math.round(cell.disagreement * cell.n)} of ${cell.n} members` : "";
  lines.push(`${cell.label}${share}`);
  const key = state.quantity;
  if (key === "regime") lines.push(`regime ${cell.regime || "neither memorised nor generalised"}`);
  else if (key !== "label") lines.push(medianText(cell, key));
  else lines.push(medianText(cell, "delay"));
  if (cell.failed) lines.push(`${cell.failed} failed`);
  lines.push(cell.n < cell.planned ? `n = ${cell.n} of ${cell.planned} members so far` : `n = ${cell.n}`);
  return lines;
}

function showTip(rect) {
  const tip = document.getElementById("tip");
  const cell = cells[rect.dataset.cell];
  tip.replaceChildren(element("b", {}, values(placeOf(cell.index))));
  for (const line of told(cell)) tip.append(element("br"), line);
  tip.hidden = false;
  const host = document.getElementById("cells");
  const x = Math.max(0, Math.min(cell.x + layout.w + 8, host.clientWidth - tip.offsetWidth));
  const above = cell.y - tip.offsetHeight - 8;
  const beside = x >= cell.x + layout.w;
  tip.style.left = `${x}px`;
  tip.style.top = `${beside || above < 0 ? cell.y + (beside ? 0 : layout.h + 8) : above}px`;
}
const hideTip = () => { const tip = document.getElementById("tip"); if (tip) tip.hidden = true; };

function outline(id, cell) {
  const rect = document.getElementById(id);
  const size = { width: layout.w - layout.gap, height: layout.h - layout.gap };
  for (const [k, v] of Object.entries({ x: cell.x, y: cell.y, ...size })) {
    rect.setAttribute(k, v);
  }
  rect.setAttribute("visibility", "visible");
}

const rectOf = (index) => document.querySelector(`#cells [data-cell="${index}"]`);
function markChosen() {
  const cell = cells[indexOf(state.at)];
  document.querySelectorAll('#cells [tabindex="0"]').forEach((r) => r.setAttribute("tabindex", -1));
  document.querySelectorAll('#cells [aria-selected="true"]').forEach((r) => r.removeAttribute("aria-selected"));
  const rect = rectOf(cell.index);
  rect.setAttribute("tabindex", 0);
  rect.setAttribute("aria-selected", "true");
  outline("chosen", cell);
}

function choose(index) {
  state.at = placeOf(index);
  markChosen();
  drawMembers();
  drawSlices();
}

// The pointer and the keys over the map.
function listen(svg) {
  const rectAt = (event) => event.target.closest?.("[data-cell]");
  svg.addEventListener("pointermove", (event) => {
    const rect = rectAt(event);
    if (rect && event.pointerType !== "touch") showTip(rect);
    else hideTip();
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    const rect = rectAt(event);
    if (rect) choose(Number(rect.dataset.cell));
  });
  svg.addEventListener("focusin", (event) => {
    const rect = rectAt(event);
    if (!rect || !rect.matches(":focus-visible")) return;
    outline("reached", cells[rect.dataset.cell]);
    showTip(rect);
  });
  svg.addEventListener("focusout", () => {
    document.getElementById("reached")?.setAttribute("visibility", "hidden");
    hideTip();
  });
  svg.addEventListener("keydown", (event) => {
    const rect = rectAt(event);
    if (!rect) return;
    const index = Number(rect.dataset.cell);
    if (event.key === "Enter" || event.key === " ") choose(index);
    else if (event.key === "Escape") hideTip();
    else if (!walk(index, event.key)) return;
    event.preventDefault();
  });
}

function walk(index, key) {
  const at = placeOf(index);
  const up = state.row !== null && data.axes[state.row].scale !== "category" ? 1 : -1;
  const ways = {
    ArrowLeft: [state.col, -1], ArrowRight: [state.col, 1], ArrowUp: [state.row, up], ArrowDown: [state.row, -up],
  };
  if (key === "Home") at[state.col] = 0;
  else if (key === "End") at[state.col] = colCount() - 1;
  else if (ways[key]) {
    const [axis, by] = ways[key];
    if (axis !== null) at[axis] = Math.min(Math.max(at[axis] + by, 0), data.axes[axis].values.length - 1);
  } else return false;
  const next = rectOf(indexOf(at));
  document.querySelectorAll('#cells [tabindex="0"]').forEach((r) => r.setAttribute("tabindex", -1));
  next.setAttribute("tabindex", 0);
  next.focus();
  return true;
}

// The members of the chosen cell.
function runOf(row) {
  const name = `${data.sweep}/runs/${row.run}`;
  const command = element("code", {}, `grokscope show ${name}`);
  if (!data.live) return element("p", { class: "run" }, command, ` member ${row.member}`);
  const path = name.split("/").map(encodeURIComponent).join("/");
  return element("p", { class: "run" },
    element("a", { href: `${data.base}/run/${path}#member` }, `run ${row.run}`), `, member ${row.member}`);
}

function memberItem(row) {
  const spoilt = SPOILT.includes(row.label);
  const dot = element("i");
  dot.style.background = `var(${spoilt ? "--anomaly" : `--label-${slug(row.label)}`})`;
  const name = element("span", { class: "label" }, dot, row.label === "failed" ? "failed, no finding" : row.label);
  const first = element("p", {}, name, element("span", {}, `seed ${row.seed}`));
  const item = element("li", { "data-seed": row.seed }, first);
  const pair = (a, b) => item.append(element("p", { class: "soft" }, element("span", {}, a), element("span", {}, b)));
  const open = `> ${step(row.steps)}`;
  if (row.label !== "failed") {
    if (row.regime) pair("regime", row.regime);
    pair("memorised at", row.t_train === null ? open : step(row.t_train));
    const delay = row.delay === null ? "" : `, delay ${step(row.delay)}`;
    pair("generalised at", row.t_test === null ? open : `${step(row.t_test)}${delay}`);
    pair("ended after", `${plural(row.steps, "step")}${row.censored ? ", censored" : ""}`);
    const share = (v) => (v === null ? "–" : percent(v));
    pair("final accuracy", `train ${share(row.train_accuracy)}, test ${share(row.test_accuracy)}`);
  }
  if (row.note) item.append(element("p", { class: "remark" }, row.note));
  item.append(runOf(row));
  return item;
}

function drawMembers() {
  const host = document.getElementById("cell");
  const cell = cells[indexOf(state.at)];
  const list = element("ul", { tabindex: 0, "aria-label": "Members of the cell" });
  list.append(...cell.rows.map(memberItem));
  const head = element("h3", { id: "cell-heading" }, values(state.at));
  const summary = element("p", { role: "status" }, told(cell).join("; "));
  host.replaceChildren(head, summary, ...(cell.rows.length ? [list] : []));
  host.hidden = false;
}
