"""Writes docs/SPEED.md and its picture from results/speed/*.json: run after recording anything there.

grokscope bench speed --threads 1 --out results/speed/threads-1.json
grokscope bench speed --threads 2 --out results/speed/threads-2.json
grokscope bench measures --all --run --out results/speed/measures.json
grokscope bench scaling --out results/speed/scaling.json
python docs/speed.py
"""

import json
from pathlib import Path
from typing import Any

from grokscope.report.costs import png_of_scaling
from grokscope.report.look import number

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "speed"
AIMS = {
    ("transformer", "float32"): 5,
    ("transformer", "bfloat16"): 8,
    ("loop", "float32"): 12,
    ("loop", "bfloat16"): 20,
    ("equation", "float32"): 2.5,
    ("equation", "bfloat16"): 4,
    ("one-hot-mlp", "float32"): 1.3,
    ("small-mlp", "float32"): 1.3,
    ("quadratic-mlp", "float32"): 1.3,
    ("tiny-11", "float32"): 8,
    ("tiny-23", "float32"): 3,
    ("grid", "float32"): 1.8,
}
"""What was aimed at, times faster on one thread, set before anything was measured here."""
PEERS = (
    ("progress-measures-paper, as published", "a + b mod 113, full batch", "617"),
    ("the same, training step alone", "", "271–282"),
    ("the same, one look with all its measures", "", "9,600"),
    ("TransformerLens 3.9 demo", "the same job, held-out loss in every step", "439"),
    ("Omnigrok notebook", "the same job, float64", "774"),
    ("openai/grok, ported to a current Lightning", "x / y mod 97, batch 512", "272"),
    ("danielmamay/grokking", "x / y mod 97, batch 512, four tokens", "66"),
    ("teddykoker/grokking", "x / y mod 97, batch 512", "93"),
    ("grokfast, its baseline", "x · y mod 97, batch 512", "99"),
    ("grokking-at-the-edge", "one-hot MLP 200–200, mod 113", "32"),
    ("ChanceSiyuan/grokking", "MLP 512, mod 97", "23.8"),
)
"""Milliseconds a step of other people's code, run by us on one core of another machine."""

NOTES = """
### How

- **Nothing is computed twice, or for nothing.** Under causal attention the stream at a position is a function of the tokens
  up to it, so it is kept once for each distinct prefix where these are fewer than the examples (`models/stream.py`), in
  every layer, LayerNorms included; the last layer works at the positions that are read.
- **Linear maps meet before they meet the rows.** W_O W_in, W_O W_U and W_out W_U are multiplied first where that takes
  fewer multiplications; and where attention reads a table of tokens, the map is applied to the table and the mixture is
  taken by lookups (`models/rowsum.py`), which has exact derivatives of every order.
- **The loss does not cancel.** With s the probability of all wrong classes, a right answer costs −log1p(−s) and pushes with
  p_j and −s: float32 keeps its digits up to margins of 87 nats, at the price of a plain log-softmax.
- **The step is flat.** Weights, gradients and moments of all members are rows of one buffer; the update is one fused kernel.
- **Freed memory stays.** glibc is told to keep what a step frees; otherwise thousands of page faults are part of each step.
- **Members** are stacked, spread over processes or run one by one, whichever a few trial steps show to be cheapest;
  memory is predicted from a trial member before anything is allocated. On a GPU they are stacked and a step is recorded as
  a CUDA graph; no GPU was at hand, so that path is tested without one and has no figures.

### Where it falls short

- `equation` misses its aim. Its arithmetic falls to two fifths (the table says how much), so the aim asks for products as
  near the peak as the reference's long ones are; of its step about two thirds are products, at 80 % of the peak, and the
  rest is attention over six positions of 512 rows, LayerNorms, losses and the update.
- `loop` and `grid` come within a few percent of theirs. Without its looks the loop would be where it should be; the grid's
  time holds the start of its processes, about two seconds.
- **bfloat16** has no units on this processor: its products are emulated at about 1 GFLOP/s, where float32 reaches 94, and
  every bfloat16 row is therefore slower than the reference. On a processor with AMX the same step multiplies in bfloat16
  (the collapsed form, without lookups); that is not measured here. `auto` means float32.
- Of the roofline, the `transformer` reaches the least of the large cases because its arithmetic was removed: a quarter of
  its time is lookups and their derivatives, which the roofline does not count.
"""
"""What the figures mean; checked against the recorded ones when they change."""


