"""Sparse parities learned online, a fresh batch at every step, and the Fourier gap that makes them learnable.

The label of x ∈ {±1}ⁿ is y = x₁ x₂ … x_k. For a neuron σ(w·x + b) and the loss −y f the population gradient at a
coordinate is g_i = −E[y x_i σ'(w·x + b)]: a Fourier coefficient of σ'(w·x + b) at the k − 1 other relevant
coordinates for a relevant i, and at k + 1 coordinates for an irrelevant one. Where the first are larger, SGD amplifies
the relevant weights long before anything is answered. [Barak et al. 2022, Sec. 4]

Axes: T trials, B points, N bits, H neurons.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.sources import Source

SOURCE = Source("barak2022hidden", "Sec. 3 and 4, App. C")
LARGEST_CUBE = 20
"""Bits up to which all points of the cube are enumerated."""

CHUNK = 2**22
"""Activations that one look holds at a time."""

Activation = Literal["relu", "power", "sine", "zigzag", "product"]
Loss = Literal["hinge", "square", "cross-entropy"]
Init = Literal["uniform", "normal", "sign"]


@dataclass(frozen=True, kw_only=True)
class Net:
    """f(x) = Σ_h u_h σ(w_h·x + b_h) + c, or Π_h (w_h·x + b_h) of a PolyNet.

    Args:
        width: H neurons.
        activation: σ. relu; power: z^degree; sine: sin z; zigzag: linear between (−1)^z at whole z; product: PolyNet.
        degree: of the power, k in the paper.
        readout: whether u and c are there and learned; u = 1 and c = 0 otherwise, and always for a PolyNet.
        init: of every entry. uniform: in ±1/√fan_in. normal: N(0, 2/fan_in). sign: ±1/√fan_in, either with 1/2.
    """

    width: int = 100
    activation: Activation = "relu"
    degree: int = 3
    readout: bool = True
    init: Init = "uniform"


class Weights(NamedTuple):
    """Of all trials: w (T, H, N), b (T, H), and u (T, H), c (T, 1) where the net has a readout, else None."""

    w: Tensor
    b: Tensor
    u: Tensor | None = None
    c: Tensor | None = None


def activate(z: Tensor, activation: Activation, degree: int = 3) -> Tensor:
    """σ(z), elementwise; of a product its factors, z itself."""
    match activation:
        case "relu":
            return z.relu()
        case "power":
            return z.pow(degree)
        case "sine":
            return z.sin()
        case "zigzag":
            return 2 * (z.remainder(2) - 1).abs() - 1
        case "product":
            return z


def slope(z: Tensor, activation: Activation, degree: int = 3) -> Tensor:
    """σ'(z), elementwise; 1 at z ≥ 0 for relu. Not for products."""
    match activation:
        case "relu":
            return (z >= 0).to(z.dtype)
        case "power":
            return degree * z.pow(degree - 1)
        case "sine":
            return z.cos()
        case "zigzag":
            return torch.where(z.remainder(2) >= 1, 2.0, -2.0).to(z.dtype)
        case "product":
            raise ValueError("a product has no elementwise slope")


def start(net: Net, n: int, trials: int, generator: torch.Generator) -> Weights:
    """First weights of each trial, float32."""

    def draw(*shape: int, fan_in: int) -> Tensor:
        bound = 1 / math.sqrt(fan_in)
        match net.init:
            case "uniform":
                return bound * (2 * torch.rand(shape, generator=generator) - 1)
            case "normal":
                return math.sqrt(2.0) * bound * torch.randn(shape, generator=generator)
            case "sign":
                return bound * signs(shape, generator)

    w, b = draw(trials, net.width, n, fan_in=n), draw(trials, net.width, fan_in=n)
    if not net.readout or net.activation == "product":
        return Weights(w, b)
    return Weights(w, b, draw(trials, net.width, fan_in=net.width), draw(trials, 1, fan_in=net.width))


