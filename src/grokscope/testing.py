"""The contract of each kind of thing: one call checks one object, ours or a stranger's.

    from grokscope.testing import check_measure

    def test_contract():
        check_measure(MyMeasure())

A broken promise raises AssertionError with one line that says which promise it was.
"""

import copy
import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from grokscope.measures.base import NEEDS, Measure, Snapshot, Values, unmet
from grokscope.models import Model, Network, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import Optimizer
from grokscope.phases import LABELS, Phases
from grokscope.seeds import Seeds
from grokscope.sources import BIBLIOGRAPHY, Source
from grokscope.spec import Spec, build, dump_yaml, load_yaml
from grokscope.tasks import ModularArithmetic, Split, Task
from grokscope.trace import Quantity, Trace

Detector = Callable[[Trace, float], Sequence[Phases]]
ROUNDING = 1e-12  # float64 sums in another order differ by about 1e-15 of their terms


def check_spec(spec: Spec) -> None:
    """A description is its own config: dict and YAML give it back, and its hash depends on content alone."""
    data = spec.to_dict()
    data.pop("kind", None)
    again = build(type(spec), data)
    _hold(again == spec, spec, "to_dict() does not give the same object back")
    fields = load_yaml(dump_yaml(data), type(spec).__name__)
    _hold(build(type(spec), fields) == spec, spec, "YAML does not give the same object back")
    _hold(build(type(spec), dict(reversed(data.items()))).hash() == spec.hash(), spec, "hash depends on field order")
    _hold(spec.model_config.get("frozen") is True, spec, "must be frozen, so that a hash stays true")


