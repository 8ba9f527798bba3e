"""What the live page costs on a large store: 10,000 runs, and one run with a million points.

    python benchmarks/serve.py --runs 10000 --points 1000000 --out results.json

The store is made in a temporary folder: a few traces are written and copied under many names, with seeds and
times of their own. Times are of answers inside one process, without a network: what the server itself takes.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from grokscope import machine
from grokscope.experiment import Experiment
from grokscope.server.app import make_app
from grokscope.store import RunFolder, Store
from grokscope.tasks import ModularArithmetic

MEMBERS, LOOKS, TEMPLATES = 2, 60, 20


def steps_of(looks: int, last: int) -> np.ndarray:
    """Looks evenly spaced in log step."""
    return np.unique(np.round(np.geomspace(1, last, looks)).astype(int))


def write(folder: RunFolder, steps: np.ndarray, shift: float, keys: tuple[str, ...]) -> None:
    """A trace in which the training set is learned at step 40 and the test set later."""
    train, test = (1 / (1 + (np.maximum(steps, 0.1) / at) ** -4.0) for at in (40.0, 400.0 * shift))
    rows = {"train/accuracy": train, "test/accuracy": test, "train/loss": 3.2 - 3 * train, "test/loss": 3.2 - 3 * test}
    with folder.writer() as writer:
        for member in range(MEMBERS if len(keys) > 1 else 1):
            for i, step in enumerate(steps.tolist()):
                writer.add(member, step, {key: float(rows[key][i]) for key in keys})
        writer.commit()


def build(root: Path, runs: int, points: int) -> None:
    """The store."""
    store, experiment = Store(root), Experiment(name="synthetic", task=ModularArithmetic(modulus=23))
    overrides = [{"seed": i} for i in range(MEMBERS)]
    about = {"status": "finished", "members": MEMBERS, "seconds": {"wall": 10.0}, "chance": 1 / 23}
    keys = ("train/accuracy", "test/accuracy", "train/loss", "test/loss")
    made = []
    for i in range(min(TEMPLATES, runs)):
        data = experiment.with_overrides({"name": f"synthetic{i % 5}"}).to_dict()
        folder = store.put(f"run-{i:05d}", data, overrides, about | {"experiment": f"synthetic{i % 5}", "created": ""})
        write(folder, steps_of(LOOKS, 20_000), 1 + i / 4, keys)
        made.append(folder.path)
    for i in range(len(made), runs):
        target = root / f"run-{i:05d}"
        target.mkdir()
        for name in ("experiment.yaml", "trace.sqlite"):
            shutil.copyfile(made[i % len(made)] / name, target / name)
        created = f"2026-01-{1 + i // 1000:02d}T{i % 24:02d}:00:00+00:00"
        meta = about | {"experiment": f"synthetic{i % 5}", "created": created}
        (target / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    long = store.put(
        "long-000000", experiment.to_dict(), overrides[:1], about | {"experiment": "synthetic", "created": ""}
    )
    write(long, np.arange(points), 1.0, ("train/loss",))


def timed(call: Callable[[], object], rounds: int = 1) -> float:
    """Median seconds of a call."""
    took = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    return round(float(np.median(took)), 4)


def measure(root: Path) -> dict[str, float]:
    """Seconds by what was asked."""
    app = make_app(root)
    client = TestClient(app, base_url="http://localhost:8765")  # entered nowhere, so nothing is read beforehand

    def get(address: str) -> Callable[[], None]:
        def ask() -> None:
            answer = client.get(address)
            assert answer.status_code == 200, answer.text

        return ask

    index = app.state.answers.index
    found = {"first scan": timed(index.scan), "scan again": timed(index.scan, 3)}
    found["first list, by time of creation"] = timed(get("/api/runs"))
    found["list, by time of creation"] = timed(get("/api/runs?limit=100"), 5)
    found["list, search"] = timed(get("/api/runs?q=run-00 synthetic3"), 5)
    found["reading what every member of every run did, once"] = timed(lambda: index.warm(threading.Event()))
    found["list, by t_test"] = timed(get("/api/runs?sort=t_test&desc=0"), 5)
    found["list, of a label"] = timed(get("/api/runs?label=grokking&offset=5000"), 5)
    found["peek for changes"] = timed(index.peek, 5)
    found["a run"] = timed(get("/api/run/run-00007"))
    found["a run again"] = timed(get("/api/run/run-00007"), 5)
    chart = "/api/series/long-000000?key=train/loss&points=1500"
    found["chart of the long series"] = timed(get(chart), 5)
    found["the long run's page"] = timed(get("/api/run/long-000000"))
    found["band of an experiment"] = timed(get("/api/band?key=test/loss&experiment=synthetic3"))
    return found


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="grokscope-serve-") as folder:
        begin = time.perf_counter()
        build(Path(folder), given.runs, given.points)
        made = round(time.perf_counter() - begin, 1)
        result = {
            "machine": {"cpu": machine.cpu(), "versions": machine.versions()},
            "runs": given.runs,
            "points": given.points,
            "seconds to make the store": made,
            "seconds": measure(Path(folder)),
        }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
