"""Runs: start one by name, resume it, read it back, show it."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import checkpoint, machine
from grokscope.catalog import EXPERIMENTS, find_experiment
from grokscope.checkpoint import Checkpoint, Corrupt
from grokscope.curves import read_curves
from grokscope.diagnosis import Diagnosis, diagnose
from grokscope.errors import BadInput, RunFailed
from grokscope.experiment import Experiment
from grokscope.forecast import Forecast, Setting
from grokscope.measures import Measure
from grokscope.models import Network
from grokscope.phases import Phases
from grokscope.progress import Bar, Reporter, Silence
from grokscope.record import Record
from grokscope.spec import build, flatten
from grokscope.store import RunFolder, Store
from grokscope.trace import Trace
from grokscope.training.drive import Outcome, drive
from grokscope.training.engine import EngineName, Plan, cores, find_device, make_plan
from grokscope.training.members import point
from grokscope.training.messages import Job
from grokscope.training.start import check_unchanged, origins, settled

if TYPE_CHECKING:
    import pandas as pd


class Diverged(BadInput):
    """A training loss became NaN or infinite; the run kept its trace."""


def setting_of(experiment: Experiment) -> Setting:
    """What a monitor would know of an experiment besides its curves."""
    return Setting(
        chance=experiment.task.chance,
        lr=experiment.optimizer.lr,
        weight_decay=experiment.optimizer.weight_decay,
        optimizer=experiment.optimizer.kind,
        objective=experiment.objective.kind,
        scheduled=False,
        clipped=bool(experiment.interventions) or None,
        normalised=getattr(experiment.model, "norm", "none") != "none",
        budget=experiment.budget,
    )


class Run:
    """A run in a store.

    ``run.trace``, ``run.phases()``, ``run.curves()``, ``run.forecast(at=500)``, ``run.to_pandas()``,
    ``run.report("page.html")``.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.record = Record.read(folder)
        self._curves: Trace | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.record.experiment

    @property
    def trace(self) -> Trace:
        """What was seen."""
        return self.record.trace

    def phases(self) -> list[Phases]:
        """What it means, per member."""
        return self.record.phases

    def curves(self) -> Trace:
        """What follows from the course of the trace: ``curve/…`` keys at its looks, computed once.

        Values at a step use only looks at or before it, except those declared as hindsight. ``skipped``
        says which are missing and why; ``grokscope ls measures`` lists them all.
        """
        if self._curves is None:
            self._curves = read_curves(self.trace, self.record.members)
        return self._curves

    def diagnosis(self, member: int = 0, at: int | None = None, train_only: bool = False) -> Diagnosis:
        """Phases, forecast and advice of a member, as a monitor would have given them at a step.

        Args:
            member: whose.
            at: the step to stand at; the last look where left out. Nothing later is read.
            train_only: leave held-out curves out of the forecast.

        Raises:
            BadInput: no such member.
        """
        if member not in range(len(self.record.members)):
            raise BadInput(f"run {self.name} has members 0 to {len(self.record.members) - 1}, got {member}.")
        one = self.record.members[member]
        told = setting_of(one)
        return diagnose(
            self.trace, told, rule=one.events, labels=one.labels, at=at, member=member, train_only=train_only
        )

    def forecast(self, at: int | None = None, member: int = 0, train_only: bool = False) -> Forecast | None:
        """Whether and when a member generalises, from its looks up to a step; None where nobody can say.

        :meth:`diagnosis` says why not, and takes the same arguments.
        """
        return self.diagnosis(member, at, train_only).forecast

    def summary(self) -> dict[str, Any]:
        """Labels, events and final values as plain data: what ``--json`` prints."""
        return self.record.summary()

    def to_pandas(self) -> "pd.DataFrame":
        """One row per (member, step), one column per scalar key."""
        import pandas as pd

        trace = self.trace
        frames = []
        for member in trace.members():
            columns = {k: pd.Series(v, index=s) for k in trace.keys() for s, v in [trace.series(k, member)] if len(s)}
            frames.append(pd.DataFrame(columns).rename_axis("step").reset_index().assign(member=member))
        if not frames:
            return pd.DataFrame(columns=["member", "step"])
        table = pd.concat(frames, ignore_index=True)
        return table[["member", "step", *sorted(set(table.columns) - {"member", "step"})]]

    def network(self, member: int = 0) -> Network:
        """The finished member's network with its final weights.

        Raises:
            BadInput: the member is not done, or its final checkpoint is damaged.
        """
        done = self.folder.ended().get(member)
        if done is None or not done["file"]:
            raise BadInput(
                f"member {member} of {self.name} is not finished; grokscope resume {self.name} continues it."
            )
        saved = Checkpoint(0, done["step"], (member,), done["file"], done["sha256"])
        try:
            theta = checkpoint.read(self.path / "checkpoints", saved)["theta"][0]
        except Corrupt as error:
            raise BadInput(f"run {self.name}: the final checkpoint {error}.") from None
        one = self.record.members[member]
        network = one.model.skeleton(one.task).to(theta.dtype)
        point(network, theta, {name: p.shape for name, p in network.named_parameters()})
        return network

    def report(self, path: str | Path) -> Path:
        """Write the page: one self-contained HTML file that opens offline."""
        from grokscope.report.page import write_page

        return write_page(self.record, Path(path))

    def _repr_html_(self) -> str:
        from grokscope.report.figures import svg_of_run

        return svg_of_run(self.record)

    def __repr__(self) -> str:
        return f"Run({self.name}): {self.record.sentence()}"


