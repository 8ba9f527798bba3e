// Colours from the style sheet, text widths, and names written on the lines instead of legends.
const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const slug = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "-");
const pen = document.createElement("canvas").getContext("2d");

function textWidth(text, size, weight = 400) {
  pen.font = `${weight} ${size}px ${css("font")}`;
  return pen.measureText(text).width;
}

function alpha(hex, opacity) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

// Height in pixels of a curve at pixel column x; null outside of it.
function heightAt(curve, x) {
  const i = curve.findIndex(([cx]) => cx >= x);
  if (i < 0 || !curve.length) return null;
  if (i === 0) return curve[0][0] - x < 2 ? curve[0][1] : null;
  const [[x0, y0], [x1, y1]] = [curve[i - 1], curve[i]];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0 || 1);
}

// Where a name stands freest: beside its own curve, far from the others and from names already set.
// Curves are lists of [x, y] in pixels, y downwards; `own` is [upper edge, lower edge, line], as a band
// belongs to its line; names already set are boxes.
function placeLabel(text, own, others, box, set, size) {
  const width = textWidth(text, size, 500);
  let best = null;
  for (let i = 1; i < 40; i += 1) {
    const middle = (box.width * i) / 40;
    if (middle - width / 2 < 4 || middle + width / 2 > box.width - 4) continue;
    const columns = [-0.5, -0.25, 0, 0.25, 0.5].map((f) => middle + f * width);
    for (const side of [-1, 1]) {
      const heights = columns.map((x) => heightAt(own[side < 0 ? 0 : 1], x)).filter((y) => y !== null);
      if (heights.length < 5) continue;
      const edge = side < 0 ? Math.min(...heights) - 6 : Math.max(...heights) + 6;
      const [top, bottom] = side < 0 ? [edge - size, edge] : [edge, edge + size];
      if (top < 2 || bottom > box.height - 2) continue;
      let free = Math.min(top, box.height - bottom, 24);
      for (const other of others) {
        for (const x of columns) {
          const y = heightAt(other, x);
          if (y !== null) free = Math.min(free, y < top ? top - y : y > bottom ? y - bottom : -60);
        }
      }
      for (const s of set) {
        if (s.left < middle + width / 2 + 6 && s.right > middle - width / 2 - 6 && s.top < bottom + 4 &&
          s.bottom > top - 4) free = -120;
      }
      const slope = Math.max(...heights) - Math.min(...heights);
      const away = Math.max(0, Math.abs(heightAt(own[2], middle) - (top + bottom) / 2) - 18);
      const score = free - away - 0.6 * slope - Math.abs(i - 20) * 0.12 + (side < 0 ? 1.5 : 0);
      if (!best || score > best.score) best = { score, x: middle, y: (top + bottom) / 2, left: middle - width / 2,
        right: middle + width / 2, top, bottom };
    }
  }
  if (best) set.push(best);
  return best;
}

// Heights moved apart so that neighbours keep `gap` pixels; order is kept.
function spread(heights, gap, low, high) {
  const out = [...heights];
  for (let round = 0; round < 60; round += 1) {
    for (let i = 1; i < out.length; i += 1) {
      const lack = gap - (out[i] - out[i - 1]);
      if (lack > 0) { out[i] += lack / 2; out[i - 1] -= lack / 2; }
    }
    out.forEach((y, i) => { out[i] = Math.min(high, Math.max(low, y)); });
  }
  return out;
}
