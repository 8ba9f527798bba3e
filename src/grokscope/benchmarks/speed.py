"""``grokscope bench speed``: our step against a notebook's, in turns, on the same threads."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from grokscope import machine
from grokscope.benchmarks.cases import CASES, NANDA, Case
from grokscope.benchmarks.notebook import Notebook
from grokscope.benchmarks.timing import Spread, in_turns, ratio
from grokscope.benchmarks.waits import fast, start
from grokscope.experiment import Experiment
from grokscope.runs import run
from grokscope.training.engine import cores
from grokscope.training.loop import Loop
from grokscope.training.members import Lane
from grokscope.training.memory import keep_freed_memory, threads
from grokscope.training.messages import Job, Spent

LOOP, GRID, FAST, START = "loop", "grid", "fast", "start"
NAMES = (*(case.name for case in CASES), LOOP, GRID, FAST, START)
"""Everything that can be timed."""
LOOP_STEPS, LOOP_SECONDS, REFERENCE_EVERY = 4000, 240.0, 4.0
GRID_MEMBERS, GRID_STEPS = 8, 150


def speed(
    names: Sequence[str] = NAMES,
    on: int = 1,
    precisions: Sequence[str] = ("float32", "bfloat16"),
    rounds: int = 9,
    device: str = "cpu",
    loop_steps: int = LOOP_STEPS,
    tell: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Time the cases.

    Args:
        names: of :data:`NAMES`.
        on: torch's threads, for both sides.
        precisions: of our side; the reference is always float32, as the notebooks are.
        rounds: samples of each side.
        device: cpu or cuda.
        loop_steps: length of the whole loop.
        tell: called with each case's name before it starts.

    Returns:
        ``{"machine", "threads", "cases": [...]}``, times in milliseconds of a step of one member; and
        ``waits``, what a person waits for, where ``fast`` or ``start`` was asked for.
    """
    keep_freed_memory()
    found: list[dict[str, Any]] = []
    with threads(on):
        for case in (c for c in CASES if c.name in names):
            tell(case.name)
            found += _stacked(case, rounds, device) if case.members > 1 else _steps(case, precisions, rounds, device)
        for precision in precisions if LOOP in names else ():
            tell(f"{LOOP}, {precision}")
            found.append(_loop(precision, loop_steps, device))
        if GRID in names:
            tell(GRID)
            found.append(_grid())
    waits: dict[str, Any] = {}
    for name, measure in ((FAST, fast), (START, start)):
        if name in names:
            tell(name)
            waits[name] = measure()
    about = {"cpu": machine.cpu(), "units": machine.vector_units(), "cores": cores(), "device": _device_name(device)}
    return {"machine": about | machine.versions(), "threads": on, "cases": found} | ({"waits": waits} if waits else {})


def _steps(case: Case, precisions: Sequence[str], rounds: int, device: str) -> Iterator[dict[str, Any]]:
    """A training step, once per precision; all sides take turns."""
    book = Notebook(case.experiment, device=device)
    lanes = [Lane([(0, case.experiment.with_overrides({"precision": p}))], device) for p in precisions]
    done = _waited(device)
    book_ms, *ours = in_turns([done(book.step), *(done(partial(whole_batch, lane)) for lane in lanes)], rounds)
    theirs = {"reference_gflop": gflop(book.step)}
    for precision, lane, mine in zip(precisions, lanes, ours, strict=True):
        errors = gradient_errors(case.experiment) if precision == "float32" and device == "cpu" else {}
        yield _row(case.name, case.about, precision, mine, book_ms) | _roofline(lane, mine, precision) | theirs | errors


def whole_batch(lane: Lane) -> None:
    """A step; the short batch at the end of an epoch is left out, because the reference has none."""
    size = lane.shared.batch_size
    if size is not None and lane.train_rows > size and lane.train_rows % size:
        per_epoch = lane.train_rows // size + 1
        if lane.steps % per_epoch == per_epoch - 1:
            lane.steps += 1
    lane.step()


def _stacked(case: Case, rounds: int, device: str) -> Iterator[dict[str, Any]]:
    """Members stacked against the same members one after another."""
    members = list(enumerate(case.experiment.members(case.members)))
    together, alone = Lane(members, device), [Lane([member], device) for member in members]

    def one_by_one() -> None:
        for lane in alone:
            lane.step()

    done = _waited(device)
    theirs, ours = (
        [ms / case.members for ms in side] for side in in_turns([done(one_by_one), done(together.step)], rounds)
    )
    yield _row(case.name, case.about, "float32", ours, theirs) | _roofline(together, ours, "float32", case.members)


