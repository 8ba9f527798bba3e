// The line charts of a run as plain data for the figure code; as in report/panels.py.
import { plural, step } from "./common.js";
import { data } from "./figures.js";
import { isLog } from "./chart.js";
import { finite, median } from "./median.js";

const NANDA = "Nanda et al. 2023, Sec. 5.1";
const settled = (members) => new Set(members.filter((m) => m.ended === "generalised").map((m) => m.member));

// A line for the median with its band, and every member faint; for a single member, that member.
export function crowd(key, tone, members, log, label = tone, name = "") {
  const series = data.series[key];
  if (!series || !Object.keys(series).length) return null;
  const own = Object.keys(series).map(Number);
  const middle = own.length > 1 ? median(series, log, settled(members)) : null;
  return { key, name: name || key.replace("/", " "), label, tone, main: middle || { m: own[0] },
    each: middle ? own : [] };
}

// Half way between memorising and generalising, as a length: from median to median; open where nobody generalised.
function delay(members) {
  const mid = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
  };
  const both = members.filter((m) => m.t_train !== null && m.t_test !== null);
  const trained = members.filter((m) => m.t_train !== null);
  if (both.length) {
    const [from, to] = [mid(both.map((m) => m.t_train)), mid(both.map((m) => m.t_test))];
    const some = both.length < members.length ? ` (${both.length} of ${members.length})` : "";
    return to > from ? { from, to, text: `delay ${step(to - from)} steps${some}`, open: false } : null;
  }
  const last = Math.max(...members.map((m) => m.steps));
  if (!trained.length) return null;
  const from = mid(trained.map((m) => m.t_train));
  return last > from ? { from, to: last, text: `delay > ${step(last - from)} steps`, open: true } : null;
}

function finding(members, late) {
  const done = members.filter((m) => m.t_test !== null).length;
  if (late && !late.open) {
    const text = `test set follows the training set by ${step(late.to - late.from)} steps`;
    return done === members.length ? `The ${text}` : `In ${done} of ${members.length} members the ${text}`;
  }
  if (late) return "The training set is learned, the test set is not";
  return members.some((m) => m.t_train !== null || m.t_test !== null) ? "Loss and accuracy"
    : "Not even the training set is learned";
}

function how(members, shown) {
  if (members.length === 1) return `Train quiet, test strong; seed ${members[0].seed}.`;
  const edge = members.length <= 8 ? "from the lowest to the highest" : "over the middle half";
  return `Train quiet, test strong: the median of ${members.length} members, a band ${edge}, each member faint. `
    + `The ribbon names the phases of seed ${shown.seed}.`;
}

export function picture(members, shown, chance) {
  const loss = { title: `loss${data.lossUnit ? ` (${data.lossUnit})` : ""}`, log: true, share: 0.66,
    lines: ["train", "test"].map((s) => crowd(`${s}/loss`, s, members, true)).filter(Boolean) };
  if (chance) loss.marks = [{ y: chance.loss, text: chance.text }];
  const accuracy = { title: "accuracy", percent: true, share: 0.34, delay: delay(members),
    lines: ["train", "test"].map((s) => crowd(`${s}/accuracy`, s, members, false, "")).filter(Boolean) };
  const rows = [loss, accuracy].filter((row) => row.lines.length);
  if (!rows.length) return null;
  if (rows.length === 1) rows[0].share = 1;
  return { id: "picture", heading: finding(members, accuracy.delay), note: how(members, shown), rows,
    source: "Events: grokscope.phases.events; each needs three looks in a row.",
    keys: ["train/loss", "test/loss", "train/accuracy", "test/accuracy"], members: members.map((m) => m.member) };
}

export function circuit(members, shown) {
  const keys = ["fourier/restricted_loss", "fourier/excluded_loss"];
  const has = (key) => finite((data.series[key] || {})[shown.member] || { x: [], y: [] }).x.length > 0;
  if (!keys.every(has)) return null;
  const one = (key, tone, name) => ({ key, name, label: name, tone, main: { m: shown.member }, each: [] });
  const lines = [one("test/loss", "train", "test"), one(keys[0], "restricted", "restricted"),
    one(keys[1], "excluded", "excluded")].filter((line) => has(line.key));
  return { id: "circuit", heading: "What the key frequencies do to the loss", source: NANDA, members: [shown.member],
    note: "Restricted loss keeps only the key frequencies of the logits, on all pairs; excluded loss takes them out, "
      + `on training pairs. Key frequencies are those of the finished model. Seed ${shown.seed}.`,
    rows: [{ title: "loss (nats)", log: true, share: 1, lines }], keys: [...keys, "test/loss", "train/loss"] };
}

// Any quantity: its members, their median and band.
export function quantity(about, members) {
  const { key } = about;
  const log = isLog(key, data.series[key]);
  const line = crowd(key, "test", members, log, "", key);
  if (!line) return null;
  const n = Object.keys(data.series[key]).length;
  const text = about.about ? `${about.about.replace(/\.$/, "")}. ` : "";
  const unit = about.unit && about.unit !== "1" ? about.unit : "";
  return { id: idOf(key), heading: key, rows: [{ title: unit, log, percent: key.endsWith("accuracy"), share: 1,
    lines: [line] }],
    note: `${text}${n > 1 ? `Median of ${plural(n, "member")}, each faint.` : ""}`, keys: [key],
    source: about.hindsight ? "Measured in hindsight, with the finished model." : "",
      members: members.map((m) => m.member) };
}

export const idOf = (key) => `q-${key.replace(/[^A-Za-z0-9]/g, "-")}`;
