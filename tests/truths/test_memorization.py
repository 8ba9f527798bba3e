"""Truths for measures/memorization.py: data known by heart or not at all, plateaus and tests planted by hand."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import Snapshot, memorization
from grokscope.measures.memorization import Memorization
from grokscope.models import MLP, Network
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure
from grokscope.testing.measure import small_snapshot

EXACT = 1e-10  # float64 sums of some thousand terms of order 1


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _tokens(*shape: int, vocabulary: int, seed: int = 0) -> Tensor:
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


# Bits.


def test_log_probability_is_minus_the_cross_entropy_of_all_positions() -> None:
    logits, targets = 3 * _noise(20, 4, 9), _tokens(20, 4, vocabulary=9)
    want = -F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(20, 4).sum(1)
    torch.testing.assert_close(memorization.log_probability(logits, targets), want, rtol=EXACT, atol=0)
    torch.testing.assert_close(memorization.log_probability(logits + 7, targets), want, rtol=EXACT, atol=0)
    guess = memorization.log_probability(torch.zeros(20, 4, 9), targets)
    torch.testing.assert_close(guess, torch.full((20,), -4 * math.log(9), dtype=torch.float64), rtol=EXACT, atol=0)


def test_uniform_data_have_the_bits_of_their_tokens() -> None:
    assert memorization.dataset_bits(3830, 113) == pytest.approx(26_121, abs=1)
    assert memorization.dataset_bits(5, 2048, length=64) == 5 * 64 * 11
    assert memorization.dataset_bits(10, 1) == 0.0


def test_random_data_known_by_heart_are_all_memorised_and_never_learned_none() -> None:
    rows, length, vocabulary = 40, 8, 64
    targets = _tokens(rows, length, vocabulary=vocabulary)
    reference = -length * math.log(vocabulary)
    by_heart = memorization.log_probability(1e3 * F.one_hot(targets, vocabulary).double(), targets)
    never = memorization.log_probability(torch.zeros(rows, length, vocabulary), targets)
    total = memorization.dataset_bits(rows, vocabulary, length)
    assert memorization.memorised_bits(by_heart, reference).sum().item() == pytest.approx(total, rel=EXACT)
    assert memorization.memorised_bits(never, reference).sum().item() == pytest.approx(0.0, abs=EXACT)
    some = torch.cat([by_heart[:15], never[15:]])
    assert memorization.memorised_bits(some, reference).sum().item() == pytest.approx(15 * length * 6, rel=EXACT)


def test_a_confident_mistake_costs_the_gain_and_not_the_memory() -> None:
    log_p = torch.tensor([math.log(1.0), math.log(1e-9)], dtype=torch.float64)
    reference = math.log(1 / 8)
    gain = memorization.coding_gain(log_p, reference)
    torch.testing.assert_close(
        gain, torch.tensor([3.0, 3 - 9 * math.log2(10)], dtype=torch.float64), rtol=EXACT, atol=0
    )
    torch.testing.assert_close(memorization.memorised_bits(log_p, reference), torch.tensor([3.0, 0.0]).double())


def test_what_the_reference_knows_too_is_not_memorised() -> None:
    log_p, reference = -_noise(50).abs(), -_noise(50, seed=1).abs()
    assert memorization.memorised_bits(log_p, log_p).sum() == 0.0
    a = memorization.memorised_bits(log_p, reference)
    b = memorization.memorised_bits(reference, log_p)
    torch.testing.assert_close(a - b, memorization.coding_gain(log_p, reference), rtol=EXACT, atol=EXACT)
    assert not (a * b).any()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(memorization.memorised_bits(log_p[order], reference[order]), a[order])


def test_noise_around_the_reference_leaves_what_the_docstring_says() -> None:
    noise = 0.3 * _noise(200_000) * math.log(2)
    bits = memorization.memorised_bits(noise - 5.0, -5.0)
    assert bits.mean().item() == pytest.approx(0.3 / math.sqrt(2 * math.pi), rel=0.02)
    assert memorization.coding_gain(noise - 5.0, -5.0).mean().item() == pytest.approx(0.0, abs=0.003)


# Capacity.

SIZES = np.array([10.0, 20, 40, 80, 160])


def test_a_plateau_is_the_capacity() -> None:
    assert memorization.capacity([10, 20, 24, 23]) == 24.0
    found = memorization.fit_capacity(SIZES, np.minimum(SIZES, 30))
    assert found == pytest.approx((30.0, 3, 0.0))
    assert memorization.fit_capacity([10, 20, 40, 80], [10, 20, 30, 30]) == pytest.approx((30.0, 2, 0.0))
    assert memorization.bits_per_parameter(found.bits, 8) == 3.75
    assert memorization.saturation(15.0, found.bits) == 0.5


def test_without_a_plateau_there_is_only_a_lower_bound() -> None:
    assert memorization.fit_capacity(SIZES, SIZES) == (160.0, 0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_best_of_a_fine_grid_in_any_order_and_unit(seed: int) -> None:
    memorised = np.minimum(SIZES, 50) + 8 * np.random.default_rng(seed).standard_normal(5)
    found = memorization.fit_capacity(SIZES, memorised)
    grid = np.linspace(0, 160, 16_001)
    errors = np.sqrt(((memorised[:, None] - np.minimum(SIZES[:, None], grid)) ** 2).mean(0))
    assert found.error <= errors.min() + EXACT
    assert found.bits == pytest.approx(grid[errors.argmin()], abs=0.011)
    order = np.random.default_rng(seed).permutation(5)
    assert memorization.fit_capacity(SIZES[order], memorised[order]) == pytest.approx(found)
    scaled = memorization.fit_capacity(8 * SIZES, 8 * memorised)
    assert scaled == pytest.approx((8 * found.bits, found.beyond, 8 * found.error))


def test_a_network_that_learns_nothing_has_next_to_no_capacity() -> None:
    nothing = np.abs(np.random.default_rng(0).standard_normal(5))
    assert memorization.fit_capacity(SIZES, nothing).bits < 2.0
    assert memorization.fit_capacity(SIZES, np.full(5, 0.1)) == pytest.approx((0.1, 5, 0.0))
    assert memorization.fit_capacity(SIZES, np.zeros(5)) == (0.0, 5, 0.0)


def test_capacities_of_nothing_say_so() -> None:
    with pytest.raises(ValueError, match="at least one"):
        memorization.capacity([])
    assert memorization.bits_per_parameter(10.0, 1) == 10.0
    with pytest.raises(ValueError, match="parameters"):
        memorization.bits_per_parameter(10.0, 0)
    for empty in (0.0, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            memorization.saturation(10.0, empty)
    with pytest.raises(ValueError, match="vocabulary"):
        memorization.dataset_bits(3, 0)
    assert math.isnan(memorization.capacity([1.0, math.nan]))


def test_a_fit_wants_as_many_of_both() -> None:
    for sizes, memorised in (([], []), ([1.0, 2.0], [1.0])):
        with pytest.raises(ValueError, match="as many"):
            memorization.fit_capacity(sizes, memorised)


# Membership.


def test_membership_by_hand() -> None:
    members, others = torch.tensor([3.0, 2, 1]), torch.tensor([2.0, 1, 0])
    assert memorization.membership_f1(members, others) == pytest.approx(2 / 3, rel=EXACT)
    assert memorization.membership_f1(members, members) == pytest.approx(0.5, rel=EXACT)
    assert memorization.membership_f1(torch.ones(4), torch.ones(9)) == pytest.approx(0.5, rel=EXACT)
    assert memorization.membership_f1(members + 5, others) == 1.0
    assert memorization.membership_f1(members, others + 5) == 0.0
    assert memorization.best_membership_f1(torch.ones(4), torch.ones(9)) == pytest.approx(2 / 3, rel=EXACT)
    assert memorization.best_membership_f1(members + 5, others) == 1.0
    assert memorization.best_membership_f1(members, others + 5) == pytest.approx(2 / 3, rel=EXACT)


def test_scores_that_are_not_numbers_or_are_missing_tell_nothing() -> None:
    scores, broken, none = torch.ones(3), torch.tensor([0.0, torch.nan]), torch.zeros(0)
    for test in (memorization.membership_f1, memorization.best_membership_f1):
        for members, others in ((broken, scores), (scores, broken), (none, scores), (scores, none)):
            assert math.isnan(test(members, others))
        assert test(torch.tensor([torch.inf, 1.0]), torch.tensor([0.0, -torch.inf])) == 1.0


def test_membership_without_ties_is_the_count_above_the_median() -> None:
    members, others = _noise(60) + 0.5, _noise(60, seed=1)
    cut = torch.cat([members, others]).median()  # of 120 the lower middle one: 60 lie above it
    hits, alarms = int((members > cut).sum()), int((others > cut).sum())
    assert hits + alarms == 60
    f1 = 2 * hits / (2 * hits + alarms + (60 - hits))
    assert memorization.membership_f1(members, others) == pytest.approx(f1, rel=EXACT)
    candidates = []
    for c in torch.cat([members, others]).tolist():
        hits, alarms = int((members >= c).sum()), int((others >= c).sum())
        candidates.append(2 * hits / (2 * hits + alarms + (60 - hits)))
    assert memorization.best_membership_f1(members, others) == pytest.approx(max(candidates), rel=EXACT)


def test_two_normal_scores_are_told_apart_by_half_their_distance() -> None:
    members, others = _noise(40_000) + 1.5, _noise(30_000, seed=1)
    assert memorization.membership_f1(members, others) == pytest.approx(NormalDist().cdf(0.75), abs=0.01)
    assert memorization.membership_f1(_noise(40_000), others) == pytest.approx(0.5, abs=0.01)  # noise


def test_membership_sees_only_the_order_of_the_scores() -> None:
    members, others = _noise(50) + 1, _noise(70, seed=1)
    for test in (memorization.membership_f1, memorization.best_membership_f1):
        want = test(members, others)
        assert test(members.exp(), others.exp()) == pytest.approx(want, rel=EXACT)
        assert test(members.flip(0), others.repeat(3)) == pytest.approx(want, rel=EXACT)
    turned = memorization.membership_f1(-members, -others)
    assert turned == pytest.approx(1 - memorization.membership_f1(members, others), rel=EXACT)


GPT2_XL, GPT2 = 1_556_000_000, 124_000_000
TABLE = [  # parameters, samples of 64 tokens of 50257, the F1 that the paper aims at
    (GPT2_XL, 170_654_583, 0.55),
    (GPT2_XL, 76_795_021, 0.75),
    (GPT2_XL, 18_851_574, 0.95),
    (GPT2, 13_566_442, 0.55),
    (GPT2, 6_104_935, 0.75),
    (GPT2, 1_498_634, 0.95),
]


@pytest.mark.parametrize(("parameters", "samples", "f1"), TABLE)
def test_the_law_gives_the_papers_table(parameters: int, samples: int, f1: float) -> None:
    bits = memorization.dataset_bits(samples, 50_257, 64)
    assert memorization.membership_law(bits / parameters) == pytest.approx(f1, abs=0.006)


def test_the_law_falls_from_one_to_chance() -> None:
    values = [memorization.membership_law(x) for x in np.linspace(0, 500, 50)]
    assert all(np.diff(values) < 0)
    assert values[-1] == pytest.approx(0.5, abs=1e-6)
    assert memorization.membership_law(1e6) == 0.5
    assert values[0] == pytest.approx(1.006, abs=1e-3)  # above 1, where it was never fitted
    assert memorization.membership_law(33.14) == pytest.approx(0.5 * (1 + 1.34 / 2), rel=EXACT)
    assert memorization.membership_law(1.45) < 1.0 < memorization.membership_law(1.35)


# Extraction.


def test_extraction_counts_rows_that_are_right_after_the_prefix() -> None:
    wanted = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]])
    generated = torch.tensor([[1, 2, 3], [4, 5, 0], [0, 8, 9], [0, 0, 1]])
    assert memorization.extraction_rate(generated, wanted) == 0.25
    assert memorization.extraction_rate(generated, wanted, prefix=1) == 0.5
    assert memorization.extraction_rate(generated, wanted, prefix=2) == 0.75
    order = torch.tensor([2, 0, 3, 1])
    assert memorization.extraction_rate(generated[order], wanted[order], prefix=1) == 0.5
    noise = _tokens(2000, 2, vocabulary=50), _tokens(2000, 2, vocabulary=50, seed=1)
    assert memorization.extraction_rate(*noise) < 0.003  # 1 in 2500 by chance
    for prefix in (-1, 3):
        with pytest.raises(ValueError, match="prefix"):
            memorization.extraction_rate(generated, wanted, prefix=prefix)
    with pytest.raises(ValueError, match="shape"):
        memorization.extraction_rate(generated[:, :1], wanted)
    assert math.isnan(memorization.extraction_rate(generated[:0], wanted[:0]))


def test_one_pass_over_the_truth_extracts_what_greedy_decoding_does() -> None:
    chain = _noise(6, 6)  # logits of the next token by the last one
    rows, greedy = _tokens(300, 4, vocabulary=6), [_tokens(300, 1, vocabulary=6)[:, 0]]
    rows[:, 0] = greedy[0]
    for _ in range(3):
        greedy.append(chain[greedy[-1]].argmax(-1))
    rows[:100] = torch.stack(greedy, 1)[:100]
    forced = torch.cat([rows[:, :1], chain[rows[:, :-1]].argmax(-1)], 1)
    by_greedy = memorization.extraction_rate(torch.stack(greedy, 1), rows, prefix=1)
    assert memorization.extraction_rate(forced, rows, prefix=1) == by_greedy
    assert 1 / 3 <= by_greedy < 0.4  # the others are noise: right by chance in 1 of 216


# The measure.

TASK = ModularArithmetic(modulus=11, train_fraction=0.4, labels="random")


class Known(Network):
    """By heart on the rows it is given, a guess elsewhere."""

    def __init__(self, rows: Tensor, answers: Tensor, scale: float = 1e3) -> None:
        super().__init__()
        logits = torch.zeros(121, 11)
        logits[rows, answers[rows]] = scale
        self.register_buffer("logits", logits)

    def forward(self, tokens_NL: Tensor) -> Tensor:
        return self.get_buffer("logits")[tokens_NL[:, 0] * 11 + tokens_NL[:, 1]][:, None]

    def initialise(self, generator: torch.Generator) -> None: ...


def _look(network: Network | None = None) -> Snapshot:
    model = MLP(hidden=16)
    built = network or model.build(TASK, Seeds(0).generator("init"))
    return Snapshot(0, built, TASK, TASK.divide(Seeds(0)), model.encode(TASK, TASK.table), CrossEntropy())


def test_the_measure_keeps_its_contract() -> None:
    check_measure(Memorization())
    check_measure(Memorization(), _look())


def test_the_measure_tells_memory_from_a_rule() -> None:
    look = _look()
    train, answers = look.split.rows["train"], look.split.answers_N
    full = len(train) * math.log2(11)
    memory = Memorization()(replace(look, network=Known(train, answers), _cache={}))
    want = {"train_bits": full, "train_share": 1, "test_share": 0, "unintended_bits": full, "membership_f1": 1}
    assert memory == pytest.approx({f"memorization/{k}": v for k, v in want.items()}, abs=EXACT)
    rule = Memorization()(replace(look, network=Known(torch.arange(121), answers), _cache={}))
    want |= {"test_share": 1, "unintended_bits": 0, "membership_f1": 0.5}
    assert rule == pytest.approx({f"memorization/{k}": v for k, v in want.items()}, abs=EXACT)


def test_a_network_that_has_seen_nothing_holds_next_to_nothing() -> None:
    values = Memorization()(_look())
    assert values["memorization/train_share"] < 0.05
    assert values["memorization/unintended_bits"] < 0.05 * 48 * math.log2(11)
    assert abs(values["memorization/membership_f1"] - 0.5) < 0.15


def test_saturation_and_fill_are_against_a_capacity_that_was_measured() -> None:
    snapshot = small_snapshot()
    plain, against = Memorization()(snapshot), Memorization(capacity=100.0)(snapshot)
    assert set(against) - set(plain) == {"memorization/saturation", "memorization/fill"}
    assert against["memorization/saturation"] == pytest.approx(24 * math.log2(7) / 100)
    assert against["memorization/fill"] == pytest.approx(float(plain["memorization/train_bits"]) / 100)
