"""Truths for models/moe.py: the same numbers as one row after another, each through its own experts."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from grokscope.models import MixtureTransformer, Network, Transformer
from grokscope.models.moe import MixtureBlock, MixtureNetwork
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic

ADD = ModularArithmetic(modulus=7)
REORDERED = 1e-12  # float64; sums are taken in another order, which costs about 1e-15 of their terms
ACTIVATIONS = {"relu": torch.relu, "gelu": F.gelu, "quadratic": torch.square}


def _spec(**fields: object) -> MixtureTransformer:
    small = {"width": 12, "heads": 3, "hidden": 10, "experts": 5, "active": 2, "activation": "gelu"}
    return MixtureTransformer(**(small | fields))


def _network(spec: Transformer, seed: int = 0) -> Network:
    """First weights, all moved a little so that no scale is 1 and no bias 0."""
    generator = Seeds(seed).generator("init")
    network = spec.build(ADD, generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def _row_by_row(block: MixtureBlock, activation: str, y: Tensor) -> Tensor:
    """Each row alone: sort the experts by logit, weigh the first few by e^logit, add up."""
    out = []
    for row in y.flatten(0, -2):
        logits = [(row * block.W_R[:, e]).sum() for e in range(block.experts)]
        chosen = sorted(range(block.experts), key=lambda e: -logits[e].item())[: block.active]
        total = sum(torch.exp(logits[e]) for e in chosen)
        mixed = torch.zeros_like(row)
        for e in chosen:
            pre = row @ block.W_in[e] + (0 if block.b_in is None else block.b_in[e])
            post = ACTIVATIONS[activation](pre) @ block.W_out[e] + (0 if block.b_out is None else block.b_out[e])
            mixed = mixed + torch.exp(logits[e]) / total * post
        out.append(mixed)
    return torch.stack(out).view(y.shape)


def _roads(block: MixtureBlock, y: Tensor) -> dict[str, Tensor]:
    rows = y.flatten(0, -2)
    routed = block.route(rows)
    return {
        "as called": block.feed_forward(y),
        "of routed": block.of_routed(rows, *routed).view(y.shape),
        "of all": block.of_all(rows, *routed).view(y.shape),
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("experts", "active"), [(5, 2), (4, 4), (3, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(40, 12), (9, 2, 12), (1, 12)])  # of one row most experts see nothing
def test_a_mixture_is_one_row_after_another(
    activation: str, experts: int, active: int, bias: bool, shape: tuple[int, ...]
) -> None:
    spec = _spec(activation=activation, experts=experts, active=active, mlp_bias=bias)
    block = _network(spec).get_submodule("blocks.0")
    assert isinstance(block, MixtureBlock)
    generator = Seeds(0).generator("noise")
    y = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    toward = torch.randn(shape, generator=generator, dtype=torch.float64)
    leaves = [y, block.W_in, block.W_out, block.W_R, *(b for b in (block.b_in, block.b_out) if b is not None)]
    want = _row_by_row(block, activation, y)
    wanted = torch.autograd.grad((want * toward).sum(), leaves)
    for road, got in _roads(block, y).items():
        torch.testing.assert_close(got, want, rtol=REORDERED, atol=REORDERED, msg=lambda m, r=road: f"{r}: {m}")
        found = torch.autograd.grad((got * toward).sum(), leaves, retain_graph=True)  # the roads share the gates
        torch.testing.assert_close(found, wanted, rtol=REORDERED, atol=REORDERED, msg=lambda m, r=road: f"{r}: {m}")


@pytest.mark.parametrize("norm", ["none", "post", "pre"])
@pytest.mark.parametrize("sequence", ["pair", "equation", "operands"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_network_has_a_mixture_in_place_of_each_mlp(
    norm: str, sequence: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(norm=norm, sequence=sequence, layers=layers)
    network, tokens = _network(spec), spec.encode(ADD, ADD.table).tokens_NL
    ours = network(tokens)
    monkeypatch.setattr(MixtureBlock, "feed_forward", lambda self, y: _row_by_row(self, "gelu", y))
    torch.testing.assert_close(ours, network(tokens), rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("norm", ["none", "pre"])
def test_one_expert_is_the_plain_transformer(norm: str) -> None:
    spec = _spec(experts=1, active=1, layers=2, norm=norm)
    network = _network(spec)
    fields = {name: getattr(spec, name) for name in Transformer.model_fields}
    plain = Transformer(**fields).skeleton(ADD).double()
    weights = {name: p for name, p in network.named_parameters() if not name.endswith("W_R")}
    alone = {
        name: p[0] if name[-4:] in ("W_in", "b_in") or name[-5:] in ("W_out", "b_out") else p
        for name, p in weights.items()
    }
    encoding = spec.encode(ADD, ADD.table)
    ours, want = network(encoding.tokens_NL), functional_call(plain, alone, (encoding.tokens_NL,))
    torch.testing.assert_close(ours, want, rtol=REORDERED, atol=REORDERED)
    losses = [F.cross_entropy(z.flatten(0, 1), encoding.targets_NR.flatten()) for z in (ours, want)]
    grads = [torch.autograd.grad(loss, list(weights.values())) for loss in losses]
    torch.testing.assert_close(grads[0], grads[1], rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("sequence", ["pair", "equation"])
def test_stacked_members_are_members_one_by_one(sequence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _spec(sequence=sequence, layers=2, norm="post")
    encoding = spec.encode(ADD, ADD.table)
    members = [_network(spec, seed) for seed in range(3)]
    weights, rest = stack_module_state(members)  # type: ignore[arg-type]

    def loss(one: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        logits = functional_call(members[0], (one, buffers), (encoding.tokens_NL,))
        return F.cross_entropy(logits.flatten(0, 1), encoding.targets_NR.flatten())

    looped = [loss(dict(m.named_parameters()), dict(m.named_buffers())) for m in members]
    wanted = [torch.autograd.grad(each, list(m.parameters())) for each, m in zip(looped, members, strict=True)]
    monkeypatch.setattr(MixtureBlock, "of_routed", None)  # its shapes depend on the data
    stacked = vmap(loss)(weights, rest)
    torch.testing.assert_close(stacked, torch.stack(looped), rtol=REORDERED, atol=REORDERED)
    found = torch.autograd.grad(stacked.sum(), list(weights.values()))
    lifted = vmap(grad(loss))(weights, rest)
    for i, name in enumerate(weights):
        want = torch.stack([each[i] for each in wanted])
        torch.testing.assert_close(found[i], want, rtol=REORDERED, atol=REORDERED)
        torch.testing.assert_close(lifted[name], want, rtol=REORDERED, atol=REORDERED)


def test_a_member_alone_pays_for_what_is_routed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network(_spec())
    tokens = ADD.table.operands_NK
    rows: list[int] = []
    block = network.get_submodule("blocks.0")
    block.get_submodule("neurons").register_forward_hook(lambda _m, inputs, _out: rows.append(len(inputs[0])))
    monkeypatch.setattr(MixtureBlock, "of_all", None)
    network(torch.cat([tokens, torch.full((len(tokens), 1), 7)], 1))
    assert len(rows) == 5
    assert sum(rows) == 2 * len(tokens)


def test_gates_sum_to_one_and_go_to_the_largest_logits() -> None:
    block = _network(_spec()).get_submodule("blocks.0")
    assert isinstance(block, MixtureBlock)
    y = torch.randn(30, 12, generator=Seeds(0).generator("noise"), dtype=torch.float64)
    gates, experts = block.route(y)
    assert torch.equal(experts, (y @ block.W_R).argsort(1, descending=True)[:, :2])
    torch.testing.assert_close(gates.sum(1), torch.ones(30, dtype=torch.float64), rtol=0, atol=1e-15)
    assert (gates[:, 0] >= gates[:, 1]).all()


def test_first_weights_of_experts_are_those_of_an_mlp_and_of_the_router_those_of_a_linear_layer() -> None:
    sizes = {"width": 64, "heads": 4, "hidden": 128, "experts": 4, "layers": 1}
    normal = dict(_spec(**sizes).build(ADD, Seeds(0).generator("init")).named_parameters())
    uniform = dict(_spec(**sizes, init="torch").build(ADD, Seeds(0).generator("init")).named_parameters())
    for leaf, fan in (("W_in", 64), ("W_out", 128), ("W_R", 64)):
        drawn, bounded = normal[f"blocks.0.{leaf}"], uniform[f"blocks.0.{leaf}"]
        assert abs(drawn.std().item() * 8 - 1) < 5 * (2 * drawn.numel()) ** -0.5, leaf
        assert 0.95 * fan**-0.5 < bounded.abs().max() <= fan**-0.5, leaf
    assert not normal["blocks.0.b_in"].any()
    assert not normal["blocks.0.b_out"].any()
    assert 0.9 * 128**-0.5 < uniform["blocks.0.b_out"].abs().max() <= 128**-0.5


def test_it_names_no_neurons_and_no_linear_readout() -> None:
    network = _network(_spec())
    assert isinstance(network, MixtureNetwork)
    assert network.neurons == ""
    assert network.neuron_to_logit_HC() is None


def test_more_active_experts_than_experts_are_refused() -> None:
    with pytest.raises(ValueError, match="at most experts, 4, got 5"):
        MixtureTransformer(experts=4, active=5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_roads_run_under_autocast(dtype: torch.dtype) -> None:
    network = _network(_spec()).float()
    block = network.get_submodule("blocks.0")
    assert isinstance(block, MixtureBlock)
    y = torch.randn(30, 12, generator=Seeds(0).generator("noise"))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        one, other = (road(y, *block.route(y)) for road in (block.of_routed, block.of_all))
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(one.float(), other.float(), rtol=tolerance, atol=tolerance)
