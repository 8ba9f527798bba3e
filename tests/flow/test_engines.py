"""However members run, they take the same steps; looking changes nothing."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import grokscope
from grokscope.models import MLP
from grokscope.training.engine import make_plan
from grokscope.training.members import Lane
from tests.flow.small import small, small_mlp

OVERRIDES = [
    {"seed": 0},
    {"seed": 1, "optimizer.lr": 3e-3},
    {"seed": 2, "optimizer.weight_decay": 0.1},
    {"seed": 3, "model.init_scale": 0.5},
]


@pytest.mark.parametrize(
    "experiment",
    [
        small(),
        small(batch_size=None),
        small(**{"model.layers": 2, "model.norm": "post", "model.sequence": "equation", "model.init": "torch"}),
        small(model=MLP(hidden=16, layers=2).to_dict()),
        small(optimizer={"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}),
        small(
            objective="mse", **{"model": {"kind": "mlp", "activation": "quadratic", "inputs": "embedding", "width": 4}}
        ),
    ],
    ids=["transformer", "full-batch", "power", "mlp", "sgd", "mse"],
)
def test_stacked_members_take_the_steps_of_members_alone(experiment):
    each = experiment.members(overrides=OVERRIDES)
    stacked = Lane(list(enumerate(each)))
    alone = [Lane([(i, one)]) for i, one in enumerate(each)]
    for _ in range(50):
        stacked.step()
        for lane in alone:
            lane.step()
    # float64: differences are the rounding of batched against single products, amplified by 50 steps
    assert_close(stacked.theta_SP, torch.cat([lane.theta_SP for lane in alone]), rtol=1e-10, atol=1e-10)


def test_pooled_and_looped_and_stacked_runs_agree(tmp_path):
    runs = {
        engine: grokscope.run(small(), OVERRIDES, store=tmp_path, engine=engine, progress=False)
        for engine in ("looped", "pooled", "stacked")
    }
    assert runs["looped"].trace.digest() == runs["pooled"].trace.digest()
    for key in ("train/loss", "test/loss", "norm/weights", "fourier/restricted_loss", "fourier/excluded_loss"):
        looped_steps, looped = runs["looped"].trace.table(key)
        steps, stacked = runs["stacked"].trace.table(key)
        np.testing.assert_array_equal(steps, looped_steps)
        np.testing.assert_allclose(stacked, looped, rtol=1e-9, atol=1e-9)  # a loss sums many rounded terms


def test_members_of_different_train_size_get_lanes_of_their_own(tmp_path):
    overrides = [{"seed": 0}, {"seed": 1}, {"seed": 0, "task.train_fraction": 0.7}]
    plan = make_plan(small().members(overrides=overrides), "stacked", "cpu")
    assert plan.lanes == ((0, 1), (2,))
    run = grokscope.run(small(budget=20), overrides, store=tmp_path, engine="stacked", progress=False)
    assert [m["steps"] for m in run.summary()["members"]] == [20, 20, 20]


def test_unordered_splits_may_differ_by_a_row_and_still_run_stacked(tmp_path):
    experiment = small(**{"task.split": "unordered", "budget": 10})
    plan = make_plan(experiment.members(6), "stacked", "cpu")
    assert len(plan.lanes) == 2, "seeds 0-5 of this task give both sizes"
    run = grokscope.run(experiment, 6, store=tmp_path, engine="stacked", progress=False)
    assert [m["steps"] for m in run.summary()["members"]] == [10] * 6


def test_a_member_that_leaves_early_does_not_disturb_the_others(tmp_path):
    experiment = small(batch_size=None, budget=60)
    lane = Lane(list(enumerate(experiment.members(3))))
    alone = Lane([(2, experiment.members(3)[2])])
    for step in range(40):
        if step == 20:
            lane.drop([0])
        lane.step()
        alone.step()
    assert lane.numbers == [1, 2]
    assert_close(lane.theta_SP[1:], alone.theta_SP, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("experiment", [small(), small_mlp()], ids=["transformer", "mlp"])
def test_looking_changes_no_bit_of_the_training(experiment, tmp_path):
    lane = Lane([(0, experiment)])
    for _ in range(experiment.budget):
        lane.step()
    run = grokscope.run(experiment, store=tmp_path, engine="looped", progress=False)
    assert torch.equal(torch.cat([p.flatten() for p in run.network().parameters()]), lane.theta_SP[0])


def test_two_runs_of_one_seed_are_equal_bit_for_bit_and_another_seed_is_not(tmp_path):
    digests = [grokscope.run(small_mlp(seed=s), store=tmp_path, progress=False).trace.digest() for s in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_a_held_stream_is_held_while_the_others_vary():
    a, b = small(**{"streams.split": 0}).members(2)
    assert torch.equal(a.task.divide(a.seeds).rows["train"], b.task.divide(b.seeds).rows["train"])
    assert not torch.equal(Lane([(0, a)]).theta_SP, Lane([(0, b)]).theta_SP)


def test_bfloat16_multiplies_in_bfloat16_and_keeps_float32_masters():
    lane = Lane([(0, small_mlp(precision="bfloat16"))])
    exact = Lane([(0, small_mlp())])
    losses = [(lane.step().item(), exact.step().item()) for _ in range(20)]
    assert lane.theta_SP.dtype == torch.float32
    assert losses[-1][0] == pytest.approx(losses[-1][1], rel=0.05)  # 8 bits of mantissa
    assert losses[-1][0] != losses[-1][1]
