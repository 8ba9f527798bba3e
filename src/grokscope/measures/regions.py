"""How bent the function is: linear regions near data, and how straight the way between data is, usable alone.

Axes: N points, D inputs, H neurons, Q directions. What is drawn comes from the generator that is
given, on the CPU and in float64.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.spectrum import probe_rows
from grokscope.models.base import Neurons
from grokscope.models.mlp import MLPNetwork
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Quantity

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, Neurons)
"""Modules whose input is taken for pre-activations. Only a kink at 0 makes a region's border of its zero;
for smooth ones the count is of signs alone."""


def frames(count: int, inputs: int, directions: int, generator: torch.Generator) -> Tensor:
    """``count`` random orthonormal frames, (count, D, Q), columns of length 1; Q is at most D."""
    drawn = torch.randn(count, inputs, min(directions, inputs), dtype=torch.float64, generator=generator)
    return torch.linalg.qr(drawn).Q


def sign_changes(
    module: nn.Module, layers: Sequence[str], passes: Iterable[Callable[[], object]]
) -> dict[tuple[str, int], Tensor]:
    """Whose input is below 0 in one pass and above in another: bool tensors by layer and number of its call.

    Layers whose input changes its shape between passes are left out.

    Args:
        module: what runs; layers: names of its submodules; passes: each runs the module once.
    """
    low: dict[tuple[str, int], Tensor] = {}
    high: dict[tuple[str, int], Tensor] = {}
    calls: dict[str, int] = {}
    uneven: set[tuple[str, int]] = set()

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            key = (name, calls.get(name, 0))
            calls[name] = key[1] + 1
            x = inputs[0].detach()
            if key not in low:
                low[key], high[key] = x.clone(), x.clone()  # a layer may overwrite what it gets
            elif low[key].shape != x.shape:
                uneven.add(key)
            else:
                torch.minimum(low[key], x, out=low[key])
                torch.maximum(high[key], x, out=high[key])

        return hook

    handles = [module.get_submodule(name).register_forward_pre_hook(watch(name)) for name in layers]
    try:
        with torch.no_grad():
            for run in passes:
                calls.clear()
                run()
    finally:
        for handle in handles:
            handle.remove()
    return {key: (low[key] < 0) & (high[key] > 0) for key in low if key not in uneven}


def local_complexity(
    module: nn.Module,
    inputs_ND: Tensor,
    generator: torch.Generator,
    radius: float = 0.005,
    directions: int = 25,
    layers: Sequence[str] | None = None,
) -> Tensor:
    """Neurons whose pre-activation changes sign around each point, by layer, (N, L), 0 … H. [Humayun et al. 2024]

    Around x the 2Q vertices x ± r·u_i of a randomly oriented cross-polytope go through the network; of a
    layer those neurons count whose input is below 0 at one vertex and above at another. Authors sum
    over layers and average over points. A network without activations has L = 0 and sum 0; one hidden
    layer counts its hyperplanes that cut the polytope, exactly; deeper layers see bent polytopes, so
    hyperplanes that cut only the inside are missed. Cost: 2Q forward passes.

    Args:
        module: takes (N, D); inputs_ND: the points; generator: of the frames, one per point.
        radius: r, in units of the inputs; directions: Q, at most D.
        layers: names of activation modules; all :data:`ACTIVATIONS` unless given.
    """
    names = [n for n, m in module.named_modules() if isinstance(m, ACTIVATIONS)] if layers is None else list(layers)
    around = radius * frames(len(inputs_ND), inputs_ND.shape[1], directions, generator).to(inputs_ND)

    def at(offset_ND: Tensor) -> Callable[[], object]:
        return lambda: module(inputs_ND + offset_ND)

    passes = [at(sign * around[:, :, i]) for i in range(around.shape[2]) for sign in (1, -1)]
    found = sign_changes(module, names, passes)
    counts = [changed.reshape(len(inputs_ND), -1).sum(1) for changed in found.values()]
    return torch.stack(counts, 1) if counts else torch.zeros(len(inputs_ND), 0, dtype=torch.int64)


def straightness(function: Callable[[Tensor], Tensor], points_ND: Tensor, samples: int = 21) -> Tensor:
    """L_ij = mean over outputs of r² between y_k(x_i + λ(x_j − x_i)) and λ, (N, N), in [0, 1]. [Liu et al. 2023]

    1 for a linear function; an output that does not change between two points counts as straight, and
    L_ii = 1 (both ours). Cost: N²/2 · samples evaluations, one call per i.

    Args:
        function: (M, D) to (M, K); points_ND: the samples x_i; samples: values of λ in [0, 1], evenly.
    """
    count = len(points_ND)
    lam = torch.linspace(0, 1, samples, dtype=torch.float64)
    found = torch.eye(count, dtype=torch.float64)
    lam_c = (lam - lam.mean()) / (lam - lam.mean()).norm()
    with torch.no_grad():
        for i in range(count - 1):
            ahead = points_ND[i + 1 :] - points_ND[i]
            at = points_ND[i] + lam.to(points_ND)[:, None, None] * ahead
            y = function(at.flatten(0, 1)).double().cpu().view(samples, len(ahead), -1)
            spread = y - y.mean(0)
            total = spread.square().sum(0)
            explained = torch.einsum("s,sjk->jk", lam_c, spread).square()
            rounding = samples * (100 * torch.finfo(points_ND.dtype).eps * y.abs().amax(0)).square()
            r2 = torch.where(total > rounding, explained / total.clamp_min(1e-300), 1.0)
            found[i, i + 1 :] = found[i + 1 :, i] = r2.mean(1)
    return found


def linear_mapping_number(straightness_NN: Tensor) -> float:
    """LMN = 2^S with S = −Σ λ̃ log₂ λ̃, λ̃ the shares of |eigenvalues|, in [1, N]. [Liu et al. 2023]

    How many linear maps the function is made of: 1 where all pairs are straight, N where none is, g for g
    equal groups of points that are straight among themselves alone. Cost: N³ operations.

    Args:
        straightness_NN: symmetric, from :func:`straightness`.
    """
    size = torch.linalg.eigvalsh(straightness_NN.double()).abs()
    return torch.special.entr(size / size.sum()).sum().exp().item()


def _vectors(network: nn.Module) -> tuple[int, int, Callable[[Tensor], dict[str, Tensor]]] | None:
    """Shape of the tokens' vectors, and how a shift of them replaces parameters; None where they are not found."""
    embedding: Tensor | None = getattr(network, "embedding_PD", lambda: None)()
    if embedding is None:
        return None
    if isinstance(network, MLPNetwork) and network.W_E is None:  # one-hot: as if the embedding were the identity
        halves = [half.detach() for half in network.W[0].chunk(2)]
        count = len(halves[0])
        return count, count, lambda shift: {"W.0": torch.cat([half + shift.to(half) @ half for half in halves])}
    begin = embedding.data_ptr()  # by address: in a run all parameters are parts of one buffer
    shared = [(n, p.detach()) for n, p in network.named_parameters() if p.data_ptr() <= begin < p.data_ptr() + p.nbytes]
    if len(shared) != 1 or shared[0][1].dim() != 2:
        return None
    name, table = shared[0]
    return len(table), table.shape[1], lambda shift: {name: table + shift.to(table)}


