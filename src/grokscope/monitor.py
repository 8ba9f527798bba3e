"""Phases, forecast and advice on somebody else's training, from within its loop and without a mark on it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from grokscope.monitoring.guard import Guard
from grokscope.monitoring.journal import Journal, Sink, why
from grokscope.monitoring.look import Eye, quantities
from grokscope.monitoring.pace import VERDICT, Pace
from grokscope.monitoring.probe import Loss, as_batch
from grokscope.monitoring.together import Together
from grokscope.monitoring.untouched import unwrapped
from grokscope.monitoring.updates import Updates
from grokscope.monitoring.watch import Watch
from grokscope.trace import Trace

if TYPE_CHECKING:
    from grokscope.advice import Advice
    from grokscope.diagnosis import Diagnosis
    from grokscope.forecast import Forecast
    from grokscope.phases import Phases


class Monitor:
    """Watches a training loop.

        monitor = grokscope.Monitor(model, optimizer, probe=(inputs, targets))
        for x, y in loader:
            ...
            optimizer.step()
            monitor.step(loss)
        print(monitor.advice)

    Steps are updates of the optimizer, counted by a hook on it, so ``step`` may be called for each micro-batch.
    Weights, buffers, gradients, modes and random numbers stay what they would be without the monitor, bit for bit; an
    error of its own becomes one warning and a reason in ``trace.skipped``, and training goes on. Looks are spaced
    evenly in the logarithm of the step, and rarer where they would cost more than ``max_overhead``.

    In a training of several processes each of them makes a monitor and calls it alike; losses and accuracies
    are over the probes of all, and the first process keeps the trace.

    Args:
        model: any module; what ``torch.compile`` and data-parallel wrappers hold is looked at.
        optimizer: one, several in a list (the first one's updates are counted), or none (each call of ``step`` is
            an update).
        probe: a fixed batch of training rows: (inputs, targets), or a mapping with ``labels``. Inputs may be a
            tensor, a tuple of positional or a mapping of keyword arguments. Without one the loop's own losses are
            the training curve, and what needs logits is left out.
        validation: held-out rows as ``probe``, or a function without arguments that gives (loss, accuracy) or a mapping
            of names to numbers. :meth:`log` is the other way.
        loss_fn: loss of (logits, targets); cross-entropy of integer targets and mean square error of all else
            where left out.
        read: logits of the model's output; its ``logits`` or its first tensor where left out.
        budget: step at which training will end, if known.
        chance: accuracy of a guess; from the probe where left out.
        clipped: whether gradients or weights are clipped, if known.
        max_overhead: seconds of looking per second of training.
        looks_per_decade: looks for each tenfold of steps, where they are paid for; more while an accuracy moves.
        folder: keep each row in ``folder/trace.jsonl``, which ``grokscope diagnose`` reads.
        sinks: trackers that mirror the trace (:mod:`grokscope.integrations.trackers`).
        on_phase_change: is told the segment's name when another one begins.
        on_advice: is told the advice when the verdict changes.
        start: updates done before, where a training goes on without :meth:`load_state_dict`.
        distributed: False keeps a process of several to itself, and lets it be the only one that is watched.

    Raises:
        BadInput: a probe or validation that is none of these.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any = None,
        probe: Any = None,
        *,
        validation: Any = None,
        loss_fn: Loss | None = None,
        read: Callable[[Any], Tensor] | None = None,
        budget: int | None = None,
        chance: float | None = None,
        clipped: bool | None = None,
        max_overhead: float = 0.03,
        looks_per_decade: int = 20,
        folder: Path | str | None = None,
        sinks: Iterable[Sink] = (),
        on_phase_change: Callable[[str], object] | None = None,
        on_advice: "Callable[[Advice], object] | None" = None,
        start: int = 0,
        distributed: bool | None = None,
    ) -> None:
        module, batches = unwrapped(model), {}
        for name, given in (("probe", probe), ("validation", validation)):
            keep = given is None or (name == "validation" and callable(given))
            batches[name] = given if keep else as_batch(given, module, read, loss_fn, name)
        self.trace = Trace(quantities=quantities())
        together = Together(distributed)
        eye = Eye(module, batches["probe"], batches["validation"], together, self.trace)
        pace = Pace(max_overhead, looks_per_decade, eye.parts() | {VERDICT: 1e-3}, due=start)
        eye.took = pace.took
        journal = Journal(*((folder, sinks) if together.first else (None, ())), self.trace.skipped)
        self._watch = watch = Watch(module, eye, pace, together, journal, self.trace, start)
        self._guard = Guard(pace, self.trace.skipped, start)
        watch.updates = Updates(_listed(optimizer), self.before_step, start)
        watch.verdicts.on_phase, watch.verdicts.on_advice = on_phase_change, on_advice
        if journal.lines is not None:
            journal.lines.setting = watch.config
        watch.known = {"chance": chance, "clipped": clipped, "budget": budget}

    # In the loop.

    def step(self, loss: Any = None, accuracy: Any = None, *, step: int | None = None) -> None:
        """After an update, or after each micro-batch.

        Args:
            loss: of this batch: a number or a tensor, with or without graph.
            accuracy: of this batch, as a share.
            step: updates done, where they are known better than by counting. A smaller number than before is a
                training that goes on from an earlier checkpoint: what was seen after it is forgotten.
        """
        if not self._watch.quiet(loss, accuracy, step):
            self._guard(lambda: self._stepped(loss, accuracy, step))

    def before_step(self) -> None:
        """Just before an update, with its gradients there; the optimizer's hook calls it where there is one."""
        if self._watch.wants_before():
            self._guard(self._watch.before)

    def log(self, name: str | Mapping[str, Any], value: Any = None, *, step: int | None = None) -> None:
        """Numbers that the loop knows, such as held-out accuracy, under whatever name people give them.

        What the probe or the validation measures itself stays theirs; such numbers go under ``logged/``.
        Accuracies above 1 are read as percent.
        """
        given = name if isinstance(name, Mapping) else {name: value}
        self._guard(lambda: self._watch.logged(given, self.at if step is None else step))

    def should_stop(self, patience: int | None = None) -> bool:
        """Early stopping that knows plateaus.

        True where the advice is that more of the same training is of no use (generalised, losing generalisation,
        structurally blocked, numerical fault). With ``patience``, also where neither held-out loss nor held-out
        accuracy (the training loss, where there is neither) has been better for so many steps, unless the advice is
        to keep training because delayed generalisation is likely. It is judged anew at looks, as often as the
        budget pays for; of several processes the first one judges for all, from the look after the first question on.
        """
        verdicts = self._watch.verdicts
        if verdicts.ask(patience) and not self._watch.together.active:
            self._guard(verdicts.judge)
        return verdicts.stop

    # What it says.

    @property
    def diagnosis(self) -> "Diagnosis":
        """All that follows from what was seen; looks first where updates were made since the last look."""
        if not self._watch.together.active:
            self._guard(self._watch.look_if_stale)
        return self._watch.verdicts.diagnosis()

    @property
    def advice(self) -> "Advice":
        """What to do now, and why."""
        return self.diagnosis.advice

    @property
    def forecast(self) -> "Forecast | None":
        """Whether and when it generalises; None where nobody can say, for reasons in ``diagnosis.skipped``."""
        return self.diagnosis.forecast

    @property
    def phases(self) -> "Phases":
        """Events, segments and anomalies."""
        return self.diagnosis.phases

    @property
    def overhead(self) -> float:
        """Seconds of looking per second of training, until now."""
        return self._guard.pace.overhead

    @property
    def at(self) -> int:
        """Updates done."""
        return self._watch.at

    def report(self, path: Path | str) -> Path:
        """One page with the diagnosis, the curves and what they rest on."""
        from grokscope.report.diagnosis_page import write_diagnosis

        write_diagnosis(self.diagnosis, Path(path))
        return Path(path)

    def sentence(self) -> str:
        """The advice in words; a reason where there is none."""
        try:
            return f"grokscope at step {self.at:,}: {self.advice}"
        except Exception as error:
            return f"grokscope at step {self.at:,}: no advice. {why(error)}"

    def close(self) -> None:
        """A last look, and the end: hooks, file and trackers are let go. What was seen stays readable."""
        self._guard(self._watch.look_if_stale)
        self._watch.updates.close()
        self._watch.journal.close()
        self._guard.alive = False

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Monitor at step {self.at:,}: {self._guard.pace.looks} looks, {self.overhead:.1%} of the training's time>"
        )

    # For checkpoints.

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on, as numbers, lists and tensors."""
        return self._watch.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another monitor was; what this one has seen is forgotten."""
        self._guard(lambda: self._watch.load(state))

    def _stepped(self, loss: Any, accuracy: Any, step: int | None) -> None:
        watch = self._watch
        now = watch.counted(step)
        watch.batch(loss, accuracy, now)
        if now != watch.at:  # else a micro-batch, whose time is the next update's
            self._guard.trained(now)
            watch.arrive(now)


def _listed(optimizer: Any) -> list[Any]:
    if optimizer is None:
        return []
    return list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
