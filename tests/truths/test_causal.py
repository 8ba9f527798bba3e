"""Truths for measures/causal.py: networks whose circuit is known, deleted weights, naive twins."""

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from grokscope.measures import Snapshot, causal, hooks, lens, subnetwork
from grokscope.measures.causal import LayerAblation
from grokscope.measures.subnetwork import ActiveSubnetwork
from grokscope.models import MLP, Transformer
from grokscope.objectives import MSE, CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure

EXACT = 1e-12  # float64, sums of a few terms of order 1
ADD = ModularArithmetic(modulus=7, train_fraction=0.5)
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float64: EXACT}


def _noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _filled(module: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator).mul_(0.5)
    return module.to(dtype)


def _mlp(dtype: torch.dtype = torch.float64) -> nn.Module:
    return _filled(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), dtype)


def _cnn(dtype: torch.dtype = torch.float64) -> nn.Module:
    head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 16, 3))
    body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(inplace=True))
    return _filled(nn.Sequential(body, head), dtype)


class _Recurrent(nn.Module):
    """Reads the last state, which nn.LSTM gives apart from its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _c) = self.lstm(x)
        return self.head(h[-1])


class _Branches(nn.Module):
    """logits = right(x) + 0 · idle(x): one part carries everything, another nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.idle, self.never = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.right(x) + 0.0 * self.idle(x)


def _any(kind: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor, str]:
    """A network, rows, other rows, and a layer that everything passes through."""
    if kind == "mlp":
        return _mlp(dtype), _noise(9, 4, dtype=dtype), _noise(9, 4, seed=1, dtype=dtype), "3"
    if kind == "cnn":
        return _cnn(dtype), _noise(9, 1, 4, 4, dtype=dtype), _noise(9, 1, 4, 4, seed=1, dtype=dtype), "0"
    if kind == "lstm":
        return _filled(_Recurrent(), dtype), _noise(9, 6, 4, dtype=dtype), _noise(9, 6, 4, seed=1, dtype=dtype), "lstm"
    model = Transformer(width=8, heads=2, hidden=16, norm="pre", layers=2) if kind == "transformer" else MLP(hidden=16)
    tokens = model.encode(ADD, ADD.table).tokens_NL
    network = model.build(ADD, Seeds(0).generator("init")).to(dtype)
    return network, tokens[:24], tokens[25:], "norm_final" if kind == "transformer" else "activations.0"


KINDS = ["mlp", "cnn", "lstm", "transformer", "our mlp"]


def _hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


# Names and hooks.


def test_a_name_is_tried_before_a_regular_expression() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    assert hooks.matching(module, "1") == ["1"]
    assert hooks.matching(module, "1.0") == ["1.0"]
    assert hooks.matching(module, r"1\..") == ["1.0", "1.1"]
    assert hooks.matching(module, ".*") == ["0", "1", "1.0", "1.1"]


@pytest.mark.parametrize("wrong", ["layers", "1.", "(", "2"])
def test_a_name_that_fits_nothing_is_an_error_everywhere(wrong: str) -> None:
    module, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), _noise(5, 4, dtype=torch.float32)
    calls = [
        lambda: causal.patched(module, x, x, wrong),
        lambda: hooks.captured(module, wrong, x),
        lambda: causal.tracing_strength(module, x, x, wrong),
        lambda: causal.unit_effects(module, x, wrong, torch.sum),
        lambda: subnetwork.subnetwork(module, x, wrong, torch.tensor([0])),
        *[lambda how=how: causal.ablated(module, x, wrong, how) for how in ("mean", "zero", "resample")],
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"is named|regular expression"):
            call()
    assert not _hooks(module)


def test_a_module_that_is_not_called_is_an_error() -> None:
    module, x = _filled(_Branches()), _noise(5, 4)
    for how in ("mean", "zero", "resample"):
        with pytest.raises(ValueError, match="never was not called"):
            causal.ablated(module, x, "never", how)
    with pytest.raises(ValueError, match="how must be"):
        causal.ablated(module, x, "idle", "median")
    assert not _hooks(module)