class LocalComplexity(Measure):
    """Neurons whose sign changes close to training and to held-out rows, around the vectors of their elements.

    A row's input is its tokens' vectors one after the other. Every token gets a frame of its own,
    divided by √L for L tokens, which makes an orthonormal frame of every row, so that one pass serves
    all rows. Layers that do not work row by row are left out; NaN where none is left, or where the network's
    embedding is no parameter of it. The radius is in
    lengths of the weights, the paper's for images; for embeddings it is ours to choose.
    """

    kind: ClassVar[str] = "local-complexity"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding", "neurons"})
    cost: ClassVar[float] = 5.0
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("complexity/local_train", "neurons", (0.0, float("inf")), "sign changes around training rows, mean"),
        Quantity("complexity/local_test", "neurons", (0.0, float("inf")), "sign changes around held-out rows, mean"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("humayun2024deep", "local complexity"),)

    rows: int = Field(default=256, ge=1)
    """Rows of each split, at most."""
    radius: float = Field(default=0.005, gt=0.0)
    """r, in units of the embedding."""
    directions: int = Field(default=25, ge=1)
    """Q, at most the embedding's width."""
    seed: int = 0
    """Draws the frames, the same at every look."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two means."""
        return {f"complexity/local_{split}": self._around(snapshot, split) for split in ("train", "test")}

    def _around(self, snapshot: Snapshot, split: str) -> float:
        network, rows = snapshot.network, probe_rows(snapshot, split, self.rows)
        tokens = snapshot.encoding.tokens_NL[rows]
        vectors = _vectors(network)
        if vectors is None:
            return float("nan")
        count, width, moved = vectors
        generator = Seeds(self.seed).generator("measure", self.kind)
        around = self.radius / tokens.shape[1] ** 0.5 * frames(count, width, self.directions, generator)

        def at(shift: Tensor) -> Callable[[], object]:
            return lambda: functional_call(network, moved(shift), (tokens,))

        names = [n for n, m in network.named_modules() if isinstance(m, Neurons) or n == network.neurons]
        passes = (at(sign * around[:, :, i]) for i in range(around.shape[2]) for sign in (1, -1))
        per_row = [c for c in sign_changes(network, names, passes).values() if len(c) == len(rows)]
        if not per_row:
            return float("nan")
        answers = [c.reshape(len(rows), -1, c.shape[-1])[:, snapshot.encoding.answer_row] for c in per_row]
        return sum(c.sum(1).double().mean().item() for c in answers)
