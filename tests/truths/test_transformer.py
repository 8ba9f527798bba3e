"""Truths for models/transformer.py: the same numbers as a transformer written the plain way."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.models import Network, Transformer, attention
from grokscope.models.stream import Group, Prefixes, Stream
from grokscope.models.transformer import Block, sinusoids
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, PermutationGroup, Task, TwoHop

ADD = ModularArithmetic(modulus=7)
REORDERED = 1e-12  # float64; sums are taken in another order, which costs about 1e-15 of their terms


def _layer_norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _attention(weights: dict[str, Tensor], at: str, heads: int, x_NLD: Tensor) -> Tensor:
    length, width = x_NLD.shape[1:]
    w_q, w_k, w_v = (weights[f"{at}.W_{c}"].view(width, heads, width // heads) for c in "QKV")
    q, k, v = (torch.einsum("nld,dhe->nlhe", x_NLD, w) for w in (w_q, w_k, w_v))
    scores_NHLM = torch.einsum("nlhe,nmhe->nhlm", q, k) / math.sqrt(width // heads)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    pattern = scores_NHLM.masked_fill(future, -math.inf).softmax(-1)
    mixed = torch.einsum("nhlm,nmhe->nlhe", pattern, v)
    return torch.einsum("nlhe,hed->nld", mixed, weights[f"{at}.W_O"].view(heads, width // heads, width))


def _plain(spec: Transformer, weights: dict[str, Tensor], tokens_NL: Tensor) -> Tensor:
    """Every position of every row, embedding looked up row by row, as in the papers' code."""
    x = weights["W_E"][tokens_NL] + weights["W_pos"]
    activate = {"relu": torch.relu, "gelu": F.gelu, "quadratic": torch.square}[spec.activation]
    for layer in range(spec.layers):
        at = f"blocks.{layer}"
        y = _layer_norm(weights, f"{at}.norm_attention", x) if spec.norm == "pre" else x
        x = x + _attention(weights, f"{at}.attention", spec.heads, y)
        x = _layer_norm(weights, f"{at}.norm_attention", x) if spec.norm == "post" else x
        y = _layer_norm(weights, f"{at}.norm_mlp", x) if spec.norm == "pre" else x
        hidden = y @ weights[f"{at}.W_in"] + weights.get(f"{at}.b_in", torch.zeros(()))
        x = x + activate(hidden) @ weights[f"{at}.W_out"] + weights.get(f"{at}.b_out", torch.zeros(()))
        x = _layer_norm(weights, f"{at}.norm_mlp", x) if spec.norm == "post" else x
    x = _layer_norm(weights, "norm_final", x) if spec.norm == "pre" else x
    read = [4, 5] if spec.sequence == "equation" else [-1]
    return x[:, read] @ weights["W_U"]


