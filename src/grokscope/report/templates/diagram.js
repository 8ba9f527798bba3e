// Switches, files, themes: the page's start.
function drawAll() {
  readingNote();
  drawMap();
  drawMembers();
  drawSlices();
}

function cellsTable() {
  const fields = data.axes.map((a) => a.field);
  const table = [[...fields, ...data.cellFields]];
  for (let r = 0; r < rowCount(); r += 1) {
    for (let c = 0; c < colCount(); c += 1) {
      const cell = shownCell(r, c);
      const at = placeOf(cell.index).map((i, k) => data.axes[k].values[i]);
      table.push([...at, ...data.cellFields.map((f) => cell[f])]);
    }
  }
  return table;
}

function membersTable() {
  const kept = data.rowFields.filter((f) => f !== "cell");
  const table = [[...data.axes.map((a) => a.field), ...kept]];
  for (const row of rows) table.push([...row.cell.map((i, k) => data.axes[k].values[i]), ...kept.map((f) => row[f])]);
  return table;
}

const FILES = {
  svg: () => saveSvg(document.querySelector("#cells svg"), state.quantity),
  cells: () => save("cells.csv", asCsv(cellsTable()), "text/csv"),
  members: () => save("members.csv", asCsv(membersTable()), "text/csv"),
};

function readingNote() {
  const [row, col] = [state.row === null ? null : data.axes[state.row].name, data.axes[state.col].name];
  const title = row === null ? col : `${row} against ${col}`;
  document.getElementById("map-heading").textContent = title.charAt(0).toUpperCase() + title.slice(1);
  const q = quantity();
  const median = q.kind === "names" ? "" : data.members > 1 ? ", median over the members of a cell" : "";
  const lines = `Lines run where the ${q.key === "regime" ? "regime" : "label"} changes`;
  const about = q.about.charAt(0).toUpperCase() + q.about.slice(1);
  const members = `${plural(data.members, "member")} in each cell`;
  document.getElementById("reading").textContent = `${about}${median}. ${lines}. ${members}.`;
}

function startQuantities() {
  const host = document.querySelector(".quantities");
  for (const q of data.quantities) {
    const button = element("button", { type: "button", "data-quantity": q.key, title: q.about }, q.name);
    button.addEventListener("click", () => {
      state.quantity = q.key;
      showQuantity();
      readingNote();
      drawMap();
      drawMembers();
    });
    host.append(button);
  }
  host.hidden = false;
  showQuantity();
}
function showQuantity() {
  for (const b of document.querySelectorAll("[data-quantity]")) {
    b.setAttribute("aria-pressed", String(b.dataset.quantity === state.quantity));
  }
}

// With more than two axes: which two the map shows, and where on the others it lies.
function startOthers() {
  const host = document.querySelector(".others");
  host.replaceChildren();
  host.hidden = data.axes.length < 3;
  if (host.hidden) return;
  host.append(axisChoice("rows", "row"), axisChoice("columns", "col"));
  data.axes.forEach((axis, k) => { if (k !== state.row && k !== state.col) host.append(valueChoice(axis, k)); });
}

function axisChoice(title, which) {
  const choice = element("select", { "data-axis": which });
  data.axes.forEach((axis, k) => choice.append(element("option", { value: k }, axis.name)));
  choice.value = state[which];
  choice.addEventListener("change", () => {
    const [other, chosen] = [which === "row" ? "col" : "row", Number(choice.value)];
    if (state[other] === chosen) state[other] = state[which];
    state[which] = chosen;
    startOthers();
    drawAll();
    document.querySelector(`[data-axis="${which}"]`).focus();
  });
  return element("label", {}, title, choice);
}

function valueChoice(axis, k) {
  const go = (i) => { state.at[k] = i; drawAll(); };
  if (axis.scale === "category") {
    const choice = element("select", { "data-other": axis.field });
    axis.names.forEach((name, i) => choice.append(element("option", { value: i }, name)));
    choice.value = state.at[k];
    choice.addEventListener("change", () => go(Number(choice.value)));
    return element("label", {}, axis.name, choice);
  }
  const slider = element("input", {
    type: "range", min: 0, max: axis.values.length - 1, step: 1, value: state.at[k], "data-other": axis.field,
  });
  const out = element("output", {}, axis.names[state.at[k]]);
  const show = () => {
    out.textContent = axis.names[slider.value];
    slider.setAttribute("aria-valuetext", out.textContent);
  };
  show();
  slider.addEventListener("input", () => { show(); go(Number(slider.value)); });
  return element("label", {}, axis.name, slider, out);
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
    colours.clear();
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
  document.getElementById("switches").hidden = false;
  document.getElementById("cell").hidden = false; // it takes its place before the map is measured
  show();
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(code); // the reader's Ctrl-C does the rest
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

function start() {
  root.classList.add("alive");
  startQuantities();
  startOthers();
  startTheme();
  document.getElementById("exports").hidden = false;
  for (const b of document.querySelectorAll("[data-export]")) {
    b.addEventListener("click", () => FILES[b.dataset.export]());
  }
  document.querySelectorAll(".copy").forEach((b) => b.addEventListener("click", () => copy(b)));
  root.classList.add("drawn");
  let width = window.innerWidth;
  let waiting = null;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's address bar changes the height only
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 120);
  });
  for (const event of ["beforeprint", "afterprint"]) {
    window.addEventListener(event, () => { colours.clear(); drawAll(); });
  }
}

start();
