"""One look: what is measured, each part by itself, so that one that fails costs no other."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grokscope.measures import dynamics, heavy_tails, precision, spectrum
from grokscope.measures.fit import Fit
from grokscope.measures.landscape import CommutatorDefect, GradientSize, commutator_bracket
from grokscope.measures.memorization import log_probability
from grokscope.measures.norms import Norms
from grokscope.monitoring.journal import tell, why
from grokscope.monitoring.names import recognised
from grokscope.monitoring.probe import Batch, Seen
from grokscope.monitoring.together import Together
from grokscope.monitoring.untouched import synchronised, untouched
from grokscope.monitoring.updates import norm_of
from grokscope.trace import Quantity, Trace

Row = dict[str, float | NDArray[np.generic]]
Validation = Batch | Callable[[], Any] | None
SKETCH = dynamics.WeightSketch()
_ANY = (-float("inf"), float("inf"))
_OWN = (
    Quantity("tails/alpha_median", "1", (1.0, float("inf")), "median of tails/alpha over the weight matrices"),
    Quantity("optimizer/lr", "1", (0.0, float("inf")), "learning rate of the group with the most parameters"),
    Quantity("batch/loss", "nats", _ANY, "the loop's own loss of the batch just before the look"),
    Quantity("batch/loss_max", "nats", _ANY, "the loop's own largest loss of a batch since the look before"),
    Quantity("batch/accuracy", "share", (0.0, 1.0), "the loop's own accuracy of the batch just before the look"),
)


def quantities() -> dict[str, Quantity]:
    """What the monitor's keys mean: what the lab's measures say, but of the probe."""
    kinds = (
        Fit,
        Norms,
        precision.LogitScale,
        precision.SoftmaxCollapse,
        precision.UpdateDirection,
        GradientSize,
        spectrum.RepresentationSpectrum,
        dynamics.WeightSketch,
        dynamics.LogProbabilityQuantiles,
        CommutatorDefect,
    )
    found = {quantity.key: quantity for kind in kinds for quantity in kind.quantities}
    batch = "Euclidean norm of the gradient that the last update was given"
    return ({key: found[key] for key in _KEYS} | {"gradient/norm": replace(found["gradient/norm"], about=batch)}) | {
        quantity.key: quantity for quantity in _OWN
    }


_KEYS = (
    *("train/loss", "train/accuracy", "test/loss", "test/accuracy", "norm/weights", "gradient/norm"),
    *("update/decay_share", "logits/scale", "logits/confidence", "logits/margin_median"),
    *("precision/softmax_collapse", "precision/zero_losses", "representation/effective_rank"),
    *("dynamics/weight_sketch", "dynamics/log_probability", "commutator/defect"),
)


class Eye:
    """Looks at a module.

    Args:
        module: unwrapped.
        probe: training rows, or none.
        validation: held-out rows, or a function that gives (loss, accuracy) or a mapping of names to numbers.
        together: the processes.
        trace: where reasons for what could not be seen are kept.
    """

    def __init__(
        self,
        module: nn.Module,
        probe: Batch | None,
        validation: Validation,
        together: Together,
        trace: Trace,
    ) -> None:
        self.module, self.probe, self.validation = module, probe, validation
        self.together, self.trace = together, trace
        self._drawn = 0
        """Looks whose mini-batches were drawn."""
        self.took: Callable[[str, float], None] = lambda name, seconds: None
        """Is told each part's seconds."""
        if probe is None:
            for name in ("train", "logits", "representation"):
                trace.skipped[name] = "no probe was given, a batch of training rows to look at"

    def parts(self) -> dict[str, float]:
        """Names of the parts, each with a guess of its seconds."""
        size = sum(p.numel() for p in self.module.parameters())
        found = {"fit": 1e-3, "norm": 2e-9 * size, "gradient": 4e-9 * size, "sketch": 4e-8 * size}
        shapes = [sorted(weight.shape) for weight in self._matrices()]
        found["spectra"] = 5e-4 + 3e-10 * sum(small**2 * large for small, large in shapes)
        if self.probe is not None:
            found |= {"logits": 1e-3, "representation": 1e-3}
            if reason := _no_defect(self.module, self.probe, size):
                self.trace.skipped["defect"] = reason
            else:
                found["defect"] = 1e-2 + 2e-7 * size
        return found | ({"validation": 1e-3} if callable(self.validation) else {})

    def look(self, takes: frozenset[str]) -> Row:
        """The values of these parts, in the order of their cost."""
        row: Row = {}
        alive = takes - self.trace.skipped.keys()
        synchronised(self.module)
        with self._timed("fit"):
            seen = self._fit("train", self.probe, "representation" in alive, row)
            if isinstance(self.validation, Batch):
                self._fit("test", self.validation, False, row)
        if "validation" in takes:
            with self._timed("validation"):
                row |= self.together.agreed(self._guarded("validation", self._validate) or {})
        if "logits" in takes:
            with self._timed("logits"):
                row |= self._logits(seen)
        if seen is not None and "representation" in alive and self.together.first:
            with self._timed("representation"):
                row |= self._guarded("representation", lambda: self._representation(seen)) or {}
        for name, measure in self._of_weights().items():
            if name in alive and self.together.first:
                with self._timed(name):
                    row |= self._guarded(name, measure) or {}
        return row

    def off(self, name: str, because: str) -> None:
        """A part is taken no more."""
        self.trace.skipped[name] = because

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        synchronised(self.module)
        self.took(name, time.perf_counter() - begin)

    def _guarded(self, name: str, measure: Callable[[], Any]) -> Any:
        """What a part gives; None and one warning where it fails, and from then on."""
        if name in self.trace.skipped:
            return None
        try:
            return measure()
        except Exception as error:
            self.off(name, why(error))
            tell(f"{name} is left out from now on. {why(error)}")
            return None

    def _fit(self, split: str, batch: Batch | None, hidden: bool, row: Row) -> Seen | None:
        """Loss and accuracy of a split over the batches of all processes; what this one saw."""
        if batch is None:
            return None

        def see() -> Seen:
            with untouched(self.module):
                return batch.see(self.module, hidden)

        seen: Seen | None = self._guarded(split, see)
        mine = [0.0, 0.0, 0.0, 0.0]
        if seen is not None:
            classes = seen.right is not None
            mine = [seen.loss_sum, seen.right or 0.0, float(seen.count), float(seen.count if classes else 0)]
            if not classes and split == "train":
                self.trace.skipped.setdefault("logits", batch.because)
        loss, right, count, asked = self.together.summed(mine)
        if count:
            row[f"{split}/loss"] = loss / count
        if asked:
            row[f"{split}/accuracy"] = right / asked
        return seen

    def _logits(self, seen: Seen | None) -> Row:
        """Means over the predictions of all processes; the median is this one's."""
        found = self._guarded("logits", lambda: None if seen is None else _of_logits(seen)) or {}
        count = 0 if seen is None or seen.logits_MV is None or not found else len(seen.logits_MV)
        losses = count if "precision/zero_losses" in found else 0
        weights = [*[count] * (len(_MEANS) - 1), losses]
        mine = [weight * found[key] if weight else 0.0 for key, weight in zip(_MEANS, weights, strict=True)]
        total = self.together.summed([*mine, *map(float, weights)])
        sums, counts = total[: len(_MEANS)], total[len(_MEANS) :]
        row: Row = {key: s / n for key, s, n in zip(_MEANS, sums, counts, strict=True) if n}
        if count:
            row |= {key: found[key] for key in ("logits/margin_median", "dynamics/log_probability")}
            if not losses:
                self.trace.skipped.setdefault("precision/zero_losses", "the loss gives a mean and not each row's")
        return row

    def _representation(self, seen: Seen) -> Row:
        if seen.hidden_MD is None:
            self.off("representation", "the model calls no linear layer with a row for each prediction")
            return {}
        values = spectrum.covariance_eigenvalues(seen.hidden_MD[:: max(1, len(seen.hidden_MD) // RANK_ROWS)])
        return {"representation/effective_rank": spectrum.effective_rank(values).item()}

    def _of_weights(self) -> dict[str, Callable[[], Row]]:
        """The parts that the first process takes of the weights alone, or of them and the probe."""
        return {"norm": self._norm, "sketch": self._sketch, "spectra": self._spectra, "defect": self._defect}

    def _norm(self) -> Row:
        return {"norm/weights": norm_of(self.module.parameters())}

    def _sketch(self) -> Row:
        pieces = (part for p in self.module.parameters() for part in p.detach().reshape(-1).split(dynamics.CHUNK))
        found = dynamics.sketch_parts(pieces, SKETCH.size, SKETCH.seed)
        return {"dynamics/weight_sketch": found.astype(np.float32)}

    def _spectra(self) -> Row:
        values = (heavy_tails.eigenvalues(weight).cpu() for weight in self._matrices())
        alphas = [heavy_tails.power_law(each, TAIL).alpha for each in values]
        finite = [alpha for alpha in alphas if np.isfinite(alpha)]
        if not alphas:
            self.off("spectra", f"no matrix has a shorter side above {TAIL} and up to {MOST_ELEMENTS:,} elements")
        return {"tails/alpha_median": float(np.median(finite))} if finite else {}

    def _matrices(self) -> list[Tensor]:
        return [w for _, w in heavy_tails.matrices(self.module) if min(w.shape) > TAIL and w.numel() <= MOST_ELEMENTS]

    def _defect(self) -> Row:
        """Its limit for small steps: a step across a kink of ReLU adds about 1/η, which hides all else."""
        probe = self.probe
        assert probe is not None
        self._drawn += 1
        draw = torch.Generator().manual_seed(self._drawn)
        with untouched(self.module):
            found = [commutator_bracket(*probe.two_losses(self.module, draw)) for _ in range(PAIRS)]
        return {"commutator/defect": float(np.median(found))}

    def _validate(self) -> Row:
        validation = self.validation
        assert callable(validation)
        with untouched(self.module):
            given = validation()
        return validated(given)


TAIL = 5
"""Eigenvalues that a tail must have."""
MOST_ELEMENTS = 1 << 22
"""Of a matrix whose spectrum is taken: it is copied in float64, 32 MiB of these (ours)."""
PAIRS = 3
"""Pairs of mini-batches that the commutator defect is the median of."""
MOST_WEIGHTS = 5_000_000
"""Above, the gradients and products that the defect holds at once are too much (ours)."""
RANK_ROWS = 256
"""Predictions of which the spectrum of the last hidden layer is taken, at most about twice as many."""
_MEANS = (
    "logits/scale",
    "logits/confidence",
    "precision/softmax_collapse",
    "precision/zero_losses",
)


def _no_defect(module: nn.Module, probe: Batch, size: int) -> str | None:
    """Why no commutator defect is taken; None where it is."""
    if size > MOST_WEIGHTS:
        return f"{size:,} weights; it holds several vectors of them at once, so it is taken up to {MOST_WEIGHTS:,}"
    if not probe.half():
        return "the probe has no rows that could be taken apart into mini-batches"
    sharded = [type(part).__name__ for part in module.modules() if "FSDP" in type(part).__name__]
    if sharded or any(type(p).__name__ == "DTensor" for p in module.parameters()):
        return "the weights are sharded over processes, and it is taken by one process alone"
    return None


def _of_logits(seen: Seen) -> dict[str, Any]:
    assert seen.logits_MV is not None
    assert seen.targets_M is not None
    z = seen.logits_MV
    log_p_M = log_probability(z[:, None], seen.targets_M[:, None])
    found: dict[str, Any] = {
        "logits/scale": precision.logit_scale(z).item(),
        "logits/confidence": precision.confidence(z).item(),
        "logits/margin_median": precision.margin_quantiles(precision.margins(z, seen.targets_M), [0.5]).item(),
        "precision/softmax_collapse": precision.softmax_collapse(z).item(),
        "dynamics/log_probability": dynamics.quantiles(log_p_M.cpu().numpy()).astype(np.float32),
    }
    if seen.losses_M is not None:
        found["precision/zero_losses"] = precision.zero_losses(seen.losses_M).item()
    return found


def validated(given: Any) -> Row:
    """What a validation function gives, by our keys: a pair (loss, accuracy), or a mapping of names."""
    if isinstance(given, Mapping):
        named = recognised(given, split="val").items()
        return {key if "/" in key else f"test/{key}": value for key, value in named}
    loss, accuracy = given
    return {f"test/{k}": float(v) for k, v in (("loss", loss), ("accuracy", accuracy)) if v is not None}
