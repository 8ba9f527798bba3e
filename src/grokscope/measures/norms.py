"""Sizes of the weights."""

from typing import ClassVar

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.sources import Source
from grokscope.trace import Quantity

_POSITIVE = (0.0, float("inf"))


class Norms(Measure):
    """Euclidean norms: of all parameters, of each parameter tensor, of the last layer.

    ``norm/weights`` = √(Σ θ²) over every parameter; its square is the Σ θ² of Nanda et al.
    The last layer is the parameter that the network names as its ``readout``; where it names none, the
    last matrix in the order of the module's parameters; NaN where there is no matrix. Sums are in float64.
    k times the weights have k times each norm; turning a matrix leaves its norm.
    """

    kind: ClassVar[str] = "norms"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("norm/weights", "weight", _POSITIVE, "Euclidean norm of all parameters"),
        Quantity("norm/last_layer", "weight", _POSITIVE, "Euclidean norm of the last weight matrix"),
        Quantity("norm/*", "weight", _POSITIVE, "Euclidean norm of each parameter tensor, by its name"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("nanda2023progress", "Sec. 5.1, sum of squared weights"),
        Source("liu2022omnigrok", "weight norm w"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """``norm/weights``, ``norm/last_layer``, ``norm/<parameter>``."""
        squares = {n: p.detach().double().square().sum().item() for n, p in snapshot.network.named_parameters()}
        matrices = [n for n, p in snapshot.network.named_parameters() if p.dim() > 1]
        readout = snapshot.network.readout or next(reversed(matrices), None)
        values = {f"norm/{name}": square**0.5 for name, square in squares.items()}
        values["norm/weights"] = sum(squares.values()) ** 0.5
        values["norm/last_layer"] = float("nan") if readout is None else squares[readout] ** 0.5
        return values