def check_task(task: Task) -> None:
    """A table of questions with true answers, and a split that only its streams decide.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(task)
    table = task.table
    operands, answers = table.operands_NK, table.answers_N
    count = len(answers)
    _hold(operands.dtype == answers.dtype == torch.int64, task, "operands and answers must be int64")
    _hold(operands.dim() == 2 and operands.shape[0] == count, task, f"operands must be (N, K), got {operands.shape}")
    _hold(_within(operands, task.elements), task, f"operands must be 0 … {task.elements - 1}")
    _hold(_within(answers, task.classes), task, f"answers must be 0 … {task.classes - 1}")
    _hold(len(operands.unique(dim=0)) == count, task, "a question appears twice in the table")
    _hold(task.chance == 1.0 / task.classes, task, "chance must be 1 / classes")
    _hold(bool(task.symbol), task, "symbol must name the operation")
    _check_split(task, count)
    _check_random_labels(task)


def _check_split(task: Task, count: int) -> None:
    ordered = task.with_overrides({"split": "ordered"})
    split, other = ordered.divide(Seeds(0)), ordered.divide(Seeds(1))
    for rows in split.rows.values():
        _hold(bool((rows.diff() > 0).all()), task, "rows of a split must rise")
    train, test = split.rows["train"], split.rows["test"]
    _hold(not torch.isin(train, test).any(), task, "a row is in train and in test")
    _hold(torch.equal(torch.cat([train, test]).sort().values, torch.arange(count)), task, "train + test miss a row")
    wanted = int(task.train_fraction * count)
    _hold(len(train) == wanted, task, f"train must have floor(train_fraction · N) = {wanted} rows, got {len(train)}")
    _hold(_same_split(split, ordered.divide(Seeds(0))), task, "one seed gives two splits")
    if 0 < wanted < count:
        _hold(not torch.equal(train, other.rows["train"]), task, "two seeds give one split")
    held = ordered.divide(Seeds(1, {"split": 0, "noise": 0}))
    _hold(_same_split(split, held), task, "the split depends on a stream other than 'split'")
    if task.table.operands_NK.shape[1] == 2:
        _check_unordered(task, wanted)


def _check_unordered(task: Task, wanted: int) -> None:
    split = task.with_overrides({"split": "unordered"}).divide(Seeds(0))
    pairs = task.table.operands_NK
    sides = [{tuple(sorted(pair)) for pair in pairs[split.rows[name]].tolist()} for name in ("train", "test")]
    _hold(not sides[0] & sides[1], task, "an unordered split has (a, b) in train and (b, a) in test")
    _hold(abs(split.size("train") - wanted) <= 1, task, f"an unordered train split must have {wanted} ± 1 rows")


def _check_random_labels(task: Task) -> None:
    true = task.with_overrides({"labels": "true"}).divide(Seeds(0))
    random = task.with_overrides({"labels": "random"})
    split = random.divide(Seeds(0))
    _hold(torch.equal(true.answers_N, task.table.answers_N), task, "true labels must be the table's answers")
    _hold(torch.equal(random.table.operands_NK, task.table.operands_NK), task, "random labels change the questions")
    _hold(torch.equal(split.rows["train"], true.rows["train"]), task, "random labels change the split")
    _hold(_within(split.answers_N, task.classes), task, "random labels must be answers too")
    _hold(_same_split(split, random.divide(Seeds(0))), task, "one seed gives two sets of random labels")
    if len(split.answers_N) >= 30:  # else a seed may draw the true answers by chance
        _hold(not torch.equal(split.answers_N, true.answers_N), task, "random labels are the true ones")


def check_model(model: Model, task: Task | None = None) -> None:
    """A network that only its generator and its rows decide, one by one, looped or stacked.

    Args:
        model: the description.
        task: what it is built for; addition mod 7 unless given.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    task = task or ModularArithmetic(modulus=7, train_fraction=0.5)
    check_spec(model)
    model.check(task)
    encoding = model.encode(task, task.table)
    tokens, targets = encoding.tokens_NL, encoding.targets_NR
    count, read = len(task.table.answers_N), targets.shape[1]
    _hold(tokens.dtype == targets.dtype == torch.int64, model, "tokens and targets must be int64")
    _hold(len(tokens) == len(targets) == count, model, "encode must give one row per row of the table")
    _hold(
        torch.equal(targets[:, encoding.answer_row] - encoding.answers.start, task.table.answers_N),
        model,
        "targets at answer_row must be the table's answers, counted from answers.start",
    )
    size = encoding.answers.stop - encoding.answers.start
    _hold(size == task.classes, model, f"answers must span {task.classes} columns, got {size}")
    _check_first_weights(model, task)
    pick = torch.linspace(0, count - 1, min(count, 40)).long()
    tokens, targets = tokens[pick], targets[pick]
    network = _start(model, task, 0)
    logits = network(tokens)
    _hold(
        logits.shape[:2] == (len(pick), read) and logits.shape[2] >= encoding.answers.stop,
        model,
        f"forward must give (N, R, V) = ({len(pick)}, {read}, ≥ {encoding.answers.stop}), got {tuple(logits.shape)}",
    )
    _check_rows(model, network, tokens, logits)
    _check_stacking(model, task, tokens, targets)
    _check_views(model, task, network, tokens)


def _check_first_weights(model: Model, task: Task) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = _start(model, task, 0).state_dict()
        torch.manual_seed(2)
        again, other = _start(model, task, 0).state_dict(), _start(model, task, 1).state_dict()
    _hold(_equal(first, again), model, "first weights depend on the global random state, or on what was built before")
    _hold(not _equal(first, other), model, "two generators give the same first weights")
    double = dict(_start(model.with_overrides({"init_scale": 2 * model.init_scale}), task, 0).named_parameters())
    for name, parameter in _start(model, task, 0).named_parameters():
        _hold(parameter.dtype == torch.float64, model, f"build must draw {name} in float64, got {parameter.dtype}")
        _hold(bool(parameter.isfinite().all()), model, f"{name} starts with values that are not finite")
        _hold(torch.equal(double[name], 2 * parameter), model, f"init_scale does not multiply {name}")


def _check_rows(model: Model, network: Network, tokens: Tensor, logits: Tensor) -> None:
    alone = torch.cat([network(row[None]) for row in tokens])
    _hold(_close(logits, alone), model, "a row's logits depend on the other rows of the batch")
    _hold(torch.equal(logits, network(tokens)), model, "two forward passes differ")
    order = torch.arange(len(tokens) - 1, -1, -1)
    _hold(_close(logits[order], network(tokens[order])), model, "logits depend on the order of the rows")


