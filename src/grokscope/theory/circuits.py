"""Two circuits that compete: lookup tables whose strengths are learned, and what a logit costs a network.

C_gen answers every question rightly, C_mem the trained ones only and every other one wrongly. A circuit's logit is
w = u v, two subweights, so that one which begins small is learned slowly. On a trained question the logits are
w_gen + w_mem at the right one of V answers and 0 elsewhere, on another w_gen at the right and w_mem at a wrong one:

    L = −log softmax(logits of a trained question)[right] + λ/2 Σ_c n_c (u_c² + v_c²).

n_c is the cost of a circuit, the squared parameter norm that a logit of 1 takes; its inverse is its efficiency.
At u = v gradient flow gives d ln w_c/dt = 2 (s − λ n_c) with s = −dL_CE/dlogit the same for both, so that

    ln(w_gen/w_mem)(t) = ln(w_gen/w_mem)(0) + 2 λ (n_mem − n_gen) t:

the circuit that costs less wins whatever λ > 0 is, λ sets only how soon, and equal costs leave the mixture as it
began. A cost of C_mem that rises with the trained questions D and one of C_gen that does not meet at D_crit.

Axes: S settings, L looks, circuits in the order gen, mem. The costs' form n_c (u² + v²)/2 is a reconstruction.
[Varma et al. 2023, Sec. 3 and 4]
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.models.base import Network
from grokscope.sources import Source

SOURCE = Source("varma2023efficiency", "Sections 3 and 4")


@dataclass(frozen=True)
class Course:
    """What was seen of S settings at L looks: time, logits (L, S, 2), probability of the right answer (L, S)."""

    times_L: Tensor
    weights_LS2: Tensor
    train_LS: Tensor
    test_LS: Tensor

    def first(self, split: str, at_least: float) -> list[float | None]:
        """When the probability of the right answer of ``train`` or ``test`` first reached a value; None if never."""
        reached_LS = (self.train_LS if split == "train" else self.test_LS) >= at_least
        firsts = zip(reached_LS.any(0).tolist(), reached_LS.int().argmax(0).tolist(), strict=True)
        return [float(self.times_L[first]) if ever else None for ever, first in firsts]


def follow(
    start_S2: Tensor, costs_S2: Tensor, decay_S: Tensor, classes: int, *, rate: float, steps: int, every: int = 1
) -> Course:
    """Gradient descent on the subweights, u = v at the start.

    Args:
        start_S2: logits w ≥ 0 of both circuits at the start.
        costs_S2: n_c > 0.
        decay_S: λ ≥ 0.
        classes: V ≥ 2 answers.
        rate: learning rate; time is rate times steps.
        steps: of descent.
        every: steps between looks.
    """
    u_S2 = start_S2.double().sqrt()
    v_S2, pull_S2 = u_S2.clone(), rate * decay_S.double()[:, None] * costs_S2.double()
    looks, times = [], []
    for step in range(steps + 1):
        w_S2 = u_S2 * v_S2
        if step % every == 0 or step == steps:
            looks.append(w_S2)
            times.append(rate * step)
        slope_S1 = rate * torch.sigmoid(math.log(classes - 1) - w_S2.sum(1, keepdim=True))
        u_S2, v_S2 = u_S2 + slope_S1 * v_S2 - pull_S2 * u_S2, v_S2 + slope_S1 * u_S2 - pull_S2 * v_S2
    weights_LS2 = torch.stack(looks)
    gen_LS, mem_LS = weights_LS2.unbind(2)
    train_LS = torch.sigmoid(gen_LS + mem_LS - math.log(classes - 1))
    wrong_LS = torch.logaddexp(mem_LS, torch.full_like(mem_LS, classes - 2).log())
    return Course(torch.tensor(times, dtype=torch.float64), weights_LS2, train_LS, torch.sigmoid(gen_LS - wrong_LS))


def takeover(start_2: Sequence[float], costs_2: Sequence[float], decay: float) -> float | None:
    """When w_gen = w_mem under gradient flow: ln(w_mem/w_gen)(0) / (2 λ (n_mem − n_gen)); None where it never is."""
    gap, speed = math.log(start_2[1] / start_2[0]), 2 * decay * (costs_2[1] - costs_2[0])
    return gap / speed if speed and gap / speed >= 0 else None


def settled(cost: float, decay: float, classes: int) -> float:
    """The logit at which a circuit alone stays, ln((V − 1)(1 − λn)/(λn)); 0 where the decay is too strong for any."""
    pull = decay * cost
    if pull >= (classes - 1) / classes:
        return 0.0
    return math.log((classes - 1) * (1 - pull) / pull)


def memorising_cost(rows: float, critical: float, generalising: float, exponent: float = 1.0) -> float:
    """n_mem = n_gen (D / D_crit)^exponent, which equals n_gen at D_crit."""
    return generalising * (rows / critical) ** exponent


def norm_per_logit(network: Network, tokens_NL: Tensor, targets_N: Tensor, degree: int) -> float | None:
    """The parameter norm at which a network would give right answers a logit of 1, scaled as a whole (reconstruction).

    A network without biases is homogeneous, f(aθ) = a^k f(θ); with z̄ the mean over rows of the right answer's logit
    above the mean of all answers', it is ‖θ‖ z̄^(−1/k), independent of how far training and decay have scaled θ.

    Args:
        network: without biases, its first read position that of the answer.
        tokens_NL: the questions that it was trained on.
        targets_N: their answers.
        degree: k, the number of weight matrices that every path crosses.

    Returns:
        More than 0, the inverse of an efficiency; None where right answers' logits are not above the mean.
    """
    with torch.no_grad():
        logits_NV = network(tokens_NL)[:, 0].double()
        mean = float((logits_NV.gather(1, targets_N[:, None])[:, 0] - logits_NV.mean(1)).mean())
        norm = math.sqrt(sum(float(p.double().square().sum()) for p in network.parameters()))
    return norm * mean ** (-1 / degree) if mean > 0 else None