def run(
    experiment: str | Experiment | Mapping[str, Any],
    members: int | Sequence[Mapping[str, Any]] = 1,
    *,
    overrides: Mapping[str, Any] | None = None,
    measures: Sequence[str | Mapping[str, Any] | Measure] = (),
    store: str | Path = "runs",
    device: str = "auto",
    engine: EngineName = "auto",
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
    command: str = "",
) -> Run:
    """Run an experiment and return what was seen.

    Args:
        experiment: a shipped name, a YAML file, ``package.module:NAME``, or an Experiment.
        members: how many seeds, or one mapping of overrides per member
            (``[{"seed": 0, "optimizer.lr": 1e-3}, …]``; see ``experiment.PER_MEMBER``).
        overrides: dotted fields to change for all members, as ``--set`` does.
        measures: what to look at beside the experiment's own measures, by kind or as objects; "all" for everything.
        store: folder of runs.
        device: auto, cpu or cuda.
        engine: auto (measured), stacked, pooled or looped.
        checkpoint_seconds: at least this long between checkpoints.
        progress: show a bar on standard error.
        command: what to print as the way to repeat the run.

    Raises:
        BadInput: the request cannot be met; one line says why.
        Diverged: a loss became NaN; the trace is kept.
        RunFailed: a worker died.
        KeyboardInterrupt: Ctrl-C; the run is checkpointed and can be resumed.
    """
    chosen = find_experiment(experiment)
    chosen = chosen.with_overrides(overrides) if overrides else chosen
    chosen = chosen.also_measuring(*measures) if measures else chosen
    chosen = chosen.with_overrides({"start": settled(chosen.start, store)}) if chosen.start else chosen
    if not isinstance(members, int):
        members = [{k: settled(str(v), store) if k == "start" else v for k, v in one.items()} for one in members]
    each = chosen.members(members) if isinstance(members, int) else chosen.members(overrides=members)
    plan = make_plan(each, engine, device)
    differences = [{"seed": chosen.seed + i} for i in range(len(each))] if isinstance(members, int) else list(members)
    about = provenance(chosen, each, plan, command, checkpoint_seconds)
    folder = Store(store).create(chosen.name, chosen.to_dict(), differences, about | {"status": "running"})
    jobs = [_job(folder, plan, i, each, checkpoint_seconds) for i in range(len(plan.lanes))]
    with _bar(progress, chosen, len(each)) as reporter, folder.writer() as writer:
        outcome = drive(folder, writer, plan, jobs, chosen, reporter)
    return _result(folder, outcome)


def resume(name: str, *, store: str | Path = "runs", at: int | None = None, progress: bool = True) -> Run:
    """Continue a run from its last checkpoint; a finished run is returned as it is.

    Args:
        name: of the run; the start of it is enough.
        store: folder of runs.
        at: resume from this earlier checkpoint instead (a step that ``grokscope show`` lists).
        progress: show a bar on standard error.

    Raises:
        BadInput: no such run, it is running, its checkpoint is damaged (the last good one is named), or the
            weights that it started from are gone.
    """
    folder = Store(store).find(name)
    data, overrides = folder.recipe()
    experiment = build(Experiment, data)
    each = experiment.members(overrides=overrides)
    with folder.writer() as writer:
        ended = folder.ended()
        meta = folder.meta()
        if "plan" not in meta:
            raise BadInput(
                f"run {folder.name} was killed before it began; start it again: grokscope run {experiment.name}"
            )
        plan = Plan.from_dict(meta["plan"])
        find_device(plan.device)
        jobs = []
        for lane, numbers in enumerate(plan.lanes):
            if set(numbers) <= set(ended):
                continue
            saved = _choose_checkpoint(folder, lane, at)
            members = saved.members if saved else tuple(n for n in numbers if n not in ended)
            done = tuple(n for n in members if n in ended)
            step = saved.step if saved else -1
            writer.rewind([n for n in members if n not in done], step)
            writer.rewind_lane(lane, step)
            jobs.append(_job(folder, plan, lane, each, meta["checkpoint_seconds"], saved, done, members))
        if not jobs:
            return Run(folder)
        check_unchanged(folder.name, meta, each)
        folder.write_meta(status="running")
        start = {n: (job.resume.step if job.resume else 0) for job in jobs for n, _ in job.members}
        start |= {n: int(done["step"]) for n, done in ended.items()}
        with _bar(progress, experiment, len(each), start) as reporter:
            outcome = drive(folder, writer, plan, jobs, experiment, reporter)
    return _result(folder, outcome)


