"""A training with a monitor is the same training, bit for bit."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.monitor import Monitor
from grokscope.monitoring.untouched import untouched, unwrapped
from tests.monitor.loops import PAIRS, SUMS, TRAIN, Adder, batch, everything, made, update, watched


def noisy():
    """A validation that draws from everywhere, turns the model around and loads with a shuffling loader."""
    loader = torch.utils.data.DataLoader(list(range(8)), shuffle=True, batch_size=4)
    next(iter(loader))
    return random.random() + np.random.rand() + torch.rand(()).item(), 0.5


@pytest.mark.parametrize("settings", [{}, {"validation": noisy}, {"max_overhead": 1e-9}], ids=["", "noisy", "rare"])
def test_weights_moments_modes_and_random_numbers_are_those_without(settings):
    ends = []
    for with_monitor in (False, True):
        model, optimizer = made()
        monitor = watched(model, optimizer, **settings) if with_monitor else None
        for _ in range(60):
            update(model, optimizer, monitor)
        if monitor is not None:
            assert monitor.advice.text
            assert monitor.trace.skipped == {}
            taken = {name for name, part in monitor._watch.pace.parts.items() if part.times}
            assert "max_overhead" in settings or taken >= monitor._watch.pace.parts.keys() - {"verdict"}
        ends.append(everything(model, optimizer))
    (plain, modes), (seen, modes_seen) = ends
    assert modes == modes_seen
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))


def test_autocast_and_accumulation_are_left_as_they_are():
    ends = []
    for with_monitor in (False, True):
        model, optimizer = made()
        monitor = watched(model, optimizer) if with_monitor else None
        for i in range(40):
            with torch.autocast("cpu", dtype=torch.bfloat16):  # the monitor is called within it
                loss = F.cross_entropy(model(PAIRS[TRAIN[:32]]), SUMS[TRAIN[:32]])
                loss.backward()
                if i % 2:
                    optimizer.step()
                    optimizer.zero_grad()
                if monitor is not None:
                    monitor.step(loss)
                F.cross_entropy(model(PAIRS[TRAIN]), SUMS[TRAIN]).backward()  # with what the cache holds
        if monitor is not None:
            assert monitor.at == 20
            steps, losses = monitor.trace.series("train/loss", 0)
            assert steps[0] == 0
            assert np.isfinite(losses).all()
            assert set(steps.tolist()) <= set(range(21))
        ends.append(everything(model, optimizer)[0])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_gradients_are_not_touched():
    model, optimizer = made()
    monitor = watched(model, optimizer)
    update(model, optimizer, monitor)
    F.cross_entropy(model(PAIRS), SUMS).backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    versions = [p._version for p in model.parameters()]
    monitor.before_step()
    monitor.step(step=50)
    assert monitor.trace.final_step(0) == 50
    assert all(torch.equal(p.grad, before[name]) for name, p in model.named_parameters())
    assert [p._version for p in model.parameters()] == versions


def test_modes_come_back_after_an_error_and_train_is_never_called():
    class Refuses(Adder):
        def train(self, mode=True):
            raise AssertionError("modes are set, not asked for")

    torch.manual_seed(0)
    model = Refuses()
    modes = [part.training for part in model.modules()]

    def fails():
        with untouched(model):
            assert not any(part.training for part in model.modules())
            assert not torch.is_grad_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert [part.training for part in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_compiled_and_wrapped_models_are_looked_into():
    model, optimizer = made()
    compiled = torch.compile(model, backend="eager")
    assert unwrapped(nn.DataParallel(compiled)) is model
    monitor = watched(compiled, optimizer)
    torch.compiler.reset()
    with torch._dynamo.config.patch(error_on_recompile=False):
        torch._dynamo.utils.counters.clear()
        for _ in range(3):
            update(compiled, optimizer, monitor, rows=TRAIN[:32])
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 1, "a look compiled the model anew"
    assert len(monitor.trace.series("train/loss", 0)[0]) == 4
    torch.compiler.reset()


def test_a_model_compiled_in_place_is_not_compiled_anew():
    model, optimizer = made()
    model.compile(backend="eager")
    monitor = watched(model, optimizer)
    torch._dynamo.utils.counters.clear()
    for _ in range(3):
        update(model, optimizer, monitor, rows=TRAIN[:32])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert monitor.trace.skipped == {}
    torch.compiler.reset()


def test_a_deleted_monitor_leaves_no_hook_that_acts():
    model, optimizer = made()
    monitor = watched(model, optimizer)
    update(model, optimizer, monitor)
    guard = monitor._guard
    del monitor
    spent = guard.pace.spent
    update(model, optimizer)
    assert guard.pace.spent == spent
    assert copy.deepcopy(optimizer).param_groups


def test_closing_takes_the_hooks_away():
    model, optimizer = made()
    with watched(model, optimizer) as monitor:
        update(model, optimizer, monitor)
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    looks = len(monitor.trace.series("train/loss", 0)[0])
    update(model, optimizer, monitor)
    assert len(monitor.trace.series("train/loss", 0)[0]) == looks


def test_a_copy_of_the_probe_is_kept():
    model, optimizer = made()
    inputs, targets = (part.clone() for part in batch(TRAIN))
    monitor = Monitor(model, optimizer, (inputs, targets))
    inputs.zero_()
    targets.zero_()
    other = Monitor(model, optimizer, batch(TRAIN))
    for each in (monitor, other):
        each.before_step()
    first, second = (each.trace.series("train/loss", 0)[1][0] for each in (monitor, other))
    assert first == second