def _loop(precision: str, steps: int, device: str) -> dict[str, Any]:
    """The paper's run with looks, kept weights and hindsight, against the published loop's step.

    The published loop also computes the held-out loss, with its graph, in every step. One of its steps
    is taken every few seconds between ours, and its time is not counted as ours. Where the steps would
    take longer than :data:`LOOP_SECONDS` there are fewer.
    """
    trial = Lane([(0, NANDA.with_overrides({"precision": precision}))], device)
    (step_ms,) = in_turns([_waited(device)(trial.step)], 3)
    steps = max(10, min(steps, int(1e3 * LOOP_SECONDS / max(step_ms))))
    experiment = NANDA.with_overrides({"precision": precision, "budget": steps, "stop_after_grok": False})
    book = Notebook(experiment, test_every_step=True, device=device)
    theirs: list[float] = []
    looking = training = 0.0
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(Job(folder, 0, ((0, experiment.to_dict()),), device, checkpoint_seconds=1e9))
        begin = pause = time.perf_counter()
        for message in loop.run():
            if isinstance(message, Spent):
                looking, training = looking + message.looking, training + message.training
            now = time.perf_counter()
            if now - pause > REFERENCE_EVERY:
                book.step()
                pause = time.perf_counter()
                begin += pause - now
                theirs.append(1e3 * (pause - now))
        ours = 1e3 * (time.perf_counter() - begin) / steps
    about = f"the first {steps:,} steps of the paper's run, looks and hindsight included, against the published loop"
    return _row(LOOP, about, precision, [ours] * len(theirs), theirs) | {
        "steps": steps,
        "looking_share": round(looking / (looking + training), 4),
    }


def _grid() -> dict[str, Any]:
    """A grid of members on one process and on one per core, start of the processes included."""
    experiment = NANDA.with_overrides({"budget": GRID_STEPS, "stop_after_grok": False})
    sides: dict[str, list[float]] = {"looped": [], "pooled": []}
    for _ in range(2):
        for engine, taken in sides.items():
            with tempfile.TemporaryDirectory() as store:
                begin = time.perf_counter()
                run(experiment, GRID_MEMBERS, store=store, engine=engine, progress=False)  # type: ignore[arg-type]
                taken.append(1e3 * (time.perf_counter() - begin) / (GRID_MEMBERS * GRID_STEPS))
    about = f"{GRID_MEMBERS} seeds of the transformer, {GRID_STEPS} steps each: {cores()} processes against one"
    return _row(GRID, about, "float32", sides["pooled"], sides["looped"])


def gradient_errors(experiment: Experiment) -> dict[str, float]:
    """Error of float32 gradients, ours and the notebook's: ‖g − exact‖ / ‖exact‖ of the worst weight.

    Exact is the notebook's gradient in float64.
    """
    plain = experiment.with_overrides({"batch_size": None})
    exact = Notebook(plain.with_overrides({"precision": "float64"})).gradients()
    lane = Lane([(0, plain.with_overrides({"precision": "float32"}))])

    def worst(gradients: dict[str, Tensor]) -> float:
        errors = [float((gradients[n].double() - g).norm() / g.norm()) for n, g in exact.items() if g.norm() > 0]
        return float(f"{max(errors):.2g}")

    return {"gradient_error": worst(lane.gradients()), "reference_gradient_error": worst(Notebook(plain).gradients())}


def _row(name: str, about: str, precision: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    mine, reference, times = Spread.of(ours).round(), Spread.of(theirs).round(), ratio(theirs, ours).round()
    return {
        "name": name,
        "precision": precision,
        "about": about,
        "ms_per_step": mine.median,
        "reference_ms_per_step": reference.median,
        "ratio": times.median,
        "model_steps_per_s": float(f"{1e3 / mine.median:.4g}"),
        "spread": {"ms_per_step": asdict(mine), "reference_ms_per_step": asdict(reference), "ratio": asdict(times)},
        "rounds": len(ours),
    }


def _roofline(lane: Lane, ours: Sequence[float], precision: str, members: int = 1) -> dict[str, float]:
    """Arithmetic of the matrix products of a step, and how long it would take at the speed of a large one."""
    work, peak = gflop(lane.step) / members, peak_gflops(precision, str(lane.device))
    best = 1e3 * work / peak
    return {
        "gflop": float(f"{work:.4g}"),
        "peak_gflops": float(f"{peak:.4g}"),
        "roofline_ms": float(f"{best:.4g}"),
        "of_roofline": float(f"{best / Spread.of(ours).median:.3g}"),
    }


def gflop(call: Callable[[], object]) -> float:
    """Arithmetic of the matrix products of a call, in 10⁹ operations."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(f"{counter.get_total_flops() / 1e9:.4g}")


def peak_gflops(precision: str, device: str = "cpu", size: int = 1024) -> float:
    """Speed of a square matrix product, in 10⁹ operations a second; the best of ten."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    call, times = _waited(device)(lambda: a @ b), []
    for _ in range(10):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times) / 1e9


def _waited(device: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """A call that returns when the device has done it."""

    def wrap(call: Callable[[], object]) -> Callable[[], object]:
        def waited() -> None:
            call()
            torch.cuda.synchronize()

        return call if device == "cpu" else waited

    return wrap


def _device_name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A recorded result with the cases that were timed again; the rest stays, if machine and threads are the same."""
    if old.get("machine") != new["machine"] or old.get("threads") != new["threads"]:
        return new
    again = {(case["name"], case["precision"]): case for case in new["cases"]}
    kept = [again.pop((case["name"], case["precision"]), case) for case in old["cases"]]
    waits = old.get("waits", {}) | new.get("waits", {})
    return new | {"cases": [*kept, *again.values()]} | ({"waits": waits} if waits else {})
