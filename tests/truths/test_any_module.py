"""Truths on strangers' modules: every generic measure on five networks that are not ours, in float32 and bfloat16.

A cell of the table below looks at one network, asserts what must be true of it, and returns numbers. The weights of
both precisions are equal (rounded to bfloat16), so the numbers of the bfloat16 network must be those of the
float32 one within the cell's tolerance; none where a measure computes in float32 itself. Around every cell
the network and the global random state are compared with what they were.
"""

import copy
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

os.environ["HF_HUB_OFFLINE"] = "1"  # the networks are made here, of random weights
import transformers

from grokscope.measures import (
    causal,
    complexity,
    curvature,
    dynamics,
    heavy_tails,
    hooks,
    information,
    kernel,
    landscape,
    lens,
    llc,
    memorization,
    pathways,
    precision,
    regions,
    representation,
    spectrum,
    subnetwork,
)

N, CLASSES, TOKENS, WIDTH, WORDS = 12, 3, 5, 16, 11
LABELS = torch.arange(N) % CLASSES
HALVES = (slice(0, N // 2), slice(N // 2, N))
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


class Subject(NamedTuple):
    """A stranger's module, what it is looked at with, and how."""

    module: nn.Module
    inputs: hooks.Inputs  # as the module takes them
    others: hooks.Inputs  # other rows
    rows: Tensor  # the inputs as one tensor
    logits: nn.Module  # of such a tensor, (N, C)
    read: Callable[[Any], Tensor]  # the module's output -> logits (N, C)
    last: str  # the last hidden layer
    feature: Callable[[Tensor], Tensor]  # its output -> (N, D)
    unembed: Callable[[Tensor], Tensor]  # its output -> (N, C)
    norm: Callable[[Tensor], Tensor] | None
    several: str  # an expression that fits two layers or more
    neurons: tuple[str, int]  # a layer, and the axis of its neurons
    vectors: Tensor  # inputs as vectors (N, D)
    of_vectors: nn.Module  # a module of those
    signs: list[str] | None  # its layers whose inputs' signs count

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @property
    def close(self) -> float:
        return CLOSE[self.dtype]

    @property
    def said(self) -> Tensor:
        return self.read(hooks.run(self.module, self.inputs))

    @property
    def features(self) -> Tensor:
        return self.feature(hooks.first_tensor(hooks.captured(self.module, self.last, self.inputs)[self.last][-1]))

    @property
    def loss(self) -> tuple[curvature.FlatLoss, Tensor]:
        return curvature.flat_loss(self.logits, F.cross_entropy, self.rows, LABELS)

    def loss_of(self, part: slice) -> curvature.FlatLoss:
        return curvature.flat_loss(self.logits, F.cross_entropy, self.rows[part], LABELS[part])[0]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _tokens(seed: int) -> Tensor:
    return torch.randint(WORDS, (N, TOKENS), generator=torch.Generator().manual_seed(seed))


def _bare(kind: str) -> nn.Module:
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind == "mlp":
        layers = [nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES)]
        return nn.Sequential(*layers)
    if kind == "cnn":
        body = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(6 * 16, CLASSES))
    if kind == "lstm":
        return Recurrent()
    if kind == "gpt2":
        sizes = {"n_layer": 2, "n_embd": WIDTH, "n_head": 2, "vocab_size": WORDS, "n_positions": 8}
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **special))
    sizes = {"num_hidden_layers": 2, "hidden_size": WIDTH, "num_attention_heads": 2, "num_key_value_heads": 2}
    experts = {"intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "vocab_size": WORDS}
    config = transformers.OlmoeConfig(**sizes, **experts, max_position_embeddings=8, **special)
    return transformers.OlmoeForCausalLM(config)


def _last_token(output: Any) -> Tensor:
    return hooks.logits_of(output)[:, -1]


@lru_cache(None)
def _subject(kind: str, dtype: torch.dtype) -> Subject:
    with torch.random.fork_rng():
        module = _bare(kind)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
            if parameter.dim() > 1:
                parameter.mul_(1.4 * parameter[0].numel() ** -0.5)
            else:
                parameter.mul_(0.1).add_(float(kind in ("gpt2", "olmoe")))  # norms, and biases that do no harm
    module = module.to(torch.bfloat16).to(dtype).eval()
    next(reversed(list(module.modules()))).train()  # a mode to be left alone, of a part that has only one

    def tensor(*shape: int, seed: int = 0) -> Tensor:
        return _noise(*shape, seed=seed).to(torch.bfloat16).to(dtype)

    if kind in ("mlp", "cnn"):
        shape, last, several, axis = ((6,), 3, "[13]", -1) if kind == "mlp" else ((1, 8, 8), 5, "[14]", 1)
        x, neurons = tensor(N, *shape), ("3", axis) if kind == "mlp" else ("4", axis)
        of_vectors = module if kind == "mlp" else nn.Sequential(nn.Unflatten(1, shape), module)
        return Subject(
            module, x, (tensor(N, *shape, seed=1),), x, module, hooks.logits_of, str(last), lambda h: h, module[-1],
            None, several, neurons, x.flatten(1), of_vectors, None,
        )  # fmt: skip
    if kind == "lstm":
        x, of_vectors = tensor(N, TOKENS, 4), nn.Sequential(nn.Unflatten(1, (TOKENS, 4)), module)
        return Subject(
            module, x, [tensor(N, TOKENS, 4, seed=1)], x, module, hooks.logits_of, "lstm", lambda h: h[:, -1],
            lambda h: module.head(h[:, -1]), None, "lstm|head", ("lstm", -1), x.flatten(1), of_vectors, ["1.head"],
        )  # fmt: skip
    ids, others = _tokens(0), _tokens(1)
    logits = hooks.Logits(module, _last_token)
    of_vectors = hooks.Logits(module, _last_token, lambda m, x: m(inputs_embeds=x.unflatten(1, (TOKENS, WIDTH))))
    vectors = module.get_input_embeddings()(ids).detach().flatten(1)
    if kind == "gpt2":
        return Subject(
            module, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, {"input_ids": others}, ids, logits,
            _last_token, "transformer.h.1", lambda h: h[:, -1], lambda h: module.lm_head(h)[:, -1],
            module.transformer.ln_f, r"transformer\.h\.\d", ("transformer.h.0.mlp", -1), vectors, of_vectors,
            ["module.transformer.h.0.mlp.act"],
        )  # fmt: skip
    return Subject(
        module, lambda m: m(input_ids=ids, use_cache=False), lambda m: m(others, use_cache=False), ids, logits,
        _last_token, "model.layers.1", lambda h: h[:, -1], lambda h: module.lm_head(h)[:, -1], module.model.norm,
        r"model\.layers\.\d", ("model.layers.0.mlp", -1), vectors, of_vectors, ["module.model.layers.0.mlp.gate"],
    )  # fmt: skip


@contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Weights, buffers, gradients, modes, hooks and the global random states are after as they were before."""

    def state() -> tuple[Any, ...]:
        weights = {name: (id(p), p.requires_grad, p.grad) for name, p in module.named_parameters()}
        modes = [part.training for part in module.modules()]
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        counts = [len(getattr(part, kind)) for part in module.modules() for kind in kinds]
        numbers = torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()
        return weights, modes, counts, numbers, torch.is_grad_enabled(), torch.backends.cuda.flash_sdp_enabled()

    before, values = state(), copy.deepcopy(module.state_dict())
    yield
    assert state() == before
    after = module.state_dict()
    assert after.keys() == values.keys()
    assert all(torch.equal(after[name], value) for name, value in values.items())


# What is looked at, and what must be true of it.

Values = dict[str, float | Tensor]


def _spectrum(s: Subject) -> Values:
    h = s.features
    values = spectrum.covariance_eigenvalues(h)
    torch.testing.assert_close(values.sum(), h.double().var(0, correction=0).sum())
    rank, ratio, count = spectrum.effective_rank(values), spectrum.participation_ratio(values), len(values)
    top, entropy = spectrum.top_share(values), spectrum.normalised_entropy(values)
    assert 1 <= ratio <= rank <= count
    assert 1 / count <= top <= 1
    assert 0 < entropy < 1
    assert 1 <= spectrum.feature_rank(h) <= min(N - 1, h.shape[1])
    assert spectrum.feature_rank(h.double()) >= spectrum.feature_rank(h)  # a finer dtype has a lower tolerance
    return {"rank": rank, "ratio": ratio, "top": top, "entropy": entropy}


def _probe(s: Subject) -> Values:
    h = s.features
    known = torch.cat([h, F.one_hot(LABELS).to(h)], 1)
    assert spectrum.linear_probe(known, LABELS, known, LABELS) == 1.0
    one = torch.zeros(N, dtype=torch.long)
    assert spectrum.linear_probe(h, one, h, one) == 1.0
    first, second = HALVES
    assert 0 <= spectrum.linear_probe(h[first], LABELS[first], h[second], LABELS[second]) <= 1
    return {"margin": spectrum.linear_probe(h, LABELS, h, LABELS)}


def _classes(s: Subject) -> Values:
    h = s.features
    ratio, gap = representation.separation_ratio(h, LABELS), representation.cosine_gap(h, LABELS)
    within, (norms, angles) = (
        representation.within_class_collapse(h, LABELS),
        representation.class_means_geometry(h, LABELS),
    )
    assert ratio > 0
    assert -2 <= gap <= 2
    assert within > 0
    assert norms >= 0
    assert 0 <= angles <= 2
    torch.testing.assert_close(representation.separation_ratio(4 * h, LABELS), ratio)
    torch.testing.assert_close(representation.cosine_gap(h.flip(0), LABELS.flip(0)), gap)
    means = representation.class_means(h, LABELS)[0][LABELS]  # all rows on their means
    assert representation.within_class_collapse(means, LABELS) < 1e-20
    return {"ratio": ratio, "gap": 1 + gap, "norms": norms, "angles": angles}


def _kernel(s: Subject) -> Values:
    k = kernel.ntk(s.logits, s.rows, LABELS)
    reference = copy.deepcopy(s.logits).float()
    x = s.rows.float() if s.rows.is_floating_point() else s.rows
    wanted = []
    for row in range(3):
        slopes = torch.autograd.grad(reference(x[row : row + 1])[0, LABELS[row]], list(reference.parameters()))
        wanted.append(torch.cat([slope.flatten() for slope in slopes]))
    brute = torch.stack(wanted) @ torch.stack(wanted).T
    torch.testing.assert_close(k[:3, :3], brute, rtol=1e-4, atol=1e-4 * brute.max().item())
    every = kernel.ntk(s.logits, s.rows[:3])
    at = torch.arange(3) * (len(every) // 3) + LABELS[:3]
    torch.testing.assert_close(every[at][:, at], k[:3, :3], rtol=1e-4, atol=1e-4 * brute.max().item())
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(1.1)
    moved = kernel.ntk(reference, s.rows if s.rows.dtype == torch.long else x, LABELS)
    assert kernel.cka(k, k) == pytest.approx(1.0)
    assert kernel.cka(k, 3 * k + 1) == pytest.approx(1.0)
    assert 0 <= kernel.cka(k, moved) < 1 - 1e-9
    assert 0 < kernel.alignment(k, kernel.label_gram(LABELS)) < 1
    ridge = k.diagonal().mean().item() / 100
    dimension = kernel.effective_dimension(k, ridge)
    assert 0 < dimension < N
    targets = F.one_hot(LABELS).double()
    hard = kernel.difficulty(k, targets, ridge)
    assert 0 < hard <= N / ridge
    assert not kernel.kernel_prediction(k, k, targets, time=0.0).any()
    torch.testing.assert_close(kernel.kernel_prediction(k, k, targets), targets, rtol=0, atol=0.05)
    return {"k": k, "cka": kernel.cka(k, moved), "dimension": dimension, "difficulty": hard}


def _linearised(s: Subject) -> Values:
    start = copy.deepcopy(s.logits.state_dict())
    moved = copy.deepcopy(s.logits)
    with torch.no_grad():
        for number, parameter in enumerate(moved.parameters()):
            parameter.add_(0.02 * _noise(*parameter.shape, seed=number).to(parameter))
    f = kernel.linearised(s.logits, start, s.rows)
    with torch.no_grad():
        torch.testing.assert_close(f, s.logits(s.rows).float(), rtol=s.close, atol=s.close)
    assert kernel.richness(s.logits, start, s.rows) == 0.0
    assert kernel.kernel_distance(kernel.ntk(moved, s.rows, LABELS), kernel.ntk(s.logits, s.rows, LABELS)) < 0.2
    assert 0 < kernel.richness(moved, start, s.rows) < 0.5  # a small move is nearly lazy
    return {"f": f}


def _hessian(s: Subject) -> Values:
    loss, theta = s.loss
    product = curvature.hessian_product(loss, theta)
    u, v = (_noise(len(theta), seed=seed) for seed in (2, 3))
    torch.testing.assert_close(u @ product(v), v @ product(u), rtol=1e-3, atol=1e-3)
    step = 1e-3 / v.norm()
    ahead, behind = (curvature.gradient(loss, theta + sign * step * v) for sign in (1, -1))
    differences = (ahead - behind) / (2 * step)
    assert (differences - product(v)).norm() < 0.03 * differences.norm()
    values, vectors, errors = curvature.lanczos(product, u, 30)
    assert errors[0] < 0.1 * values[0]
    torch.testing.assert_close(product(vectors[:, 0]) @ vectors[:, 0], values[0].float(), rtol=1e-3, atol=1e-4)
    found, error = curvature.hutchinson(product, theta, 20, torch.Generator().manual_seed(0))
    if len(theta) < 600:
        dense = sum(product(one)[i].item() for i, one in enumerate(torch.eye(len(theta))))
        assert abs(found - dense) < 4 * error
    return {"top": values[:3], "trace": found}


def _around(s: Subject) -> Values:
    loss, theta = s.loss
    slope = curvature.gradient(loss, theta)
    assert loss(theta).item() == pytest.approx(F.cross_entropy(s.said.float(), LABELS).item(), rel=5 * s.close)
    rise = curvature.sharpness(loss, theta, 1e-2)
    assert rise == pytest.approx(1e-2 * slope.norm().item(), rel=0.3)  # the gradient's share of it
    direction = curvature.filter_direction(s.logits, torch.Generator().manual_seed(0))
    parts = direction.split([p.numel() for p in s.logits.parameters()])
    for parameter, part in zip(s.logits.parameters(), parts, strict=True):
        long = parameter.detach().float().norm() if parameter.dim() > 1 else torch.tensor(0.0)
        torch.testing.assert_close(part.norm(), long, rtol=1e-4, atol=1e-6)
    at = torch.linspace(-0.5, 0.5, 5)
    line = curvature.loss_slice(loss, theta, direction, at)
    assert line[2] == loss(theta)
    assert bool((line > 0).all())
    return {"sharpness": rise, "slice": line}


def _landscape(s: Subject) -> Values:
    (first, second), (whole, theta) = (s.loss_of(part) for part in HALVES), s.loss
    defect = landscape.commutator_defect(first, second, theta, 1e-4, 0.0)  # short of the next kink of a ReLU
    assert landscape.commutator_defect(first, first, theta) == 0.0
    assert landscape.commutator_bracket(first, second, theta) == pytest.approx(defect, rel=0.05)
    w, updates = theta, []
    for _ in range(4):
        updates.append(-0.01 * curvature.gradient(whole, w))
        w = w + updates[-1]
    sizes = landscape.update_spectrum(torch.stack(updates))
    total = torch.stack(updates).double().square().sum()
    torch.testing.assert_close(sizes.square().sum(), total, rtol=1e-6, atol=0)
    assert 0 <= landscape.update_gap(sizes) <= total
    assert landscape.update_edge(sizes)[1] >= 1
    slopes = torch.stack([curvature.gradient(s.loss_of(slice(i, i + 3)), theta) for i in range(0, N, 3)])
    noise = landscape.noise_scale(slopes, 3)
    assert noise.trace > 0
    assert landscape.noise_scale(slopes[:1].expand(4, -1), 3).scale == pytest.approx(0.0, abs=1e-6)
    cosine = landscape.cosine_to_weights(slopes.mean(0), theta)
    assert -1 < cosine < 1
    assert landscape.cosine_to_weights(theta, theta) == pytest.approx(-1.0)
    return {"defect": defect, "updates": sizes, "noise": noise.trace, "cosine": cosine}


def _llc(s: Subject) -> Values:
    loss, theta = s.loss

    def walk(step: float) -> llc.LearningCoefficient:
        sampler = llc.Sampler(chains=2, burn_in=2, draws=4, step=step)
        return llc.learning_coefficient(loss, theta, N / np.log(N), sampler, torch.Generator().manual_seed(0))

    found = walk(1e-5)
    assert torch.isfinite(found.losses_CT).all()
    assert found.value == walk(1e-5).value
    assert found.value == pytest.approx(found.n_beta * (found.losses_CT.mean().item() - loss(theta).item()))
    assert abs(walk(1e-16).value) < 1e-3  # chains that do not move lose nothing
    return {"llc": found.value, "losses": found.losses_CT}


def _precision(s: Subject) -> Values:
    z = s.said
    right = z.argmax(-1)
    assert precision.softmax_collapse(z) == 0
    assert precision.softmax_collapse(z.double() * 1e6) == 1
    assert precision.zero_losses(F.cross_entropy(z.float(), LABELS, reduction="none")) == 0
    assert precision.zero_losses(F.cross_entropy(z.float() * 1e6, right, reduction="none")) == 1
    scale, margins = precision.logit_scale(z), precision.margins(z, LABELS)
    assert precision.logit_scale(2 * z) == 2 * scale
    assert bool((precision.margins(z, right) >= 0).all())
    assert bool((margins[right != LABELS] <= 0).all())
    quantiles = precision.margin_quantiles(margins)
    assert bool((quantiles.diff() >= 0).all())
    loss, theta = s.loss
    slope = curvature.gradient(loss, theta)
    weights = list(s.logits.parameters())
    slopes = list(slope.split([p.numel() for p in weights]))
    shaped = [part.view(p.shape) for part, p in zip(slopes, weights, strict=True)]
    along = precision.alignment(weights, shaped)
    assert along.item() == pytest.approx(landscape.cosine_to_weights(slope, theta), abs=1e-6)
    decay, rest = precision.split_update(weights, [w - 0.5 * w for w in weights], 0.1, 5.0)
    assert precision.decay_share(decay, rest) > 0.99  # a step that is decay alone
    assert 0 < precision.confidence(z) <= 1
    return {"scale": scale, "margins": margins, "along": along, "confidence": precision.confidence(z)}


def _dynamics(s: Subject) -> Values:
    log_p = memorization.log_probability(s.said[:, None], LABELS[:, None])
    levels = torch.from_numpy(dynamics.quantiles(log_p.numpy()))
    assert bool((levels.diff() >= 0).all())
    assert bool((levels < 0).all())
    theta = nn.utils.parameters_to_vector(s.module.parameters())  # with its gradient, and in its own precision
    drawn = dynamics.sketch(theta, 256, 0)
    torch.testing.assert_close(torch.from_numpy(dynamics.sketch(-2 * theta, 256, 0)), torch.from_numpy(-2 * drawn))
    assert dynamics.angle(theta, theta) == 0
    assert dynamics.angle(theta, -theta) == pytest.approx(180)
    other = theta.detach().float() + 0.3 * _noise(len(theta)) * theta.detach().float().std()
    whole, sketched = dynamics.angle(theta, other), dynamics.angle(drawn, dynamics.sketch(other, 256, 0))
    assert sketched == pytest.approx(whole, rel=0.25)
    assert 0 < dynamics.relative_change(theta, other) < 1
    return {"levels": levels, "sketch": torch.from_numpy(drawn), "angle": whole}


def _memorization(s: Subject) -> Values:
    z = s.said
    log_p = memorization.log_probability(z[:, None], LABELS[:, None])
    torch.testing.assert_close(log_p, -F.cross_entropy(z.double(), LABELS, reduction="none"))
    uniform = -float(np.log(z.shape[1]))
    bits = memorization.memorised_bits(log_p, uniform)
    assert bool((bits >= 0).all())
    assert bits.sum() <= memorization.dataset_bits(N, z.shape[1])
    assert not memorization.memorised_bits(torch.full((N,), uniform), uniform).any()
    first, second = HALVES
    assert memorization.membership_f1(log_p, log_p) == 0.5
    assert memorization.membership_f1(log_p[first], log_p[second]) + memorization.membership_f1(
        log_p[second], log_p[first]
    ) == pytest.approx(1.0)
    rate = memorization.extraction_rate(z.argmax(-1)[:, None], LABELS[:, None])
    assert rate == (z.argmax(-1) == LABELS).double().mean()
    return {"bits": bits}


def _description(s: Subject) -> Values:
    def shortest(tolerance: float, steps: int = 12) -> dict[str, complexity.Description]:
        described = s.logits, F.cross_entropy, s.rows, LABELS, tolerance, (1.0, 0.9), steps
        return complexity.module_description(*described)

    coarse, fine, whole = shortest(0.3), shortest(0.03), shortest(1e-12, 1)
    assert 0 < coarse["bz2"].size <= fine["bz2"].size
    assert whole["zlib"].step == 0  # nothing so coarse will do: the weights' own bytes
    loss, theta = s.loss
    if fine["bz2"].share == 1.0:
        step = fine["bz2"].step
        assert abs(loss(step * complexity.quantised(theta, step)) - loss(theta)) < 0.03
    return {"coarse": coarse["bz2"].size, "fine": fine["bz2"].size, "step": fine["bz2"].step}


def _regions(s: Subject) -> Values:
    counts = regions.local_complexity(s.of_vectors, s.vectors, torch.Generator().manual_seed(0), 0.3, 4, layers=s.signs)
    assert counts.shape[0] == N
    assert counts.sum() > 0
    assert not regions.local_complexity(
        s.of_vectors, s.vectors, torch.Generator().manual_seed(0), 1e-12, 4, layers=s.signs
    ).any()
    few = hooks.widened(s.vectors[:5])
    straight = regions.straightness(hooks.in_float32(s.of_vectors), few)
    assert torch.equal(straight, straight.T)
    assert bool((straight >= 0).all())
    assert bool((straight <= 1 + 1e-9).all())
    number = regions.linear_mapping_number(straight)
    assert 1 <= number <= 5
    turn = _noise(few.shape[1], 2)
    assert regions.linear_mapping_number(regions.straightness(lambda x: x @ turn, few)) == pytest.approx(1.0)
    return {"counts": counts, "number": number}


def _tails(s: Subject) -> Values:
    found = dict(heavy_tails.matrices(s.module))
    assert found
    edges, traps, alphas = [], [], []
    for weight in found.values():
        assert weight.dim() == 2
        edges.append(heavy_tails.beyond_edge(weight))
        traps.append(heavy_tails.correlation_traps(weight, torch.Generator().manual_seed(0)))
        assert 0 <= edges[-1] <= min(weight.shape)
        fit = heavy_tails.power_law(spectrum.singular_values(weight).square())
        assert np.isnan(fit.alpha) == (fit.tail == 0)
        assert fit.tail == 0 or (fit.alpha > 1 and 0 <= fit.distance <= 1)
        alphas.append(fit.alpha)
    assert sum(traps) <= 1  # independent normal elements have next to none
    return {"edges": torch.tensor(edges), "traps": torch.tensor(traps), "alphas": torch.tensor(alphas)}


def _information(s: Subject) -> Values:
    bins = information.binned(s.features, 4)
    r = information.correlations(information.normal_scores(bins))
    low, high = information.extremes(r)
    together = information.o_information(r)
    assert low.value <= together <= high.value
    assert information.o_information(r[:2, :2]).item() == pytest.approx(0.0, abs=1e-12)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(information.o_information(r[order][:, order]), together)
    copies = information.correlations(information.normal_scores(bins[:, [0, 0, 0]]))
    assert information.o_information(copies) > 1  # redundancy
    return {}


def _routers(s: Subject) -> Values:
    if not isinstance(s.module, transformers.OlmoeForCausalLM):
        with pytest.raises(ValueError, match=r"^no submodule is named 'mlp\.gate'; there are "):
            pathways.logits_by_name(s.module, "mlp.gate", s.inputs)
        return {}
    layers = pathways.logits_by_name(s.module, r"model\.layers\.\d\.mlp\.gate", s.inputs)
    layers = [layer.unflatten(0, (N, TOKENS)) for layer in layers]
    with torch.no_grad():  # what the model itself gives for its routers, by hooks that it keeps
        theirs = copy.deepcopy(s.module)(s.rows, output_router_logits=True, use_cache=False).router_logits
    for own, other in zip(layers, theirs, strict=True):
        assert torch.equal(own.flatten(0, 1), other.view_as(own.flatten(0, 1)))
    gates = torch.stack([pathways.mean_gates(layer, 2) for layer in layers], 1)
    torch.testing.assert_close(gates.sum(-1), torch.ones(N, 2), rtol=0, atol=1e-6)
    paths = [pathways.pathway(row) for row in gates]
    assert all(path.count("-") == 1 for path in paths)
    distances = pathways.edit_distances(paths)
    assert (distances == distances.T).all()
    assert not distances.diagonal().any()
    vectors = torch.stack([layer.mlp.gate.weight.detach() for layer in s.module.model.layers])
    cosines = pathways.layer_cosines(gates, vectors)
    assert bool((cosines.abs() <= 1).all())
    torch.testing.assert_close(pathways.consistency(cosines) + pathways.erraticness(cosines), torch.ones(N).double())
    entropy, load = pathways.routing_entropy(gates), pathways.load(layers[0].flatten(0, 1), 2)
    assert bool((entropy > 0).all())
    assert bool((entropy <= 1).all())
    assert load.sum() == pytest.approx(1.0)
    assert 0 <= pathways.imbalance(load) <= 3
    assert pathways.load(layers[0].flatten(0, 1), 4).tolist() == [0.25] * 4
    return {"gates": gates.mean(0), "cosines": cosines.mean(), "entropy": entropy.mean()}


def _patching(s: Subject) -> Values:
    whole, other = s.said, s.read(hooks.run(s.module, s.others))
    assert not torch.equal(whole, other)
    for pattern in (s.last, s.several):
        assert torch.equal(s.read(causal.patched(s.module, s.inputs, s.inputs, pattern)), whole)
        assert causal.tracing_strength(s.module, s.inputs, s.inputs, pattern, read=s.read) == 0.0
    carried = s.read(causal.patched(s.module, s.inputs, s.others, s.last))  # all that comes after it
    assert torch.equal(carried, other)
    moved = causal.tracing_strength(s.module, s.inputs, s.others, s.last, read=s.read)
    assert moved == causal.changed(whole, other)
    found = causal.effect(whole, carried, LABELS)
    assert found.logits > 0
    assert causal.effect(whole, whole, LABELS) == (0.0, 0.0, 0.0)
    return {"loss": found.loss, "logits": found.logits}


def _ablation(s: Subject) -> Values:
    whole = s.said
    name, axis = s.neurons
    for how in ("mean", "zero", "resample"):
        nothing = causal.ablated(s.module, s.inputs, name, how, hooks.units([], axis))
        assert torch.equal(s.read(nothing), whole)
        assert not torch.equal(s.read(causal.ablated(s.module, s.inputs, s.several, how)), whole)
    alone = s.read(causal.ablated(s.module, s.inputs, s.last, "mean"))
    same = alone[:1].expand_as(alone)  # every row is told the same
    torch.testing.assert_close(alone, same, rtol=s.close, atol=s.close)

    def score(output: Any) -> Tensor:
        return F.cross_entropy(s.read(output).double(), LABELS)

    effects = causal.unit_effects(s.module, s.inputs, name, score, "zero", axis=axis)
    one = causal.ablated(s.module, s.inputs, name, "zero", hooks.units([1], axis))
    before = score(hooks.run(s.module, s.inputs))
    torch.testing.assert_close(effects[1], score(one) - before)
    return {"after": before + effects, "alone": alone[0]}


def _lens(s: Subject) -> Values:
    (said,) = lens.lens(s.module, s.inputs, s.last, s.unembed, s.norm).values()
    torch.testing.assert_close(said, s.said, rtol=s.close, atol=s.close)  # after the last layer it is the answer
    ranks = lens.reciprocal_rank(said, LABELS)
    assert bool((ranks > 0).all())
    assert bool((ranks <= 1).all())
    assert lens.mean_reciprocal_rank(said, said.argmax(-1)) > 0.9
    return {"said": said}


def _active(s: Subject) -> Values:
    name, axis = s.neurons
    count = hooks.first_tensor(hooks.captured(s.module, name, s.inputs)[name][0]).shape[axis]
    kept = subnetwork.subnetwork(s.module, s.inputs, name, torch.arange(count), axis)
    assert torch.equal(s.read(kept), s.said)
    none = subnetwork.subnetwork(s.module, s.inputs, name, torch.arange(0), axis)
    assert torch.equal(s.read(none), s.read(causal.ablated(s.module, s.inputs, name, "zero")))
    norms = subnetwork.incoming_norms(_noise(count, 5))
    agreed = subnetwork.agreement_by_size_of(s.module, s.inputs, name, norms, axis)
    assert agreed.shape == (count + 1,)
    assert agreed[-1] == 1.0
    assert 0 <= subnetwork.smallest_size(agreed) <= count
    return {}


class Cell(NamedTuple):
    look: Callable[[Subject], Values]
    relative: float = 0.0
    """Of bfloat16 to float32, of each number; and ``absolute`` in units of the largest."""
    absolute: float = 0.0


EXACT = (1e-5, 1e-5)  # computed in float32 or from the weights alone
TABLE = {
    "spectrum": Cell(_spectrum, 0.05),
    "probe": Cell(_probe, 0.0, 0.2),
    "classes": Cell(_classes, 0.1, 0.05),
    "kernel": Cell(_kernel, *EXACT),
    "linearised": Cell(_linearised, *EXACT),
    "hessian": Cell(_hessian, *EXACT),
    "around": Cell(_around, *EXACT),
    "landscape": Cell(_landscape, *EXACT),
    "llc": Cell(_llc, *EXACT),
    "precision": Cell(_precision, 0.05, 0.05),
    "dynamics": Cell(_dynamics, 0.05, 0.05),
    "memorization": Cell(_memorization, 0.05, 0.05),
    "description": Cell(_description, *EXACT),
    "regions": Cell(_regions, *EXACT),
    "tails": Cell(_tails, *EXACT),
    "information": Cell(_information),
    "routers": Cell(_routers, 0.05, 0.05),
    "patching": Cell(_patching, 0.1, 0.05),
    "ablation": Cell(_ablation, 0.1, 0.1),
    "lens": Cell(_lens, 0.05, 0.05),
    "active": Cell(_active),
}
KINDS = ["mlp", "cnn", "lstm", "gpt2", "olmoe"]


@lru_cache(None)
def _values(kind: str, dtype: torch.dtype, name: str) -> Values:
    subject = _subject(kind, dtype)
    with _untouched(subject.module):
        return TABLE[name].look(subject)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TABLE)
def test_a_measure_is_true_of_a_strangers_module(name: str, kind: str, dtype: torch.dtype) -> None:
    found, wanted, cell = _values(kind, dtype, name), _values(kind, torch.float32, name), TABLE[name]
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        one, other = (torch.as_tensor(each, dtype=torch.float64) for each in (value, wanted[key]))
        size = other.nan_to_num().abs().max().item()
        message = f"{key}: {one.tolist()} for {other.tolist()}"
        torch.testing.assert_close(
            one, other, rtol=cell.relative, atol=cell.absolute * size, equal_nan=True, msg=message
        )


# What strangers do that ours do not.


def test_a_module_that_cannot_be_lifted_goes_row_by_row() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) if x.sum() > 0 else self.other(x)

    x = _noise(6, 3)
    high = x.sum(1) > 0
    wanted = torch.where(high[:, None] == high, x @ x.T + 1, 0.0)  # two linear maps that share nothing
    with torch.random.fork_rng():
        module = Asks()
    torch.testing.assert_close(kernel.ntk(module, x, torch.zeros(6, dtype=torch.long)), wanted)


def test_an_eager_mixture_has_the_kernel_of_a_grouped_one() -> None:
    s = _subject("olmoe", torch.float32)
    eager = copy.deepcopy(s.logits)
    eager.module.set_experts_implementation("eager")
    assert eager.module.config._experts_implementation == "eager" != s.module.config._experts_implementation
    torch.testing.assert_close(kernel.ntk(eager, s.rows, LABELS), kernel.ntk(s.logits, s.rows, LABELS))


def test_a_module_that_draws_at_random_is_told_what_to_do() -> None:
    s = _subject("gpt2", torch.float32)
    training = copy.deepcopy(s.logits).train()
    with torch.random.fork_rng(), pytest.raises(ValueError, match=r"^the module draws at random: put it in eval mode"):
        kernel.ntk(training, s.rows, LABELS)


def test_an_output_that_is_no_tensor_is_told_what_to_do() -> None:
    s = _subject("gpt2", torch.float32)
    told = r"^the module gives CausalLMOutput\w+, not a tensor; hooks\.Logits\(module\) gives its logits$"
    for look in (
        lambda: kernel.ntk(s.module, s.rows, LABELS),
        lambda: curvature.gradient(*curvature.flat_loss(s.module, F.cross_entropy, s.rows, LABELS)),
        lambda: kernel.linearised(s.module, s.module.state_dict(), s.rows),
    ):
        with pytest.raises(TypeError, match=told):
            look()


def test_a_cache_is_no_output_to_replace_and_without_one_a_whole_model_is() -> None:
    s = _subject("gpt2", torch.float32)
    with pytest.raises(ValueError, match="got DynamicCache; name a submodule that gives tensors"):
        hooks.captured(s.module, "transformer", s.inputs)
    plain = {**s.inputs, "use_cache": False}
    seen = hooks.captured(s.module, "transformer", plain)["transformer"][0]
    assert type(seen).__name__.startswith("BaseModelOutput")
    assert torch.equal(s.read(causal.patched(s.module, plain, plain, "transformer")), s.said)
    zeroed = s.read(causal.ablated(s.module, plain, "transformer", "zero"))
    assert not zeroed.any()  # its head has no bias


def test_two_inputs_of_a_row_go_side_by_side() -> None:
    s = _subject("gpt2", torch.float32)
    mask = torch.ones_like(s.rows)
    mask[:4, 0] = 0
    both = hooks.Logits(
        s.module, _last_token, lambda m, x: m(input_ids=x[:, 0], attention_mask=x[:, 1], use_cache=False)
    )
    paired = torch.stack([s.rows, mask], 1)
    masked, plain = kernel.ntk(both, paired, LABELS), kernel.ntk(s.logits, s.rows, LABELS)
    torch.testing.assert_close(masked[4:, 4:], plain[4:, 4:])
    assert not torch.allclose(masked[:4, :4], plain[:4, :4], rtol=1e-2)


def test_a_loss_takes_what_the_module_takes() -> None:
    s = _subject("gpt2", torch.float32)
    keywords, _ = curvature.flat_loss(s.logits, F.cross_entropy, s.inputs, LABELS)
    calls, _ = curvature.flat_loss(s.logits, F.cross_entropy, lambda m: m(s.rows, use_cache=False), LABELS)
    plain, theta = s.loss
    assert keywords(theta) == calls(theta) == plain(theta)


def test_shared_weights_are_one() -> None:
    s = _subject("gpt2", torch.float32)
    assert s.module.lm_head.weight is s.module.transformer.wte.weight
    assert len(s.loss[1]) == sum(p.numel() for p in s.module.parameters())


def test_several_edits_of_one_part_follow_one_another() -> None:
    module, x = nn.Sequential(nn.Identity(), nn.Identity()), torch.ones(2, 2)
    edits = {"0": lambda h, call: h + 1, "[01]": lambda h, call: 10 * h}
    assert torch.equal(hooks.run(module, x, edits), torch.full((2, 2), 200.0))


def test_the_package_does_not_import_transformers() -> None:
    code = "import sys, grokscope, grokscope.cli, grokscope.measures; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_convolution_has_a_matrix_for_each_place_of_its_kernel() -> None:
    with torch.random.fork_rng():
        module = nn.Sequential(nn.Conv2d(3, 5, (2, 4)), nn.Conv1d(5, 6, 3, bias=False))
    found = dict(heavy_tails.matrices(module))
    assert [name for name in found if name.startswith("0.")] == [f"0.weight.{i}" for i in range(8)]
    assert torch.equal(found["0.weight.6"], module[0].weight[:, :, 1, 2])
    assert torch.equal(found["1.weight.2"], module[1].weight[:, :, 2])


def test_gates_of_half_precision_sum_to_one() -> None:
    logits = (3 * _noise(50, 64)).to(torch.bfloat16)
    for active in (None, 8):
        torch.testing.assert_close(pathways.gates(logits, active).sum(-1), torch.ones(50), rtol=0, atol=1e-6)
    torch.testing.assert_close(pathways.gates(logits), pathways.gates(logits.float()))


def test_a_module_in_float64_keeps_its_precision() -> None:
    s = _subject("lstm", torch.float32)
    module, x = copy.deepcopy(s.module).double(), s.rows.double()
    k = kernel.ntk(module, x, LABELS)
    assert k.dtype == torch.float64
    torch.testing.assert_close(kernel.ntk(s.module, s.rows, LABELS).double(), k, rtol=1e-4, atol=1e-4)
    assert curvature.flat_loss(module, F.cross_entropy, x, LABELS)[1].dtype == torch.float64
    assert hooks.in_float32(module)(x).dtype == torch.float64
