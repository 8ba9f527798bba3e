// Phases as a ribbon: named in words, inside a segment where they fit, above it where they do not.
const memberOf = (id) => data.members.find((m) => m.id === id);

function piece(name, start, end, [a, b]) {
  const [left, right] = [Math.max(X(start), a), Math.min(X(end), b)];
  if (right < left || (right === left && start !== end)) return null;
  return { name, start, end, left: ((left - a) / (b - a)) * 100, width: ((right - left) / (b - a)) * 100 };
}

function segmentsIn(member, window) {
  return member.segments.map(([n, s, e]) => piece(n, s, e, window)).filter(Boolean);
}

function block(one, className, fill) {
  const element = document.createElement("span");
  element.className = className;
  element.style.left = `${one.left}%`;
  element.style.width = `${one.width}%`;
  const when = one.start === one.end ? `step ${words(one.start)}` : `steps ${words(one.start)} to ${words(one.end)}`;
  element.title = `${one.name}: ${when}`;
  if (fill) element.style.background = `var(--seg-${slug(one.name)})`;
  return element;
}

function drawRibbon(host, member, width) {
  host.replaceChildren();
  const bar = document.createElement("div");
  const above = [];
  bar.className = "bar";
  for (const one of segmentsIn(member, range())) {
    const element = block(one, "segment", true);
    const pixels = (one.width / 100) * width;
    const wide = textWidth(one.name, 12, 600);
    if (pixels > wide + 16) {
      element.textContent = one.name;
      element.style.color = data.inkOn[slug(one.name)] || "#fff";
    } else if (pixels > 3) {
      above.push({ one, wide: textWidth(one.name, 11, 600), middle: ((one.left + one.width / 2) / 100) * width });
    }
    bar.append(element);
  }
  host.append(names(above, width), bar);
  const odd = member.anomalies.map(([n, s, e]) => piece(n, s, e, range())).filter(Boolean);
  if (odd.length) host.append(oddities(odd, width));
}

// Names of narrow segments, above them and pushed apart from right to left.
function names(above, width) {
  const line = document.createElement("div");
  line.className = "names";
  let limit = width;
  const placed = above.reverse().map((a) => {
    const left = Math.min(a.middle - a.wide / 2, limit - a.wide);
    limit = left - 10;
    return { ...a, left };
  });
  for (const a of placed.filter((p) => p.left >= 0)) {
    const element = document.createElement("span");
    element.textContent = a.one.name;
    element.style.left = `${a.left}px`;
    element.style.color = `var(--seg-${slug(a.one.name)})`;
    line.append(element);
  }
  line.hidden = !above.length;
  return line;
}

function oddities(odd, width) {
  const line = document.createElement("div");
  line.className = "odd-line";
  for (const one of odd) line.append(block(one, "hatch", false));
  const first = odd[0];
  const text = document.createElement("em");
  text.textContent = [...new Set(odd.map((o) => o.name))].join(", ");
  const right = (Math.max(...odd.map((o) => o.left + o.width)) / 100) * width + 6;
  const wide = textWidth(text.textContent, 11, 500);
  text.style.left = `${right + wide < width ? right : Math.max(0, (first.left / 100) * width - wide - 8)}px`;
  line.append(text);
  return line;
}

// One member's whole course as a thin strip in the table; open at the end where it was censored.
function drawStrip(host) {
  const member = memberOf(Number(host.dataset.member));
  host.replaceChildren();
  if (!member) return;
  for (const one of segmentsIn(member, whole())) host.append(block(one, "segment", true));
  for (const [n, s, e] of member.anomalies) {
    const one = piece(n, s, e, whole());
    if (one) host.append(block(one, "hatch", false));
  }
  if (member.open && host.lastChild) {
    const end = document.createElement("span");
    end.className = "open";
    end.style.left = `${((X(member.last) - whole()[0]) / (whole()[1] - whole()[0])) * 100}%`;
    end.textContent = "›";
    host.append(end);
  }
}
