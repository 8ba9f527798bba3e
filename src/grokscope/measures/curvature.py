"""Curvature and slices of the loss: pure functions of a loss of one vector of weights, usable alone.

:func:`flat_loss` makes such a loss of any ``nn.Module`` with its data; a closure does as well. P is
the number of weights. Second derivatives are products Hv by two reverse passes: custom functions
rarely have a forward-mode rule. What is drawn is drawn from the generator that is given, on the CPU
and in float64, so that every device and precision sees the same probes.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import at_weights, weights_and_buffers, widened
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Quantity

FlatLoss = Callable[[Tensor], Tensor]
"""A scalar loss of all weights as one vector (P,)."""
_ANY = (-float("inf"), float("inf"))


def flat_loss(
    module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
) -> tuple[FlatLoss, Tensor]:
    """A module's loss on fixed data as a function of one vector, and the vector (P,) where it stands.

    The vector holds the parameters in the module's order, one that several parts share once. The module is left as
    it is, buffers too; one with dropout should be in eval mode. One that takes several inputs or gives more than a
    tensor is first made a :class:`~grokscope.measures.hooks.Logits`. Half precision is computed in float32, and
    the vector is float32 then: steps and differences are lost in 8 bits.
    """
    weights, buffers = weights_and_buffers(module)
    inputs = widened(inputs)
    sizes = [p.numel() for p in weights.values()]

    def at(theta_P: Tensor) -> Tensor:
        parts = zip(weights.items(), theta_P.split(sizes), strict=True)
        state = {name: part.view(p.shape) for (name, p), part in parts}
        return loss(at_weights(module, state, {name: b.clone() for name, b in buffers.items()}, inputs), targets)

    return at, torch.cat([p.flatten() for p in weights.values()])


def gradient(loss: FlatLoss, theta_P: Tensor) -> Tensor:
    """∇L at θ, (P,), in loss per weight; for L = ½ θᵀAθ with symmetric A it is Aθ."""
    leaf = theta_P.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(leaf), leaf)[0]


def hessian_product(loss: FlatLoss, theta_P: Tensor) -> Callable[[Tensor], Tensor]:
    """v -> Hv with H = ∇²L at θ. [Pearlmutter 1994, by two reverse passes]

    The graph of the gradient is made once and kept as long as the function is, so a product costs
    about two backward passes. For L = ½ θᵀAθ with symmetric A it is Av.
    """
    leaf = theta_P.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)

    def product(v_P: Tensor) -> Tensor:
        if not slope.requires_grad:  # the loss is linear in θ
            return torch.zeros_like(v_P)
        v_P = v_P.contiguous()  # grouped products refuse a column of a matrix
        return torch.autograd.grad(slope, leaf, v_P, retain_graph=True, materialize_grads=True)[0]

    return product


def lanczos(product: Callable[[Tensor], Tensor], start_P: Tensor, steps: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz values (K,) falling, their vectors (P, K) and residual norms ‖Hv − θv‖ (K,); K ≤ ``steps``.

    Lanczos with full reorthogonalisation, twice: H is symmetric and known by its products alone. Each
    value is within its residual norm of an eigenvalue; both ends converge first, and the largest is
    usually right to 1 % after 5 steps. An eigenvalue that occurs several times is found once. K is
    smaller than ``steps`` where the start has no more directions in it. All are NaN where a product is
    not finite. Cost: K products and O(K²P). [Ghorbani et al. 2019]

    Args:
        product: v -> Hv; start_P: any vector but zero, random in practice; steps: ≥ 1.
    """
    basis = [start_P / start_P.norm()]
    diagonal: list[float] = []
    off: list[float] = []
    while True:
        w = product(basis[-1])
        diagonal.append((w.double() @ basis[-1].double()).item())
        q_KP = torch.stack(basis)
        for _ in range(2):
            w = w - q_KP.T @ (q_KP @ w)
        off.append(torch.linalg.vector_norm(w, dtype=torch.float64).item())
        if not math.isfinite(off[-1]):
            nothing = torch.full((len(basis),), math.nan, dtype=torch.float64)
            return nothing, math.nan * q_KP.T, nothing
        scale = max(abs(x) for x in diagonal + off[:-1])
        done = off[-1] <= 100 * torch.finfo(w.dtype).eps * scale  # what is left is rounding
        if done or len(basis) == min(steps, len(start_P)):
            break
        basis.append(w / off[-1])
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    tridiagonal += sum(torch.diag(torch.tensor(off[:-1], dtype=torch.float64), k) for k in (1, -1))
    values, weights = torch.linalg.eigh(tridiagonal)
    vectors = q_KP.T @ weights.to(q_KP)
    return values.flip(0), vectors.flip(1), (off[-1] * weights[-1].abs()).flip(0)


