"""What the monitor sees, says and survives."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import grokscope
from grokscope.diagnosis import diagnose
from grokscope.errors import BadInput
from grokscope.logs import read_log, setting_of
from grokscope.measures import dynamics, heavy_tails, precision, spectrum
from grokscope.monitor import Monitor
from grokscope.monitoring import look
from grokscope.monitoring.probe import IGNORED, Batch
from grokscope.phases import Phases
from tests.monitor.loops import PAIRS, SUMS, TEST, TRAIN, Adder, batch, made, update, updates, watched

SCALARS = {
    *("train/loss", "train/accuracy", "test/loss", "test/accuracy", "norm/weights", "gradient/norm", "optimizer/lr"),
    *("logits/scale", "logits/confidence", "logits/margin_median", "precision/softmax_collapse"),
    *(
        "precision/zero_losses",
        "update/decay_share",
        "representation/effective_rank",
        "batch/loss",
        "commutator/defect",
        "batch/loss_max",
        "tails/alpha_median",
    ),
}


def last(monitor, key):
    return monitor.trace.series(key, 0)[1][-1]


def test_it_is_a_public_name():
    assert grokscope.Monitor is Monitor


def test_two_lines_give_all_measures_and_a_verdict():
    model, optimizer = made(dropout=0.0)
    monitor = watched(model, optimizer)
    for _ in range(30):
        update(model, optimizer, monitor)
    assert isinstance(monitor.phases, Phases)
    assert monitor.advice.text
    assert str(monitor.advice) in monitor.sentence()
    assert set(monitor.trace.keys()) == SCALARS
    assert monitor.trace.array_keys() == ["dynamics/log_probability", "dynamics/weight_sketch"]
    assert set(monitor.trace.keys()) <= set(monitor.trace.quantities)
    assert monitor.trace.skipped == {}
    assert monitor.overhead > 0
    assert "30" in repr(monitor)


def test_values_are_those_of_the_measures():
    model, optimizer = made()
    monitor = watched(model, optimizer)
    for _ in range(5):
        update(model, optimizer, monitor)
    rows = TRAIN[:32]
    F.cross_entropy(model(PAIRS[rows]), SUMS[rows]).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    weights = [p.detach().clone() for p in model.parameters()]
    monitor._watch.pace.takes = frozenset(monitor._watch.pace.parts)
    monitor._watch.pace.due = 6
    optimizer.step()
    monitor.step()
    model.eval()
    inputs, targets = batch(TRAIN)
    with torch.no_grad():
        z, h = model(inputs), torch.relu(model.hidden(model.frozen(model.norm(model.embed(inputs).flatten(1)))))
        z_test = model(PAIRS[TEST])
    flat = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    wanted = {
        "train/loss": F.cross_entropy(z.double(), targets).item(),
        "train/accuracy": (z.argmax(1) == targets).double().mean().item(),
        "test/accuracy": (z_test.argmax(1) == SUMS[TEST]).double().mean().item(),
        "logits/scale": precision.logit_scale(z).item(),
        "logits/confidence": precision.confidence(z).item(),
        "logits/margin_median": precision.margins(z, targets).quantile(0.5).item(),
        "precision/softmax_collapse": 0.0,
        "representation/effective_rank": spectrum.effective_rank(spectrum.covariance_eigenvalues(h)).item(),
        "norm/weights": flat.norm().item(),
        "gradient/norm": torch.cat([g.flatten() for g in gradients]).double().norm().item(),
        "update/decay_share": precision.decay_share([0.5 * w for w in weights], gradients).item(),
        "optimizer/lr": 1e-2,
        "tails/alpha_median": np.median(
            [heavy_tails.power_law(heavy_tails.eigenvalues(w), 5).alpha for _, w in heavy_tails.matrices(model)]
        ),
    }
    for key, value in wanted.items():
        assert math.isclose(last(monitor, key), value, rel_tol=1e-5, abs_tol=1e-9), key
    step, sketch = monitor.trace.arrays("dynamics/weight_sketch", 0)[-1]
    assert step == 6
    np.testing.assert_allclose(sketch, dynamics.sketch(flat.numpy(), 4096, 0), rtol=1e-5, atol=1e-5)
    step, levels = monitor.trace.arrays("dynamics/log_probability", 0)[-1]
    log_p = z.double().log_softmax(1).gather(1, targets[:, None])[:, 0].numpy()
    assert step == 6
    np.testing.assert_allclose(levels, np.quantile(log_p, np.linspace(0.05, 0.95, 19)), rtol=1e-5)


def test_the_highest_loss_between_looks_is_kept():
    """A spike of a single batch, far from any look, of tensors and of numbers; one that is no number counts not."""
    model, optimizer = made(dropout=0.0)
    monitor = Monitor(model, optimizer, batch(TRAIN))
    for step in range(1, 701):
        optimizer.step()
        loss = {300: 7.0, 400: torch.ones(2), 500: None}.get(step, 0.1)
        monitor.step(torch.tensor(loss) if step % 2 and isinstance(loss, float) else loss)
    monitor.close()
    steps, peaks = monitor.trace.series("batch/loss_max", 0)
    assert 300 not in steps
    assert sorted(peaks)[-2:] == pytest.approx([0.1, 7.0])
    assert last(monitor, "batch/loss") == pytest.approx(0.1)


@pytest.mark.parametrize("shape", ["tensor", "tuple", "mapping"])
def test_the_defect_of_two_rows_of_a_linear_model(shape):
    """Squares of w·x − y: g = 2 r x and H = 2 x xᵀ, so the bracket is known; its order does not matter."""
    draw = torch.Generator().manual_seed(0)
    x, y = (
        torch.randn(2, 5, generator=draw, dtype=torch.float64),
        torch.randn(2, 1, generator=draw, dtype=torch.float64),
    )
    model = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    inputs = {"tensor": x, "tuple": (x,), "mapping": {"input": x}}[shape]
    monitor = Monitor(model, None, (inputs, y))
    monitor._watch.pace.takes = frozenset(monitor._watch.pace.parts)
    monitor.step()
    w = model.weight.detach()[0]
    (ga, ha), (gb, hb) = ((2 * (w @ x[i] - y[i]) * x[i], 2 * torch.outer(x[i], x[i])) for i in (0, 1))
    truth = ((hb @ ga - ha @ gb).norm() / (ga.norm() * gb.norm())).item()
    assert last(monitor, "commutator/defect") == pytest.approx(truth, rel=1e-4)  # the formula adds 1e-12 below


@pytest.mark.parametrize(
    ("probe", "because"),
    [
        ((torch.zeros(1, 5), torch.zeros(1, 1)), "mini-batches"),
        ((lambda model: model(torch.zeros(4, 5)), torch.zeros(4, 1)), "mini-batches"),
    ],
)
def test_no_defect_where_rows_cannot_be_told_apart(probe, because):
    monitor = Monitor(nn.Linear(5, 1), None, probe)
    monitor._watch.pace.takes = frozenset(monitor._watch.pace.parts) | {"defect"}
    monitor.step()
    assert because in monitor.trace.skipped["defect"]
    assert "commutator/defect" not in monitor.trace.keys()
    assert "train/loss" in monitor.trace.keys()


def test_no_spectra_of_small_matrices():
    monitor = Monitor(nn.Linear(5, 1), None, (torch.zeros(4, 5), torch.zeros(4, 1)))
    monitor._watch.pace.takes = frozenset(monitor._watch.pace.parts)
    monitor.step()
    assert "shorter side" in monitor.trace.skipped["spectra"]


def test_no_defect_of_many_weights(monkeypatch):
    monkeypatch.setattr(look, "MOST_WEIGHTS", 4)
    monitor = Monitor(nn.Linear(5, 1), None, (torch.zeros(4, 5), torch.zeros(4, 1)))
    assert "6 weights" in monitor.trace.skipped["defect"]


def test_a_sketch_in_pieces_is_that_of_the_whole():
    vector = np.random.default_rng(0).standard_normal(5000)
    pieces = dynamics.sketch_parts(np.split(vector, [1, 2, 700, 4001]), 64, 3)
    np.testing.assert_allclose(pieces, dynamics.sketch(vector, 64, 3), atol=1e-10)


def test_the_setting_is_read_from_the_optimizer():
    model, _ = made()
    decayed, plain = list(model.hidden.parameters()), list(model.embed.parameters())
    optimizer = torch.optim.AdamW([{"params": plain, "weight_decay": 0.0}, {"params": decayed}], 3e-3, weight_decay=0.7)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    monitor = watched(model, optimizer, budget=100, clipped=True)
    setting = monitor.diagnosis.setting
    assert (setting.lr, setting.weight_decay, setting.optimizer) == (3e-3, 0.7, "adamw")
    assert (setting.objective, setting.budget, setting.clipped, setting.normalised) == (
        "cross-entropy",
        100,
        True,
        True,
    )
    assert setting.scheduled is False
    assert math.isclose(setting.chance, 1 / 11, rel_tol=0.5)
    update(model, optimizer, monitor)
    schedule.step()
    update(model, optimizer, monitor)
    assert monitor.diagnosis.setting.scheduled
    coupled = Monitor(model, torch.optim.Adam(model.parameters(), weight_decay=0.1), batch(TRAIN))
    assert coupled.diagnosis.setting.weight_decay is None
    assert Monitor(model, torch.optim.SGD(model.parameters(), 0.1)).diagnosis.setting.weight_decay == 0.0


def test_without_a_probe_the_loop_is_the_training_curve():
    model, optimizer = made()
    monitor = Monitor(model, optimizer, max_overhead=10.0)
    for i in range(6):
        update(model, optimizer)
        monitor.step(torch.tensor(float(i)), accuracy=0.1 * i)
    steps, losses = monitor.trace.series("train/loss", 0)
    seen = np.diff([0, *steps])  # each value is the mean of the losses since the look before
    assert losses.tolist() == [sum(range(e - n, e)) / n for e, n in zip(steps.tolist(), seen, strict=True)]
    assert monitor.trace.series("train/accuracy", 0)[0].tolist() == steps.tolist()
    assert "logits" in monitor.trace.skipped
    assert "norm/weights" in monitor.trace.keys()


def test_logged_numbers_are_recognised():
    model, optimizer = made()
    monitor = Monitor(model, optimizer, batch(TRAIN), max_overhead=10.0)
    update(model, optimizer, monitor)
    monitor.log({"val_acc": 55.0, "eval_loss": torch.tensor(0.5), "lambda": 3, "note": "no number"})
    monitor.log("loss", 2.0)
    assert last(monitor, "test/accuracy") == 0.55
    assert last(monitor, "test/loss") == 0.5
    assert last(monitor, "lambda") == 3.0
    assert last(monitor, "logged/train/loss") == 2.0


@pytest.mark.parametrize(
    "given", [(0.3, 0.9), {"val_loss": 0.3, "accuracy": 0.9}, {"loss": 0.3, "test_accuracy": 90.0}]
)
def test_a_validation_function_may_give_a_pair_or_names(given):
    model, optimizer = made()
    monitor = watched(model, optimizer, validation=lambda: given)
    update(model, optimizer, monitor)
    assert (last(monitor, "test/loss"), last(monitor, "test/accuracy")) == (0.3, 0.9)


def test_nan_weights_are_a_numerical_fault_and_no_error():
    model, optimizer = made()
    monitor = watched(model, optimizer)
    for _ in range(3):
        update(model, optimizer, monitor)
    with torch.no_grad():
        model.out.weight.fill_(math.nan)
    for _ in range(3):
        update(model, optimizer, monitor)
    assert math.isnan(last(monitor, "train/loss"))
    assert last(monitor, "train/accuracy") == 0
    assert monitor.advice.verdict == "numerical fault"
    assert monitor.should_stop()


def test_an_error_of_a_part_is_one_warning_and_a_reason():
    model, optimizer = made()

    def broken():
        raise RuntimeError("no disk")

    monitor = watched(model, optimizer, validation=broken)
    with pytest.warns(UserWarning, match="validation is left out from now on. RuntimeError: no disk") as caught:
        updates(5, model, optimizer, monitor)
    assert len(caught) == 1
    assert monitor.trace.skipped == {"validation": "RuntimeError: no disk"}
    assert "train/loss" in monitor.trace.keys()


def test_an_error_of_its_own_never_leaves_it(monkeypatch):
    model, optimizer = made()
    monitor = watched(model, optimizer)
    monkeypatch.setattr(monitor._watch.pace, "plan", lambda *_: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning that is made an error does not leave it either
        for _ in range(3):
            update(model, optimizer, monitor)
    assert monitor.trace.skipped["monitor"] == "ZeroDivisionError: division by zero"


def test_listeners_are_told_of_changes_and_may_fail():
    model, optimizer = made(dropout=0.0)
    verdicts, phases = [], []

    def fails(name):
        phases.append(name)
        raise KeyError(name)

    monitor = watched(model, optimizer, on_advice=lambda advice: verdicts.append(advice.verdict), on_phase_change=fails)
    with pytest.warns(UserWarning, match="on_phase_change is called no more"):
        updates(40, model, optimizer, monitor, TRAIN)
    assert verdicts[0] == "cannot tell yet"
    assert len(phases) == 1


def test_updates_are_counted_not_calls():
    model, optimizer = made()
    other = torch.optim.SGD(model.embed.parameters(), 0.1)
    monitor = watched(model, [optimizer, other])
    for i in range(12):
        F.cross_entropy(model(PAIRS[TRAIN]), SUMS[TRAIN]).backward()
        if i % 4 == 3:
            optimizer.step()
            other.step()
        monitor.step(torch.tensor(1.0))
    assert monitor.at == 3
    assert monitor.trace.series("train/loss", 0)[0].tolist() == [0, 1, 2, 3]


def test_without_an_optimizer_calls_are_counted():
    model, optimizer = made()
    monitor = watched(model, None)
    for _ in range(4):
        update(model, optimizer, monitor)
    assert monitor.at == 4
    assert "optimizer/lr" not in monitor.trace.keys()


def test_patience_ends_a_training_that_only_stands_still():
    model, optimizer = made()
    monitor = Monitor(model, optimizer, max_overhead=10.0)
    for i in range(60):
        update(model, optimizer)
        monitor.step(max(1.0, 3.0 - 0.5 * i))
        if monitor.should_stop(patience=20):
            break
    assert 20 <= monitor.at < 40
    assert monitor.should_stop(patience=20)
    assert not monitor.should_stop(patience=1000)
    assert not monitor.should_stop()


def test_a_checkpoint_carries_it_on(tmp_path):
    model, optimizer = made()
    monitor = watched(model, optimizer, folder=tmp_path)
    for _ in range(20):
        update(model, optimizer, monitor)
    torch.save(monitor.state_dict(), tmp_path / "monitor.pt")
    for _ in range(10):
        update(model, optimizer, monitor)  # lost in the crash
    again = watched(model, optimizer, folder=tmp_path)
    again.load_state_dict(torch.load(tmp_path / "monitor.pt", weights_only=True))
    assert again.at == 20
    for _ in range(20):
        update(model, optimizer, again)
    steps = again.trace.series("train/loss", 0)[0].tolist()
    assert again.advice.text
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert again.at == 40
    rows = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert sorted({row["step"] for row in rows}) == again.trace.series("train/loss", 0)[0].tolist()


def test_a_step_that_goes_back_forgets_what_came_after():
    model, optimizer = made()
    monitor = watched(model, optimizer)
    for step in (1, 2, 3, 50, 51, 30, 31, 60):
        update(model, optimizer)
        monitor.step(step=step)
    steps = monitor.trace.series("train/loss", 0)[0].tolist()
    assert steps == [0, 1, 2, 3, 31, 60]


@torch.no_grad()
def test_targets_of_every_kind():
    torch.manual_seed(0)
    linear, x = nn.Linear(4, 3), torch.randn(10, 4)
    y = torch.arange(10) % 3
    see = lambda *args, **settings: Batch(*args, **settings).see(linear)  # noqa: E731
    plain = see(x, y)
    assert math.isclose(plain.loss, F.cross_entropy(linear(x), y).item(), rel_tol=1e-6)
    hot = see(x, F.one_hot(y, 3).float())
    assert hot.accuracy == plain.accuracy
    assert math.isclose(hot.loss, F.mse_loss(linear(x), F.one_hot(y, 3).float()).item(), rel_tol=1e-6)
    numbers = see(x, torch.randn(10, 3))
    assert numbers.accuracy is None
    some = y.clone()
    some[::2] = IGNORED
    assert see(x, some).count == 5
    assert math.isclose(see(x, some).loss, F.cross_entropy(linear(x), some).item(), rel_tol=1e-6)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert math.isclose(see(x, y, loss_fn=smooth).loss, smooth(linear(x), y).item(), rel_tol=1e-6)
    one = Batch(x, y % 2, loss_fn=lambda z, t: F.binary_cross_entropy_with_logits(z[:, 0], t.float()))
    binary = one.see(nn.Sequential(linear, nn.Linear(3, 1)))
    assert binary.logits_MV.shape == (10, 2)
    image = Batch(torch.randn(2, 4, 5, 5), torch.zeros(2, 5, 5, dtype=torch.long)).see(nn.Conv2d(4, 3, 1))
    assert image.count == 50
    assert image.logits_MV.shape == (50, 3)
    with pytest.raises(BadInput, match=r"read= takes the function"):
        see(x, y[:7])


def test_regression_says_what_it_cannot_measure():
    torch.manual_seed(0)
    model, x = nn.Linear(4, 1), torch.randn(10, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    monitor = Monitor(model, optimizer, (x, x.sum(1, keepdim=True)), max_overhead=10.0)
    for _ in range(5):
        F.mse_loss(model(x), x.sum(1, keepdim=True)).backward()
        optimizer.step()
        optimizer.zero_grad()
        monitor.step()
    assert monitor.trace.skipped["logits"] == "the targets are numbers, not classes"
    assert "train/accuracy" not in monitor.trace.keys()
    assert last(monitor, "train/loss") < monitor.trace.series("train/loss", 0)[1][0]
    assert monitor.diagnosis.setting.objective == "mse"


@pytest.mark.parametrize("probe", [3, (1, 2), {"input_ids": torch.zeros(2, 2)}, "text"])
def test_a_probe_that_is_none_is_refused_in_one_line(probe):
    with pytest.raises(BadInput, match=r"^probe must be a pair \(inputs, targets\)"):
        Monitor(Adder(), None, probe)


def test_a_killed_process_leaves_rows_that_a_reader_takes(tmp_path):
    model, optimizer = made()
    monitor = watched(model, optimizer, folder=tmp_path / "run")
    for _ in range(8):
        update(model, optimizer, monitor)
    rows = [json.loads(line) for line in (tmp_path / "run" / "trace.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == monitor.trace.series("train/loss", 0)[0].tolist()
    assert rows[-1]["train/loss"] == last(monitor, "train/loss")
    assert rows[0]["config"]["weight_decay"] == 0.5
    (read,) = read_log(tmp_path / "run" / "trace.jsonl")
    found, seen = diagnose(read.trace, setting_of(read, {})), monitor.diagnosis
    assert (found.setting.weight_decay, found.setting.chance) == (0.5, seen.setting.chance)
    assert found.setting.optimizer == "adamw"
    assert found.advice.verdict == seen.advice.verdict
    shared = ("train/loss", "train/accuracy", "test/accuracy", "norm/weights")
    assert all(read.trace.last(0)[key] == pytest.approx(last(monitor, key)) for key in shared)
    other = watched(model, optimizer, folder=tmp_path / "run")
    update(model, optimizer, other)
    assert (tmp_path / "run" / "trace-1.jsonl").exists()
