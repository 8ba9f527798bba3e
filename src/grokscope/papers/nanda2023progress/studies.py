"""What is trained and observed for Nanda et al. 2023."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.experiment import Experiment
from grokscope.measures import Fit, FourierSparsity, KeyFrequencies, Measure, Norms, fourier
from grokscope.measures.hooks import captured
from grokscope.models import Network, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import AdamW
from grokscope.papers.base import Lab, Observation, Study, Trained
from grokscope.papers.series import Curve, at, curve, minus, over, pairs
from grokscope.tasks import ModularArithmetic

EXPERIMENT = Experiment(
    name="nanda2023progress",
    about="a + b mod 113 at 30 %, one-layer transformer, lr 1e-3, wd 1: the paper's own settings (Nanda et al. 2023)",
    task=ModularArithmetic(operation="add", modulus=113, train_fraction=0.3),
    model=Transformer(),
    optimizer=AdamW(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup=10),
    objective=CrossEntropy(softmax="float32"),
    precision="float32",
    budget=40_000,
    stop_after_grok=True,
)

SEGMENTS = ("memorization", "circuit formation", "cleanup")
POINTS = 60  # of a curve
FREE_LOOKS = 150  # so that a short run has several looks within cleanup
EXPLAINED = 0.85  # of a neuron's power in one frequency
LOSSES = {
    "train": "train/loss",
    "test": "test/loss",
    "restricted": "fourier/restricted_loss",
    "excluded": "fourier/excluded_loss",
}


def setting(size: Mapping[str, Any], measures: Sequence[Measure], **changes: Any) -> Experiment:
    """The paper's experiment in other sizes; ``changes`` by the field's name, ``__`` for the dot."""
    return EXPERIMENT.with_overrides(
        {
            "task.modulus": size["p"],
            "task.train_fraction": size["fraction"],
            "model.width": size["width"],
            "model.hidden": 4 * size["width"],
            "optimizer.lr": size["lr"],
            "objective.softmax": size["softmax"],
            "budget": size["steps"],
            "tail": size["tail"],
            "stop_after_grok": size["tail"] > 0,
            "clock.free_looks": FREE_LOOKS,
            "measures": [measure.to_dict() for measure in measures],
        }
        | {name.replace("__", "."): value for name, value in changes.items()}
    )


def mainline(lab: Lab) -> Observation:
    """One run with weight decay 1, read by the key frequencies of its end, and one without decay."""
    looks = (Fit(), Norms(), FourierSparsity(), KeyFrequencies())
    run = lab.train(setting(lab.size, looks))
    phases, longer = run.phases()[0], lab.size["plain_longer"]
    events = phases.events
    short = longer is not None and events.t_test is not None
    steps = max(lab.size["plain_least"], math.ceil(longer * events.t_test)) if short else lab.size["steps"]
    plain = lab.train(setting(lab.size, looks, optimizer__weight_decay=0.0, budget=steps, stop_after_grok=False))
    undecayed = plain.phases()[0]
    bounds = {segment.name: (segment.start, segment.end) for segment in phases.segments}
    in_order = [name for name in (s.name for s in phases.segments) if name in SEGMENTS] == list(SEGMENTS)
    begun = bounds["cleanup"][0] if "cleanup" in bounds else None
    half = _half_fallen(curve(run.trace, "test/loss"), events.t_test)
    return {
        "p": lab.size["p"],
        "fraction": lab.size["fraction"],
        "t_train": events.t_train,
        "t_test": events.t_test,
        "ratio": events.ratio,
        "last_step": events.last_step,
        "segments": {name: list(span) for name, span in bounds.items() if name in SEGMENTS},
        "segments_in_order": in_order,
        "plain_segments": sum(s.name in SEGMENTS for s in undecayed.segments),
        "plain_t_test": undecayed.events.t_test,
        "plain_test": plain.trace.last(0).get("test/accuracy"),
        "plain_last_step": undecayed.events.last_step,
        "swap_baseline": run.experiment.task.swap_baseline(run.experiment.task.divide(run.experiment.seeds)),
        "half": half,
        "restricted_at_half": _fallen(run, half, events.t_test),
        "restricted_at_cleanup": _fallen(run, begun, events.t_test),
        "restricted_at_cleanup_of_all": _fallen(run, begun, events.last_step),
        "excluded_at_half": _risen(run, half),
        "excluded_at_cleanup": _risen(run, begun),
        "gini_rise": _change(curve(run.trace, "fourier/gini_embedding"), begun, events.t_test),
        "plain_gini_rise": _change(curve(plain.trace, "fourier/gini_embedding"), begun, events.t_test),
        "first_variance": at(curve(run.trace, "fourier/variance_explained"), 0),
        "curves": {name: pairs(curve(run.trace, key), POINTS) for name, key in LOSSES.items()},
        "gini": pairs(curve(run.trace, "fourier/gini_embedding"), POINTS),
        "plain_gini": pairs(curve(plain.trace, "fourier/gini_embedding"), POINTS),
        "norm": pairs(curve(run.trace, "norm/weights"), POINTS),
        **_finished(lab, run),
    }


def _finished(lab: Lab, run: Trained) -> dict[str, Any]:
    """What the finished network computes, in float64: with and without its key frequencies, and with others."""
    task, p = run.experiment.task, lab.size["p"]
    model, rows = run.experiment.model, task.divide(run.experiment.seeds).rows["train"]
    logits_NC, neurons_PPH = _look(run.network(), run.experiment)
    first = model.build(task, run.experiment.seeds.generator("init"))
    keys = fourier.key_frequencies(neurons_PPH)
    rest = [k for k in range(1, p // 2 + 1) if k not in keys]
    order = torch.randperm(len(rest), generator=lab.generator("other frequencies"))
    others = sorted(rest[i] for i in order[: len(keys)].tolist())
    sums_N, mean_PP = task.table.answers_N, fourier.mean_over_sums(logits_NC.view(p, p, p))
    full = F.cross_entropy(logits_NC, sums_N).item()
    train = F.cross_entropy(logits_NC[rows], sums_N[rows]).item()
    kept, kept_others = (fourier.restricted_loss(mean_PP, chosen).item() for chosen in (keys, others))
    without, without_others = (
        fourier.excluded_loss(logits_NC, sums_N, mean_PP, chosen).item() for chosen in (keys, others)
    )
    excluded_others = fourier.excluded_loss(logits_NC[rows], sums_N[rows], mean_PP, others).item()
    uniform = math.log(p)
    return {
        "keys": keys,
        "full_loss": full,
        "kept_loss": kept,
        "kept_others_loss": kept_others,
        "kept_ratio": kept / full if full > 0 else None,
        "kept_others_ratio": kept_others / full if full > 0 else None,
        "without_loss": without,
        "without_over_uniform": without - uniform,
        "without_others_over_uniform": without_others - uniform,
        "others_share_of_fall": math.log(uniform / kept_others) / math.log(uniform / kept) if kept < uniform else None,
        "excluded_others_rise": excluded_others - train,
        "variance": fourier.variance_explained(logits_NC.view(p, p, p), mean_PP, keys).item(),
        "neurons": _explained(neurons_PPH),
        "first_neurons": _explained(_look(first, run.experiment)[1]),
    }


def _look(network: Network, experiment: Experiment) -> tuple[Tensor, Tensor]:
    """Logits of the answers (N, C) and what the neurons put out (P, P, H) on all pairs, in float64."""
    task, network = experiment.task, network.double()
    encoding = experiment.model.encode(task, task.table)
    with torch.no_grad():
        logits_NRV = network(encoding.tokens_NL)
    neurons: Tensor = captured(network, network.neurons, encoding.tokens_NL)[network.neurons][0]
    p = task.elements
    return logits_NRV[:, encoding.answer_row, encoding.answers], neurons.reshape(p, p, -1, neurons.shape[-1])[:, :, 0]


def _explained(neurons_PPH: Tensor) -> float:
    """Share of the living neurons whose power lies to more than 85 % in one frequency."""
    _, share_H = fourier.neuron_frequencies(neurons_PPH)
    living = share_H[share_H > 0]
    return (living > EXPLAINED).double().mean().item() if len(living) else 0.0


def _change(seen: Curve, start: int | None, end: int | None) -> float | None:
    return minus(at(seen, end), at(seen, start))


def _half_fallen(test: Curve, until: int | None) -> int | None:
    """The first look after which the log of the test loss stays below the middle of its fall to t_test."""
    steps, values = test
    if until is None:
        return None
    steps, logs = steps[steps <= until], np.log(np.maximum(values[steps <= until], 1e-300))
    above = np.nonzero(logs > (logs.max() + logs[-1]) / 2)[0]
    return int(steps[min(above[-1] + 1, len(steps) - 1)]) if len(above) else None


def _fallen(run: Trained, step: int | None, until: int | None) -> float | None:
    """Share of its log fall from step 0 to ``until`` that the restricted loss has done at a step."""
    steps, values = curve(run.trace, LOSSES["restricted"])
    logs = steps, np.log(np.maximum(values, 1e-300))
    return over(_change(logs, 0, step), _change(logs, 0, until))


def _risen(run: Trained, step: int | None) -> float | None:
    """How far the excluded loss at a step is above its lowest value until then, in nats."""
    seen = curve(run.trace, LOSSES["excluded"])
    here = at(seen, step)
    return None if here is None or step is None else here - float(seen[1][seen[0] <= step].min())


def conditions(lab: Lab) -> Observation:
    """More data, less data, and a smaller modulus under two decays: accuracies alone are looked at."""
    found: dict[str, Any] = {"p": lab.size["p"], "small_p": lab.size["small"]["p"]}
    arms = {
        "more": setting(lab.size, (Fit(),), task__train_fraction=lab.size["more"]),
        "less": setting(lab.size, (Fit(),), task__train_fraction=lab.size["less"]),
        **{
            f"small_{word}": setting(lab.size | lab.size["small"], (Fit(),), optimizer__weight_decay=decay)
            for word, decay in (("weak", 1.0), ("strong", 5.0))
        },
    }
    for name, experiment in arms.items():
        run = lab.train(experiment)
        events = run.phases()[0].events
        found |= {
            f"{name}_fraction": experiment.task.train_fraction,
            f"{name}_t_train": events.t_train,
            f"{name}_t_test": events.t_test,
            f"{name}_ratio": events.ratio,
            f"{name}_test": run.trace.last(0).get("test/accuracy"),
            f"{name}_best_test": float(curve(run.trace, "test/accuracy")[1].max()),
            f"{name}_last_step": events.last_step,
        }
    return found


PAPERS_OWN = {"p": 113, "fraction": 0.3, "width": 128, "lr": 1e-3, "softmax": "float32", "steps": 40_000, "tail": 0.0}
SMALLER = {"p": 59, "fraction": 0.5, "width": 64, "lr": 3e-3, "softmax": "safe", "steps": 3500, "tail": 2.5}
TINY = {"p": 13, "fraction": 0.7, "width": 16, "lr": 1e-2, "softmax": "safe", "steps": 250, "tail": 0.5}

MAINLINE = Study(
    name="mainline",
    about="one network with weight decay 1, read by the key frequencies of its end; one without decay beside it",
    observe=mainline,
    sizes={
        "smoke": TINY | {"plain_longer": 1.5, "plain_least": 150},
        "quick": SMALLER | {"plain_longer": 1.5, "plain_least": 1500},
        "paper": PAPERS_OWN | {"plain_longer": None, "plain_least": 0},
    },
)
CONDITIONS = Study(
    name="conditions",
    about="more and less data, and a smaller modulus with weight decay 1 and 5",
    observe=conditions,
    sizes={
        "smoke": TINY | {"more": 0.8, "less": 0.2, "steps": 60, "small": {"p": 11}},
        "quick": SMALLER
        | {"lr": 1e-2, "tail": 0.2, "steps": 1000, "more": 0.8, "less": 0.2}
        | {"small": {"p": 53, "fraction": 0.3, "lr": 5e-3, "steps": 3000}},
        "paper": PAPERS_OWN | {"more": 0.6, "less": 0.2, "small": {"p": 53}},
    },
)
