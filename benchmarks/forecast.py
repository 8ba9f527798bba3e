"""Make the corpus of trainings of known outcome, fit the forecaster on it, and score both forecast and advice.

python benchmarks/forecast.py run --keep corpus --seeds 100-102   # trains; keeps results/forecast/corpus.json.gz
python benchmarks/forecast.py run --keep judged --seeds 300-302   # the same cells, other seeds
python benchmarks/forecast.py run --keep blind --seeds 300-302    # systems that nothing was chosen on
python benchmarks/forecast.py fit                                 # writes src/grokscope/forecast/calibration.json
python benchmarks/forecast.py score                               # writes results/forecast/scores.json
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from grokscope.benchmarks import corpus, forecasting, gating, stopping
from grokscope.benchmarks.blind import BLIND
from grokscope.forecast import Setting, calibration
from grokscope.machine import cpu, versions
from grokscope.readers import read_log
from grokscope.runs import setting_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "forecast"
NUMBERS = ROOT / "src" / "grokscope" / "forecast" / "calibration.json"


def systems(name: str) -> tuple[corpus.System, ...]:
    """Those of the fit, or those that it never saw."""
    return BLIND if name == "blind" else corpus.SYSTEMS


def one(name: str, system: int, cell: int, seeds: list[int], store: str) -> list[dict[str, Any]]:
    """One cell in a process of its own."""
    import torch

    torch.set_num_threads(1)
    return corpus.watch(systems(name)[system], cell, seeds, Path(store))


def run(name: str, seeds: list[int], processes: int) -> None:
    """Train every cell; print how far it is."""
    jobs = [(i, c) for i, system in enumerate(systems(name)) for c in range(len(system.cells))]
    begin, kept = time.time(), []
    with tempfile.TemporaryDirectory() as store, ProcessPoolExecutor(processes) as pool:
        waiting = [pool.submit(one, name, i, c, seeds, store) for i, c in jobs]
        for n, done in enumerate(as_completed(waiting), 1):
            kept += done.result()
            spent = time.time() - begin
            print(
                f"\r{n}/{len(jobs)} cells, {spent:.0f} s, about {spent * (len(jobs) / n - 1):.0f} s left ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    kept.sort(key=lambda r: (r["system"], r["cell"], r["seed"]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {
        "command": f"python benchmarks/forecast.py run --keep {name} --seeds {seeds[0]}-{seeds[-1]}",
        "seeds": seeds,
        "seconds": round(time.time() - begin),
        "machine": {"cpu": cpu(), "versions": versions()},
    }
    text = json.dumps({"about": about, "runs": kept}, separators=(",", ":"))
    path = RESULTS / f"{name}.json.gz"
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"\n{len(kept)} runs in {path}, {path.stat().st_size // 1024} kB")


def loaded(name: str = "corpus") -> dict[str, Any]:
    """Runs that are kept: corpus, which is fitted, or judged and blind, which are scored."""
    found: dict[str, Any] = json.loads(gzip.decompress((RESULTS / f"{name}.json.gz").read_bytes()))
    return found


def fit(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole calibration."""
    law = {"norm_ratio": forecasting.norm_ratio(runs), "angle": forecasting.turned_at_the_end(runs)}
    return forecasting.fit(forecasting.samples(runs)) | law | {"gates": gating.fit_gates(runs)}


def score(runs: list[dict[str, Any]], learned: list[dict[str, Any]], blind: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that is claimed of forecast and advice, on runs of which no seed, and no system, was fitted."""
    without = {s: fit([r for r in learned if r["system"] != s]) for s in sorted({r["system"] for r in runs})}
    shipped = {r["system"]: calibration() for r in blind}
    return {
        "command": "python benchmarks/forecast.py score",
        "machine": {"cpu": cpu(), "versions": versions()},
        "fitted": f"{min(r['seed'] for r in learned)} to {max(r['seed'] for r in learned)}",
        "held_out": judged(runs, without, learned),
        "blind": judged(blind, shipped, learned),
    }


def judged(
    runs: list[dict[str, Any]], calibrations: Mapping[str, Mapping[str, Any]], learned: list[dict[str, Any]]
) -> dict[str, Any]:
    """The scores of some runs, each by the calibration of its system."""
    rows = forecasting.samples(runs)
    named = {s.name: s for s in (*corpus.SYSTEMS, *BLIND)}

    def known(r: dict[str, Any]) -> Setting:
        system = named[r["system"]]
        return setting_of(system.experiment.with_overrides(dict(system.cells[r["cell"]])))

    with tempfile.TemporaryDirectory() as folder:
        confusion = forecasting.confusion(runs, lambda r: logged(r, Path(folder) / "log.csv"))
    return {
        "seeds": f"{min(r['seed'] for r in runs)} to {max(r['seed'] for r in runs)}",
        "runs": len(runs),
        "systems": len({r["system"] for r in runs}),
        "never": sum(r["t_test"] is None for r in runs),
        "labels_from_logs": confusion,
        "forecast": forecasting.scores(rows, forecasting.samples(learned)),
        "law": forecasting.law_scores(runs, calibrations, known),
        "gates": gating.gate_scores(runs, learned)
        | {f"forecast from {', '.join(g)}": gating.forecast_alarms(runs, learned, g) for g in gating.FORECASTS},
        "stopping": stopping.early_stopping(runs, calibrations, known),
        "final_verdicts": stopping.final_verdicts(runs, calibrations, known),
    }


def logged(r: dict[str, Any], path: Path) -> Any:
    """A run's curves as a log reads them."""
    names = {
        "train/loss": "train_loss",
        "train/accuracy": "train_acc",
        "test/loss": "val_loss",
        "test/accuracy": "val_acc",
    }
    lines = [",".join(["step", *names.values()])]
    lines += [",".join(map(str, row)) for row in zip(r["steps"], *(r["curves"][key] for key in names), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_log(path)[0].trace


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "fit", "score"))
    parser.add_argument("--keep", choices=("corpus", "judged", "blind"), default="corpus")
    parser.add_argument("--seeds", default="100-102")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    if asked.what == "run":
        first, last = (int(s) for s in asked.seeds.split("-"))
        run(asked.keep, list(range(first, last + 1)), asked.processes)
    elif asked.what == "fit":
        kept = loaded()
        NUMBERS.write_text(json.dumps(fit(kept["runs"]) | {"about": kept["about"]}, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {NUMBERS}")
    else:
        found = score(*(loaded(name)["runs"] for name in ("judged", "corpus", "blind")))
        (RESULTS / "scores.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