def hutchinson(
    product: Callable[[Tensor], Tensor], like_P: Tensor, probes: int, generator: torch.Generator
) -> tuple[float, float]:
    """Tr H ≈ mean of vᵀHv over random signs v, and its standard error. [Yao et al. 2019]

    Unbiased, with variance 2(‖H‖_F² − Σ H_ii²)/probes: exact for a diagonal H. The error is NaN for
    one probe, which has no spread to see. Cost: one product per probe.

    Args:
        product: v -> Hv; like_P: gives size, type and device; probes: ≥ 1.
    """
    found = []
    for _ in range(probes):
        sign = torch.randint(0, 2, like_P.shape, generator=generator) * 2 - 1
        v = sign.to(like_P)
        found.append((v.double() @ product(v).double()).cpu())
    values = torch.stack(found)
    error = values.std().item() / probes**0.5 if probes > 1 else math.nan
    return values.mean().item(), error


def sharpness(loss: FlatLoss, theta_P: Tensor, radius: float = 0.05) -> float:
    """L(θ + ρ g/‖g‖) − L(θ), in the loss's unit: one step of ascent. [Foret et al. 2020, Eq. 2]

    For L = gᵀθ + ½ θᵀHθ at 0 it is ρ‖g‖ + ½ ρ² gᵀHg/‖g‖²; where the gradient is exactly zero it is 0.
    The largest eigenvalue of the Hessian, also called sharpness, is :func:`lanczos`'s first value.

    Args:
        loss: a function of the weights; theta_P: where; radius: ρ > 0, in units of weight.
    """
    slope = gradient(loss, theta_P)
    size = slope.norm()
    if size == 0:
        return 0.0
    with torch.no_grad():
        return (loss(theta_P + radius / size * slope) - loss(theta_P)).item()


def filter_direction(module: nn.Module, generator: torch.Generator, output_axis: int = 0) -> Tensor:
    """A random direction (P,), each filter as long as the module's own: d ← d/‖d‖ · ‖θ‖. [Li et al. 2017, Sec. 4]

    A filter is all that feeds one output. Tensors of one axis (biases, scales of norms) get 0, as in
    the authors' code. A slice along it does not change when one layer of a ReLU network without
    biases is multiplied and the next divided by a number.

    Args:
        module: whose weights.
        generator: of the direction before it is normalised.
        output_axis: 0 for torch's own layers, −1 for weights kept as (fan_in, fan_out), as ours are.
    """
    parts = []
    for p in (widened(p.detach()) for p in module.parameters()):
        d = torch.randn(p.shape, dtype=torch.float64, generator=generator).to(p)
        if p.dim() < 2:
            parts.append(torch.zeros_like(p).flatten())
            continue
        axes = [i for i in range(p.dim()) if i != output_axis % p.dim()]
        length = torch.linalg.vector_norm(d, dim=axes, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
        parts.append((d * (torch.linalg.vector_norm(p, dim=axes, keepdim=True) / length)).flatten())
    return torch.cat(parts)


def loss_slice(loss: FlatLoss, theta_P: Tensor, direction_P: Tensor, at_K: Tensor) -> Tensor:
    """L(θ + a·d) at each a of ``at_K``, (K,). Cost: K forward passes."""
    with torch.no_grad():
        return torch.stack([loss(theta_P + a * direction_P) for a in at_K.to(theta_P)])


def loss_plane(loss: FlatLoss, theta_P: Tensor, first_P: Tensor, second_P: Tensor, at_K: Tensor) -> Tensor:
    """L(θ + a·d + b·e) at each a (rows) and b (columns) of ``at_K``, (K, K). Cost: K² forward passes."""
    return torch.stack([loss_slice(loss, theta_P + a * first_P, second_P, at_K) for a in at_K.to(theta_P)])


def snapshot_loss(snapshot: Snapshot, rows: Tensor) -> tuple[FlatLoss, Tensor]:
    """:func:`flat_loss` of a snapshot's network and objective on some rows of its table, the mean over them."""
    tokens, targets = snapshot.encoding.tokens_NL[rows], snapshot.targets_NR[rows]
    return flat_loss(snapshot.network, snapshot.objective, tokens, targets)


def some_rows(snapshot: Snapshot, count: int, generator: torch.Generator) -> Tensor:
    """``count`` training rows without repetition, or all there are."""
    rows = snapshot.split.rows["train"]
    return rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]


