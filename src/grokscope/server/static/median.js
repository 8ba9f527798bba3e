// Over members: the median and its band, the member that stands for all, the step axis. As in report/curves.py.
const FLOOR = 1e-12;
const SMALL = 8; // up to this many members the band goes from the lowest to the highest, above it over the middle half
const MOST = 700; // columns of the median

// A series up to the look before its first NaN.
export function finite(series) {
  const bad = series.y.findIndex((v) => v === null);
  return bad < 0 ? series : { x: series.x.slice(0, bad), y: series.y.slice(0, bad) };
}

function percentile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

function columns(members) {
  const all = [...new Set(members.flatMap((s) => s.x))].sort((a, b) => a - b);
  if (all.length <= MOST) return all;
  const kept = Array.from({ length: MOST }, (_, i) => all[Math.round((i * (all.length - 1)) / (MOST - 1))]);
  return [...new Set(kept)];
}

// `series` by member; between its own looks a member is interpolated in log step. After its last look it does
// not count, except for the `settled`, which generalised and were stopped for it.
export function median(series, log, settled) {
  const members = Object.entries(series).map(([m, s]) => ({ m: Number(m), ...finite(s) })).filter((s) => s.x.length);
  if (!members.length) return null;
  const grid = columns(members);
  const edge = members.length <= SMALL ? 0 : 0.25;
  const out = { x: [], y: [], low: [], high: [], n: [] };
  const place = new Map(members.map((s) => [s.m, 0]));
  for (const x of grid) {
    const values = [];
    let running = 0;
    for (const s of members) {
      const last = s.x.length - 1;
      if (x < s.x[0] || (x > s.x[last] && !settled.has(s.m))) continue;
      if (x <= s.x[last]) running += 1;
      let i = place.get(s.m);
      while (i < last && s.x[i + 1] <= x) i += 1;
      place.set(s.m, i);
      const high = (v) => (log ? Math.log(Math.max(v, FLOOR)) : v);
      const next = Math.min(i + 1, last);
      const [a, b] = [Math.log1p(s.x[i]), Math.log1p(s.x[next])];
      const part = next === i ? 0 : Math.min(1, (Math.log1p(x) - a) / (b - a));
      values.push(high(s.y[i]) + (high(s.y[next]) - high(s.y[i])) * part);
    }
    if (!values.length) continue;
    values.sort((a, b) => a - b);
    const found = [edge, 0.5, 1 - edge].map((p) => percentile(values, p)).map((v) => (log ? Math.exp(v) : v));
    out.x.push(x);
    out.low.push(found[0]);
    out.y.push(found[1]);
    out.high.push(found[2]);
    out.n.push(running);
  }
  return out;
}

// The (upper) median by t_test, else by t_train, else the first; those that have ended come first.
export function representative(members) {
  const tested = members.filter((m) => m.t_test !== null);
  const trained = members.filter((m) => m.t_train !== null);
  let pool = tested.length ? tested : trained.length ? trained : members;
  const ended = pool.filter((m) => m.ended);
  pool = ended.length ? ended : pool;
  if (!pool.length) return null;
  const ordered = [...pool].sort((a, b) => (a.t_test || 0) - (b.t_test || 0) || (a.t_train || 0) - (b.t_train || 0)
    || a.member - b.member);
  return ordered[tested.length || trained.length ? Math.floor(ordered.length / 2) : 0];
}

// c of the axis log(step + c): the largest of 1, 2, 5, 10, … up to a tenth of the first t_train.
export function axisOffset(members, last) {
  const trained = members.map((m) => m.t_train).filter((t) => t !== null);
  const bound = trained.length ? Math.min(...trained) / 10 : last / 100;
  let best = 1;
  for (let e = 1; e < 1e9; e *= 10) for (const m of [1, 2, 5]) if (m * e <= bound) best = m * e;
  return best;
}