def outputs(net: Net, weights: Weights, x_TBN: Tensor) -> Tensor:
    """f of each trial's own points, (T, B)."""
    z_TBH = torch.baddbmm(weights.b[:, None], x_TBN, weights.w.mT)
    if net.activation == "product":
        return z_TBH.prod(2)
    h_TBH = activate(z_TBH, net.activation, net.degree)
    if weights.u is None or weights.c is None:
        return h_TBH.sum(2)
    return torch.baddbmm(weights.c[:, None], h_TBH, weights.u[..., None])[..., 0]


def losses(f: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """Elementwise. hinge: max(0, 1 − yf). square: (f − y)². cross-entropy: ln(1 + e^{−yf}), in nats."""
    match loss:
        case "hinge":
            return (1 - y * f).relu()
        case "square":
            return (f - y).square()
        case "cross-entropy":
            return F.softplus(-y * f)


def signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """±1, either with probability 1/2, float32."""
    return torch.randint(2, shape, generator=generator).float().mul_(2).sub_(1)


def error(net: Net, weights: Weights, k: int, points: int, generator: torch.Generator) -> Tensor:
    """Share of ``points`` fresh points, the same for all trials, that sign f gets wrong, (T,); 0 and NaN are wrong."""
    trials, width, n = weights.w.shape
    right_T = torch.zeros(trials)
    with torch.no_grad():
        for x_BN in signs((points, n), generator).split(max(1, CHUNK // (trials * width))):
            f_TB = outputs(net, weights, x_BN.expand(trials, -1, -1))
            right_T += (f_TB * x_BN[:, :k].prod(1) > 0).sum(1)
    return 1 - right_T / points


def descend(
    net: Net,
    n: int,
    k: int,
    steps: int,
    generator: torch.Generator,
    *,
    trials: int,
    batch: int,
    lr: float,
    loss: Loss = "hinge",
    every: int = 100,
    labels: Literal["parity", "random"] = "parity",
) -> Iterator[tuple[int, Weights]]:
    """Online SGD, θ ← θ − lr ∇ (mean loss of a fresh batch), each trial with its own start and its own batches.

    Yields (step, weights) at step 0, at every ``every``-th and at the last; the caller may stop earlier.
    ``labels`` "random" draws each label by itself, so that there is nothing to learn.
    """
    weights = start(net, n, trials, generator)
    theta = [part.requires_grad_() for part in weights if part is not None]
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            yield step, Weights(*(part.detach() for part in theta))
        if step == steps:
            return
        x_TBN = signs((trials, batch, n), generator)
        y_TB = x_TBN[..., :k].prod(2) if labels == "parity" else signs((trials, batch), generator)
        # trials do not meet in the sum, so each one's gradient is its own
        mean_T = losses(outputs(net, weights, x_TBN), y_TB, loss).mean(1)
        grads = torch.autograd.grad(mean_T.sum(), theta)
        with torch.no_grad():
            torch._foreach_add_(theta, grads, alpha=-lr)


@dataclass(frozen=True)
class Course:
    """Errors on fresh points at each look: steps, L of them, error_LT, and what else was watched, (T, ...) a look."""

    steps: list[int]
    error_LT: Tensor
    watched: list[Tensor]

    def reached(self, error: float = 0.0) -> list[int | None]:
        """The first look of each trial with at most that error; None where there is none."""
        low_LT = self.error_LT <= error
        first_T = low_LT.int().argmax(0).tolist()
        return [self.steps[at] if low_LT[at, trial] else None for trial, at in enumerate(first_T)]


def follow(
    course: Iterator[tuple[int, Weights]],
    net: Net,
    k: int,
    generator: torch.Generator,
    *,
    points: int = 8192,
    probe: int = 0,
    share: float = 1.0,
    watch: Callable[[Weights], Tensor] | None = None,
) -> Course:
    """Look at every step that :func:`descend` yields until ``share`` of the trials have once had no error.

    Args:
        generator: of the ``points`` fresh points of each look; not that of the course.
        probe: look at so many points only while each trial gets some of them wrong; 0 for always all.
        watch: what else is kept of each look.
    """
    steps: list[int] = []
    errors: list[Tensor] = []
    watched: list[Tensor] = []
    solved = torch.zeros(())
    for step, weights in course:
        steps.append(step)
        errors.append(error(net, weights, k, probe or points, generator))
        if probe and (errors[-1] == 0).any():
            errors[-1] = torch.maximum(errors[-1], error(net, weights, k, points, generator))
        if watch is not None:
            watched.append(watch(weights).clone())
        solved = torch.maximum(solved, (errors[-1] == 0).float())
        if solved.mean() >= share:
            break
    return Course(steps, torch.stack(errors), watched)


def cube(n: int) -> Tensor:
    """All points of {±1}ⁿ, (2ⁿ, N) float32, n ≤ 20."""
    if n > LARGEST_CUBE:
        raise ValueError(f"n must be at most {LARGEST_CUBE} to enumerate the cube, got {n}")
    return 1.0 - 2.0 * ((torch.arange(2**n)[:, None] >> torch.arange(n)) & 1)


def population_gradient(
    x_BN: Tensor, k: int, w_TN: Tensor, b_T: Tensor, activation: Activation, degree: int = 3
) -> Tensor:
    """−mean over the points of y x_i σ'(w·x + b), (T, N): exact on the :func:`cube`, an estimate on drawn points."""
    slopes_BT = slope(torch.addmm(b_T, x_BN, w_TN.T), activation, degree)
    return -(slopes_BT * x_BN[:, :k].prod(1, keepdim=True)).T @ x_BN / len(x_BN)


def sine_gradient(w_TN: Tensor, b_T: Tensor, k: int) -> Tensor:
    """The :func:`population_gradient` of sin(w·x + b) over the whole cube in closed form, any N, (T, N) float64.

    E[Π_{j∈A} x_j e^{i(w·x + b)}] = e^{ib} Π_{j∈A} i sin w_j Π_{j∉A} cos w_j at A = S∖{i} and S∪{i}; no cos w_j may
    be 0. A relevant coordinate's is larger than an irrelevant one's wherever |tan w_i tan w_j| < 1.
    """
    w, b = w_TN.double(), b_T.double()[:, None]
    tan = w.tan()
    whole = w.cos().prod(1, keepdim=True) * tan[:, :k].prod(1, keepdim=True)  # of S, but for its phase

    def phase(order: int) -> Tensor:
        return (b + order * torch.pi / 2).cos()  # Re e^{ib} i^order

    return -torch.cat([whole / tan[:, :k] * phase(k - 1), whole * tan[:, k:] * phase(k + 1)], dim=1)


def fourier_gap(gradient_TN: Tensor, k: int) -> Tensor:
    """Smallest |g_i| of the k relevant coordinates − largest of the others, (T,)."""
    size = gradient_TN.abs()
    return size[:, :k].amin(1) - size[:, k:].amax(1)


def majority_coefficient(n: int, order: int) -> float:
    """|ξ_order|: the Fourier coefficient of sign(x₁ + … + x_n), n odd, at any ``order`` coordinates; 0 where even.

    |ξ_m| = C((n−1)/2, (m−1)/2) / C(n−1, m−1) · 2^{1−n} C(n−1, (n−1)/2). [O'Donnell 2014, Theorem 5.19]
    """
    if n % 2 == 0:
        raise ValueError(f"n must be odd for a majority, got {n}")
    if order % 2 == 0 or order > n:
        return 0.0
    half, m = (n - 1) // 2, order
    return math.comb(half, (m - 1) // 2) / math.comb(n - 1, m - 1) * (math.comb(n - 1, half) / 2 ** (n - 1))


def majority_gap(n: int, k: int) -> float:
    """The :func:`fourier_gap` of a ReLU neuron with w ∈ {±1}ⁿ, n odd and k even: (|ξ_{k−1}| − |ξ_{k+1}|) / 2.

    Half, since σ' = (1 + majority) / 2. It falls as n^{−(k−1)/2}; for odd k it is 0, which is why biases are needed.
    """
    return (majority_coefficient(n, k - 1) - majority_coefficient(n, k + 1)) / 2