def load(name: str) -> dict[str, Any]:
    """A recorded result."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def machine(result: dict[str, Any]) -> str:
    """Where it was measured."""
    told = result["machine"]
    return f"{told['cpu']} ({told['units']}), torch {told['torch']}, Python {told['python']}"


def speed_table(result: dict[str, Any]) -> list[str]:
    """A row per case and precision."""
    lines = [
        "| case | precision | ours, ms | reference, ms | times faster | aim | GFLOP (reference's) | of the roofline | gradient error (reference's) |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case in result["cases"]:
        times, aim = case["spread"]["ratio"], AIMS.get((case["name"], case["precision"]))
        roof = "" if "of_roofline" not in case else f"{100 * case['of_roofline']:.0f} %"
        if case["precision"] == "bfloat16":
            roof = ""  # the roofline is that of a large product in this precision, which has no unit here
        error = (
            ""
            if "gradient_error" not in case
            else f"{number(case['gradient_error'])} ({number(case['reference_gradient_error'])})"
        )
        work = "" if "reference_gflop" not in case else f"{case['gflop']:.3g} ({case['reference_gflop']:.3g})"
        mark = "" if aim is None or result["threads"] != 1 else f"{aim:g} {'✓' if times['median'] >= aim else '✗'}"
        lines.append(
            f"| {case['name']} | {case['precision']} | {case['ms_per_step']:.4g} | {case['reference_ms_per_step']:.4g} "
            f"| **{times['median']:.3g}** ({times['low']:.3g}–{times['high']:.3g}) | {mark} | {work} | {roof} | {error} |"
        )
    return lines


def cases_list(result: dict[str, Any]) -> list[str]:
    """What each case is."""
    about: dict[str, str] = {}
    for case in result["cases"]:
        about.setdefault(case["name"], case["about"])
    return [f"- `{name}`: {text}" for name, text in about.items()]


def waits(result: dict[str, Any]) -> list[str]:
    """What a person waits for."""
    told = result.get("waits", {})
    lines = []
    if "start" in told:
        help_s, run_s = told["start"]["help_s"], told["start"]["run_of_one_step_s"]
        lines.append(
            f"- `grokscope --help`: {help_s['median']:.2f} s ({help_s['low']:.2f}–{help_s['high']:.2f}). A whole run of "
            f"one step, from the start of the process to its exit: {run_s['median']:.2f} s "
            f"({run_s['low']:.2f}–{run_s['high']:.2f})."
        )
    if "fast" in told:
        fast = told["fast"]
        each = ", ".join(
            "not reached" if s is None else f"{s:.1f} s (step {n})"
            for s, n in zip(fast["seconds"], fast["steps"], strict=True)
        )
        lines.append(
            f"- `{fast['experiment']}` on {fast['threads']} threads, to the first look with {100 * fast['test_accuracy']:.0f} % "
            f"test accuracy, looks included, seeds 0–{len(fast['seconds']) - 1}: {each}; "
            f"median {fast['median_s']:.1f} s, worst {fast['worst_s']:.1f} s."
        )
    return lines


def whole_run(run: dict) -> list[str]:
    """What share of the paper's run is looking."""
    return [
        f"Over the whole of `{run['experiment']}`, {run['steps']:,} steps with {run['looks']} looks and its hindsight, looking was "
        f"**{100 * run['looking_share']:.1f} %**",
        f"of {run['seconds']:.0f} s (`grokscope bench measures --run`; the limit is 5 %).",
    ]


