"""Randomness has names: one root seed gives independent streams, each of which can be held alone.

The seed of a stream is the first eight bytes of SHA-256 over ``root/name/…``, so streams neither
overlap nor depend on the order in which they are asked for. Training asks for a fresh generator
per purpose (the order of epoch 7 is its own stream), so there is no generator state to save and
no way for a measure to advance the stream of training.
"""

import hashlib
from collections.abc import Mapping

import torch

STREAMS = ("split", "init", "order", "noise", "measure")
"""split: which rows are train; init: first weights; order: mini-batches; noise: labels and noise
injected on purpose; measure: probes that a measure draws."""


def stream_seed(root: int, *names: object) -> int:
    """A 63-bit seed for the stream ``names`` under ``root``."""
    text = "/".join(str(part) for part in (root, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Seeds:
    """The streams of one member.

    Args:
        root: the member's seed.
        held: streams that take another root: ``{"split": 0}`` keeps the split of seed 0 while
            everything else follows ``root``.
    """

    def __init__(self, root: int, held: Mapping[str, int] | None = None) -> None:
        self.root = root
        self.held = dict(held or {})

    def generator(self, stream: str, *names: object) -> torch.Generator:
        """A fresh CPU generator for ``stream`` (one of :data:`STREAMS`), optionally a part of it."""
        if stream not in STREAMS:
            raise ValueError(f"stream must be one of {STREAMS}, got {stream!r}.")
        return torch.Generator().manual_seed(stream_seed(self.held.get(stream, self.root), stream, *names))
