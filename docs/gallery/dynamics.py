"""Dynamics: what does a curve say by itself?

These functions read series that any training log holds; what is printed shows each where the answer is known.
The picture is of a small network, trained twice: in one run the learning rate rises from 0.3 to 4 at step 150.
The residual of dynamic mode decomposition reads only quantiles of the training log-probability. It stays near 0.1,
the share its own cut leaves, while a linear map explains the motion; it is higher while its window holds the change
or the oscillation that follows.
The trap is to read a rise as grokking: here nothing but the learning rate has changed.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from grokscope.measures import dynamics, memorization
from grokscope.report.look import PAGE

t, noise = np.arange(400), np.random.default_rng(0).standard_normal((2, 20_000))
wave = dynamics.spectral_signature(3 * math.sqrt(2) * np.cos(2 * math.pi * t / 20))
print(f"wave: activity {wave.activity:.2f} (known 9), mobility {wave.mobility:.3f} (2π/20 = {math.pi / 10:.3f})")
remembers = [0.0]
for shock in noise[0]:
    remembers.append(0.9 * remembers[-1] + shock)
print(f"lag-1 autocorrelation of AR(0.9): {dynamics.autocorrelation(remembers):.1f} (0.9)")
print(f"lag-1 autocorrelation of noise: {abs(dynamics.autocorrelation(noise[0])):.1f} (0)")
squares = [(1 - 0.1 * 0.02) ** (2 * step) for step in t]  # weight decay alone, lr 0.1 and λ 0.02
kappa = dynamics.contraction_constant(dynamics.contraction_rate(t, squares), lr=0.1, weight_decay=0.02)
print(f"contraction of the squared norm / (2 lr λ): {kappa:.2f} (1)")
pair = [dynamics.sketch(vector, 4096, seed=0) for vector in (noise[0], noise.sum(0))]
turn = dynamics.angle(noise[0], noise.sum(0)), dynamics.angle(*pair)
print(f"angle of u and u + v: {turn[0]:.0f}° (45°), by sketches {turn[1]:.0f}°")
known = dynamics.dmd_residual(np.cos(t[:40] / 3), energy=1), dynamics.dmd_residual(noise[0, :760].reshape(40, 19))
print(f"DMD residual of a wave: {known[0]:.2f} (0), of noise: {known[1]:.1f} (about 0.78)")
norms, losses = 1 + 0.002 * np.clip(t - 150, 0, 50), 1e-4 + 0.5 * (t == 200)
print(f"slingshots: {[s.spike for s in dynamics.slingshots(norms, losses)]} (the spike is at 200)")
print(f"the same spike over a still norm: {dynamics.slingshots(np.ones(400), losses)} (none)")

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("When the learning rate jumps, a linear map explains less of the motion for a while", x=0.01, ha="left")
curve, residual = figure.subplots(1, 2)
for name, late, look in (("0.3 throughout", 0.3, "train"), ("4 from step 150", 4.0, "accent")):
    torch.manual_seed(0)
    x, net = torch.randn(200, 10).double(), nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 2)).double()
    y, loss, quantiles = (x[:, 0] * x[:, 1] > 0).long(), [], []
    for step in range(400):
        logits = net(x)
        loss.append(nn.functional.cross_entropy(logits, y))
        log_p = memorization.log_probability(logits.detach()[:, None], y[:, None])
        quantiles.append(dynamics.quantiles(log_p))
        gradients = torch.autograd.grad(loss[-1], list(net.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(net.parameters(), gradients, strict=True):
                weight -= (0.3 if step < 150 else late) * gradient
    found, loss = dynamics.dmd_residuals(quantiles, window=40), [value.item() for value in loss]
    print(f"learning rate {name}: residual before {found[149]:.1f}, largest after {found[150:].max():.1f}")
    curve.loglog(1 + t, loss, color=PAGE[look].light)
    residual.semilogx(1 + t, found, color=PAGE[look].light)
    curve.text(140, 0.9 if late < 1 else 4, name, color=PAGE[look].light, ha="right")
curve.set(title="training loss, by learning rate", xlabel="optimizer step", ylabel="nats")
residual.set(title="motion of 40 steps not explained", xlabel="optimizer step", ylabel="share", ylim=(0, 0.6))
residual.minorticks_off()
residual.set(xlim=(38, 420), xticks=[40, 100, 200, 400], xticklabels=["40", "100", "200", "400"])
residual.axvspan(151, 190, color=PAGE["mark"].light, lw=0)
residual.text(195, 0.53, "the window\nholds step 150", va="center")