def test_hooks_are_gone_and_modes_restored_after_errors() -> None:
    module, x = _mlp(), _noise(5, 4)
    module.train()
    module[1].eval()
    modes = [part.training for part in module.modules()]
    for wrong in (x[:, :2], "no tensor"):
        with pytest.raises((RuntimeError, TypeError)):
            causal.patched(module, x, (wrong,), "3")
        with pytest.raises((RuntimeError, TypeError)):
            causal.ablated(module, (wrong,), "3", "zero")
    with pytest.raises(ZeroDivisionError):
        hooks.run(module, x, {"0": lambda out, _: 1 / 0})
    with pytest.raises(ValueError, match="no submodule"), hooks.edited(module, {"0": lambda o, _: o, "9": None}):
        raise AssertionError
    assert not _hooks(module)
    assert modes == [part.training for part in module.modules()]
    causal.ablated(module, x, ".*", "mean")
    assert not _hooks(module)
    assert modes == [part.training for part in module.modules()]
    assert torch.is_grad_enabled()


def test_dropout_and_running_means_are_left_alone() -> None:
    module = _filled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)))
    before, x = copy.deepcopy(module.state_dict()), _noise(8, 4)
    assert torch.equal(hooks.run(module, x), hooks.run(module, x))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_copies_do_not_change_when_a_later_layer_works_in_place() -> None:
    module, x = _cnn(), _noise(3, 1, 4, 4)
    (seen,) = hooks.captured(module, r"0\.0", x)["0.0"]
    with torch.no_grad():
        torch.testing.assert_close(seen, module[0][0](x))
    assert (seen < 0).any()


def test_outputs_that_are_no_tensors_are_refused() -> None:
    network, x, _, _ = _any("transformer", torch.float64)
    with pytest.raises(ValueError, match="got Stream; name a submodule"):
        causal.ablated(network, x, "blocks.0", "mean")
    with pytest.raises(ValueError, match="shape"):
        causal.patched(network, x, x[:20], "norm_final")


# Patching.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_patching_the_only_carrier_gives_the_other_inputs_output(kind: str, dtype: torch.dtype) -> None:
    network, x, y, name = _any(kind, dtype)
    torch.testing.assert_close(causal.patched(network, x, y, name), hooks.run(network, y), rtol=0, atol=0)
    torch.testing.assert_close(causal.patched(network, x, x, name), hooks.run(network, x), rtol=0, atol=0)
    assert not torch.equal(hooks.run(network, x), hooks.run(network, y))
    assert causal.tracing_strength(network, x, x, name) == 0.0
    moved = causal.changed(hooks.run(network, x), hooks.run(network, y))
    assert causal.tracing_strength(network, x, y, name) == moved


def test_patching_what_nothing_reads_changes_nothing() -> None:
    module, x, y = _filled(_Branches()), _noise(20, 4), _noise(20, 4, seed=1)
    assert torch.equal(causal.patched(module, x, y, "idle"), hooks.run(module, x))
    assert causal.tracing_strength(module, x, y, "idle") == 0.0
    torch.testing.assert_close(causal.patched(module, x, y, "right"), hooks.run(module, y))
    for how in ("mean", "zero", "resample"):
        assert torch.equal(causal.ablated(module, x, "idle", how), hooks.run(module, x))


def test_a_part_of_an_output_is_patched_alone() -> None:
    module, x, y = _mlp(), _noise(6, 4), _noise(6, 4, seed=1)
    with torch.no_grad():
        h, other = module[:2](x), module[:2](y)
        h[:, [2, 5]] = other[:, [2, 5]]
        want = module[2:](h)
    torch.testing.assert_close(causal.patched(module, x, y, "1", hooks.units([2, 5])), want)


def test_two_halves_of_a_circuit_move_a_prediction_only_together() -> None:
    """y = a xor b is carried by two neurons, each of which alone moves every prediction; both together none."""
    layer, read = nn.Linear(2, 2, bias=False), nn.Linear(1, 1, bias=False)

    class _Xor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.read = layer, read

        def forward(self, x: Tensor) -> Tensor:
            return self.read(self.layer(x).prod(1, keepdim=True))

    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        read.weight.fill_(1.0)
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2)))
    for at, want in ((hooks.units([0]), 1.0), (hooks.units([1]), 1.0), (..., 0.0)):
        assert causal.tracing_strength(_Xor(), x, -x, "layer", at) == want


