"""The tangent kernel: lazy or rich, near the labels or far, each a pure function, usable alone.

Axes: N examples (or example-output pairs), P parameters, C classes. K is a Gram matrix (N, N),
K_ij = ∇f(x_i)·∇f(x_j) of one output f of any ``nn.Module`` of one input that gives a tensor; of another make one
by :class:`~grokscope.measures.hooks.Logits`. Half precision is computed in float32. Everything after :func:`ntk`
takes plain Gram matrices, so it works on any kernel.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad, vmap

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import at_weights, weights_and_buffers, widened
from grokscope.measures.spectrum import TINY, probe_rows
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Quantity

ENTRIES = 2**26
"""Numbers of the Jacobian that are held at once: 256 MiB in float32."""
_POSITIVE = (0.0, float("inf"))


def ntk(module: nn.Module, inputs_N: Tensor, outputs_N: Tensor | None = None, entries: int = ENTRIES) -> Tensor:
    """Empirical neural tangent kernel K_ij = Σ_p ∂_p f(x_i) ∂_p f(x_j), (N, N). [Jacot et al. 2018, Sec. 4]

    The Jacobian (N, P) is made in blocks of rows and never held whole; with B blocks the later ones
    are made again, B(B + 1)/2 in all. Cost: a forward and a backward pass of one example per row of a
    block, and N²P multiply-adds. For a linear map f = w·x it is the Gram matrix of the inputs, x_i·x_j.
    Rows go together by ``torch.func.vmap``; where a module cannot be lifted (a recurrent kernel, a mixture that
    asks which experts are hit) they go one by one, with the same result.

    Args:
        module: takes ``inputs_N[i : i + 1]``; modes and weights stay as they are. A module with
            dropout should be in eval mode.
        inputs_N: the probe set, (N, …).
        outputs_N: int64, which entry of an example's flattened output is f, for instance its
            correct class. None: all outputs, K is (N·C, N·C) with an example's C outputs side by side.
        entries: bound on the numbers of Jacobian held at once; at least two rows are.

    Raises:
        ValueError: the module draws at random, as dropout in train mode.
        TypeError: its output is no tensor.
    """
    weights, buffers = weights_and_buffers(module)
    inputs_N = widened(inputs_N)

    def output(weights: dict[str, Tensor], x: Tensor, pick: Tensor) -> Tensor:
        return at_weights(module, weights, buffers, x[None]).flatten().gather(0, pick[None])[0]

    if outputs_N is None:
        with torch.no_grad():
            width = at_weights(module, weights, buffers, inputs_N[:1]).numel()
        outputs_N = torch.arange(width, device=inputs_N.device).repeat(len(inputs_N))
        inputs_N = inputs_N.repeat_interleave(width, 0)
    rows = _row_by_row(grad(output))
    size = max(1, entries // (2 * sum(p.numel() for p in weights.values())))
    places = torch.arange(len(inputs_N)).split(size)
    found: list[list[Tensor]] = [[] for _ in places]
    for i, here in enumerate(places):
        first = rows(weights, inputs_N[here], outputs_N[here])
        for j in range(i, len(places)):
            second = first if i == j else rows(weights, inputs_N[places[j]], outputs_N[places[j]])
            found[i].append(torch.stack([first[n].flatten(1) @ second[n].flatten(1).T for n in first]).sum(0))
    lower = [[found[j][i - j].T for j in range(i)] for i in range(len(places))]
    return torch.cat([torch.cat(lower[i] + found[i], 1) for i in range(len(places))])


def alignment(first_NN: Tensor, second_NN: Tensor) -> float:
    """⟨K, L⟩_F / (‖K‖_F ‖L‖_F), in [0, 1] for Gram matrices, [−1, 1] for others; 1 for multiples of each other.

    With L = yyᵀ it is yᵀKy / (‖K‖_F ‖y‖²), which Kumar et al. 2023 call CKA. Unchanged by scaling
    either kernel and by turning both. K = I and L = yyᵀ give 1/√N. A kernel of zeros has alignment 0, one that
    is not finite NaN. O(N²).
    """
    a, b = first_NN.double(), second_NN.double()
    a, b = a / a.norm().clamp_min(TINY), b / b.norm().clamp_min(TINY)  # one by one: a product of norms may overflow
    return (a * b).sum().clamp(-1.0, 1.0).item()


def centred(kernel_NN: Tensor) -> Tensor:
    """HKH with H = I − 11ᵀ/N: the kernel of features whose mean over the probe set is taken out, (N, N), float64.

    Its rows and columns sum to 0. Exactly 0 where what is left is rounding, as for a constant kernel.
    """
    k = kernel_NN.double()
    rest = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    rounding = 8 * torch.finfo(torch.float64).eps * k.abs().amax() if k.numel() else 0.0
    return torch.where((rest.abs() <= rounding).all(), 0.0, rest)


def cka(first_NN: Tensor, second_NN: Tensor) -> float:
    """Centred kernel alignment, :func:`alignment` of HKH and HLH, in [0, 1]. [Kornblith et al. 2019, Sec. 3]

    Also unchanged by adding a constant to either kernel; 0 where either is constant. Of independent Gaussian features
    of width D it is about D/(N + D): small only where the examples outnumber the features.
    """
    return alignment(centred(first_NN), centred(second_NN))


def label_gram(labels_N: Tensor) -> Tensor:
    """YYᵀ of one-hot labels, (N, N) float64: 1 where two examples have the same label, else 0."""
    return (labels_N[:, None] == labels_N).double()


def kernel_distance(first_NN: Tensor, second_NN: Tensor) -> float:
    """1 − alignment(K, L), in [0, 1]: 0 for kernels equal up to scale, 1 for orthogonal ones. [Fort et al. 2020]

    A kernel of zeros is at 1 from all.
    """
    return 1.0 - alignment(first_NN, second_NN)


def kernel_velocity(first_NN: Tensor, second_NN: Tensor, steps: float) -> float:
    """Kernel distance per step between two moments ``steps`` > 0 apart, ≥ 0. [Fort et al. 2020]

    0 in the lazy regime, where the kernel stays where it began.

    Raises:
        ValueError: ``steps`` is not above 0.
    """
    if not steps > 0:
        raise ValueError(f"steps must be above 0, got {steps}.")
    return kernel_distance(first_NN, second_NN) / steps


def difficulty(kernel_NN: Tensor, targets_NC: Tensor, ridge: float = 0.0) -> float:
    """tr Yᵀ(K + λI)⁻¹Y, which is yᵀK⁻¹y for one column, ≥ 0, in output² over kernel. [Kumar et al. 2023]

    The squared norm that the kernel's function needs to fit the targets: large where they lie along
    small eigenvalues. K = cI gives ‖Y‖²/c; an eigenvector of unit length gives 1/its eigenvalue. ∞ where
    K + λI has a null space and part of the targets lies in it, NaN where K is not finite. Cost: N³.

    Args:
        kernel_NN: symmetric, no eigenvalue below 0 but by rounding.
        targets_NC: (N,) or (N, C), N ≥ 1.
        ridge: λ ≥ 0.
    """
    k, y = kernel_NN.double(), targets_NC.double().reshape(len(targets_NC), -1)
    if not bool(k.isfinite().all()):
        return float("nan")
    values, vectors = torch.linalg.eigh(k)
    values = values.clamp_min(0.0) + ridge
    share = len(values) * torch.finfo(torch.float64).eps
    null = values <= share * values.amax()
    power = (vectors.T @ y).square().sum(1)
    if bool(power[null].sum() > share * power.sum()):
        return float("inf")
    return (power[~null] / values[~null]).sum().item()


def effective_dimension(kernel_NN: Tensor, ridge: float) -> float:
    """Tr(K(K + λI)⁻¹) = Σ e/(e + λ) over the eigenvalues e of K, in [0, N].

    How many directions a ridge λ > 0 leaves free. K = λI gives N/2, and as λ falls to 0 it becomes
    the rank of K. Eigenvalues below 0, which only rounding makes, count as 0. Unchanged by rotation, and by
    scaling K and λ alike. NaN where K is not finite. Cost: N³. [used by Li et al. 2025]

    Raises:
        ValueError: the ridge is not above 0.
    """
    k = kernel_NN.double()
    if not bool(k.isfinite().all()):
        return float("nan")
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0, got {ridge}.")
    values = torch.linalg.eigvalsh(k).clamp_min(0.0)
    return (values / (values + ridge)).sum().item()


def kernel_prediction(
    cross_MN: Tensor, kernel_NN: Tensor, residual_NC: Tensor, time: float = float("inf"), ridge: float = 0.0
) -> Tensor:
    """What the linearised model adds to its outputs on M examples, (M, C) or (M,), float64. [Lee et al. 2019, Sec. 2.2]

    K(x, X) (K + λI)⁻¹ (I − exp(−(K + λI) t)) (y − f₀(X)): gradient flow for a time t = learning rate ·
    steps on ½ Σ (f − y)² + ½ λ‖θ − θ₀‖². The whole prediction is f₀(x) plus this; t = ∞ is kernel
    regression, t = 0 adds nothing. A trained network that does better has left the lazy regime.

    Args:
        cross_MN: kernel of the M examples with the training ones; from one :func:`ntk` of both together.
        kernel_NN: of the training examples; residual_NC: y − f₀ on them.
        time: ≥ 0. ridge: λ ≥ 0; where K + λI is singular its null space is left alone. All is NaN where the
            kernel is not finite.
    """
    k = kernel_NN.double()
    finite = bool(k.isfinite().all())
    values, vectors = torch.linalg.eigh(k if finite else torch.zeros_like(k))
    values = values + ridge
    floor = values.abs().max() * len(values) * torch.finfo(torch.float64).eps
    gone = torch.ones_like(values) if time == float("inf") else -torch.expm1(-values * time)
    factor = torch.where(values > floor, gone / values.clamp_min(floor), 0.0 if time == float("inf") else time)
    residual = residual_NC.double()
    flat = residual.reshape(len(residual), -1)
    out = cross_MN.double() @ (vectors @ (factor[:, None] * (vectors.T @ flat)))
    out = out if finite else torch.full_like(out, torch.nan)
    return out.reshape(len(cross_MN), *residual.shape[1:])


def linearised(module: nn.Module, start: Mapping[str, Tensor], inputs_N: Tensor) -> Tensor:
    """f(x; θ₀) + J₀(x)(θ − θ₀): the module's first-order model around ``start``, at its present weights θ.

    Same shape as the module's output. [Lee et al. 2019, Sec. 2.2] Jv is had by two reverse passes, as the derivative
    of ⟨Jᵀu, v⟩ with respect to u, since custom functions rarely have a forward-mode rule. Cost: one
    forward and two backward passes.

    Args:
        module: at θ; start: θ₀ by parameter name, as from ``state_dict``; inputs_N: (N, …).
    """
    now, buffers = weights_and_buffers(module)
    leaves = {name: widened(start[name].detach()).clone().requires_grad_() for name in now}
    with torch.enable_grad():
        outputs = at_weights(module, leaves, buffers, widened(inputs_N))
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, list(leaves.values()), u, create_graph=True, materialize_grads=True)
        moved = [now[name] - leaves[name].detach() for name in now]
        along = torch.stack([(g * d).sum() for g, d in zip(pulled, moved, strict=True)]).sum()
        (first_order,) = torch.autograd.grad(along, u)
    return outputs.detach() + first_order


def richness(module: nn.Module, start: Mapping[str, Tensor], inputs_N: Tensor) -> float:
    """‖f(θ) − f_lin(θ)‖ / ‖f(θ) − f(θ₀)‖, ≥ 0 (ours): 0 lazy, of order 1 rich.

    A model that is linear in its weights has 0. f = θ² moved from 1 to 1 + δ has δ/(2 + δ). Where
    nothing has moved it is 0; NaN where an output is not finite.
    """
    now, buffers = weights_and_buffers(module)
    before, x = {name: widened(start[name].detach()) for name in now}, widened(inputs_N)
    with torch.no_grad():
        outputs = at_weights(module, now, buffers, x)
        began = at_weights(module, before, buffers, x)
    travelled = (outputs - began).double().norm()
    missed = (outputs - linearised(module, start, inputs_N)).double().norm()
    return (missed / travelled).item() if travelled != 0 else 0.0


def _row_by_row(row: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """A row's gradients for many rows: lifted by vmap, or where that is refused in a loop."""
    together = vmap(row, in_dims=(None, 0, 0))

    def rows(weights: dict[str, Tensor], inputs_N: Tensor, picks_N: Tensor) -> dict[str, Tensor]:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")  # an operation that vmap itself loops
                return together(weights, inputs_N, picks_N)
        except RuntimeError as error:
            if "random" in str(error):  # a loop would give every row another f
                raise ValueError("the module draws at random: put it in eval mode first") from error
        found = [row(weights, x, pick) for x, pick in zip(inputs_N, picks_N, strict=True)]
        return {name: torch.stack([one[name] for one in found]) for name in weights}

    return rows


