// What every page needs: the API, words for numbers, elements, the theme, and the events of the store.
export const page = document.documentElement;
export const base = page.dataset.base || "";

export const link = (kind, name) => `${base}/${kind}/${name.split("/").map(encodeURIComponent).join("/")}`;

// GET some JSON. `params` may hold lists, which repeat their key; empty values are left out.
export async function api(path, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(key, one);
  }
  const address = link("api", path) + (String(query) ? `?${query}` : "");
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error((body && (body.error || body.detail)) || `${answer.status} for ${address}`);
  return body;
}

// One line where something cannot be had; null takes it away.
export function trouble(error) {
  const line = document.getElementById("trouble");
  line.hidden = !error;
  line.textContent = error ? error.message || String(error) : "";
  const heading = document.getElementById("sentence");
  if (error && heading?.textContent === "…") heading.textContent = "This cannot be shown";
}

// To a screen reader, politely; the same words are not said twice.
export function announce(text) {
  const line = document.getElementById("said");
  if (line.textContent !== text) line.textContent = text;
}

// An element: properties by name, attributes with a dash or under `attr`, children of text or elements.
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (name.includes("-") || name === "role" || name === "colspan") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ""));
  return element;
}

const minus = (text) => text.replace("-", "−");
export const step = (n) => (n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en-US"));
export const count = (n) => ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][n]
  || n.toLocaleString("en-US");
export const plural = (n, word) => `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;

// Never rounds up to 100: what is written as 100 is all of it.
export function percent(share, digits = 2) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const scale = 10 ** digits;
  const up = Math.round(100 * share * scale) / scale;
  return `${(share < 1 && up >= 100 ? Math.floor(100 * share * scale) / scale : up).toFixed(digits)} %`;
}

const RAISED = Object.fromEntries([..."-0123456789"].map((c, i) => [c, "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"[i]]));
// Three digits that matter.
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) {
    const [mantissa, power] = value.toExponential(1).split("e");
    return minus(`${mantissa}·10`) + [...String(Number(power))].map((c) => RAISED[c]).join("");
  }
  return minus(size >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3))));
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

export const when = (iso) => (iso ? iso.slice(5, 16).replace("T", " ") : "–");
export const dotted = (name) => (name ? el("i",
  { style: { background: `var(--label-${slugged(name)}, var(--faint))` } })
  : null);
export const slugged = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "-");
export function debounce(work, wait) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

// Runs `work` now, and once more after it if it was asked for meanwhile; never twice at the same time.
export function oneAtATime(work) {
  let busy = false;
  let again = false;
  return async function go() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      await work();
      trouble(null);
    } catch (error) {
      trouble(error);
    } finally {
      busy = false;
      if (again) { again = false; setTimeout(go, 100); }
    }
  };
}

// Calls `tell(names)` when runs of the store change; the browser connects again by itself.
export function follow(tell) {
  const source = new EventSource(`${base}/events`);
  let lost = false;
  source.addEventListener("runs", (event) => tell(new Set(JSON.parse(event.data).changed || [])));
  source.addEventListener("error", () => { lost = true; });
  source.addEventListener("open", () => { if (lost) tell(null); lost = false; }); // anything may have changed meanwhile
  window.addEventListener("pagehide", () => source.close());
}

export function csv(name, rows) {
  const cell = (v) => (/[",\n]/.test(String(v ?? "")) ? `"${String(v).replaceAll('"', '""')}"` : String(v ?? ""));
  const text = rows.map((row) => row.map(cell).join(",")).join("\n");
  const anchor = el("a", { href: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })),
    download: `${name.replaceAll("/", "-")}.csv` });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
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

// The switch of colours and the copy buttons; `again` draws what does not follow the style sheet by itself.
export function dress(again = () => {}) {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (page.dataset.theme ? page.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = dark() ? "light" : "dark";
    button.setAttribute("aria-label", `Use the ${button.textContent} colours`);
    again();
  };
  button.addEventListener("click", () => {
    page.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("grokscope-theme", page.dataset.theme); } catch { /* nothing is remembered */ }
    show();
  });
  system.addEventListener("change", show);
  document.querySelectorAll(".copy").forEach((b) => b.addEventListener("click", () => copy(b)));
  show();
}