def load(name: str, *, store: str | Path = "runs") -> Run:
    """A run that is in a store."""
    return Run(Store(store).find(name))


def _job(
    folder: RunFolder,
    plan: Plan,
    lane: int,
    each: Sequence[Experiment],
    checkpoint_seconds: float,
    saved: Checkpoint | None = None,
    done: tuple[int, ...] = (),
    members: Sequence[int] | None = None,
) -> Job:
    numbers = plan.lanes[lane] if members is None else members
    return Job(
        folder=str(folder.path),
        lane=lane,
        members=tuple((n, each[n].to_dict()) for n in numbers),
        device=plan.device,
        threads=plan.threads,
        checkpoint_seconds=checkpoint_seconds,
        resume=saved,
        ended=done,
    )


def _choose_checkpoint(folder: RunFolder, lane: int, at: int | None) -> Checkpoint | None:
    """The lane's newest checkpoint, or the one at a step; damage is an error that names a good one."""
    saved = [c for c in folder.checkpoints() if c.lane == lane and (at is None or c.step <= at)]
    if not saved:
        return None
    try:
        checkpoint.read(folder.path / "checkpoints", saved[-1])
    except Corrupt as error:
        for older in reversed(saved[:-1]):
            try:
                checkpoint.read(folder.path / "checkpoints", older)
            except Corrupt:
                continue
            raise BadInput(
                f"run {folder.name}: checkpoint {error}; the last good one is {older.file}: "
                f"grokscope resume {folder.name} --at {older.step}"
            ) from None
        raise BadInput(
            f"run {folder.name}: checkpoint {error}, and no other is good; the last good state is the start: "
            f"grokscope resume {folder.name} --at 0"
        ) from None
    return saved[-1]


@contextmanager
def _bar(
    show: bool, experiment: Experiment, members: int, start: Mapping[int, int] | None = None
) -> Iterator[Reporter]:
    if not show:
        yield Silence()
        return
    with Bar(experiment, members, start) as bar:
        yield bar


def _result(folder: RunFolder, outcome: Outcome) -> Run:
    if outcome.failures:
        raise RunFailed(f"run {folder.name}: {outcome.failures[0]}; grokscope resume {folder.name} continues it.")
    if outcome.interrupted:
        raise KeyboardInterrupt(folder.name)
    if outcome.diverged:
        raise Diverged(f"run {folder.name} stopped: {outcome.diverged[0]}. Its trace is kept in {folder.path}.")
    return Run(folder)


def provenance(
    experiment: Experiment, each: Sequence[Experiment], plan: Plan, command: str, checkpoint_seconds: float
) -> dict[str, Any]:
    """What is run, with what, on what: the beginning of a run's ``meta.json``."""
    split = each[0].task.divide(each[0].seeds)
    starts = {"start": origins(each)} if any(e.start for e in each) else {}
    return starts | {
        "experiment": experiment.name,
        "hash": experiment.hash(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command or _python_call(experiment, each),
        "members": len(each),
        "parameters": sum(p.numel() for p in experiment.model.skeleton(experiment.task).parameters()),
        "rows": {name: len(rows) for name, rows in split.rows.items()},
        "chance": experiment.task.chance,
        "swap_baseline": experiment.task.swap_baseline(split),
        "plan": plan.to_dict(),
        "checkpoint_seconds": checkpoint_seconds,
        "versions": machine.versions(),
        "machine": {"cpu": machine.cpu(), "cores": cores(), "system": platform.system()},
        "git": machine.git(),
    }


def _python_call(experiment: Experiment, each: Sequence[Experiment]) -> str:
    """The call that repeats a run that was started from Python."""
    for shipped in EXPERIMENTS:
        if shipped.name == experiment.name:
            ours, theirs = flatten(shipped.to_dict()), flatten(experiment.to_dict())
            changed = {k: v for k, v in theirs.items() if ours.get(k, v) != v or k not in ours}
            if set(ours) <= set(theirs):
                extra = f", overrides={changed!r}" if changed else ""
                return f"grokscope.run({experiment.name!r}, members={len(each)}{extra})"
    return f"grokscope.run('experiment.yaml', members={len(each)})  # the file is in the run's folder"
