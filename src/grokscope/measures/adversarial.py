"""How far inputs must be moved to change an answer: attacks within ℓ∞ balls, accuracy under them, and the border.

Axes: N points, D inputs, C classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from grokscope.objectives import CrossEntropy

Function = Callable[[Tensor], Tensor]


def ascend(
    loss: Function,
    inputs_ND: Tensor,
    radius: float,
    step_size: float,
    steps: int,
    bounds: tuple[float, float] = (-torch.inf, torch.inf),
) -> Tensor:
    """Projected gradient ascent from x within its ℓ∞ ball, (N, D). [Madry et al. 2017, Sec. 2.1]

    z₀ = x, z_{k+1} = clip(z_k + α sign ∇ℓ(z_k)) into [x − ε, x + ε] and then into ``bounds``. It begins at x
    itself, as does the authors' code of Humayun et al. 2024, so that it draws nothing. One step of size ε is the
    fast gradient sign method [Goodfellow et al. 2014, Sec. 4]. Where the slope is exactly 0 an input stays as it is.

    Args:
        loss: of (N, D) points gives (N,), each of its own point alone; differentiable.
        inputs_ND: x, within ``bounds``.
        radius: ε ≥ 0, in units of the inputs.
        step_size: α > 0; steps · α should be ε at least, or the edge of the ball is not reached.
        steps: k.
        bounds: least and greatest value that an input may take.
    """
    low_ND = (inputs_ND - radius).clamp(*bounds)
    high_ND = (inputs_ND + radius).clamp(*bounds)
    moved_ND = inputs_ND.detach().clone()
    for _ in range(steps):
        with torch.enable_grad():
            moved_ND.requires_grad_()
            (slope_ND,) = torch.autograd.grad(loss(moved_ND).sum(), moved_ND)
        moved_ND = torch.clamp(moved_ND.detach() + step_size * slope_ND.sign(), low_ND, high_ND)
    return moved_ND


def attack(
    function: Function,
    inputs_ND: Tensor,
    answers_N: Tensor,
    radius: float,
    step_size: float,
    steps: int,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """The points to which :func:`ascend` moves x on the cross-entropy of the right answers, (N, D).

    The slope fades as e^−margin: from margins of about 100 nats on it is 0 in float32 and a point is not moved,
    which would pass for robustness.

    Args:
        function: (N, D) points to (N, C) logits, each row of its own point alone.
        inputs_ND: x. answers_N: the right classes. The others: as of :func:`ascend`.
    """
    objective = CrossEntropy()
    return ascend(lambda x: objective.per_token(function(x), answers_N), inputs_ND, radius, step_size, steps, bounds)


def accuracy_under_attack(
    function: Function,
    inputs_ND: Tensor,
    answers_N: Tensor,
    radius: float,
    step_size: float,
    steps: int,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> float:
    """Share of points still answered right where :func:`attack` ends, in [0, 1].

    An upper bound of the accuracy in the whole ball: a stronger attack may find more. Arguments as of
    :func:`attack`.
    """
    moved_ND = attack(function, inputs_ND, answers_N, radius, step_size, steps, bounds)
    with torch.no_grad():
        return (function(moved_ND).argmax(1) == answers_N).double().mean().item()


def between(function: Function, from_ND: Tensor, to_ND: Tensor, halvings: int = 12) -> tuple[Tensor, Tensor]:
    """Points of the decision border on the ways from one point to another, by bisection, and which ways cross it.

    What is found lies between two points of different answers that are 2^−halvings of the way apart; of a way
    that crosses the border several times one crossing is found. A way between equal answers is left at its
    beginning, and False.

    Args:
        function: (N, D) points to (N, C) logits. from_ND, to_ND: both ends. halvings: forward passes.
    """
    with torch.no_grad():
        begin_N, end_N = function(from_ND).argmax(1), function(to_ND).argmax(1)
        low_N1 = torch.zeros(len(from_ND), 1, dtype=from_ND.dtype, device=from_ND.device)
        high_N1 = torch.ones_like(low_N1)
        for _ in range(halvings):
            middle_N1 = (low_N1 + high_N1) / 2
            same_N1 = (function(torch.lerp(from_ND, to_ND, middle_N1)).argmax(1) == begin_N)[:, None]
            low_N1, high_N1 = torch.where(same_N1, middle_N1, low_N1), torch.where(same_N1, high_N1, middle_N1)
        crossed_N = begin_N != end_N
        middle_N1 = (low_N1 + high_N1) / 2 * crossed_N[:, None]
        return torch.lerp(from_ND, to_ND, middle_N1), crossed_N