def _check_stacking(model: Model, task: Task, tokens: Tensor, targets: Tensor) -> None:
    members = [_start(model, task, seed) for seed in range(3)]
    parameters, buffers = stack_module_state(members)  # type: ignore[arg-type]
    template = members[0]

    def one(weights: dict[str, Tensor], rest: dict[str, Tensor]) -> Tensor:
        return functional_call(template, (weights, rest), (tokens,))  # type: ignore[no-any-return]

    try:
        stacked = vmap(one)(parameters, buffers)
    except RuntimeError as error:
        raise AssertionError(f"{type(model).__name__}: cannot run stacked ({' '.join(str(error).split())}).") from error
    looped = torch.stack([member(tokens) for member in members])
    _hold(_close(stacked, looped), model, "stacked members differ from members one by one in their logits")
    objective = CrossEntropy(softmax_precision="float64")
    losses = [objective(logits, targets) for logits in stacked]
    together = torch.autograd.grad(torch.stack(losses).sum(), list(parameters.values()), allow_unused=True)
    for i, member in enumerate(members):
        weights = list(member.parameters())
        alone = torch.autograd.grad(objective(member(tokens), targets), weights, allow_unused=True)
        for name, whole, part in zip(parameters, together, alone, strict=True):
            _hold(whole is not None and part is not None, model, f"{name} has no influence on the loss")
            _hold(bool(part.isfinite().all()), model, f"the gradient of {name} is not finite")
            _hold(_close(whole[i], part), model, f"the gradient of {name} differs between stacked and looped")


def _check_views(model: Model, task: Task, network: Network, tokens: Tensor) -> None:
    embedding, readout = network.embedding_PD(), network.neuron_to_logit_HC()
    if embedding is not None:
        _hold(len(embedding) == task.elements, model, f"embedding_PD must have {task.elements} rows")
    if readout is not None:
        _hold(readout.shape[1] == task.classes, model, f"neuron_to_logit_HC must have {task.classes} columns")
    if network.neurons:
        seen: list[Tensor] = []
        handle = network.get_submodule(network.neurons).register_forward_hook(lambda _m, _i, out: seen.append(out))
        network(tokens)
        handle.remove()
        _hold(len(seen) == 1, model, f"{network.neurons!r} must run once per forward pass, ran {len(seen)} times")
        _hold(len(seen[0]) == len(tokens), model, f"{network.neurons!r} must give one row per row")
        if readout is not None:
            _hold(seen[0].shape[-1] == len(readout), model, "neuron_to_logit_HC must have one row per neuron")
    if network.readout:
        names = dict(network.named_parameters())
        _hold(network.readout in names, model, f"readout names no parameter: {network.readout!r}")


