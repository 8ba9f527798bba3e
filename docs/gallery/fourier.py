"""Fit and Fourier: has the network found the waves?

A network that adds mod p writes its logits as a few waves cos w(a + b − c). The restricted loss keeps the key
frequencies alone and shows the circuit before the test loss does; the excluded loss takes them out, and rises once the
network relies on them. The trap is hindsight: key frequencies are those of the finished network, so neither loss
forecasts anything. A network that was taught random labels has "key" frequencies too, but they explain no variance and
restrict to chance.
"""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grokscope.measures import fourier
from grokscope.report.look import PAGE

p, steps = 43, [1, 2, 4, 7, 10, 14, 20, 28, 40, 56, 80, 110, 150, 200, 270, 360, 480, 640, 800]
pairs = torch.combinations(torch.arange(p), with_replacement=True)  # a ≤ b, so that b + a is no free answer
grid = torch.cartesian_prod(torch.arange(p), torch.arange(p))
rows = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))
train, test = rows.tensor_split([int(0.6 * len(pairs))])
sums, noise = pairs.sum(1) % p, torch.randint(p, (len(pairs),), generator=torch.Generator().manual_seed(1))


def learn(answers):
    """Embedding, logits at each of the steps and the last neurons on the grid, of relu((E_a + E_b) W) V."""
    shapes, generator = ((p, 24), (24, 96), (96, p)), torch.Generator().manual_seed(0)
    E, W, V = (torch.randn(m, n, generator=generator, dtype=torch.float64) / 24**0.5 for m, n in shapes)
    optimizer = torch.optim.AdamW([x.requires_grad_() for x in (E, W, V)], lr=0.01, betas=(0.9, 0.98), weight_decay=2)
    neurons, seen = (lambda x: ((E[x[:, 0]] + E[x[:, 1]]) @ W).relu()), []
    for step in range(1, steps[-1] + 1):
        optimizer.zero_grad()
        F.cross_entropy(neurons(pairs[train]) @ V, answers[train]).backward()
        optimizer.step()
        if step in steps:
            seen.append((neurons(grid) @ V).detach().view(p, p, p))
    return E.detach(), seen, neurons(grid).detach().view(p, p, -1)


figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("The restricted loss falls before the test loss, and only where there is a circuit", x=0.01, ha="left")
panels = zip(figure.subplots(1, 2, sharey=True), ("a + b mod 43", "random labels"), (sums, noise), strict=True)
for axes, name, answers in panels:
    E, seen, neurons = learn(answers)
    keys = fourier.key_frequencies(neurons, min_share=0.05)
    curves = {"test": [], "train": [], "excluded": [], "restricted": []}
    for logits in seen:
        mean, z = fourier.mean_over_sums(logits), logits[pairs[:, 0], pairs[:, 1]]
        without = z - fourier.keep_frequencies(mean, keys)[sums]
        curves["test"].append(F.cross_entropy(z[test], answers[test]))
        curves["train"].append(F.cross_entropy(z[train], answers[train]))
        curves["excluded"].append(F.cross_entropy(without[train], answers[train]))
        curves["restricted"].append(fourier.restricted_loss(mean, keys))
    for line, values in curves.items():
        axes.loglog(steps, values, color=PAGE[line].light)
        at = {"excluded": 1.3, "train": 0.75}.get(line, 1.0)  # where two would meet
        axes.text(steps[-1] * 1.1, values[-1] * at, line, color=PAGE[line].light, va="center")
    axes.set(
        title=f"{name}, {len(keys)} key frequencies of {p // 2}",
        xlabel="optimizer step",
        xlim=(10, 800),
        ylim=(0.01, 15),
    )
    accuracy = (z[test].argmax(1) == answers[test]).double().mean()
    print(f"{name}: test accuracy {accuracy:.2f}")
    print(f"  power of a neuron in its own frequency {fourier.neuron_frequencies(neurons)[1].mean():.2f}")
    print(f"  logit variance that key frequencies explain {fourier.variance_explained(logits, mean, keys):.2f}")
    print(f"  Gini of the embedding {fourier.fourier_gini(E):.2f}")
figure.axes[0].set_ylabel("loss (nats)")
