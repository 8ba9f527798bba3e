"""Several processes that train one model: what they see is added up, and the first one decides."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


class Together:
    """All processes of the default group, or this one alone.

    Every process must look at the same steps: each look adds numbers up and hands on the first one's decision, and
    waits for the others in both. Between looks nothing is sent.

    Args:
        wanted: whether to add up; where left out, wherever a group of several processes has been made.
    """

    def __init__(self, wanted: bool | None) -> None:
        there = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        self.active = there and wanted is not False
        self.first = not there or distributed.get_rank() == 0
        """Whether this process writes."""

    def summed(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        if not self.active:
            return list(numbers)
        device = torch.device("cuda") if distributed.get_backend() == "nccl" else torch.device("cpu")
        total = torch.tensor(numbers, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return total.tolist()

    def agreed(self, mine: T) -> T:
        """What the first process has."""
        if not self.active:
            return mine
        box = [mine]
        distributed.broadcast_object_list(box, 0)
        return box[0]