def check_optimizer(optimizer: Optimizer) -> None:
    """An update that treats members one by one and rests at learning rate 0.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(optimizer)
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(3, 10, dtype=torch.float64, generator=generator)
    grads = torch.randn(5, 3, 10, dtype=torch.float64, generator=generator)
    lr = torch.tensor([[1e-3], [1e-2], [3e-2]], dtype=torch.float64)
    decay = torch.tensor([[0.0], [0.1], [1.0]], dtype=torch.float64)
    state = optimizer.start(theta)
    _hold(set(state) == set(optimizer.buffers), optimizer, f"start must give the buffers {optimizer.buffers}")
    for name, buffer in state.items():
        _hold(buffer.shape == theta.shape, optimizer, f"{name} must be shaped like theta, got {tuple(buffer.shape)}")
        _hold(buffer.data_ptr() != theta.data_ptr(), optimizer, f"{name} must not share memory with theta")
    together = _descend(optimizer, theta, grads, lr, decay)
    _hold(not torch.equal(together, theta), optimizer, "five updates move nothing")
    _hold(torch.equal(together, _descend(optimizer, theta, grads, lr, decay)), optimizer, "one start, two outcomes")
    for i in range(3):
        one = slice(i, i + 1)
        alone = _descend(optimizer, theta[one], grads[:, one], lr[one], decay[one])
        _hold(_close(together[one], alone), optimizer, "stacked members differ from members one by one")
    _hold(
        torch.equal(_descend(optimizer, theta, grads, lr * 0, decay), theta),
        optimizer,
        "learning rate 0 must leave the parameters exactly as they are",
    )
    broken = grads.clone()
    broken[:, 0] = float("nan")
    after = _descend(optimizer, theta, broken, lr, decay)
    _hold(torch.equal(after[1:], together[1:]), optimizer, "a member that diverges touches the others")
    first = _descend(optimizer, theta, grads[:1], lr, decay * 0)
    downhill = ((first - theta) * grads[0]).sum(1)
    _hold(bool((downhill < 0).all()), optimizer, "the first update without decay must go against the gradient")
    _check_warmup(optimizer)


def _descend(optimizer: Optimizer, theta: Tensor, grads: Tensor, lr: Tensor, decay: Tensor) -> Tensor:
    """Theta after one update per gradient; the inputs must come through unchanged."""
    theta, inputs = theta.clone(), (grads.clone(), lr.clone(), decay.clone())
    state = optimizer.start(theta)
    for step, grad in enumerate(inputs[0]):
        optimizer.update(theta, grad, state, step, inputs[1], inputs[2])
    for name, before, after in zip(("gradient", "lr", "weight_decay"), (grads, lr, decay), inputs, strict=True):
        _hold(torch.equal(before.nan_to_num(), after.nan_to_num()), optimizer, f"update changes its {name}")
    return theta


def _check_warmup(optimizer: Optimizer) -> None:
    warm, cold = optimizer.with_overrides({"warmup": 10}), optimizer.with_overrides({"warmup": 0})
    rates = [warm.rate(step) for step in range(12)]
    _hold(all(cold.rate(step) == 1.0 for step in range(3)), optimizer, "without warm-up the rate must be 1")
    _hold(rates[0] == 0.0, optimizer, "the first update of a warm-up must move nothing")
    _hold(rates == sorted(rates) and rates[10] == rates[11] == 1.0, optimizer, "a warm-up must rise to 1 and stay")


def check_measure(measure: Measure, snapshot: Snapshot | None = None) -> None:
    """A pure function of a snapshot that returns what it declares.

    Args:
        measure: the measure.
        snapshot: a member that meets its needs; a small transformer on addition mod 7 unless given.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(measure)
    _check_declaration(measure)
    base = snapshot or small_snapshot()
    because = unmet(measure, base.task, base.network)
    _hold(because is None, measure, f"the snapshot does not meet its needs, because {because}; give one that does")
    if measure.in_hindsight and base.final is None:
        base = replace(base, final=base)
    first: Values | None = None
    for training, seed in ((True, 1), (False, 2)):
        values = _look(measure, base, training, seed)
        if first is None:
            first = values
            _check_values(measure, values)
        _hold(_same_values(first, values), measure, "two looks at one snapshot differ (global random state, or mode)")
    fresh = _fresh(base)
    measure(fresh)
    _hold(_same_values(first or {}, measure(fresh)), measure, "a second look at a used snapshot differs")


