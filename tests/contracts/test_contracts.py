"""Everything that ships keeps its contract: the contracts over our own tuples."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.flow.small import small

from grokscope.measures import MEASURES, Measure, Snapshot
from grokscope.models import (
    MLP,
    MODELS,
    AttentionRateTransformer,
    Dense,
    MixtureTransformer,
    Model,
    Transformer,
    UntiedMLP,
)
from grokscope.objectives import CrossEntropy
from grokscope.optim import OPTIMIZERS, SGD, AdamW, AdamWToStart, Optimizer
from grokscope.phases import read_phases
from grokscope.seeds import Seeds
from grokscope.spec import Spec
from grokscope.tasks import (
    TASKS,
    AlternatingGroup,
    BitwiseXor,
    Digits,
    DihedralGroup,
    ModularArithmetic,
    PermutationGroup,
    SparseParity,
    Task,
    TwoHop,
)
from grokscope.tasks.groups import SYMBOLS
from grokscope.tasks.modular import OPERATIONS
from grokscope.testing import check_detector, check_measure, check_model, check_optimizer, check_task
from grokscope.testing.base import same_values
from grokscope.testing.measure import small_snapshot
from grokscope.training.members import Lane, flatten, point

POWER = Transformer(
    layers=2,
    width=16,
    hidden=32,
    norm="post",
    positions="sinusoidal",
    mlp_bias=False,
    sequence="equation",
    init="torch",
)
HOPS = TwoHop(entities=30, relations=6, degree=4, inferred_ratio=2.0, ood_share=0.25, held_out=0.1)
TASK_SAMPLES: Sequence[Task] = (
    *(ModularArithmetic(operation=operation, modulus=11) for operation in OPERATIONS),
    ModularArithmetic(modulus=12, train_fraction=0.7),
    *(PermutationGroup(operation=operation, degree=3, train_fraction=0.5) for operation in SYMBOLS),
    PermutationGroup(degree=4),
    DihedralGroup(sides=6),
    AlternatingGroup(degree=4),
    BitwiseXor(bits=3, train_fraction=0.5),
    HOPS,
    TwoHop(entities=20, relations=3, degree=3, ood_share=0.0, graph_seed=1),
    SparseParity(n=5, samples=30),
    SparseParity(n=30, k=2, samples=50, world_seed=1),
    Digits(),
)
MODEL_SAMPLES: Sequence[Model] = (
    Transformer(),
    POWER,
    Transformer(layers=2, width=16, hidden=32, norm="pre", activation="gelu"),
    Transformer(layers=3, width=16, heads=2, hidden=8, init_scale=3.0),
    Transformer(width=16, hidden=16, sequence="operands"),
    MixtureTransformer(width=16, hidden=8, experts=4),
    AttentionRateTransformer(width=16, hidden=16, attention_rate=0.3),
    MixtureTransformer(layers=2, width=16, hidden=8, norm="pre", sequence="equation", init="torch", mlp_bias=False),
    MLP(),
    MLP(inputs="embedding", width=8, hidden=16),
    MLP(activation="quadratic", bias=False, init="normal", hidden=16, output_scale=0.1),
    MLP(layers=3, hidden=16, activation="gelu"),
    MLP(layers=2, hidden=16, activation="silu"),
    UntiedMLP(width=8, hidden=16),
    Dense(hidden=(16,), activation="tanh", init="he"),
    Dense(hidden=(8, 6), activation="silu", bias=False, output_scale=0.5),
)
OPTIMIZER_SAMPLES: Sequence[Optimizer] = (
    AdamW(),
    AdamW(weight_decay=0.0, warmup=10, betas=(0.0, 0.0)),
    AdamWToStart(),
    SGD(),
    SGD(momentum=0.9, weight_decay=0.1),
)


@pytest.mark.parametrize("task", TASK_SAMPLES, ids=lambda task: task.symbol)
def test_task(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize("model", MODEL_SAMPLES, ids=lambda model: f"{model.kind}-{model.hash()[:4]}")
def test_model(model: Model) -> None:
    check_model(model)


@pytest.mark.parametrize("model", [POWER, MODEL_SAMPLES[2], MODEL_SAMPLES[8]], ids=lambda model: model.hash()[:4])
def test_model_on_a_group_and_on_a_table_with_holes(model: Model) -> None:
    check_model(model, PermutationGroup(degree=3))
    check_model(model, ModularArithmetic(operation="div", modulus=7))


@pytest.mark.parametrize("model", [Transformer, MixtureTransformer], ids=lambda model: model.kind)
def test_model_on_rows_of_three(model: type[Transformer]) -> None:
    for layers, norm in ((1, "none"), (2, "post")):
        check_model(model(layers=layers, width=16, hidden=8, norm=norm, sequence="operands"), HOPS)


@pytest.mark.parametrize("outputs", ["classes", "scalar"])
def test_model_on_bits(outputs: str) -> None:
    check_model(Dense(hidden=(8,), outputs=outputs, output_bias=False), SparseParity(n=6, samples=40))


@pytest.mark.parametrize("optimizer", OPTIMIZER_SAMPLES, ids=lambda optimizer: optimizer.hash()[:4])
def test_optimizer(optimizer: Optimizer) -> None:
    check_optimizer(optimizer)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.kind)
def test_measure(measure: type[Measure]) -> None:
    check_measure(measure(), _mixture() if "routers" in measure.needs else None)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.kind)
def test_measure_on_weights_that_are_parts_of_one_buffer(measure: type[Measure]) -> None:
    """As they are in a run."""
    apart = _mixture() if "routers" in measure.needs else small_snapshot()
    network = copy.deepcopy(apart.network)
    point(network, flatten(network), {name: p.shape for name, p in network.named_parameters()})
    together = replace(apart, network=network, _cache={})
    for look in (apart, together):
        look.final = look
    first, second = measure()(apart), measure()(together)
    assert set(first) == set(second)
    for key, value in first.items():
        np.testing.assert_allclose(np.asarray(second[key]), np.asarray(value), rtol=1e-6, atol=1e-9, err_msg=key)


def _mixture() -> Snapshot:
    task = ModularArithmetic(modulus=7, train_fraction=0.5)
    model = MixtureTransformer(layers=3, width=8, heads=2, hidden=4, experts=4)
    network = model.build(task, Seeds(0).generator("init"))
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


def test_detector() -> None:
    check_detector(read_phases)


@pytest.mark.parametrize(
    ("family", "samples"), [(TASKS, TASK_SAMPLES), (MODELS, MODEL_SAMPLES), (OPTIMIZERS, OPTIMIZER_SAMPLES)]
)
def test_every_registered_class_is_checked_here(family: Sequence[type[Spec]], samples: Sequence[Spec]) -> None:
    assert {type(sample) for sample in samples} == set(family)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.kind)
def test_a_member_among_others_is_seen_as_if_it_were_alone(measure: type[Measure]) -> None:
    """Lifted over members: each look at a stacked lane is the look at a lane of that member."""
    taken = measure(**({"chains": 2, "burn_in": 3, "draws": 8} if measure.kind == "local-learning" else {}))
    model = {"kind": "moe", "width": 8, "heads": 2, "hidden": 4, "experts": 3, "layers": 2}
    experiment = small(**({"model": model} if "routers" in measure.needs else {"model.layers": 1}))
    members = list(enumerate(experiment.members(overrides=[{"seed": 3}, {"seed": 4}, {"seed": 5}])))
    together = Lane(members)
    together.step()
    for s in (2, 0):
        alone = Lane([members[s]])
        alone.theta_SP.copy_(together.theta_SP[s])
        looks = [together.snapshot(s, together.theta_SP[s], 1), alone.snapshot(0, alone.theta_SP[0], 1)]
        for look in looks:
            look.final = look
        first, second = (taken(look) for look in looks)
        assert first
        assert same_values(first, second)