def test_tracing_strength_at_a_position_is_the_share_of_changed_predictions() -> None:
    class _Second(nn.Module):
        """Says the token at position 1, which is embedded as a one-hot vector."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding.from_pretrained(torch.eye(5))

        def forward(self, tokens: Tensor) -> Tensor:
            return self.embed(tokens)[:, 1]

    tokens = torch.tensor([[0, 1], [2, 3], [4, 0], [1, 1]])
    perturbed = torch.tensor([[1, 2], [2, 3], [0, 4], [0, 2]])
    strength = [causal.tracing_strength(_Second(), tokens, perturbed, "embed", (slice(None), q)) for q in range(2)]
    assert strength == [0.0, 0.75]


# Ablation.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_ablation_deletes_the_weights_that_read_the_neurons(dtype: torch.dtype) -> None:
    module, x = _mlp(dtype), _noise(6, 4, dtype=dtype)
    deleted = copy.deepcopy(module)
    with torch.no_grad():
        deleted[2].weight[:, [1, 4]] = 0
    got = causal.ablated(module, x, "1", "zero", hooks.units([1, 4]))
    torch.testing.assert_close(got, deleted(x).detach(), rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert not torch.allclose(got, hooks.run(module, x))
    network, x, _, _ = _any("cnn", dtype)
    deleted = copy.deepcopy(network)
    with torch.no_grad():
        deleted[0][0].weight[2] = 0
        deleted[0][0].bias[2] = 0
    got = causal.ablated(network, x, "0", "zero", hooks.units([2], 1))
    torch.testing.assert_close(got, deleted(x).detach(), rtol=CLOSE[dtype], atol=CLOSE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", ["none", "pre"])
def test_zero_ablation_of_our_neurons_deletes_their_weights(norm: str, dtype: torch.dtype) -> None:
    model = Transformer(width=8, heads=2, hidden=16, layers=2, norm=norm)
    network = model.build(ADD, Seeds(0).generator("init")).to(dtype)
    tokens = model.encode(ADD, ADD.table).tokens_NL
    for block, neurons in ((0, [3, 7]), (1, list(range(16)))):
        deleted = copy.deepcopy(network)
        with torch.no_grad():
            deleted.blocks[block].W_out[neurons] = 0
        got = causal.ablated(network, tokens, f"blocks.{block}.neurons", "zero", hooks.units(neurons))
        torch.testing.assert_close(got, deleted(tokens).detach(), rtol=CLOSE[dtype], atol=CLOSE[dtype])
        assert not torch.equal(got, hooks.run(network, tokens))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_the_only_carrier_rows_are_alike_or_anothers(kind: str, dtype: torch.dtype) -> None:
    network, x, _, name = _any(kind, dtype)
    whole = hooks.run(network, x)
    for how in ("mean", "zero"):
        without = causal.ablated(network, x, name, how)
        torch.testing.assert_close(without, without[:1].expand_as(without), rtol=CLOSE[dtype], atol=CLOSE[dtype])
    other = causal.ablated(network, x, name, "resample", seed=3)
    want = whole[causal.other_rows(len(x), 3)]
    torch.testing.assert_close(other, want, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert torch.equal(other, causal.ablated(network, x, name, "resample", seed=3))
    assert not torch.equal(other, causal.ablated(network, x, name, "resample", seed=4))


def test_the_mean_is_that_of_the_reference_at_each_position() -> None:
    module, x, y = (
        _filled(nn.Sequential(nn.Linear(4, 5), nn.Identity(), nn.Linear(5, 2))),
        _noise(6, 3, 4),
        _noise(9, 3, 4, seed=1),
    )
    with torch.no_grad():
        for reference in (None, y):
            mean = module[0](x if reference is None else reference).mean(0)
            got = causal.ablated(module, x, "1", "mean", reference=reference)
            torch.testing.assert_close(got, module[2](mean).expand(6, 3, 2), rtol=1e-10, atol=1e-10)
    drawn = causal.ablated(module, x, "1", "resample", reference=y, seed=1)
    every = hooks.run(module, y)
    assert all(any(torch.allclose(row, one) for one in every) for row in drawn)


def test_the_states_of_an_lstm_are_averaged_over_rows_not_layers() -> None:
    class _Two(_Recurrent):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, num_layers=2)  # (L, N, H): the rows are on axis 1

    module, x = _filled(_Two()), _noise(6, 9, 4)
    with torch.no_grad():
        want = module.head(module.lstm(x)[1][0][-1].mean(0)).expand(9, 3)
    torch.testing.assert_close(causal.ablated(module, x, "lstm", "mean", batch=1), want, rtol=1e-10, atol=1e-10)


def test_a_constant_part_is_its_mean_and_not_zero() -> None:
    module, x = _mlp(), _noise(6, 4)
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.fill_(1.0)
    whole = hooks.run(module, x)
    torch.testing.assert_close(causal.ablated(module, x, "1", "mean"), whole, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(causal.ablated(module, x, "1", "resample"), whole, rtol=EXACT, atol=EXACT)
    assert not torch.allclose(causal.ablated(module, x, "1", "zero"), whole)


def test_every_row_gets_another_one() -> None:
    for count in (2, 3, 10, 101):
        rows = causal.other_rows(count, 5)
        assert (rows != torch.arange(count)).all()
        assert torch.equal(rows.sort().values, torch.arange(count))
    assert causal.other_rows(1, 0).tolist() == [0]


def test_global_random_state_is_not_touched() -> None:
    module, x = _mlp(), _noise(6, 4)
    before = torch.get_rng_state()
    for reference in (None, _noise(9, 4, seed=1)):
        causal.ablated(module, x, "1", "resample", reference=reference, seed=2)
    causal.unit_effects(module, x, "1", torch.sum, "resample")
    assert torch.equal(before, torch.get_rng_state())


def test_a_module_that_is_called_twice_gets_each_calls_value() -> None:
    class _Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.map(torch.tanh(self.map(x)))

    module, x, y = _filled(_Twice()), _noise(6, 4), _noise(6, 4, seed=1)
    first, second = hooks.captured(module, "map", y)["map"]
    with torch.no_grad():
        torch.testing.assert_close(first, module.map(y))
        torch.testing.assert_close(second, module(y))
    torch.testing.assert_close(causal.patched(module, x, y, "map"), second)


# Effects.


def test_effects_by_hand() -> None:
    before, after = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    targets = torch.tensor([0, 1])
    got = causal.effect(before, after, targets)
    assert got.loss == pytest.approx(1.0)  # one row's loss grows by its margin, 2
    assert got.logits == pytest.approx(math.sqrt(2))
    assert got.changed == 0.5
    assert causal.effect(before, before, targets) == (0.0, 0.0, 0.0)
    two = torch.stack([before, after], 1)  # read at two positions: a row changes when one of them does
    assert causal.changed(two, torch.stack([before, before], 1)) == 0.5
    assert causal.agreement(torch.tensor([[1.0], [-2.0], [0.5]]), torch.tensor([[3.0], [2.0], [0.1]])) == 2 / 3


def test_the_effect_of_each_neuron_is_that_of_deleting_it() -> None:
    module, x = _mlp(), _noise(20, 4)
    targets = torch.arange(20) % 3

    def loss(logits: Tensor) -> Tensor:
        return causal.cross_entropy(logits, targets)

    got = causal.unit_effects(module, x, "3", loss, "zero")
    for h in range(8):
        deleted = copy.deepcopy(module)
        with torch.no_grad():
            deleted[4].weight[:, h] = 0
            want = loss(deleted(x)) - loss(module(x))
        assert got[h].item() == pytest.approx(want.item(), abs=EXACT)
    with torch.no_grad():
        module[4].weight[:, 5] = 0
    for how in ("mean", "zero", "resample"):
        effects = causal.unit_effects(module, x, "3", loss, how)
        assert effects[5] == 0
        assert effects.abs().min(0).indices == 5
    network, image, _, _ = _any("cnn", torch.float64)
    assert causal.unit_effects(network, image, "0", torch.sum, axis=1).shape == (6,)
    with pytest.raises(ValueError, match="one submodule"):
        causal.unit_effects(module, x, "[01]", loss)


# Logit lens.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_lens_at_the_last_layer_is_the_networks_logits(layers: int, dtype: torch.dtype) -> None:
    model = Transformer(width=8, heads=2, hidden=16, norm="pre", layers=layers)
    network = model.build(ADD, Seeds(0).generator("init")).to(dtype)
    tokens = model.encode(ADD, ADD.table).tokens_NL
    got = lens.lens(network, tokens, "norm_final", lambda x: x @ network.W_U)["norm_final"]
    torch.testing.assert_close(got, hooks.run(network, tokens), rtol=CLOSE[dtype], atol=CLOSE[dtype])


def test_the_lens_of_any_module() -> None:
    class _Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    module, x = _filled(_Residual()), _noise(7, 4)
    seen = lens.lens(module, x, r"blocks\.\d", module.head, module.norm)
    assert list(seen) == ["blocks.0", "blocks.1", "blocks.2"]
    assert torch.equal(seen["blocks.2"], hooks.run(module, x))
    with torch.no_grad():
        torch.testing.assert_close(seen["blocks.0"], module.head(module.norm(module.blocks[0](x))))
    assert not any(logits.requires_grad for logits in seen.values())


def test_reciprocal_ranks() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]]).expand(4, 4)
    wanted = torch.arange(4)
    assert lens.reciprocal_rank(logits, wanted).tolist() == [1.0, 1 / 3, 1 / 2, 1 / 4]
    assert lens.mean_reciprocal_rank(logits, wanted) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert lens.reciprocal_rank(torch.zeros(1, 9), torch.tensor([0])).item() == pytest.approx(1 / 5)
    noise, said = _noise(3000, 2, 11), torch.randint(11, (3000, 2), generator=torch.Generator().manual_seed(1))
    order = noise.argsort(-1, descending=True)
    naive = 1 / (1 + (order == said[..., None]).long().argmax(-1).double())
    torch.testing.assert_close(lens.reciprocal_rank(noise, said), naive)
    harmonic = sum(1 / k for k in range(1, 12)) / 11
    assert lens.mean_reciprocal_rank(noise, said) == pytest.approx(harmonic, rel=0.05)
    assert lens.reciprocal_rank(torch.full((1, 3), torch.nan), torch.tensor([1])).isnan().all()


# Active subnetwork.


def _parity(dense: int = 0, scale: float = 1e-4) -> tuple[nn.Module, Tensor, Tensor]:
    """The parity of the first 3 of 8 bits as 4 ReLUs of their sum s, zigzag through (−3, −), (−1, +), (1, −), (3, +).

    The other ``dense`` neurons have smaller incoming weights and hardly any outgoing ones.
    """
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)), dtype=torch.float64)
    y = x[:, :3].prod(1)
    module = nn.Sequential(nn.Linear(8, 4 + dense), nn.ReLU(), nn.Linear(4 + dense, 1, bias=False)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for j, (kink, slope) in enumerate([(-4.0, -1.0), (-3.0, 2.0), (-1.0, -2.0), (1.0, 2.0)]):
            size = 8.0 - j
            module[0].weight[j, :3], module[0].bias[j], module[2].weight[0, j] = size, -size * kink, slope / size
        module[0].weight[4:] = 0.1 * _noise(dense, 8)
        module[2].weight[0, 4:] = scale * _noise(dense, seed=1)
    return module, x, y


@pytest.mark.parametrize("dense", [0, 60])
def test_a_hand_built_parity_network_needs_its_four_neurons(dense: int) -> None:
    module, x, y = _parity(dense)
    assert torch.equal(hooks.run(module, x)[:, 0].sign(), y)
    norms = subnetwork.incoming_norms(module[0].weight)
    with torch.no_grad():
        h, u = module[:2](x), module[2].weight.T
    assert subnetwork.effective_sparsity(h, u, norms) == 4
    by_size = subnetwork.agreement_by_size(h, u, norms)
    torch.testing.assert_close(by_size, subnetwork.agreement_by_size_of(module, x, "1", norms))
    assert by_size[4:].tolist() == [1.0] * (dense + 1)
    assert (by_size[:4] < 1).all()
    alone = subnetwork.subnetwork(module, x, "1", subnetwork.largest(norms, 4))
    assert causal.agreement(hooks.run(module, x), alone) == 1.0
    assert torch.equal(alone[:, 0].sign(), y)


def test_random_weights_need_nearly_all_neurons() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=10)), dtype=torch.float64)
    w = torch.randn(200, 10, generator=generator, dtype=torch.float64)
    u = torch.randn(200, 1, generator=generator, dtype=torch.float64)
    h = torch.relu(x @ w.T)
    assert subnetwork.effective_sparsity(h, u, subnetwork.incoming_norms(w)) > 180
    assert subnetwork.effective_sparsity(h, u, subnetwork.incoming_norms(w), share=0.98) > 100


def test_agreement_by_size_is_its_naive_twin() -> None:
    h, u, norms, rest = _noise(50, 12).relu(), _noise(12, 5, seed=1), _noise(12, seed=2).abs(), _noise(50, 5, seed=3)
    order = sorted(range(12), key=lambda j: -norms[j].item())
    whole = (h @ u + rest).argmax(1)
    want = [(((h[:, order[:k]] @ u[order[:k]]) + rest).argmax(1) == whole).double().mean().item() for k in range(13)]
    assert subnetwork.agreement_by_size(h, u, norms, rest).tolist() == pytest.approx(want)
    assert subnetwork.agreement_by_size(h.bfloat16(), u.bfloat16(), norms)[-1] == 1
    for share in (0.3, 0.5, 0.98, 1.0):
        first = next(k for k, value in enumerate(want) if value >= share)
        assert subnetwork.effective_sparsity(h, u, norms, rest, share) == first


def test_the_agreement_need_not_rise_with_the_size() -> None:
    """Where a neuron is undone by the next, bisection would miss the smallest subnetwork."""
    h = torch.ones(1, 3, dtype=torch.float64)
    u = torch.tensor([[1.0], [-2.0], [2.0]], dtype=torch.float64)
    norms = torch.tensor([3.0, 2.0, 1.0])
    assert subnetwork.agreement_by_size(h, u, norms).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert subnetwork.effective_sparsity(h, u, norms) == 1


def test_a_network_that_its_bias_decides_needs_no_neuron() -> None:
    h, u = _noise(20, 6), torch.zeros(6, 3)
    assert subnetwork.effective_sparsity(h, u, torch.ones(6), torch.tensor([0.0, 1.0, 0.0])) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_subnetworks_of_a_convolution_keep_channels(dtype: torch.dtype) -> None:
    network, x, _, _ = _any("cnn", dtype)
    norms = subnetwork.incoming_norms(network[0][0].weight)
    assert norms.shape == (6,)
    whole = hooks.run(network, x)
    assert torch.equal(subnetwork.subnetwork(network, x, "0", torch.arange(6), 1), whole)
    kept = subnetwork.largest(norms, 4)
    gone = [c for c in range(6) if c not in kept.tolist()]
    want = causal.ablated(network, x, "0", "zero", hooks.units(gone, 1))
    assert torch.equal(subnetwork.subnetwork(network, x, "0", kept, 1), want)
    assert subnetwork.agreement_by_size_of(network, x, "0", norms, 1)[-1] == 1.0


# The measures.


def _look(model: MLP | Transformer, dtype: torch.dtype = torch.float64, task: ModularArithmetic = ADD) -> Snapshot:
    network = model.build(task, Seeds(0).generator("init")).to(dtype)
    objective = MSE() if isinstance(model, MLP) else CrossEntropy()
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), objective)


LOOKS = [
    Transformer(width=8, heads=2, hidden=16),
    Transformer(width=8, heads=2, hidden=16, layers=2),
    MLP(hidden=16),
    MLP(hidden=16, layers=2, inputs="embedding", width=6, output_scale=0.5),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("model", LOOKS, ids=range(4))
def test_the_measures_keep_their_contract(model: MLP | Transformer, dtype: torch.dtype) -> None:
    check_measure(ActiveSubnetwork(), _look(model, dtype))
    check_measure(LayerAblation(), _look(model, dtype))


@pytest.mark.parametrize("how", ["zero", "resample"])
def test_other_ablations_keep_the_contract(how: str) -> None:
    check_measure(LayerAblation(how=how))
    check_measure(
        LayerAblation(how=how),
        _look(Transformer(width=8, heads=2, hidden=16, layers=2, norm="post", sequence="equation")),
    )


@pytest.mark.parametrize("model", LOOKS, ids=range(4))
def test_the_active_subnetwork_is_that_of_the_network_itself(model: MLP | Transformer) -> None:
    look = _look(model)
    network, tokens = look.network, look.encoding.tokens_NL
    train, test = look.split.rows["train"], look.split.rows["test"]
    weight = network.W[-2] if isinstance(model, MLP) else network.blocks[-1].W_in
    norms = subnetwork.incoming_norms(weight.T)
    answers = look.encoding.answers

    def said(kept: Tensor, rows: Tensor) -> Tensor:
        return subnetwork.subnetwork(network, tokens[rows], network.neurons, kept)[:, 0, answers].argmax(-1)

    everything = torch.arange(16)
    whole = said(everything, train)
    agreed = [(said(subnetwork.largest(norms, k), train) == whole).double().mean().item() for k in range(17)]
    values = ActiveSubnetwork(share=0.8)(look)
    size = next(k for k, value in enumerate(agreed) if value >= 0.8)
    assert values["active/size"] == size / 16
    assert values["active/exact_size"] == next(k for k, value in enumerate(agreed) if value == 1) / 16
    alone = said(subnetwork.largest(norms, size), test)
    assert values["active/test_agreement"] == pytest.approx((alone == said(everything, test)).double().mean().item())
    right = (alone == look.split.answers_N[test]).double().mean().item()
    assert values["active/test_accuracy"] == pytest.approx(right)


def test_layer_ablation_of_an_mlp_leaves_its_constant() -> None:
    look = _look(MLP(hidden=16))
    values = LayerAblation()(look)
    rows = look.split.rows["test"]
    with torch.no_grad():
        constant = look.network(look.encoding.tokens_NL[rows]).mean(0, keepdim=True).expand(len(rows), 1, 7)
        want = look.objective(constant, look.targets_NR[rows]).item()
    assert values["ablation/activations.0/test_loss"] == pytest.approx(want, rel=1e-10)
    whole = hooks.run(look.network, look.encoding.tokens_NL[rows])
    assert values["ablation/activations.0/changed"] == causal.changed(whole, constant)
    assert sorted(LayerAblation()(_look(LOOKS[1]))) == [
        f"ablation/blocks.{block}.neurons/{what}" for block in (0, 1) for what in ("changed", "test_loss")
    ]


def test_a_layer_that_nothing_reads_costs_nothing() -> None:
    look = _look(LOOKS[1])
    with torch.no_grad():
        look.network.blocks[0].W_out.zero_()
    values = LayerAblation(how="zero")(look)
    rows = look.split.rows["test"]
    with torch.no_grad():
        want = look.objective(look.network(look.encoding.tokens_NL[rows]), look.targets_NR[rows]).item()
    assert values["ablation/blocks.0.neurons/test_loss"] == pytest.approx(want, rel=EXACT)
    assert values["ablation/blocks.0.neurons/changed"] == 0.0
    assert values["ablation/blocks.1.neurons/test_loss"] != pytest.approx(want, rel=1e-6)


def test_a_grown_readout_of_few_neurons_makes_the_subnetwork_small() -> None:
    look = _look(MLP(hidden=32, bias=False))
    whole = ActiveSubnetwork()(look)["active/size"]
    with torch.no_grad():
        look.network.W[0][:, :4] = 30 * look.network.W[0][:, :4].abs()
        look.network.W[1][:4] *= 30
    look._cache.clear()
    grown = ActiveSubnetwork()(look)
    assert grown["active/size"] <= 5 / 32 < whole
    assert grown["active/test_agreement"] > 0.9
