"""Landscape: how flat, how singular, how noisy?

Lanczos gives both ends of the Hessian's spectrum, random signs its trace, and SGLD the local learning coefficient
(LLC): half the number of directions at a quadratic minimum, a quarter at a quartic one. The noise scale is the batch
at which noise and signal of the gradient weigh the same. Two traps: steps of finite size push the LLC up, along a
curvature k by 1/(1 − εk/4); and cross-entropy flattens as margins grow. Of the three networks on the right, the one
that memorised has the least curvature and the steepest walls.
"""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grokscope.measures import curvature, landscape, llc
from grokscope.models import MLP
from grokscope.report.look import PAGE
from grokscope.tasks import ModularArithmetic

generator, origin = torch.Generator().manual_seed(0), torch.zeros(20, dtype=torch.float64)
figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("SGLD finds known coefficients; the network that memorised has least curvature", x=0.01, ha="left")
left, right = figure.subplots(1, 2)
cases = (
    ("quadratic", 10, lambda w: w.square().sum() / 2, 2e-4, "restricted"),
    ("the same, long steps", 10, lambda w: w.square().sum() / 2, 8e-4, "excluded"),
    ("quartic", 5, lambda w: w.pow(4).sum(), 1e-3, "test"),
)
for name, known, loss, step, colour in cases:
    sampler = llc.Sampler(step=step, localization=1.0, chains=4, burn_in=150, draws=500)
    found = llc.learning_coefficient(loss, origin, 1000.0, sampler, generator)
    widened = "" if name == "quartic" else f", at this step {known / (1 - step * 1001 / 4):.1f}"
    print(f"LLC, {name}: known {known}{widened}, measured {found.value:.1f}, R-hat {found.r_hat:.2f}")
    running = 1000.0 * found.losses_CT.mean(0).cumsum(0) / torch.arange(1, 501)
    left.semilogx(torch.arange(1, 501), running, color=PAGE[colour].light)
    left.axhline(known, color=PAGE["faint"].light, lw=0.8, ls=":")
    left.text(560, running[-1], name, color=PAGE[colour].light, va="center")
product = curvature.hessian_product(lambda w: (torch.arange(1, 21) * w.square()).sum() / 2, origin)
values, _, _ = curvature.lanczos(product, torch.randn(20, generator=generator, dtype=torch.float64))
trace, _ = curvature.hutchinson(product, origin, 4, generator)
print(f"eigenvalues 1, 2 … 20: measured {values[-1]:.2f} … {values[0]:.2f}, trace {trace:.1f}")
batches = 1 + 2 * torch.randn(2000, 20, generator=generator) / 8**0.5  # 8 examples each, of variance 4 about 1
print(f"noise scale: known 4, measured {landscape.noise_scale(batches, 8).scale:.1f}")

p = 23
pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
train, test = torch.randperm(p * p, generator=generator).tensor_split([350])
sums, noise = pairs.sum(1) % p, torch.randint(p, (p * p,), generator=generator)
model, task = MLP(hidden=64, activation="quadratic", bias=False), ModularArithmetic(modulus=p)
reach = torch.linspace(-1, 1, 41, dtype=torch.float64)
runs = {"grokked": (sums, 1, "test", 0.6), "memorised": (sums, 0, "excluded", 1.8), "random": (noise, 1, "train", 1)}
for name, (answers, decay, colour, place) in runs.items():
    network = model.build(task, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=decay)
    for _ in range(500):
        optimizer.zero_grad()
        F.cross_entropy(network(pairs[train])[:, 0], answers[train]).backward()
        optimizer.step()
    loss, theta = curvature.flat_loss(network, lambda z, y: F.cross_entropy(z[:, 0], y), pairs[train], answers[train])
    trace, _ = curvature.hutchinson(curvature.hessian_product(loss, theta), theta, 20, generator)
    right_N = network(pairs[test])[:, 0].argmax(1) == answers[test]
    print(f"{name}: test accuracy {right_N.double().mean():.2f}, trace of the Hessian {trace:.2f}")
    direction = curvature.filter_direction(network, torch.Generator().manual_seed(1), output_axis=-1)
    heights = curvature.loss_slice(loss, theta, direction, reach)
    right.semilogy(reach, heights, color=PAGE[colour].light)
    right.text(1.05, heights[-1] * place, name, color=PAGE[colour].light, va="center")
left.set(xlabel="draws of each chain", ylabel="LLC, estimate so far", xlim=(1, 500), ylim=(0, 14))
right.set(xlabel="random direction, in lengths of the weights", ylabel="training loss (nats)", xlim=(-1, 1))
