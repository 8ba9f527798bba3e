// The elements on a key frequency's plane; a slider travels in time.
function startCircle(panel) {
  const figure = document.getElementById("circle");
  const [host, slider, out] = [figure.querySelector(".plot"), figure.querySelector("input"),
    figure.querySelector("output")];
  const bytes = Uint8Array.from(atob(panel.table), (c) => c.charCodeAt(0));
  const table = new Int16Array(bytes.buffer);
  const { elements, keys, steps } = panel;
  const space = "http://www.w3.org/2000/svg";
  const make = (name, attributes) => {
    const element = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = make("svg", { viewBox: "-104 -104 208 208", "aria-hidden": "true" });
  const ring = make("circle", { cx: 0, cy: 0, class: "ring" });
  const dots = Array.from({ length: elements }, (_, a) => {
    const dot = make("circle", { r: elements > 300 ? 1.2 : 2.4 });
    const name = make("title", {});
    name.textContent = String(a);
    dot.append(name);
    return dot;
  });
  svg.append(ring, ...dots);
  host.replaceChildren(svg);
  let chosen = panel.best;

  const place = (look, key, a) => {
    const i = 2 * ((look * keys.length + key) * elements + a);
    const unit = ((panel.scale[key] / panel.reach[key]) * 100) / 32767;
    return [table[i] * unit, -table[i + 1] * unit];
  };
  const draw = () => {
    const look = Number(slider.value);
    const k = keys[chosen];
    let square = 0;
    dots.forEach((dot, a) => {
      const [x, y] = place(look, chosen, a);
      square += x * x + y * y;
      dot.setAttribute("cx", x.toFixed(2));
      dot.setAttribute("cy", y.toFixed(2));
      dot.setAttribute("fill", `oklch(var(--dot-light) 0.145 ${((360 * ((k * a) % elements)) / elements).toFixed(1)})`);
    });
    ring.setAttribute("r", Math.sqrt(square / elements).toFixed(2));
    const round = Math.round(100 * panel.roundness[look][chosen]);
    const strong = Object.assign(document.createElement("b"), { textContent: `step ${words(steps[look])}` });
    out.replaceChildren(strong, ` ${round} % a circle`);
    slider.setAttribute("aria-valuetext", `step ${words(steps[look])}, ${round} percent a circle`);
  };
  const buttons = keys.map((k, i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `k = ${k}` });
    button.addEventListener("click", () => { chosen = i; mark(); draw(); });
    return button;
  });
  const mark = () => buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === chosen)));
  figure.querySelector(".keys").append(...buttons);
  slider.addEventListener("input", draw);

  const play = figure.querySelector(".play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play the run");
  };
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Stop");
    timer = setInterval(() => { slider.stepUp(); draw(); if (slider.value === slider.max) stop(); }, 90);
  });
  play.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches || steps.length < 3;
  figure.querySelector(".controls").hidden = false;
  mark();
  draw();
}

function circleRows(panel) {
  const table = new Int16Array(Uint8Array.from(atob(panel.table), (c) => c.charCodeAt(0)).buffer);
  const rows = [["step", "frequency", "element", "x", "y"]];
  let i = 0;
  for (const step of panel.steps) {
    panel.keys.forEach((k, j) => {
      for (let a = 0; a < panel.elements; a += 1, i += 2) {
        const [x, y] = [table[i], table[i + 1]].map((v) => Number(((v / 32767) * panel.scale[j]).toPrecision(5)));
        rows.push([step, k, a, x, y]);
      }
    });
  }
  return rows;
}
