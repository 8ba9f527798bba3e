"""Write docs/MONITOR.md and its picture from results/forecast/scores.json and results/forecast/monitor.json.

python docs/monitor.py [--figure]
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from grokscope.advice import VERDICTS
from grokscope.advice.plateau import LONG, UNLIKELY
from grokscope.benchmarks import corpus
from grokscope.benchmarks.blind import BLIND
from grokscope.benchmarks.gating import FALSE, LATE
from grokscope.forecast import calibration
from grokscope.forecast.base import INTERVAL
from grokscope.forecast.content import RISES
from grokscope.forecast.gates import QUORUM, SUSTAIN
from grokscope.papers.drawing import apart

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "MONITOR.md"
SCORES = ROOT / "results" / "forecast" / "scores.json"
COSTS = ROOT / "results" / "forecast" / "monitor.json"
LOSING = ROOT / "results" / "forecast" / "losing.json"
PICTURE = ROOT / "docs" / "img" / "monitor.png"
LABELS = ("confusion", "memorization", "grokking", "comprehension")
SETS = {
    "curves": "training loss alone (not shipped)",
    "validation": "held-out curves",
    "weights": "weight norm",
    "weights+validation": "weight norm and held-out curves",
    "weights+direction+logits": "norm, direction and logits: `Monitor`, training rows only",
    "weights+direction+logits+validation": "and held-out curves",
    "weights+direction+logits+content": "norm, direction, logits, content: `Monitor`, training rows only",
    "weights+direction+logits+content+validation": "and held-out curves",
}
MONITOR = "weights+direction+logits+content"
VIEWS = ("monitor", "in one with its source", "log of evaluations")
PARTS = ("held_out", "blind")


def page(scores: dict[str, Any], costs: dict[str, Any] | None, losing: dict[str, Any] | None) -> str:
    """The page's text."""
    environment = Environment(loader=FileSystemLoader(ROOT / "docs"), trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "share": lambda value: f"{100 * value:.0f} %" if value else ("–" if value is None else "0 %"),
        "exact": lambda value: f"{100 * value:.1f} %",
        "two": lambda value: f"{value:.2f}" if value else "–",
        "three": lambda value: f"{value:.3f}" if value else "–",
    }
    found = scores["held_out"]["forecast"]
    areas = found.get(MONITOR, {}).get("area_by_system", {})
    text = environment.get_template("monitor.md.j2").render(
        scores=scores,
        parts=[scores[part] for part in PARTS],
        costs=costs,
        monitor=MONITOR,
        losing=losing,
        views=VIEWS,
        systems=corpus.SYSTEMS,
        blind=BLIND,
        labels=LABELS,
        sets=SETS,
        inside={name: area for name, area in areas.items() if area is not None},
        interval=INTERVAL,
        verdicts=VERDICTS,
        quorum=QUORUM,
        sustain=SUSTAIN,
        allowed=FALSE,
        angle=calibration()["angle"],
        norm=calibration()["norm_ratio"],
        directions=RISES,
        late=LATE,
        unlikely=UNLIKELY,
        long=LONG,
    )
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


def draw(scores: dict[str, Any], path: Path) -> None:
    """Reliability on unseen systems, and what each stopping rule kills and saves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from grokscope.report.figures import LIGHT, style

    with style("monitor"):
        figure = Figure(figsize=(9.6, 3.7), facecolor=LIGHT["paper"])
        first, second = figure.subplots(1, 2, width_ratios=(1, 1.15))
        figure.subplots_adjust(left=0.07, right=0.98, top=0.86, bottom=0.15, wspace=0.22)
        for axes in (first, second):
            axes.set_facecolor("none")
            for side, spine in axes.spines.items():
                spine.set(visible=side in ("bottom", "left"), color=LIGHT["faint"])
            axes.tick_params(length=0, labelcolor=LIGHT["soft"])
        first.plot([0, 1], [0, 1], color=LIGHT["rule"], lw=1)
        found = scores["held_out"]["forecast"]
        for key, colour, words in (
            (MONITOR, LIGHT["ink"], "Monitor, training rows"),
            ("weights+validation", LIGHT["accent"], "log with norm and validation"),
        ):
            if key not in found:
                continue
            bins = found[key]["reliability"]
            x, y = [b["said"] for b in bins], [b["came"] for b in bins]
            first.plot(x, y, color=colour, lw=1.6)
            first.scatter(x, y, s=[8 + 1.2 * b["n"] for b in bins], color=colour, zorder=3)
            first.text(
                0.02, 0.98 if "train" in words else 0.91, words, color=colour, transform=first.transAxes, va="top"
            )
        first.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.08))
        first.set_xlabel("said: generalises within 10·t", color=LIGHT["soft"])
        first.set_ylabel("came", color=LIGHT["soft"])
        first.set_title("forecasts on unseen systems (area: n)", loc="left", fontsize=11, color=LIGHT["ink"])
        rules = [(k, v) for k, v in scores["held_out"]["stopping"].items() if isinstance(v, dict) and "gates" not in k]
        heights = apart([one["saved"] for _, one in rules], 0.06)
        for (name, one), height in zip(rules, heights, strict=True):
            colour = LIGHT["accent"] if name == "grokscope" else LIGHT["soft"]
            x, y = one["killed"] / max(one["generalising"], 1), one["saved"]
            second.scatter([x], [y], s=60, color=colour if name == "grokscope" else LIGHT["train"], zorder=3)
            short = name.replace("validation ", "val. ").replace(" (Lightning's default)", "")
            leader = {"arrowstyle": "-", "color": LIGHT["rule"], "shrinkA": 0, "shrinkB": 4}
            at = (max(x, 0.36) + 0.06, height)
            second.annotate(short, (x, y), at, va="center", color=colour, fontsize=9, arrowprops=leader)
        second.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=[0, 0.2, 0.4], yticks=[0, 0.5, 1])
        second.set_xlabel("share of generalising runs killed", color=LIGHT["soft"])
        second.set_ylabel("steps saved on the others", color=LIGHT["soft"])
        second.set_title("stopping rules", loc="left", fontsize=11, color=LIGHT["ink"])
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_figure(str(path), dpi=160, format="png")


def loaded(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none."""
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", action="store_true", help="draw the picture again too")
    scores = loaded(SCORES)
    if scores is None:
        raise SystemExit(f"there is no {SCORES}: python benchmarks/forecast.py score")
    PAGE.write_text(page(scores, loaded(COSTS), loaded(LOSING)), encoding="utf-8")
    if parser.parse_args().figure:
        draw(scores, PICTURE)


if __name__ == "__main__":
    main()