def small_snapshot(step: int = 0) -> Snapshot:
    """An untrained one-layer transformer of width 8 on addition mod 7, in float64: meets every need."""
    task = ModularArithmetic(modulus=7, train_fraction=0.5)
    model = Transformer(width=8, heads=2, hidden=16)
    network = model.build(task, Seeds(0).generator("init"))
    return Snapshot(step, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


def _check_declaration(measure: Measure) -> None:
    _hold(bool(measure.quantities), measure, "quantities must declare at least one key")
    for quantity in measure.quantities:
        low, high = quantity.range
        _hold("/" in quantity.key, measure, f"a key is a slash tag such as 'norm/weights', got {quantity.key!r}")
        _hold(bool(quantity.unit and quantity.about), measure, f"{quantity.key} must declare its unit and meaning")
        _hold(low < high, measure, f"{quantity.key} must declare a range low < high, got {quantity.range}")
    _hold(0.0 <= measure.cost < math.inf, measure, f"cost must be in forward passes, >= 0, got {measure.cost}")
    unknown = sorted(set(measure.needs) - set(NEEDS))
    _hold(not unknown, measure, f"needs {unknown} are unknown; known are {sorted(NEEDS)}")
    for source in measure.sources:
        known = isinstance(source, Source) and source.key in BIBLIOGRAPHY
        _hold(known, measure, f"source {source!r} is not in grokscope.sources.BIBLIOGRAPHY")
    if measure.needs:
        because = unmet(measure, ModularArithmetic(operation="mul", modulus=7), _Bare())
        _hold(bool(because), measure, "no reason is given where its needs are not met")


def _look(measure: Measure, base: Snapshot, training: bool, seed: int) -> Values:
    """One call on a fresh copy; whatever it could have touched must be as before."""
    snapshot = _fresh(base)
    snapshot.network.train(training)
    for parameter in snapshot.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = _surroundings(snapshot)
        values = measure(snapshot)
        after = _surroundings(snapshot)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    _hold(not changed, measure, f"a look changes {', '.join(changed[:3])}")
    return values


def _surroundings(snapshot: Snapshot) -> dict[str, object]:
    """Everything a measure must leave as it is, as comparable values."""
    network = snapshot.network
    seen: dict[str, object] = {
        "the global torch random state": _bytes(torch.get_rng_state()),
        "the global numpy random state": str(np.random.get_state()),
        "torch's grad mode": torch.is_grad_enabled(),
        "the split's answers": _bytes(snapshot.split.answers_N),
        "the tokens": _bytes(snapshot.encoding.tokens_NL),
        "the targets": _bytes(snapshot.encoding.targets_NR),
    }
    for name, rows in snapshot.split.rows.items():
        seen[f"the rows of {name}"] = _bytes(rows)
    for name, module in network.named_modules():
        seen[f"the train/eval mode of {name or 'the network'}"] = module.training
        seen[f"the hooks of {name or 'the network'}"] = len(module._forward_hooks) + len(module._backward_hooks)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        seen[f"the values of {name}"] = _bytes(tensor)
        seen[f"requires_grad of {name}"] = tensor.requires_grad
        seen[f"the .grad of {name}"] = None if tensor.grad is None else _bytes(tensor.grad)
    return seen


def _check_values(measure: Measure, values: Values) -> None:
    _hold(bool(values), measure, "a look returns nothing")
    for key, value in values.items():
        quantity = _declared(measure, key)
        _hold(quantity is not None, measure, f"returns {key!r}, which quantities does not declare")
        assert quantity is not None
        kind = "an array" if quantity.array else "a float"
        fits = isinstance(value, np.ndarray if quantity.array else float)
        _hold(fits, measure, f"{key} is declared as {kind}, got {type(value).__name__}")
        low, high = quantity.range
        slack = 1e-6  # float32 shares may sum to 1 + 1e-7
        inside = bool(np.all((np.asarray(value) >= low - slack) & (np.asarray(value) <= high + slack)))
        _hold(inside, measure, f"{key} = {value!r} is outside its declared range {quantity.range}")


def _declared(measure: Measure, key: str) -> Quantity | None:
    exact = [q for q in measure.quantities if q.key == key]
    wild = [q for q in measure.quantities if fnmatch.fnmatchcase(key, q.key)]
    return next(iter(exact + wild), None)


class _Bare(Network):
    """A network without any of the views that a measure may need."""

    def forward(self, tokens_NL: Tensor) -> Tensor:
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        raise NotImplementedError


CHANCE = 1 / 97
LOOKS = np.unique(np.round(np.logspace(0, 4.3, 80)).astype(np.int64))  # 1 … 20,000 steps
PLANTED = ((15, 55), (20, 50), (15, None), (None, None))
"""Look numbers of the train and test event of each member of the planted trace; None never."""


def planted_trace(unit: int = 1) -> Trace:
    """Four members whose accuracies jump at known looks: two that grok, one that memorises, one confused.

    Args:
        unit: multiplies every step.
    """
    rng = np.random.default_rng(0)
    trace = Trace()
    for member, (train_look, test_look) in enumerate(PLANTED):
        for i, step in enumerate(LOOKS.tolist()):
            values = {}
            for split, look in (("train", train_look), ("test", test_look)):
                after = look is not None and i >= look
                values[f"{split}/accuracy"] = 1.0 if after else float(rng.uniform(0.0, 3 * CHANCE))
                values[f"{split}/loss"] = 1e-3 if after else float(5.0 + rng.uniform(0.0, 0.5))
            trace.add(member, step * unit, values)
    return trace


def check_detector(detector: Detector) -> None:
    """Silent where nothing happens, right where something was planted, blind to the future and to the unit of time.

    Args:
        detector: from a trace and the chance level to the phases of each member, such as
            :func:`grokscope.phases.read_phases`.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    trace = planted_trace()
    digest = trace.digest()
    found = _read(detector, trace)
    _hold(trace.digest() == digest, detector, "reading a trace changes it")
    _hold(len(found) == len(PLANTED), detector, f"must give one Phases per member, got {len(found)} for {len(PLANTED)}")
    for member, looks in enumerate(PLANTED):
        planted = [None if look is None else int(LOOKS[look]) for look in looks]
        phases, named = found[member], ("t_train", "t_test")
        _hold(phases.label in LABELS, detector, f"label must be one of {LABELS}, got {phases.label!r}")
        for name, want, got in zip(named, planted, (phases.events.t_train, phases.events.t_test), strict=True):
            _hold(got == want, detector, f"planted {name} {want}, found {got}")
        groks = planted[1] is not None
        _hold((phases.label == "grokking") == groks, detector, f"label {phases.label!r} where t_test is {planted[1]}")
    _check_time_unit(detector, found)
    _check_prefixes(detector, trace, found)
    more = planted_trace()
    for member in more.members():
        more.add(member, int(LOOKS[3]), {"unrelated/key": 1.0, "unrelated/array": np.ones(3)})
        more.add(member, int(LOOKS[-1]), {"unrelated/key": float("nan")})
    _hold(_events(_read(detector, more)) == _events(found), detector, "unrelated keys change the events")


def _check_time_unit(detector: Detector, found: dict[int, Phases]) -> None:
    scaled = _events(_read(detector, planted_trace(unit=10)))
    want = {m: tuple(None if t is None else 10 * t for t in times) for m, times in _events(found).items()}
    _hold(scaled == want, detector, "steps times 10 must give events times 10")


def _check_prefixes(detector: Detector, trace: Trace, found: dict[int, Phases]) -> None:
    whole = _events(found)
    for step in LOOKS.tolist():
        for member, times in _events(_read(detector, trace.prefix(step))).items():
            for early, late in zip(times, whole[member], strict=True):
                _hold(early is None or early == late, detector, f"at step {step} it says {early}, at the end {late}")
                _hold(early is None or early <= step, detector, f"at step {step} it knows of step {early}")


def _read(detector: Detector, trace: Trace) -> dict[int, Phases]:
    return {phases.member: phases for phases in detector(trace, CHANCE)}


def _events(found: dict[int, Phases]) -> dict[int, tuple[int | None, ...]]:
    return {member: (phases.events.t_train, phases.events.t_test) for member, phases in found.items()}


def _hold(promise_kept: bool, who: object, broken: str) -> None:
    if not promise_kept:
        name = getattr(who, "__name__", type(who).__name__)
        raise AssertionError(f"{name}: {broken}.")


def _start(model: Model, task: Task, seed: int) -> Network:
    return model.build(task, Seeds(seed).generator("init"))


def _fresh(snapshot: Snapshot) -> Snapshot:
    """The same member without cached values, on a copy of the network."""
    network = copy.deepcopy(snapshot.network)
    final = None if snapshot.final is None else replace(snapshot.final, _cache={})
    return replace(snapshot, network=network, final=final, _cache={})


def _within(values: Tensor, size: int) -> bool:
    return bool((values >= 0).all() and (values < size).all())


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=ROUNDING, atol=ROUNDING * max(1.0, float(b.detach().abs().max())))


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _same_split(a: Split, b: Split) -> bool:
    return torch.equal(a.answers_N, b.answers_N) and _equal(a.rows, b.rows)


def _same_values(a: Values, b: Values) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().double().numpy().tobytes()
