"""MLflow's file store: ``mlruns/<experiment>/<run>/`` with metrics, params and meta.yaml.

A metric is a file of lines ``timestamp value step`` (two fields in old stores), its name the path below
``metrics``; a parameter is a file that holds its value. Runs that were deleted are left out.
"""

from pathlib import Path

from grokscope.readers.files import Budget, base, lines, plain, regular
from grokscope.readers.settings import read_yaml, settings_of
from grokscope.readers.sheet import Sheet, number

MAX_PARAM = 64 << 10


def is_run(folder: Path) -> bool:
    """Is this the folder of one run?"""
    return (folder / "metrics").is_dir() and (folder / "meta.yaml").is_file()


def read_runs(folders: list[Path], root: Path, budget: Budget, files: dict[Path, list[Path]]) -> list[Sheet]:
    """One run for each folder; ``files`` are those that lie below it."""
    found = []
    for folder in sorted(folders):
        sheet = Sheet(folder.name, "mlflow", folder, budget)
        meta = read_yaml(folder / "meta.yaml", budget, sheet.notes)
        meta = meta if isinstance(meta, dict) else {}
        if meta.get("lifecycle_stage") == "deleted":
            continue
        own = plain(meta.get("run_name") or folder.name)
        sheet.name = base(root) if folder == root else f"{base(root)} {own}"
        _metrics(folder, files.get(folder, []), sheet, budget)
        sheet.settings |= settings_of(_params(folder, files.get(folder, []), budget))
        found.append(sheet)
    return found


def _metrics(folder: Path, files: list[Path], sheet: Sheet, budget: Budget) -> None:
    """Lines of all metrics in the order of their time, so that a resume shows in each of them."""
    bad = 0
    for path in sorted(p for p in files if p.is_relative_to(folder / "metrics")):
        regular(path, budget)
        name = path.relative_to(folder / "metrics").as_posix()
        points = []
        for line in lines(path, b""):
            fields = line.split()
            if not fields:
                continue
            time, value = number(fields[0]), number(fields[1]) if len(fields) > 1 else None
            step = number(fields[2]) if len(fields) > 2 else 0.0
            if not line.endswith("\n") and len(fields) < 3:  # a line that is being written
                continue
            if time is None or value is None or step is None or not abs(step) < 2**62 or time != time:
                bad += 1
                continue
            points.append((time, value, int(step)))
        points.sort(key=lambda point: point[0])
        for _, value, step in points:
            sheet.add([(name, value)], step=int(step))
    if bad:
        sheet.notes.append(f"{bad} {'lines' if bad > 1 else 'line'} of the metrics cannot be read and are left out")


def _params(folder: Path, files: list[Path], budget: Budget) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(p for p in files if p.is_relative_to(folder / "params")):
        if len(found) >= 1000:
            break
        regular(path, budget, MAX_PARAM)
        found[path.relative_to(folder / "params").as_posix()] = path.read_text("utf-8", errors="replace").strip()
    return found