class Curvature(Measure):
    """Eigenvalues at both ends of the training loss's Hessian, its trace, and sharpness, on a fixed batch."""

    kind: ClassVar[str] = "curvature"
    cost: ClassVar[float] = 19.0
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("hessian/max", "loss/weight²", _ANY, "largest eigenvalue of the training loss's Hessian"),
        Quantity("hessian/min", "loss/weight²", _ANY, "smallest eigenvalue; below 0 at a saddle"),
        Quantity("hessian/max_error", "loss/weight²", (0.0, float("inf")), "bound on the error of hessian/max"),
        Quantity("hessian/trace", "loss/weight²", _ANY, "trace of the Hessian, by random probes"),
        Quantity("hessian/trace_error", "loss/weight²", (0.0, float("inf")), "standard error of hessian/trace"),
        Quantity("hessian/sharpness", "loss", _ANY, "rise of the loss over one step of length radius uphill"),
        Quantity("hessian/eigenvalues", "loss/weight²", _ANY, "the largest Ritz values, falling", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("ghorbani2019investigation", "Lanczos"),
        Source("yao2019pyhessian", "trace by Hutchinson's probes"),
        Source("foret2020sharpness", "sharpness"),
    )

    rows: int = Field(default=512, ge=1)
    """Training rows that the loss is taken on, or all there are."""
    steps: int = Field(default=20, ge=2)
    """Lanczos steps."""
    top: int = Field(default=5, ge=1)
    """Eigenvalues that are kept."""
    probes: int = Field(default=10, ge=2)
    """Random vectors for the trace."""
    radius: float = Field(default=0.05, gt=0.0)
    """ρ of sharpness; 0.05 is the paper's."""
    seed: int = 0
    """Draws the batch and the probes, the same at every look."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Six numbers and a spectrum, (top,), NaN after the values that were found."""
        generator = Seeds(self.seed).generator("measure", self.kind)
        loss, theta = snapshot_loss(snapshot, some_rows(snapshot, self.rows, generator))
        product = hessian_product(loss, theta)
        start = torch.randn(theta.shape, dtype=torch.float64, generator=generator).to(theta)
        values, _, residuals = lanczos(product, start, self.steps)
        trace, error = hutchinson(product, theta, self.probes, generator)
        return {
            "hessian/max": values[0].item(),
            "hessian/min": values[-1].item(),
            "hessian/max_error": residuals[0].item(),
            "hessian/trace": trace,
            "hessian/trace_error": error,
            "hessian/sharpness": sharpness(loss, theta, self.radius),
            "hessian/eigenvalues": F.pad(values, (0, self.top), value=math.nan)[: self.top].float().numpy(),
        }


class LossSlice(Measure):
    """The training loss along one filter-normalised random direction, the same direction at every look."""

    kind: ClassVar[str] = "loss-slice"
    cost: ClassVar[float] = 4.0
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("landscape/slice", "loss", (0.0, float("inf")), "training loss along a random direction", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("li2017visualizing", "filter normalisation"),)

    rows: int = Field(default=512, ge=1)
    """Training rows that the loss is taken on, or all there are."""
    points: int = Field(default=21, ge=3)
    """Places on the slice, evenly from −reach to reach; odd, so that the middle one is the network."""
    reach: float = Field(default=1.0, gt=0.0)
    """How far, in lengths of the weights."""
    seed: int = 0
    """Draws the batch and the direction."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """One array (points,)."""
        generator = Seeds(self.seed).generator("measure", self.kind)
        loss, theta = snapshot_loss(snapshot, some_rows(snapshot, self.rows, generator))
        direction = filter_direction(snapshot.network, generator, output_axis=-1)
        at = torch.linspace(-self.reach, self.reach, self.points, dtype=torch.float64)
        return {"landscape/slice": loss_slice(loss, theta, direction, at).float().cpu().numpy()}
