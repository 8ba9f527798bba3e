"""The logit lens: what a state inside a network would answer if it were read out at once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grokscope.measures.hooks import Inputs, captured, evaluating, first_tensor


def logit_lens(
    state: Tensor, unembed: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """What a state (…, D) would say at the end: unembed(norm(state)), (…, V); the logits for the last state.

    The final norm belongs to it where the network has one. [Wang et al. 2024, code]
    """
    with torch.no_grad():
        return unembed(state if norm is None else norm(state))


def lens(
    module: nn.Module,
    inputs: Inputs,
    pattern: str,
    unembed: Callable[[Tensor], Tensor],
    norm: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """:func:`logit_lens` of the (first tensor of the) output of each submodule that fits, at its last call.

    One forward pass. ``unembed`` and ``norm`` may be modules of the network.
    """
    with evaluating(module):
        states = captured(module, pattern, inputs)
        return {name: logit_lens(first_tensor(calls[-1]), unembed, norm) for name, calls in states.items()}


def reciprocal_rank(logits: Tensor, wanted: Tensor) -> Tensor:
    """1 / rank of the wanted token, (…) of (…, V) in (0, 1]; 1 for the largest logit.

    rank = 1 + larger ones + half of the equal others, so that a state of zeros has the rank (V + 1) / 2
    (ours: the code sorts, which gives equal logits the order of their tokens).
    """
    z = logits.double()
    own = z.gather(-1, wanted[..., None])
    rank = 1 + (z > own).sum(-1).double() + ((z == own).sum(-1).double() - 1) / 2
    return torch.where(own[..., 0].isnan(), torch.nan, 1 / rank)


def mean_reciprocal_rank(logits: Tensor, wanted: Tensor) -> float:
    """MRR, the mean of :func:`reciprocal_rank`, in (0, 1]; about ln V / V for noise. [Wang et al. 2024]"""
    return reciprocal_rank(logits, wanted).mean().item()
