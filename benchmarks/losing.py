"""Train networks that lose generalisation, and others that keep it, and score what the advice says of them.

python benchmarks/losing.py run [--seeds 200-202] [--processes 2]   # trains; keeps results/forecast/losing.json.gz
python benchmarks/losing.py score                                   # writes results/forecast/losing.json
"""

import argparse
import gzip
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from grokscope.benchmarks import losing
from grokscope.machine import cpu, versions

RESULTS = Path(__file__).parents[1] / "results" / "forecast"


def one(seed: int) -> list[dict[str, Any]]:
    """All courses of a seed, in a process of its own."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as store:
        return list(losing.watch(seed, Path(store)))


def run(seeds: list[int], processes: int, folder: Path) -> None:
    """Train every course of every seed."""
    begin = time.time()
    with ProcessPoolExecutor(processes) as pool:
        kept = [course for courses in pool.map(one, seeds) for course in courses]
    about = {
        "command": f"python benchmarks/losing.py run --seeds {seeds[0]}-{seeds[-1]}",
        "seeds": seeds,
        "seconds": round(time.time() - begin),
        "machine": {"cpu": cpu(), "versions": versions()},
    }
    text = json.dumps({"about": about, "runs": kept}, separators=(",", ":"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "losing.json.gz"
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(kept)} runs in {path}, {path.stat().st_size // 1024} kB, {about['seconds']} s")


def score(folder: Path) -> None:
    """In each view of the same runs."""
    kept = json.loads(gzip.decompress((folder / "losing.json.gz").read_bytes()))
    found = {"command": "python benchmarks/losing.py score", "about": kept["about"]}
    found |= {"evaluations": losing.EVALUATIONS}
    found |= {name: losing.scores(view) for name, view in losing.views(kept["runs"]).items()}
    (folder / "losing.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in losing.views(()):
        print(name, json.dumps({key: value for key, value in found[name].items() if key not in ("kinds", "runs")}))
        for kind, counts in found[name]["kinds"].items():
            print(f"  {kind}: {json.dumps(counts)}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "score"))
    parser.add_argument("--seeds", default="200-202")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.what == "run":
        first, last = (int(s) for s in asked.seeds.split("-"))
        run(list(range(first, last + 1)), asked.processes, asked.folder)
    else:
        score(asked.folder)


if __name__ == "__main__":
    main()
