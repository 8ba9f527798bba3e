"""On a GPU a step of small networks costs what starting its kernels costs; recorded once, it is one launch.

Only what does not change from step to step is recorded: losses and gradients as a function of batch
and weights, which stay in place. The update stays outside, because its constants depend on the step.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Outputs = tuple[Tensor, tuple[Tensor, ...]]
Compute = Callable[[Tensor, Tensor], Outputs]
WARM_UP = 3
"""Calls before recording, in which libraries choose their kernels and reserve their memory."""


class Recorder(Protocol):
    """Records a call and gives what replays it, with the outputs that a replay writes."""

    def __call__(self, call: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record."""


def cuda_recorder(call: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """A CUDA graph of the call, warmed up on a stream of its own as capture demands."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()
    return graph.replay, outputs


class Recorded:
    """A compute function that is recorded once for each shape of batch and replayed afterwards.

    Args:
        compute: losses and gradients of a batch; may read other tensors that stay where they are.
        record: how; a CUDA graph unless given.
    """

    def __init__(self, compute: Compute, record: Recorder = cuda_recorder) -> None:
        self.compute, self.record = compute, record
        self.known: dict[tuple[torch.Size, ...], tuple[tuple[Tensor, Tensor], Callable[[], None], Outputs]] = {}

    def __call__(self, tokens: Tensor, targets: Tensor) -> Outputs:
        """What ``compute`` gives; valid until the next call with a batch of this shape."""
        shape = (tokens.shape, targets.shape)
        if shape not in self.known:
            inputs = (tokens.clone(), targets.clone())
            self.known[shape] = (inputs, *self.record(lambda: self.compute(*inputs)))
        inputs, replay, outputs = self.known[shape]
        for mine, given in zip(inputs, (tokens, targets), strict=True):
            mine.copy_(given)
        replay()
        return outputs
