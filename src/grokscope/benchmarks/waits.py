"""What a person waits for: the command line, the first step, and a network that has learned the algorithm."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from grokscope.benchmarks.timing import Spread
from grokscope.catalog import FAST
from grokscope.training.engine import make_plan
from grokscope.training.loop import Loop
from grokscope.training.memory import threads
from grokscope.training.messages import Job, Look

COMMAND = (sys.executable, "-m", "grokscope.cli")


def start(times: int = 5) -> dict[str, Any]:
    """Seconds of ``grokscope --help``, and of a whole run of one step, from start to exit of the process."""
    with tempfile.TemporaryDirectory() as store:
        one_step = (*COMMAND, "run", "modular-addition", "--set", "budget=1", "--store", store, "--json")
        return {"help_s": _seconds(lambda: _quietly(*COMMAND, "--help"), times)} | {
            "run_of_one_step_s": _seconds(lambda: _quietly(*one_step), times)
        }


def fast(seeds: int = 5, target: float = 0.99) -> dict[str, Any]:
    """``modular-addition-fast``: seconds from the start of the loop to the first look with so much test accuracy.

    The engine chooses its threads as ``grokscope run`` does; looks are those of the default clock and
    count. What happens after that look is in the runs themselves.
    """
    taken, steps = [], []
    plan = make_plan([FAST])
    for seed in range(seeds):
        experiment = FAST.with_overrides({"seed": seed})
        with tempfile.TemporaryDirectory() as folder, threads(plan.threads):
            begin, reached = time.perf_counter(), None
            for message in Loop(Job(folder, 0, ((0, experiment.to_dict()),), checkpoint_seconds=1e9)).run():
                if isinstance(message, Look) and float(message.rows[0][2].get("test/accuracy", 0.0)) >= target:
                    reached = message.step
                    break
            taken.append(round(time.perf_counter() - begin, 2) if reached is not None else None)
            steps.append(reached)
    known = sorted(s if s is not None else float("inf") for s in taken)
    return {
        "experiment": FAST.name,
        "threads": plan.threads,
        "test_accuracy": target,
        "seconds": taken,
        "steps": steps,
        "median_s": known[len(known) // 2],
        "worst_s": known[-1],
    }


def _seconds(call: Callable[[], object], times: int) -> dict[str, float]:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    spread = Spread.of(found)
    return {"median": round(spread.median, 2), "low": round(spread.low, 2), "high": round(spread.high, 2)}


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
