"""Draws the README's picture and writes what the demo costs here: run after anything that changes either.

    python docs/figures.py [STORE]

Takes the newest finished ``modular-addition`` run of STORE (default runs/demo), or makes one.
"""

import sys
from pathlib import Path

import grokscope
from grokscope.report.figures import png_of_run
from grokscope.store import Store

HERE = Path(__file__).parent
START, END = "<!-- cost -->", "<!-- /cost -->"


def newest(store: Path) -> grokscope.Run:
    """The demo's newest finished run, or a new one."""
    done = [
        f for f in Store(store) if f.meta().get("experiment") == "modular-addition" and f.meta()["status"] == "finished"
    ]
    return grokscope.Run(done[-1]) if done else grokscope.run("modular-addition", members=4, store=store)


def cost(run: grokscope.Run) -> str:
    """The README's paragraph, from the run's own record."""
    told, meta = run.summary(), run.record.meta
    cpu, torch = meta["machine"], meta["versions"]["torch"]
    ratios = sorted(m["ratio"] for m in told["members"])
    accuracy = min(m["final"]["test/accuracy"] for m in told["members"])
    return (
        f"`make demo` trained {len(told['members'])} members in {told['seconds']:.0f} s: {told['ms_per_step']:.1f} ms "
        f"a step and member, {100 * told['looking_share']:.0f} % of the\nwork spent looking "
        f"({cpu['cores']} cores of an {cpu['cpu']}, torch {torch}, float32).\n{run.record.sentence()}\n"
        f"Generalising took {ratios[0]:.1f} to {ratios[-1]:.1f} times as many steps as memorising; the lowest final\n"
        f"test accuracy is {100 * accuracy:.2f} %. `python docs/figures.py` wrote these lines from that run."
    )


def main() -> None:
    """Picture and paragraph."""
    run = newest(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
    (HERE / "img").mkdir(exist_ok=True)
    png_of_run(run.record, HERE / "img" / "modular-addition.png")
    readme = HERE.parent / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n{cost(run)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
