"""Truths for measures/precision.py: where floats round, Euler's theorem, and steps taken by torch's own AdamW."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import Snapshot, precision
from grokscope.measures.precision import LogitScale, SoftmaxCollapse, UpdateDirection
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure

TASK = ModularArithmetic(modulus=7, train_fraction=0.5)
ALL = (SoftmaxCollapse, LogitScale, UpdateDirection)
BITS = [(torch.float32, 24), (torch.float64, 53)]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _look(model: Model, objective: CrossEntropy | None = None) -> Snapshot:
    network = model.build(TASK, Seeds(0).generator("init"))
    encoding = model.encode(TASK, TASK.table)
    return Snapshot(0, network, TASK, TASK.divide(Seeds(0)), encoding, objective or CrossEntropy())


# Softmax collapse.


@pytest.mark.parametrize(("dtype", "bits"), BITS)
def test_one_rival_is_absorbed_at_as_many_bits_as_the_float_has(dtype: torch.dtype, bits: int) -> None:
    edge = bits * math.log(2)
    for margin, share in ((edge + 0.01, 1.0), (edge - 0.01, 0.0)):
        for row in ([margin, 0.0], [-margin, 0.0], [margin + 8.0, 8.0]):  # right, wrong, and moved
            assert precision.softmax_collapse(torch.tensor([row], dtype=torch.float64), dtype) == share


@pytest.mark.parametrize(("dtype", "bits"), BITS)
def test_a_collapsed_right_answer_has_no_loss_and_no_gradient_at_its_logit(dtype: torch.dtype, bits: int) -> None:
    logits = torch.tensor([[bits * math.log(2) + 0.5, 0.0]], dtype=dtype, requires_grad=True)
    loss = F.cross_entropy(logits, torch.tensor([0]))
    assert precision.softmax_collapse(logits, dtype) == 1.0
    assert precision.zero_losses(loss[None].detach()) == 1.0
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0] == 0.0
    assert gradient[0, 1].item() == pytest.approx(math.exp(-bits * math.log(2) - 0.5), rel=1e-4)


def test_the_share_counts_rows_and_grows_with_the_scale_of_the_logits() -> None:
    logits = torch.tensor([[30.0, 0.0, 1.0], [3.0, 0.0, 1.0], [0.0, 1.0, 40.0], [5.0, 5.0, 5.0]])
    assert precision.softmax_collapse(logits) == 0.5
    assert precision.softmax_collapse(logits, torch.float64) == 0.25
    random = _random(200, 20)
    shares = [precision.softmax_collapse(scale * random).item() for scale in (1.0, 10.0, 100.0, 10_000.0)]
    assert shares[0] == 0.0  # noise of ordinary size
    assert shares == sorted(shares)
    assert shares[-1] > 0.95


def test_zero_losses_are_counted_and_a_safe_loss_has_none() -> None:
    assert precision.zero_losses(torch.tensor([0.0, 1.0, 0.0, 2.0])) == 0.5
    logits, targets = torch.tensor([[20.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0])
    assert precision.zero_losses(CrossEntropy(softmax="float32").per_token(logits, targets)) == 0.5
    assert precision.zero_losses(CrossEntropy().per_token(logits, targets)) == 0.0
    assert precision.zero_losses(_random(100).square()) == 0.0


def test_what_is_not_a_number_has_neither_collapsed_nor_a_loss_of_nothing() -> None:
    broken = torch.tensor([[torch.nan, 0.0], [40.0, 0.0]])
    assert precision.softmax_collapse(broken).isnan()
    assert precision.softmax_collapse(torch.tensor([[torch.inf, 0.0]])).isnan()
    assert precision.softmax_collapse(torch.tensor([[40.0, -torch.inf]])) == 1.0  # a token that is masked out
    assert precision.zero_losses(torch.tensor([0.0, torch.nan])).isnan()
    for function in (precision.logit_scale, precision.confidence):
        assert function(broken).isnan()
    assert precision.margins(broken, torch.tensor([0, 0])).isnan().tolist() == [True, False]


def test_half_precision_is_measured_in_double() -> None:
    logits, targets = (7 * _random(40, 6)).bfloat16(), torch.arange(40) % 6
    for function in (precision.logit_scale, precision.confidence):
        assert torch.equal(function(logits), function(logits.double()))
    assert torch.equal(precision.margins(logits, targets), precision.margins(logits.double(), targets))
    assert torch.equal(precision.alignment([logits], [logits]), torch.tensor(-1.0, dtype=torch.float64))


# Logits.


def test_the_scale_of_logits_is_their_mean_norm() -> None:
    logits = torch.tensor([[3.0, 4.0], [0.0, -7.0]])
    assert precision.logit_scale(logits) == 6.0
    assert precision.logit_scale(3.0 * logits.flip(1)) == 18.0
    assert precision.logit_scale(_random(500, 400)).item() == pytest.approx(20.0, rel=0.01)


def test_confidence_is_the_mean_largest_probability() -> None:
    assert precision.confidence(torch.zeros(3, 5)).item() == pytest.approx(0.2, rel=1e-12)
    assert precision.confidence(torch.tensor([[math.log(3.0), 0.0]])).item() == pytest.approx(0.75, rel=1e-6)
    assert precision.confidence(0.01 * _random(500, 50)) < 0.021  # noise of no size: 1/V and a little
    random = _random(50, 6)
    naive = np.mean([max(math.exp(z) for z in row) / sum(math.exp(z) for z in row) for row in random.tolist()])
    assert precision.confidence(random + 5.0).item() == pytest.approx(naive, rel=1e-12)


def test_margins_are_a_loop_and_scale_with_the_logits() -> None:
    logits, targets = _random(30, 5), torch.arange(30) % 5
    got = precision.margins(logits, targets)
    for row, y, margin in zip(logits.tolist(), targets.tolist(), got.tolist(), strict=True):
        assert margin == pytest.approx(row[y] - max(z for j, z in enumerate(row) if j != y), rel=1e-12)
    torch.testing.assert_close(precision.margins(3.0 * logits - 7.0, targets), 3.0 * got, rtol=1e-12, atol=1e-12)
    assert torch.equal(got > 0, logits.argmax(1) == targets)
    assert (precision.margins(_random(1000, 113), torch.zeros(1000, dtype=torch.long)) > 0).double().mean() < 0.03


def test_quantiles_of_margins_are_numpys() -> None:
    values = _random(101)
    want = np.quantile(values.numpy(), precision.QUANTILES)
    np.testing.assert_allclose(precision.margin_quantiles(values).numpy(), want, rtol=1e-12)
    ramp = torch.arange(101.0)
    assert precision.margin_quantiles(ramp, (0.0, 0.05, 0.5, 1.0)).tolist() == pytest.approx([0.0, 5.0, 50.0, 100.0])


# Updates.


def test_alignment_is_one_along_the_weights_and_nothing_across() -> None:
    weights = [_random(3, 4), _random(5, seed=1)]
    along = [-2.0 * w for w in weights]
    assert precision.alignment(weights, along).item() == pytest.approx(1.0, rel=1e-12)
    assert precision.alignment(weights, weights).item() == pytest.approx(-1.0, rel=1e-12)
    assert precision.alignment([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 3.0])]) == 0.0
    assert precision.alignment(weights, [torch.zeros_like(w) for w in weights]) == 0.0
    for seed in range(50):  # rounding does not carry a cosine beyond 1
        w = [_random(24, seed=seed)]
        assert precision.alignment(w, w) >= -1.0
    split = [*weights[0].unbind(0), weights[1]]  # how tensors are cut does not matter
    gradients = [_random(3, 4, seed=2), _random(5, seed=3)]
    whole = precision.alignment(weights, gradients)
    torch.testing.assert_close(precision.alignment(split, [*gradients[0].unbind(0), gradients[1]]), whole)
    assert abs(precision.alignment([_random(10_000)], [_random(10_000, seed=1)])) < 0.05


def test_alignment_of_a_homogeneous_network_is_eulers() -> None:
    look = _look(MLP(activation="quadratic", bias=False, hidden=6))  # W_1 (W_0 x)²: degree 3
    weights = [p.detach() for p in look.network.parameters()]
    gradients = list(look.gradients("train").values())
    rows = look.split.rows["train"]
    logits, targets = look.logits_NRV[rows][:, 0], look.targets_NR[rows][:, 0]
    slope = (torch.softmax(logits, 1) - F.one_hot(targets, 7)) / len(rows)
    lengths = [math.sqrt(sum(t.square().sum().item() for t in tensors)) for tensors in (weights, gradients)]
    want = -3 * (logits * slope).sum().item() / math.prod(lengths)
    assert precision.alignment(weights, gradients).item() == pytest.approx(want, rel=1e-9)
    assert UpdateDirection()(look)["update/along_weights"] == pytest.approx(want, rel=1e-9)


def test_a_step_of_adamw_is_its_decay_and_a_step_of_adam() -> None:
    start, gradient, lr, decay_rate = _random(4, 3), _random(4, 3, seed=1), 0.1, 0.3
    ends = {}
    for weight_decay in (decay_rate, 0.0):
        parameter = torch.nn.Parameter(start.clone())
        parameter.grad = gradient.clone()
        torch.optim.AdamW([parameter], lr=lr, weight_decay=weight_decay).step()
        ends[weight_decay] = parameter.detach()
    decay, rest = precision.split_update([start], [ends[decay_rate]], lr, decay_rate)
    torch.testing.assert_close(decay[0], -lr * decay_rate * start, rtol=1e-12, atol=0)
    torch.testing.assert_close(rest[0], ends[0.0] - start, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(decay[0] + rest[0], ends[decay_rate] - start, rtol=1e-12, atol=1e-15)
    adam = lr * math.sqrt(12)  # its first step is lr in each of the twelve directions
    share = (lr * decay_rate * start.norm()).item()
    assert precision.decay_share(decay, rest).item() == pytest.approx(share / (share + adam), rel=1e-6)


def test_the_share_of_decay_is_half_in_balance_and_sees_sizes_alone() -> None:
    a, b = [_random(4), _random(2, 2, seed=1)], [_random(8, seed=2)]
    assert precision.decay_share(a, [-x for x in a]).item() == pytest.approx(0.5, rel=1e-12)
    assert precision.decay_share(a, [torch.zeros(3)]) == 1.0
    assert precision.decay_share([torch.zeros(3)], a) == 0.0
    assert precision.decay_share([torch.zeros(3)], [torch.zeros(3)]) == 0.0
    share = precision.decay_share(a, b)
    torch.testing.assert_close(precision.decay_share([5 * x for x in a], [-5 * b[0].flip(0)]), share)
    torch.testing.assert_close(precision.decay_share(b, a), 1 - share)


# Measures.


@pytest.mark.parametrize("measure", ALL, ids=lambda measure: measure.kind)
def test_measures_keep_the_contract(measure: type) -> None:
    check_measure(measure())
    check_measure(measure(), _look(MLP(hidden=5)))
    check_measure(measure(), _look(Transformer(layers=2, width=8, heads=2, hidden=6, sequence="equation")))


def test_larger_logits_are_seen_and_collapse() -> None:
    model = Transformer(width=8, heads=2, hidden=6)
    small, large = _look(model), _look(model, CrossEntropy(softmax="float64"))
    with torch.no_grad():
        large.network.get_parameter("W_U").mul_(1e7)
    before, after = LogitScale()(small), LogitScale()(large)
    for key in ("logits/scale", "logits/margin_median"):
        assert after[key] == pytest.approx(1e7 * before[key], rel=1e-9)
    np.testing.assert_allclose(after["logits/margin_quantiles"], 1e7 * before["logits/margin_quantiles"], rtol=1e-5)
    assert before["logits/confidence"] < 0.9
    assert after["logits/confidence"] > 0.999
    middle = _look(model)
    middle._cache["logits"] = torch.tensor([20.0] + [0.0] * 7).expand(middle.logits_NRV.shape)
    shares = [SoftmaxCollapse(precision=p)(middle)["precision/softmax_collapse"] for p in ("float32", "float64")]
    assert shares == [1.0, 0.0]
    assert SoftmaxCollapse()(small) == {"precision/softmax_collapse": 0.0, "precision/zero_losses": 0.0}
    values = SoftmaxCollapse(precision="float64")(large)
    right = (large.logits_NRV.argmax(-1) == large.targets_NR)[large.split.rows["train"]]
    assert values["precision/softmax_collapse"] == 1.0
    assert values["precision/zero_losses"] == pytest.approx(right.double().mean().item())


def test_the_direction_of_the_update_is_that_of_the_training_gradient() -> None:
    look = _look(MLP(hidden=5))
    weights = [p.detach() for p in look.network.parameters()]
    gradients = list(look.gradients("train").values())
    assert UpdateDirection(weight_decay=0.0)(look)["update/decay_share"] == 0.0
    want = precision.decay_share([0.5 * w for w in weights], gradients).item()
    assert UpdateDirection(weight_decay=0.5)(look)["update/decay_share"] == pytest.approx(want, rel=1e-12)
