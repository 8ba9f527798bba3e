"""Precision: does learning stop because numbers end?

A softmax in float32 returns a probability of exactly 1 once the margin passes 24 ln 2 = 16.6 nats (36.7 in float64):
from there on the wanted logit has no gradient. Without weight decay the logits of a network that memorises grow until
they get there, whatever the labels. Read the share of collapsed rows together with margins and logit scale. Two traps:
a share of 1 in float32 says nothing of a loss that is computed otherwise; and a gradient along the weights, the sign
of naive loss minimisation, is no sign of failure by itself, since the network with decay, which generalises, has the
largest cosine.
"""

import math

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grokscope.measures import precision
from grokscope.report.look import PAGE

for kind, bits in ((torch.float32, 24), (torch.float64, 53)):
    edge = bits * math.log(2)
    rows = torch.tensor([[0.99, 0.0], [1.01, 0.0]], dtype=torch.float64) * edge
    below, above = (precision.softmax_collapse(row[None], kind) for row in rows)
    print(f"one rival, {bits} bits: collapsed 1 % below {edge:.1f} nats {below:.0f}, above {above:.0f}")

p, lr, steps = 23, 2e-2, [1, 2, 4, 8, 15, 30, 60, 100, 170, 300, 500, 1000]
a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).T
inputs, sums = torch.cat([F.one_hot(a, p), F.one_hot(b, p)], 1).double(), (a + b) % p
train, test = torch.randperm(p * p, generator=torch.Generator().manual_seed(0)).tensor_split([300])
known, noise = inputs[train], torch.randint(p, sums.shape, generator=torch.Generator().manual_seed(1))

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("Without decay the margins pass what float32 can tell, for random labels too", x=0.01, ha="left")
left, right = figure.subplots(1, 2)
runs = ("decay 1", sums, 1.0, "test"), ("no decay", sums, 0.0, "restricted"), ("random labels", noise, 0.0, "excluded")
for name, answers, decay, colour in runs:
    generator = torch.Generator().manual_seed(0)
    shapes = (2 * p, 64), (64, p)
    W, V = weights = [torch.randn(m, n, generator=generator).double().mul_(0.1).requires_grad_() for m, n in shapes]
    optimizer = torch.optim.AdamW(weights, lr=lr, betas=(0.9, 0.98), eps=1e-15, weight_decay=decay)
    margins, cosines = [], []
    for step in range(1, steps[-1] + 1):
        before = [w.detach().clone() for w in weights]
        optimizer.zero_grad()
        logits = (known @ W).square() @ V
        F.cross_entropy(logits, answers[train]).backward()
        if step in steps:
            margins.append(precision.margins(logits, answers[train]).median())
            cosines.append(precision.alignment(weights, [w.grad for w in weights]))
        optimizer.step()
    share = precision.decay_share(*precision.split_update(before, weights, lr, decay))
    right_M = ((inputs[test] @ W).square() @ V).argmax(1) == answers[test]
    print(f"{name}: test accuracy {right_M.double().mean():.2f}, median margin {margins[-1]:.1f}, ", end="")
    print(
        f"logit scale {precision.logit_scale(logits):.0f}, collapsed {precision.softmax_collapse(logits):.2f}, ", end=""
    )
    print(f"decay in the last step {share:.2f}")
    for axes, values in ((left, margins), (right, cosines)):
        axes.plot(steps, values, color=PAGE[colour].light)
        side = {"no decay": "top", "random labels": "bottom"}.get(name, "center")
        axes.text(1150, values[-1], name, color=PAGE[colour].light, va=side)
left.axhline(24 * math.log(2), color=PAGE["faint"].light, lw=0.8, ls=":")
left.text(1.1, 24 * math.log(2) + 0.3, "float32 collapses", color=PAGE["soft"].light, va="bottom")
for axes in (left, right):
    axes.set(xscale="log", xlim=(1, 1000), xlabel="optimizer step")
left.set(ylabel="median training margin (nats)")
right.set(ylabel="cosine of −gradient and weights", ylim=(0, 1))
