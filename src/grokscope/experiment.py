"""One frozen description of a run, and the members that may share it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.clock import Clock
from grokscope.errors import BadInput
from grokscope.interventions import INTERVENTIONS, Intervention
from grokscope.measures import MEASURES, Fit, FourierSparsity, KeyFrequencies, Measure, Norms
from grokscope.models import MODELS, Model, Transformer
from grokscope.objectives import OBJECTIVES, CrossEntropy, Objective
from grokscope.optim import OPTIMIZERS, AdamW, Optimizer
from grokscope.phases import EventRule, LabelRule
from grokscope.seeds import STREAMS, Seeds
from grokscope.sources import Source
from grokscope.spec import Spec, choose, one_of, some_of
from grokscope.tasks import TASKS, ModularArithmetic, Task
from grokscope.trace import Quantity

PER_MEMBER = (
    *("seed", "streams", "start", "optimizer.lr", "optimizer.weight_decay", "model.init_scale", "task.train_fraction"),
)
"""What may differ between the members of one run; everything else is shared by all."""

DEFAULT_MEASURES: tuple[Measure, ...] = (Fit(), Norms(), FourierSparsity(), KeyFrequencies())


class Experiment(Spec):
    """A task, a model, an optimizer and how long: everything a run needs, and nothing about where it runs."""

    unwritten: ClassVar[tuple[str, ...]] = ("start",)

    name: str = Field(default="experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Letters, digits, dot, dash; the run's folder starts with it."""
    task: Annotated[Task, one_of(TASKS, "task")] = ModularArithmetic()
    """What is learned."""
    model: Annotated[Model, one_of(MODELS, "model")] = Transformer()
    """Who learns."""
    optimizer: Annotated[Optimizer, one_of(OPTIMIZERS, "optimizer")] = AdamW()
    """How weights move."""
    objective: Annotated[Objective, one_of(OBJECTIVES, "objective")] = CrossEntropy()
    """What is minimised."""
    interventions: Annotated[tuple[Intervention, ...], some_of(INTERVENTIONS, "interventions")] = ()
    """What is changed on purpose in every step, in order."""
    precision: Literal["auto", "float64", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is float32. bfloat16 multiplies in bfloat16 and keeps float32 masters."""
    batch_size: int | None = Field(default=None, ge=1)
    """Rows per step; empty for the full batch."""
    budget: int = Field(default=10_000, ge=1)
    """Optimizer steps at most."""
    stop_after_grok: bool = False
    """Stop a member once it has generalised, after a tail that shows what follows."""
    tail: float = Field(default=0.2, ge=0.0)
    """Length of that tail, as a share of the step at which the event was confirmed."""
    seed: int = Field(default=0, ge=0)
    """Root seed of the first member; the others count up."""
    streams: dict[str, int] = Field(default_factory=dict)
    """Streams that keep another root seed: ``{split: 0}`` gives all members the same split."""
    measures: Annotated[tuple[Measure, ...], some_of(MEASURES, "measures")] = DEFAULT_MEASURES
    """What we look at; those whose needs are not met are skipped, with the reason."""
    clock: Clock = Clock()
    """When we look."""
    events: EventRule = EventRule()
    """Thresholds of memorised and generalised."""
    labels: LabelRule = LabelRule()
    """Thresholds of the four labels."""
    start: str = ""
    """A finished run whose last weights are the first ones here, by name or folder, ``#2`` after it for its
    member 2 instead of 0: taken as they are, without ``model.init_scale``, by an optimizer that begins anew.
    Empty: weights are drawn (stream ``init``)."""
    about: str = ""
    """One line for ``grokscope ls experiments``."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Experiment":
        if not any(isinstance(measure, Fit) for measure in self.measures):
            raise ValueError("measures must contain 'fit': events and clock read losses and accuracies")
        if unknown := set(self.streams) - set(STREAMS):
            raise ValueError(f"streams: unknown {sorted(unknown)}; known are {', '.join(STREAMS)}")
        self.model.check(self.task)
        rows = self.task.size
        if not 1 <= int(self.task.train_fraction * rows) < rows:
            raise ValueError(
                f"task.train_fraction: {self.task.train_fraction} of {rows} rows leaves no training row; "
                f"the smallest that does is {1 / rows:.3g}"
            )
        return self

    @property
    def seeds(self) -> Seeds:
        """The streams of a member with this experiment's seed."""
        return Seeds(self.seed, self.streams)

    def members(self, count: int = 1, overrides: Sequence[Mapping[str, Any]] | None = None) -> list["Experiment"]:
        """One experiment per member: seeds count up from ``seed``, or ``overrides`` say what differs.

        Raises:
            BadInput: an override of a field that members must share.
        """
        if overrides is None:
            if count < 1:
                raise BadInput(f"members must be at least 1, got {count}.")
            overrides = [{"seed": self.seed + i} for i in range(count)]
        for one in overrides:
            if wrong := [field for field in one if field not in PER_MEMBER and field.split(".")[0] != "streams"]:
                raise BadInput(
                    f"members of one run share {wrong[0]!r}; only {', '.join(PER_MEMBER)} may differ. "
                    f"Start one run per value instead."
                )
        return [self.with_overrides(one) for one in overrides]

    def also_measuring(self, *measures: str | Mapping[str, Any] | Measure) -> "Experiment":
        """The same experiment with more measures, by kind or as objects; "all" is everything that ships.

        One of a kind that is there already takes its place.

        Raises:
            BadInput: an unknown kind, with the nearest ones.
        """
        wanted = [cls.kind for cls in MEASURES] if "all" in measures else []
        chosen = {m.kind: m for m in (choose(one, MEASURES, "measures") for one in wanted)}
        chosen |= {m.kind: m for m in self.measures}
        chosen |= {m.kind: m for m in (choose(one, MEASURES, "measures") for one in measures if one != "all")}
        return self.with_overrides({"measures": [m.to_dict() for m in chosen.values()]})

    def quantities(self) -> list[Quantity]:
        """What the measures' keys mean here: the losses are in the unit of the objective."""
        declared = [quantity for measure in self.measures for quantity in measure.quantities]
        losses = {f"{split}/loss" for split in ("train", "test")}
        return [replace(q, unit=self.objective.unit) if q.key in losses else q for q in declared]

    def citations(self) -> list[Source]:
        """Every source that this experiment rests on, in order of use."""
        parts: tuple[Task | Model | Optimizer | Intervention | Measure | LabelRule, ...]
        parts = (self.task, self.model, self.optimizer, *self.interventions, *self.measures, self.labels)
        return list(dict.fromkeys(source for part in parts for source in part.sources))
