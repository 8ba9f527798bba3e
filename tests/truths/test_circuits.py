"""Truths for theory/circuits.py: closed forms of the two competing circuits, and homogeneous networks."""

import math

import pytest
import torch

from grokscope.models import MLP
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.theory.circuits import follow, memorising_cost, norm_per_logit, settled, takeover

FAST, SLOW, V = 0.1, 1e-4, 50


def _one(start, costs, decay, steps=3000, rate=0.05, every=1):
    return follow(
        torch.tensor([start]), torch.tensor([costs]), torch.tensor([decay]), V, rate=rate, steps=steps, every=every
    )


def test_the_log_ratio_moves_at_a_constant_speed():
    decay, costs = 0.02, (1.0, 3.0)
    course = _one((SLOW, FAST), costs, decay)
    ratio_L = (course.weights_LS2[:, 0, 0] / course.weights_LS2[:, 0, 1]).log()
    expected_L = math.log(SLOW / FAST) + 2 * decay * (costs[1] - costs[0]) * course.times_L
    torch.testing.assert_close(ratio_L, expected_L, rtol=0.03, atol=0.03)  # descent in steps of 0.05


@pytest.mark.parametrize("decay", [0.01, 0.04, 0.16])
def test_the_cheaper_circuit_wins_whatever_the_decay_and_settles_where_the_formula_says(decay):
    for costs in ((1.0, 2.0), (2.0, 1.0)):
        course = _one((0.5, 0.5), costs, decay, steps=int(40 / decay), rate=0.25, every=1000)
        winner = 0 if costs[0] < costs[1] else 1
        w_2 = course.weights_LS2[-1, 0]
        assert float(w_2[winner]) == pytest.approx(settled(1.0, decay, V), rel=1e-6)
        assert float(w_2[1 - winner]) < 1e-3
        assert (float(course.test_LS[-1, 0]) > 0.5) == (winner == 0)
        assert float(course.train_LS[-1, 0]) == pytest.approx(1 - decay, abs=1e-6)  # s = λ n at rest


def test_grokking_and_ungrokking_come_when_predicted():
    for start, costs in (((SLOW, FAST), (1.0, 2.0)), ((FAST, SLOW), (2.0, 1.0))):
        course = _one(start, costs, 0.02, steps=4000)
        gap_L = course.weights_LS2[:, 0, 0] - course.weights_LS2[:, 0, 1]
        crossed = float(course.times_L[int((gap_L.sign() != gap_L[0].sign()).int().argmax())])
        assert crossed == pytest.approx(takeover(start, costs, 0.02), rel=0.03)
    assert takeover((SLOW, FAST), (2.0, 1.0), 0.02) is None
    assert takeover((SLOW, FAST), (1.0, 1.0), 0.02) is None


def test_equal_costs_leave_the_mixture_as_it_began():
    course = _one((0.03, 0.02), (1.0, 1.0), 0.02, steps=5000, every=5000)
    assert float(course.weights_LS2[-1, 0, 0] / course.weights_LS2[-1, 0, 1]) == pytest.approx(1.5, rel=1e-6)


def test_a_circuit_that_is_not_there_is_not_learned_and_no_decay_moves_no_ratio():
    assert float(_one((0.0, FAST), (1.0, 2.0), 0.02).weights_LS2[-1, 0, 0]) == 0.0
    free = _one((SLOW, FAST), (1.0, 5.0), 0.0).weights_LS2[-1, 0]
    assert float(free[0] / free[1]) == pytest.approx(SLOW / FAST, rel=1e-6)


def test_probabilities_are_the_softmax_of_the_logits():
    course = _one((0.7, 0.4), (1.0, 2.0), 0.02, steps=200, every=100)
    for look in range(3):
        gen, mem = course.weights_LS2[look, 0].tolist()
        trained, other = torch.zeros(2, V, dtype=torch.float64).unbind()
        trained[0], other[0], other[1] = gen + mem, gen, mem
        assert float(course.train_LS[look, 0]) == pytest.approx(float(trained.softmax(0)[0]))
        assert float(course.test_LS[look, 0]) == pytest.approx(float(other.softmax(0)[0]))
    assert course.first("train", 0.0) == [0.0]
    assert course.first("test", 0.9999) == [None]


def test_costs_meet_at_the_critical_size():
    assert memorising_cost(700, 700, 1.5) == 1.5
    assert memorising_cost(1400, 700, 1.5, exponent=2) == pytest.approx(6.0)


@pytest.mark.parametrize(("inputs", "degree"), [("one-hot", 2), ("embedding", 3)])
def test_the_norm_per_logit_does_not_change_when_all_weights_are_scaled(inputs, degree):
    task = ModularArithmetic(modulus=7)
    network = MLP(inputs=inputs, hidden=16, width=8, bias=False).build(task, Seeds(0).generator("init"))
    tokens, answers = task.table.operands_NK, None
    with torch.no_grad():
        logits_NV = network(tokens)[:, 0]
        answers = logits_NV.argmax(1)
        mean = float((logits_NV.amax(1) - logits_NV.mean(1)).mean())
        norm = math.sqrt(sum(float(p.square().sum()) for p in network.parameters()))
        value = norm_per_logit(network, tokens, answers, degree)
        assert value == pytest.approx(norm / mean ** (1 / degree))
        assert norm_per_logit(network, tokens, logits_NV.argmin(1), degree) is None
        for p in network.parameters():
            p.mul_(value / norm)  # as a whole, to the norm it asks for
        logits_NV = network(tokens)[:, 0]
        assert float((logits_NV.amax(1) - logits_NV.mean(1)).mean()) == pytest.approx(1.0)
        assert norm_per_logit(network, tokens, answers, degree) == pytest.approx(value)