def _network(spec: Transformer, task: Task) -> Network:
    """First weights, all moved a little so that no scale is 1 and no shift 0."""
    generator = Seeds(0).generator("init")
    network = spec.build(task, generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def _weights(network: Network) -> dict[str, Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())


ROADS = {
    "chosen": {},
    "lookups": {"LOOKUP": -1e9, "collapse": True},
    "collapsed": {"LOOKUP": 1e9, "collapse": True},
    "one by one": {"collapse": False},
    "all at once": {"LONG": 1},
    "row by row": {"ROW_BY_ROW": -1},
}
"""The ways to take the same products; which one is taken depends on the sizes, so here each is forced."""


@pytest.fixture(params=ROADS, autouse=True)
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    forced = dict(ROADS[request.param])
    if "collapse" in forced:
        collapse = forced.pop("collapse")
        monkeypatch.setattr(Block, "collapsing_pays", lambda self, count, V: collapse)
    for name, value in forced.items():
        monkeypatch.setattr(attention, name, value)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("norm", ["none", "post", "pre"])
@pytest.mark.parametrize("sequence", ["pair", "equation", "operands"])
@pytest.mark.parametrize("copies", [1, 3])  # more rows than pairs of tokens: the pairs are tabulated
def test_logits_and_gradients_are_those_of_the_plain_transformer(
    layers: int, norm: str, sequence: str, copies: int
) -> None:
    spec = Transformer(
        layers=layers,
        width=12,
        heads=3,
        hidden=10,
        norm=norm,
        sequence=sequence,
        positions="sinusoidal" if sequence == "equation" else "learned",
        mlp_bias=sequence != "equation",
        activation="gelu",
    )
    network = _network(spec, ADD)
    weights = _weights(network)
    encoding = spec.encode(ADD, ADD.table)
    tokens, targets = encoding.tokens_NL.repeat(copies, 1), encoding.targets_NR.repeat(copies, 1)
    ours, plain = network(tokens), _plain(spec, weights, tokens)
    torch.testing.assert_close(ours, plain, rtol=REORDERED, atol=REORDERED)
    leaves = list(network.parameters())
    grads = [torch.autograd.grad(F.cross_entropy(z.flatten(0, 1), targets.flatten()), leaves) for z in (ours, plain)]
    torch.testing.assert_close(grads[0], grads[1], rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("norm", ["none", "post"])
@pytest.mark.parametrize("copies", [1, 4])
def test_the_plain_transformer_agrees_on_rows_of_three(layers: int, norm: str, copies: int) -> None:
    task = TwoHop(entities=12, relations=4, degree=3, ood_share=0.25)
    spec = Transformer(layers=layers, width=12, heads=3, hidden=10, norm=norm, sequence="operands")
    network = _network(spec, task)
    encoding = spec.encode(task, task.table)
    tokens, targets = encoding.tokens_NL.repeat(copies, 1), encoding.targets_NR.repeat(copies, 1)
    ours, plain = network(tokens), _plain(spec, _weights(network), tokens)
    torch.testing.assert_close(ours, plain, rtol=REORDERED, atol=REORDERED)
    leaves = list(network.parameters())
    grads = [torch.autograd.grad(F.cross_entropy(z.flatten(0, 1), targets.flatten()), leaves) for z in (ours, plain)]
    torch.testing.assert_close(grads[0], grads[1], rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("activation", ["relu", "quadratic"])
def test_the_plain_transformer_agrees_on_a_group_and_on_single_rows(activation: str) -> None:
    task = PermutationGroup(degree=3)
    spec = Transformer(layers=2, width=8, heads=1, hidden=6, sequence="equation", activation=activation)
    network = _network(spec, task)
    for tokens in (spec.encode(task, task.table).tokens_NL, spec.encode(task, task.table).tokens_NL[5:6]):
        torch.testing.assert_close(
            network(tokens), _plain(spec, _weights(network), tokens), rtol=REORDERED, atol=REORDERED
        )


def test_attention_on_rows_is_torch_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = attention.Attention(12, 3).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    x = torch.randn(5, 4, 12, generator=generator, dtype=torch.float64)
    q, k, v = ((x @ w).unflatten(-1, (3, 4)).transpose(1, 2) for w in (layer.W_Q, layer.W_K, layer.W_V))
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    rows = [torch.arange(5)] * 4  # five tokens at each position, one per example
    stream = Stream(x.transpose(0, 1).flatten(0, 1), (5,) * 4, Prefixes(rows, [5] * 4))
    got = layer(stream, [Group((0, 1, 2, 3), 5, False)]).view(4, 5, 12).transpose(0, 1)
    torch.testing.assert_close(got, want, rtol=REORDERED, atol=REORDERED)


def test_prefixes_are_tabulated_where_they_are_fewer_than_half_the_examples() -> None:
    a, b = torch.cartesian_prod(torch.arange(7), torch.arange(7)).unbind(1)
    zero = torch.zeros_like(a)
    prefixes = Prefixes([zero, a, zero, b, zero], [1, 7, 1, 7, 1])
    assert prefixes.sizes == [1, 7, 7]
    assert [code.tolist() for code in prefixes.codes] == [zero.tolist(), a.tolist(), a.tolist()]
    assert prefixes.groups(range(5)) == [
        Group((0,), 1, True),
        Group((1,), 7, True),
        Group((2,), 7, True),
        Group((3, 4), 49, False),
    ]
    doubled = Prefixes([torch.cat([row, row]) for row in (zero, a, zero, b, zero)], [1, 7, 1, 7, 1])
    assert doubled.sizes == [1, 7, 7, 49, 49]
    assert torch.equal(doubled.codes[4], torch.arange(49).repeat(2))


def test_float32_gradients_of_the_papers_model_are_right_to_1e_6() -> None:
    task = ModularArithmetic(modulus=113)
    rows = torch.randperm(113 * 113, generator=torch.Generator().manual_seed(0))[:3830]
    encoding = Transformer().encode(task, task.table)
    tokens, targets = encoding.tokens_NL[rows], encoding.targets_NR[rows]
    network = Transformer().build(task, Seeds(0).generator("init"))
    grads = {}
    for precision in (torch.float64, torch.float32):
        network.to(precision)
        loss = CrossEntropy()(network(tokens), targets)
        grads[precision] = torch.autograd.grad(loss, list(network.parameters()))
    for (name, _), exact, ours in zip(network.named_parameters(), *grads.values(), strict=True):
        assert (ours.double() - exact).norm() / exact.norm() < 1e-6, name


def test_nothing_reads_the_future() -> None:
    spec = Transformer(layers=2, width=8, heads=2, hidden=8, sequence="equation")
    network = _network(spec, ADD)
    tokens = spec.encode(ADD, ADD.table).tokens_NL
    shown = tokens.clone()
    shown[:, 5] = tokens[:, 5].roll(1)  # another answer after "="
    before, after = network(tokens), network(shown)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_nandas_model_has_226816_parameters() -> None:
    network = Transformer().skeleton(ModularArithmetic(modulus=113))
    assert sum(parameter.numel() for parameter in network.parameters()) == 226_816


def test_a_row_is_written_as_the_papers_write_it() -> None:
    table = ADD.table
    pair, equation = Transformer().encode(ADD, table), Transformer(sequence="equation").encode(ADD, table)
    row = 3 * 7 + 5  # 3 + 5 = 1 mod 7
    assert pair.tokens_NL[row].tolist() == [3, 5, 7]
    assert pair.targets_NR[row].tolist() == [1]
    eos, equals, operator, zero = 0, 1, 2, 16
    assert equation.tokens_NL[row].tolist() == [eos, zero + 3, operator, zero + 5, equals, zero + 1]
    assert equation.targets_NR[row].tolist() == [zero + 1, eos]
    operands = Transformer(sequence="operands").encode(ADD, table)
    assert operands.tokens_NL[row].tolist() == [3, 5]
    assert operands.targets_NR[row].tolist() == [1]
    assert Transformer(sequence="operands").vocabulary(ADD) == 7
    assert Transformer(sequence="equation").vocabulary(ModularArithmetic(modulus=97)) == 2 + 14 + 97 + 120


def _spread(values: Tensor, std: float) -> float:
    """Deviation of the sample's standard deviation from ``std`` in its own standard errors."""
    return abs(values.std().item() / std - 1) * (2 * values.numel()) ** 0.5


def test_nandas_first_weights_have_the_papers_spread() -> None:
    network = Transformer().build(ModularArithmetic(modulus=113), Seeds(0).generator("init"))
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            assert not parameter.any(), name
            continue
        std = 114**-0.5 if name == "W_U" else 128**-0.5
        assert _spread(parameter, std) < 5, name
        assert abs(parameter.mean().item()) < 5 * std / parameter.numel() ** 0.5, name


def test_powers_first_weights_are_those_of_torch_layers() -> None:
    spec = Transformer(
        layers=2, width=64, hidden=256, norm="post", positions="sinusoidal", mlp_bias=False, init="torch"
    )
    network = spec.build(ADD, Seeds(0).generator("init"))
    for name, parameter in network.named_parameters():
        if "norm" in name:
            assert (parameter == (1.0 if name.endswith("weight") else 0.0)).all(), name
        elif name == "W_E":
            assert _spread(parameter, 1.0) < 5
        else:
            bound = (256 if name.endswith("W_out") else 64) ** -0.5
            assert 0.98 * bound < parameter.abs().max() <= bound, name
            assert abs(parameter.std().item() / (bound / 3**0.5) - 1) < 0.05, name


def test_sinusoids_are_the_formula() -> None:
    table = sinusoids(6, 10)
    for position in range(6):
        for i in range(10):
            angle = position / 10000 ** ((i - i % 2) / 10)
            want = math.sin(angle) if i % 2 == 0 else math.cos(angle)
            assert abs(table[position, i].item() - want) < 1e-15


def test_the_readout_is_the_map_from_neurons_to_logits() -> None:
    spec = Transformer(width=8, heads=2, hidden=6)
    network = _network(spec, ADD)
    seen: list[Tensor] = []
    network.get_submodule(network.neurons).register_forward_hook(lambda _m, _i, out: seen.append(out))
    tokens = spec.encode(ADD, ADD.table).tokens_NL
    before = network(tokens)[:, 0, :7]
    with torch.no_grad():
        network.get_parameter("blocks.0.W_out").zero_()
    without = network(tokens)[:, 0, :7]
    readout = _network(spec, ADD).neuron_to_logit_HC()
    assert readout is not None
    torch.testing.assert_close(
        seen[0].view(len(tokens), -1) @ readout, before - without, rtol=REORDERED, atol=REORDERED
    )


def test_an_equation_with_random_labels_is_refused_because_it_shows_the_answer() -> None:
    with pytest.raises(ValueError, match="pair"):
        Transformer(sequence="equation").check(ModularArithmetic(modulus=7, labels="random"))
    Transformer().check(ModularArithmetic(modulus=7, labels="random"))
