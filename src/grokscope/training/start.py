"""First weights from another run: where they are, whether they fit, and what they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokscope import checkpoint
from grokscope.checkpoint import Checkpoint, Corrupt
from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.models.base import Network
from grokscope.spec import build
from grokscope.store import RunFolder, Store


@dataclass(frozen=True)
class Origin:
    """A finished member of a run whose last weights begin another run."""

    folder: RunFolder
    member: int
    experiment: Experiment
    """Of that member."""
    saved: Checkpoint

    def weights(self) -> Tensor:
        """All parameters as one row (P,), in the precision that they had.

        Raises:
            BadInput: the file is missing or damaged.
        """
        try:
            return checkpoint.read(self.folder.path / "checkpoints", self.saved)["theta"][0]
        except Corrupt as error:
            raise BadInput(f"start: run {self.folder.name}: the final checkpoint {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """For meta.json: which weights these were."""
        path = str(self.folder.path)
        return {"run": path, "member": self.member, "step": self.saved.step, "sha256": self.saved.sha256}


def settled(start: str, store: str | Path) -> str:
    """The start of an experiment with the run's whole path in place of a name; empty stays empty.

    Args:
        start: ``RUN`` or ``RUN#MEMBER``; RUN as ``grokscope show`` takes it.
        store: folder of runs in which names are looked up.

    Raises:
        BadInput: no such run, or several.
    """
    if not start:
        return ""
    run, member = _parted(start)
    try:
        found = Store(store).find(run)
    except BadInput as error:
        raise BadInput(f"start: {error}") from None
    return f"{found.path.resolve()}#{member}"


def origin(start: str) -> Origin:
    """The run behind a path, or behind a path with ``#`` and a member's number.

    Raises:
        BadInput: no run is there, it has no such member, or the member is not finished.
    """
    run, member = _parted(start)
    folder = RunFolder(Path(run))
    if not run or not (folder.path / "experiment.yaml").is_file():
        raise BadInput(f"start: no run in {run!r}; give the folder of a finished run (grokscope ls runs names them).")
    data, overrides = folder.recipe()
    if member >= len(overrides):
        has = f"members 0 to {len(overrides) - 1}" if len(overrides) > 1 else "member 0 alone"
        raise BadInput(f"start: run {folder.name} has {has}, got #{member}.")
    done = folder.ended().get(member)
    if done is None or not done["file"]:
        raise BadInput(
            f"start: member {member} of {folder.name} is not finished; grokscope resume {folder.name} continues it."
        )
    saved = Checkpoint(0, done["step"], (member,), done["file"], done["sha256"])
    return Origin(folder, member, build(Experiment, data).members(overrides=overrides)[member], saved)


def origins(each: Sequence[Experiment]) -> list[dict[str, Any] | None]:
    """What :meth:`Origin.to_dict` says for each member; None for one whose weights are drawn."""
    known = {start: origin(start).to_dict() for start in dict.fromkeys(e.start for e in each) if start}
    return [known.get(e.start) for e in each]


def check_unchanged(run: str, meta: Mapping[str, Any], each: Sequence[Experiment]) -> None:
    """Refuse to go on with a run if what it started from is no longer what it was.

    Raises:
        BadInput: another run is at that place now, or none.
    """
    now = origins(each)
    for then, found in zip(meta.get("start", [None] * len(each)), now, strict=True):
        if then is not None and (found is None or found["sha256"] != then["sha256"]):
            raise BadInput(
                f"run {run} started from the weights of {then['run']} (SHA-256 {then['sha256'][:12]}…), "
                f"which are others now; start it again."
            )


def first_network(experiment: Experiment, device: torch.device, dtype: torch.dtype) -> Network:
    """A member's network with its first weights: drawn from stream ``init``, or those of another run.

    Raises:
        BadInput: the other run is not there or not finished, or its network has other shapes.
    """
    if not experiment.start:
        seeds = experiment.seeds
        return experiment.model.build(experiment.task, seeds.generator("init")).to(device, dtype)
    source = origin(experiment.start)
    network = experiment.model.skeleton(experiment.task)
    ours, theirs = (_shapes(one) for one in (network, source.experiment.model.skeleton(source.experiment.task)))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            raise BadInput(
                f"start: {name} is {_words(theirs.get(name))} in run {source.folder.name} and "
                f"{_words(ours.get(name))} in this experiment; both need the same model on a task of the same size."
            )
    theta_P, begin = source.weights().to(dtype), 0
    network = network.to(device, dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(theta_P[begin : begin + parameter.numel()].view_as(parameter))
            begin += parameter.numel()
    return network


def _parted(start: str) -> tuple[str, int]:
    """``RUN#2`` as RUN and 2; the member is 0 where none is given."""
    run, hash_, member = start.rpartition("#")
    return (run, int(member)) if hash_ and member.isdecimal() else (start, 0)


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in network.named_parameters()}


def _words(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))
