// Quantities to choose from, searched by words and grouped by tag; the choice is a list of keys.
import { el, plural } from "./common.js";

// `quantities` are {key, unit, about}; `changed(keys)` is called with the new choice. Returns {offer, choose}.
export function picker(host, chosen, changed, most = 6) {
  const search = el("input", { type: "search", placeholder: "norm, fourier, curve/…", autocomplete: "off" });
  search.spellcheck = false;
  const groups = el("div", { className: "groups", role: "group", "aria-label": "Quantities" });
  const line = el("p", { className: "note", role: "status" });
  const summary = el("summary", {}, "Choose quantities");
  const box = el("details", {}, summary, el("label", { className: "search" }, "search ", search), line, groups);
  const picked = el("ul", { className: "chips", "aria-label": "Quantities that are drawn" });
  host.replaceChildren(box, picked);
  let all = [];

  const set = (keys) => {
    chosen = keys;
    mark();
    changed(chosen);
  };
  const mark = () => {
    groups.querySelectorAll("input").forEach((i) => {
      i.checked = chosen.includes(i.value);
      i.disabled = !i.checked && chosen.length >= most;
    });
    picked.replaceChildren(...chosen.map((key) => el("li", {}, el("code", {}, key), el("button", { type: "button",
      "aria-label": `Take ${key} away`, onclick: () => { set(chosen.filter((k) => k !== key)); summary.focus(); } },
        "×"))));
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    groups.querySelectorAll("fieldset").forEach((group) => {
      let some = false;
      group.querySelectorAll("label").forEach((label) => {
        label.hidden = !words.every((word) => label.dataset.text.includes(word));
        some ||= !label.hidden;
        left += label.hidden ? 0 : 1;
      });
      group.hidden = !some;
    });
    line.textContent = `${plural(left, "quantity").replace("quantitys", "quantities")}; up to ${most} at a time.`;
  };
  search.addEventListener("input", filter);
  groups.addEventListener("change", (event) => {
    const key = event.target.value;
    set(event.target.checked ? [...chosen, key] : chosen.filter((k) => k !== key));
  });

  return {
    offer(quantities) {
      const found = quantities.map((q) => q.key).join();
      if (found === all.join()) return; // an update must not take the focus away
      all = quantities.map((q) => q.key);
      const tags = new Map();
      for (const q of quantities) {
        const tag = q.key.includes("/") ? q.key.split("/")[0] : "other";
        tags.set(tag, [...(tags.get(tag) || []), q]);
      }
      groups.replaceChildren(...[...tags].map(([tag, own]) => el("fieldset", {}, el("legend", {}, tag),
        own.map((q) => el("label", { title: q.about || "", data: { text: `${q.key} ${q.about || ""}`.toLowerCase() } },
          el("input", { type: "checkbox", value: q.key }), el("span", {}, q.key.slice(q.key.indexOf("/") + 1)),
          q.unit && q.unit !== "1" ? el("small", {}, q.unit) : null)))));
      mark();
      filter();
    },
    choose(keys) { chosen = keys; mark(); },
  };
}