def page() -> str:
    """The whole page."""
    one, two = load("threads-1"), load("threads-2")
    looks, scaling = load("measures"), load("scaling")
    loop = next((c for c in one["cases"] if c["name"] == "loop"), None)
    share = "" if loop is None else f" Looking took {100 * loop['looking_share']:.0f} % of it."
    lines = [
        "# What it costs",
        "",
        "Written by `python docs/speed.py` from `results/speed/`; each number was measured by the command beside it.",
        "",
        "## Against a plainly written loop",
        "",
        "The reference is the loop of a typical notebook (`src/grokscope/benchmarks/notebook.py`): every position of every",
        "row, heads by einsum, dense one-hot inputs, every expert on every token, autograd, `torch.optim.AdamW`, a",
        "log-softmax in float64. It starts from copies of our weights and computes the same function. The two sides take",
        "turns in one process, on the same threads and under the same memory allocator settings, which are ours and",
        "speed the reference up too; the ratio is taken round by round, and its median and extremes are shown. The reference",
        "is float32 in every row.",
        "",
        *cases_list(one),
        "",
        f"**One thread** (`grokscope bench speed --threads 1`). {machine(one)}.",
        "",
        *speed_table(one),
        "",
        f"**Two threads** (`grokscope bench speed --threads 2`). {machine(two)}.",
        "",
        *speed_table(two),
        "",
        "For `tiny-*` the reference is our own step, one member after another, and times are per member; for `grid` it is one",
        "process. *Of the roofline* is the arithmetic of our matrix products at the speed of a 1024 × 1024 product, over",
        "our time; lookups, softmax, LayerNorm and the loss are not counted as arithmetic. *Gradient error* is",
        f"‖g − exact‖ / ‖exact‖ of the worst weight in float32, exact being the notebook in float64.{share}",
        "",
        NOTES.strip(),
        "",
        "## What one waits for",
        "",
        *waits(two),
        "",
        "## A look",
        "",
        f"`grokscope bench measures`, p = 113, one thread: a look with everything that Nanda et al. look at takes "
        f"**{looks['look_ms']:.1f} ms**,",
        f"{looks['pass_ms']:.1f} of them the pass over all 12,769 pairs; a training step takes {looks['step_ms']:.1f} ms, or "
        f"{looks['step_in_passes']:.2f} passes",
        "over its batch (the clock takes 2.5, to be on the safe side). The published code takes 9.6 s a look (quoted below).",
        "",
        *whole_run(looks["run"]),
        "",
        "| measure | looked at | ms | training steps | passes | declared | MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(
            f"| {m['name']} | {m['subject']} | {m['ms']:.2f} | {m['steps']:.2f} | {m['passes']:.2f} | {m['declared']:g} | "
            f"{'–' if m['mib'] is None else format(m['mib'], '.0f')} |"
            for m in looks["measures"]
        ),
        "",
        "A measure in hindsight shares no pass with those taken while training, so its own is counted in. Steps are those of",
        "the network that is looked at, MiB the peak beyond the shared pass. What a measure declares is what the clock reckons",
        "with: those above 1.5 passes share one half of the overhead among them, and are taken as often as that has room.",
        "",
        "## Against one size at a time",
        "",
        "![time and memory of a step against p, width, layers, members and threads](img/scaling.png)",
        "",
        f"`grokscope bench scaling`: one-layer transformer, {scaling['base']} at 30 %, width 64 unless varied; members are",
        "tiny networks stacked in one lane; threads are those of the p = 113 transformer. Dots are medians with extremes, the line",
        "is fitted to the last points, dotted is the memory (MiB) that the engine predicts before it starts.",
        "",
        "| against | ms a step | exponent of time | exponent of memory |",
        "|---|---|---:|---:|",
        *(
            f"| {a['name']} ({a['values'][0]} … {a['values'][-1]}) | {a['ms_per_step'][0]:.3g} … {a['ms_per_step'][-1]:.3g} | "
            + ("–" if a["exponent"] is None else f"{a['exponent']:.2f}")
            + ("" if a["exponent_error"] is None else f" ± {a['exponent_error']:.2f}")
            + f" | {'–' if a['bytes_exponent'] is None else format(a['bytes_exponent'], '.2f')} |"
            for a in scaling["axes"]
        ),
        "",
        "## Other people's code",
        "",
        "Run by us as published on one core of a Sapphire Rapids machine (2.6 GHz, AVX-512), torch 2.13, one process each:",
        "another machine and no pairing, so these are quoted for orientation and no ratio is taken.",
        "",
        "| code | job | ms a step |",
        "|---|---|---:|",
        *(f"| {code} | {job} | {ms} |" for code, job, ms in PEERS),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Page and picture."""
    png_of_scaling(load("scaling"), HERE / "img" / "scaling.png")
    (HERE / "SPEED.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
