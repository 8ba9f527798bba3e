"""Memorisation: how many bits does it hold?

Random labels have no rule, so every bit by which a network predicts them better than chance is memorised.
Train one small network on more and more random labels: the bits it holds rise with the data set, then bend,
and the bend is the capacity of this learner in this time, a lower bound that rises with longer training.
Read off where the curve leaves the diagonal, and that membership is told worse from there on. The trap is
luck: rows never trained on score bits too, because a coder that holds the reference never pays for mistakes.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from grokscope.measures import memorization
from grokscope.report.look import PAGE

CLASSES, WIDTH, LOOKS, rows = 16, 16, (50, 150, 450), [32, 64, 128, 256, 512, 1024]
held, unseen, f1 = ({step: [] for step in LOOKS} for _ in range(3))
for n in rows:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(2 * n, WIDTH, generator=generator).double()
    y = torch.randint(CLASSES, (2 * n,), generator=generator)  # the second half is never trained on
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(1, LOOKS[-1] + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[:n]), y[:n]).backward()
        optimizer.step()
        if step in LOOKS:
            log_p = memorization.log_probability(net(x).detach()[:, None], y[:, None])
            bits = memorization.memorised_bits(log_p, -math.log(CLASSES))
            held[step].append(bits[:n].sum().item())
            unseen[step].append(bits[n:].sum().item())
            f1[step].append(memorization.membership_f1(log_p[:n], log_p[n:]))
parameters = sum(p.numel() for p in net.parameters())
data_bits = np.array([memorization.dataset_bits(n, CLASSES) for n in rows])
law = [memorization.membership_law(k / parameters) for k in data_bits]
fits = [memorization.fit_capacity(data_bits, held[step]) for step in LOOKS]
for step, fit in zip(LOOKS, fits, strict=True):
    print(f"bits per parameter held after {step} steps: {memorization.bits_per_parameter(fit.bits, parameters):.1f}")
print(f"share held of the smallest data set: {held[450][0] / data_bits[0]:.2f}, known by heart 1")
print(f"bits of 1024 rows never trained on: {unseen[450][-1] / held[450][-1]:.1f} of those held, by luck alone")
print(f"membership F1 at 32 rows: {f1[450][0]:.2f}, apart 1")
print(f"membership F1 at 1024 rows: {f1[450][-1]:.1f}, chance 0.5, law fitted to text models {law[-1]:.2f}")

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("Memorised bits hardly rise beyond the capacity, and members are harder to tell", x=0.01, ha="left")
soft, blue, red = (PAGE[name].light for name in ("soft", "accent", "excluded"))
held_by, told_by = figure.subplots(1, 2)
held_by.plot(data_bits, data_bits, color=soft, lw=1, ls=(0, (1, 1.5)))
held_by.text(1370, 1240, "all labels known", color=soft)
for step, alpha, height in zip(LOOKS, (0.45, 0.7, 1), (720, 925, 1090), strict=True):
    held_by.plot(data_bits, held[step], "o-", ms=3.5, color=blue, alpha=alpha)
    held_by.text(2900, height, f"{step} steps", color=blue, alpha=alpha, va="center", ha="right")
held_by.plot(data_bits, unseen[450], color=red)
held_by.text(4100, 95, "rows never trained on: luck", color=red, ha="right")
held_by.set(xlabel="bits in the labels", ylabel="memorised bits", ylim=(0, 1350), xlim=(0, 4250))
told_by.axhline(0.5, color=soft, lw=1, ls=(0, (1, 1.5)))
told_by.text(0.22, 0.515, "chance", color=soft)
told_by.semilogx(data_bits / parameters, f1[450], "o-", ms=3.5, color=blue)
told_by.text(2.4, 0.8, "measured", color=blue, ha="right")
told_by.semilogx(data_bits / parameters, law, color=soft, lw=1.2, ls=(0, (4, 2)))
told_by.text(7.6, 1.015, "law fitted to language models", color=soft, ha="right")
told_by.set(xlabel="bits in the labels per parameter", ylabel="membership F1", ylim=(0.45, 1.06))
told_by.set_xticks([0.3, 1, 3], ["0.3", "1", "3"])
told_by.minorticks_off()
