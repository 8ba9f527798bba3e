"""Truths for seeds.py: independent streams by name."""

import hashlib

import pytest
import torch

from grokscope.seeds import STREAMS, Seeds, stream_seed


def _draw(seeds: Seeds, stream: str, *names: object) -> float:
    return torch.rand((), generator=seeds.generator(stream, *names), dtype=torch.float64).item()


def test_a_stream_seed_is_the_head_of_a_sha256() -> None:
    digest = hashlib.sha256(b"7/order/3").hexdigest()
    assert stream_seed(7, "order", 3) == int(digest[:16], 16) >> 1


def test_the_first_number_of_a_stream_never_changes() -> None:
    assert stream_seed(0, "split") == 3769940940748469125
    assert _draw(Seeds(0), "split") == 0.1777827635297402


def test_streams_do_not_depend_on_the_order_in_which_they_are_asked_for() -> None:
    forward, backward = Seeds(3), Seeds(3)
    first = {stream: _draw(forward, stream) for stream in STREAMS}
    second = {stream: _draw(backward, stream) for stream in reversed(STREAMS)}
    assert first == second


def test_streams_and_roots_and_parts_all_differ() -> None:
    drawn = [_draw(Seeds(root), stream, part) for root in range(20) for stream in STREAMS for part in range(3)]
    assert len(set(drawn)) == len(drawn)


def test_neighbouring_roots_are_uncorrelated() -> None:
    draws = torch.stack([torch.randn(2000, generator=Seeds(root).generator("init")) for root in range(8)])
    off = torch.corrcoef(draws) - torch.eye(8)
    assert off.abs().max() < 5 / 2000**0.5  # five standard errors of a correlation of 2,000 independent pairs


def test_a_held_stream_keeps_its_root_and_the_others_follow() -> None:
    held = Seeds(5, {"split": 0})
    assert _draw(held, "split") == _draw(Seeds(0), "split")
    assert _draw(held, "init") == _draw(Seeds(5), "init") != _draw(Seeds(0), "init")


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        Seeds(0).generator("splits")


def test_asking_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    _draw(Seeds(1), "noise")
    assert torch.equal(before, torch.get_rng_state())