class TangentKernel(Measure):
    """The tangent kernel of the correct answer's logit on a fixed probe set, and how it sees the labels.

    The Gram matrix itself is kept, so that :func:`cka`, :func:`kernel_distance` and
    :func:`kernel_velocity` between any two looks, the first one included, can be had afterwards.
    Examples with the same answer share a column of the readout, so the alignment with the labels is
    high from the start: what tells is its change.
    """

    kind: ClassVar[str] = "tangent-kernel"
    cost: ClassVar[float] = 3.5
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("ntk/mean", "logit²/weight²", _POSITIVE, "mean of K(x, x), the squared gradient of a logit"),
        Quantity("ntk/label_cka", "1", (0.0, 1.0), "centred alignment of the kernel with the one-hot labels"),
        Quantity("ntk/label_alignment", "1", (0.0, 1.0), "alignment of the kernel with the one-hot labels"),
        Quantity("ntk/effective_dimension", "examples", _POSITIVE, "Tr K(K + λI)⁻¹, λ a share of the mean of K(x, x)"),
        Quantity("ntk/difficulty", "weight²", _POSITIVE, "tr Yᵀ(K + λI)⁻¹Y of the one-hot labels"),
        Quantity("ntk/gram", "logit²/weight²", (-float("inf"), float("inf")), "the kernel", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("jacot2018neural", "the kernel"),
        Source("kumar2023grokking", "kernel alignment"),
        Source("kornblith2019similarity", "CKA"),
    )

    rows: int = Field(default=128, ge=2)
    """Examples in the probe set, or all there are."""
    split: Literal["train", "test"] = "test"
    """Where they come from; Kumar et al. take test."""
    ridge: float = Field(default=1e-3, gt=0.0)
    """λ as a share of the mean of K(x, x) (ours)."""
    seed: int = 0
    """Draws the probe set, the same at every look."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Five numbers and the matrix."""
        rows = snapshot.split.rows[self.split]
        order = torch.randperm(len(rows), generator=Seeds(self.seed).generator("measure", self.kind))
        rows = rows[order[: self.rows].sort().values.to(rows.device)]
        encoding = snapshot.encoding
        labels = snapshot.targets_NR[rows][:, encoding.answer_row]
        with torch.no_grad():
            vocabulary = snapshot.network(encoding.tokens_NL[rows[:1]]).shape[-1]
        kernel = ntk(snapshot.network, encoding.tokens_NL[rows], labels + encoding.answer_row * vocabulary).double()
        mean = kernel.diagonal().mean().item()
        ridge = max(self.ridge * mean, torch.finfo(torch.float64).tiny)  # a dead network has a kernel of zeros
        one_hot = (labels[:, None] == labels.unique()).double()
        return {
            "ntk/mean": mean,
            "ntk/label_cka": cka(kernel, label_gram(labels)),
            "ntk/label_alignment": alignment(kernel, label_gram(labels)),
            "ntk/effective_dimension": effective_dimension(kernel, ridge),
            "ntk/difficulty": difficulty(kernel, one_hot, ridge),
            "ntk/gram": kernel.cpu().numpy().astype(np.float32),
        }


