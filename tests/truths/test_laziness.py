"""Lazy or rich, beside the first-order model around the initial weights."""

from dataclasses import replace

import pytest
import torch
from tests.flow.small import small

from grokscope.measures import Laziness, Snapshot
from grokscope.testing.measure import small_snapshot
from grokscope.training.members import Lane


def _moved(names: tuple[str, ...], by: float) -> Snapshot:
    """A network some of whose weights have moved at random since the start."""
    snapshot = small_snapshot()
    start = {name: p.detach().clone() for name, p in snapshot.network.named_parameters()}
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in snapshot.network.named_parameters():
            if name in names:
                p.add_(torch.randn(p.shape, dtype=p.dtype, generator=generator), alpha=by)
    return replace(snapshot, initial=lambda: start, _cache={})


def test_what_is_linear_in_the_weights_that_moved_is_lazy_however_far_they_moved() -> None:
    snapshot = _moved(("W_U",), 5.0)
    values = Laziness()(snapshot)
    assert values["lazy/richness"] == pytest.approx(0.0, abs=1e-12)
    right = snapshot.answer_logits_NC.argmax(-1) == snapshot.split.answers_N
    for split in ("train", "test"):
        assert values[f"lazy/{split}_accuracy"] == right[snapshot.split.rows[split]].double().mean().item()


def test_two_factors_that_moved_are_rich_in_proportion() -> None:
    """f is bilinear in W_out and W_U: moved by ε the rest is of order ε."""
    near, far = (Laziness()(_moved(("blocks.0.W_out", "W_U"), by))["lazy/richness"] for by in (1e-4, 1e-2))
    assert 0 < float(near) < 1e-3
    assert float(far) == pytest.approx(100 * float(near), rel=0.1)
    assert float(Laziness()(_moved(("blocks.0.W_out", "W_U"), 10.0))["lazy/richness"]) > 0.5


def test_nothing_moved_is_lazy_and_unknown_beginnings_give_nothing() -> None:
    assert Laziness()(_moved((), 0.0))["lazy/richness"] == 0.0
    assert Laziness()(replace(small_snapshot(), initial=None)) == {}


@pytest.mark.parametrize("members", [1, 3])
def test_a_members_initial_weights_are_those_it_began_with(members: int) -> None:
    each = small(**{"model.init_scale": 0.5}).members(
        overrides=[{"seed": 4 + i, "model.init_scale": 1.0 + i} for i in range(members)]
    )
    lane = Lane(list(enumerate(each)))
    begun = lane.theta_SP.clone()
    for _ in range(3):
        lane.step()
    for s in range(members):
        snapshot = lane.snapshot(s, lane.theta_SP[s], lane.steps)
        assert snapshot.initial is not None
        start = torch.cat([p.flatten() for p in snapshot.initial().values()])
        assert torch.equal(start, begun[s])
        assert not torch.equal(start, lane.theta_SP[s])
        assert [*snapshot.initial()] == [name for name, _ in snapshot.network.named_parameters()]
