"""What a paper's file holds: studies that observe, claims that judge, and what differs from the paper.

A *study* is done once for each seed and returns plain numbers (an *observation*). A *claim* turns the
observations of all judged seeds into a verdict by a criterion that stands in code before those seeds are run.
A seed is the unit of evidence: whatever a study trains for it, it counts once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import torch

from grokscope.experiment import Experiment
from grokscope.models import Network
from grokscope.phases import Phases
from grokscope.sources import BIBLIOGRAPHY, Reference
from grokscope.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESETS = ("smoke", "quick", "paper")
"""seconds, to see that it runs; a laptop's verdict; the paper's own sizes."""
FIRST_JUDGED_SEED = 100
"""Seeds below are for piloting: a criterion may be chosen while looking at them."""
Observation = Mapping[str, Any]
"""What one seed showed, as JSON can hold it: numbers, None for what did not happen in the budget, lists for figures."""

T = TypeVar("T")


class Trained(Protocol):
    """A finished run, as a study sees it."""

    @property
    def experiment(self) -> Experiment:
        """What was run."""

    @property
    def path(self) -> Path:
        """Its folder, from which another run can start: ``setting.with_overrides({"start": str(run.path)})``."""

    @property
    def trace(self) -> Trace:
        """What was seen."""

    def phases(self) -> list[Phases]:
        """What it means, per member."""

    def curves(self) -> Trace:
        """What follows from the course of the trace."""

    def network(self, member: int = 0) -> Network:
        """The finished member's network."""


class Lab(Protocol):
    """What a study is given: its seed, its sizes, and the means to train."""

    preset: str
    seed: int
    size: Mapping[str, Any]
    """The study's sizes in this preset."""

    def steps(self, wanted: int) -> int:
        """As many steps as wanted, or fewer where a paper's preset is only started to see that it starts.

        Every budget and every loop of a study that takes long goes through it.
        """

    def train(
        self, experiment: Experiment, members: Sequence[Mapping[str, Any]] | None = None, *, together: int = 1
    ) -> Trained:
        """Run an experiment on one thread, or take it up where it was interrupted.

        Args:
            experiment: its ``seed`` and ``budget`` are replaced by this lab's seed and ``steps(budget)``.
            members: one mapping of overrides per member (``experiment.PER_MEMBER``); one member unless given.
                A member without a ``seed`` has the lab's.
            together: members whose steps are taken as one tensor program, which pays where a step is short;
                given, not measured, so that a seed finds the same bits again.
        """

    def generator(self, name: str) -> torch.Generator:
        """A stream of random numbers of its own for each (seed, name)."""


def whole(lab: Lab) -> bool:
    """Whether a study is done as it is meant, and not only started for some steps."""
    return lab.steps(10**9) == 10**9


def begun(lab: Lab, jobs: Sequence[T]) -> Sequence[T]:
    """All jobs; the first alone where a preset is only started."""
    return jobs if whole(lab) else jobs[:1]


@dataclass(frozen=True)
class Range:
    """Values between two bounds, both included."""

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float | None) -> bool:
        """Whether a value lies within; nothing and NaN never do."""
        if value is None or value != value:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return "anything"
        if self.low == self.high:
            return f"= {self.low:g}"
        if self.low is None:
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if self.high is None else f"in [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Something that is done for one seed and seen as numbers.

    sizes: by preset, what the observing function reads from ``lab.size``.
    seeds: how many are judged in the quick and the paper preset; smoke takes one.
    """

    name: str
    about: str
    observe: Callable[[Lab], Observation]
    sizes: Mapping[str, Mapping[str, Any]]
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class Test:
    """A number and what it must be; either of each seed, or of all seeds together.

    Args:
        study: whose observations it reads.
        quantity: what is measured, with its unit.
        each: the number of one seed; the test holds where at least four in five seeds' numbers are accepted (ours).
        pooled: the number of all seeds together; the test holds where its 95 % bootstrap interval over seeds
            lies within what is accepted.
        accepts: which values pass.
        ours: which thresholds are not the paper's, and why these; empty where all are.
    """

    __test__ = False

    study: str
    quantity: str
    accepts: Range
    each: Callable[[Observation], float | bool | None] | None = None
    pooled: Callable[[Sequence[Observation]], float | None] | None = None
    ours: str = ""

    def __post_init__(self) -> None:
        if (self.each is None) == (self.pooled is None):
            raise ValueError(f"{self.quantity}: exactly one of each and pooled is needed")

    @property
    def criterion(self) -> str:
        """The rule in words."""
        if self.each is not None:
            return f"{self.quantity} {self.accepts} in at least four of five seeds"
        return f"{self.quantity} {self.accepts}, with its whole 95 % interval over seeds"


@dataclass(frozen=True, kw_only=True)
class Control(Test):
    """What shows that a claim's check can tell: where the effect must be absent (negative) or present (positive)."""

    kind: Literal["negative", "positive"] = "negative"
    statement: str


@dataclass(frozen=True, kw_only=True)
class Claim(Test):
    """A statement of the paper and how it is judged.

    Args:
        id: short, in words with dashes.
        statement: what the paper says, in our words.
        where: section, figure, equation.
        paper: the paper's own number, in words.
        control: without it no claim counts as reproduced.
        contradicts: values that say the opposite.
        partly: of a pooled number, values that show the effect in a weaker form.
        needs: seeds without which there is no verdict.
    """

    id: str
    statement: str
    where: str
    paper: str
    control: Control
    contradicts: Range | None = None
    partly: Range | None = None
    needs: int = 5


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper as this project holds it.

    Args:
        key: the file's name, author-year-word.
        source: its key in the bibliography.
        about: one line on what is done here.
        differences: from the paper, numbered on the page.
        experiments: shipped for ``grokscope run``; the first has the paper's own settings and its name.
        studies: what is observed.
        claims: what is judged.
        draw: the paper's figure from our observations, by study, seeds in order.
        caption: what that figure shows, and which of the paper's it follows.
        figure_size: width and height in inches.
        errs: where a founding document or the paper's own text is wrong, said on the page.
    """

    key: str
    source: str
    about: str
    differences: tuple[str, ...]
    studies: tuple[Study, ...] = ()
    claims: tuple[Claim, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    draw: "Callable[[Figure, Mapping[str, Sequence[Observation]]], None] | None" = None
    caption: str = ""
    figure_size: tuple[float, float] = (8.0, 3.2)
    errs: tuple[str, ...] = field(default=())

    @property
    def reference(self) -> Reference:
        """Its entry in the bibliography."""
        return BIBLIOGRAPHY[self.source]

    def study(self, name: str) -> Study:
        """A study by its name."""
        return next(study for study in self.studies if study.name == name)