class Laziness(Measure):
    """The network beside its own first-order model around its initial weights: lazy or rich, and what either answers.

    With f_lin(x) = f(x; θ₀) + J₀(x)(θ − θ₀), ``lazy/richness`` is :func:`richness` on training rows, 0 in
    the lazy regime, where nothing but the tangent kernel at the start has learned. The accuracies are those of f_lin:
    a kernel at chance on held-out rows while the network generalises has not done it. [Kumar et al. 2023 train the
    linearised model itself; ours is that of the trained weights.] At step 0 the two are one, and the
    richness is 0.
    """

    kind: ClassVar[str] = "laziness"
    cost: ClassVar[float] = 2.0
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("lazy/richness", "1", _POSITIVE, "distance from the first-order model over distance travelled"),
        Quantity("lazy/train_accuracy", "share", (0.0, 1.0), "training rows the first-order model answers right"),
        Quantity("lazy/test_accuracy", "share", (0.0, 1.0), "held-out rows the first-order model answers right"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("kumar2023grokking", "lazy and rich"),
        Source("lee2019wide", "Sec. 2.2, linearised network"),
    )

    rows: int = Field(default=512, ge=1)
    """Rows of each split that are looked at, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three scalars; none where the initial weights are not known."""
        if snapshot.initial is None:
            return {}
        start, encoding = snapshot.initial(), snapshot.encoding
        found = {}
        for split in ("train", "test"):
            rows = probe_rows(snapshot, split, self.rows)
            logits = linearised(snapshot.network, start, encoding.tokens_NL[rows])[:, encoding.answer_row]
            said = logits[:, encoding.answers].argmax(-1)
            found[f"lazy/{split}_accuracy"] = (said == snapshot.split.answers_N[rows]).double().mean().item()
        rows = probe_rows(snapshot, "train", self.rows)
        found["lazy/richness"] = richness(snapshot.network, start, encoding.tokens_NL[rows])
        return found
