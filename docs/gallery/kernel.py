"""Kernel: lazy or rich?

The tangent kernel says what a small step does to the outputs. Multiplying them by a large α leaves it where it began:
the network is lazy, a linear model around its start, and kernel regression foretells its held-out error. With a small
α it turns towards the labels: the network is rich. Read the alignment with held-out labels, the centred kernel
alignment (CKA) with the first kernel, and richness. Two traps: random labels move the kernel as well, so it is the
alignment on held-out rows that tells; and difficulty depends on its ridge, as a rich kernel has few directions left.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

from grokscope.measures import kernel
from grokscope.report.look import PAGE

generator, steps, lr = torch.Generator().manual_seed(0), [0, 1, 2, 4, 7, 12, 20, 35, 60, 100, 200, 400, 1000], 1
x = torch.randn(300, 20, generator=generator, dtype=torch.float64)  # the target sees one direction of these twenty
square, noise = (x[:, 0].square() - 1) / 2**0.5, torch.randn(300, generator=generator, dtype=torch.float64)
train, test, probe = slice(0, 100), slice(100, 300), slice(100, 200)


class Quadratic(nn.Module):
    """α (mean (x W)² − mean (x W₀)²), which starts at 0."""

    def __init__(self, alpha):
        super().__init__()
        first = torch.randn(20, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 20**0.5
        self.alpha, self.first, self.W = alpha, first, nn.Parameter(first.clone())

    def forward(self, x):
        """One output a row."""
        return self.alpha * ((x @ self.W).square() - (x @ self.first).square()).mean(1)


def learn(alpha, y):
    """Gradient descent with a rate of lr/α²: the network, and by step its kernel and held-out error."""
    network, kernels, errors = Quadratic(alpha), [], []
    for step in range(steps[-1] + 1):
        if step in steps:
            kernels.append(kernel.ntk(network, x[probe]))
            errors.append((network(x[test]) - y[test]).square().mean().item())
        (slope,) = torch.autograd.grad((network(x[train]) - y[train]).square().mean(), network.W)
        network.W.data -= lr / alpha**2 * slope
    return network, kernels, errors


figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle(
    "A rich network (α = ½) turns its kernel to the labels, a lazy one (α = 100) does not", x=0.01, ha="left"
)
left, right = figure.subplots(1, 2)
runs = {"rich, α = ½": (0.5, square), "lazy, α = 100": (100.0, square), "random labels, α = ½": (0.5, noise)}
for (name, (alpha, y)), colour in zip(runs.items(), ("restricted", "test", "excluded"), strict=True):
    network, kernels, errors = learn(alpha, y)
    aligned = [kernel.cka(K, torch.outer(y[probe], y[probe])) for K in kernels]
    rich = kernel.richness(network, {"W": network.first}, x[test])
    begin, end = (K / K.diagonal().mean() for K in (kernels[0], kernels[-1]))
    hard = [[kernel.difficulty(K, y[probe], ridge) for K in (begin, end)] for ridge in (1.0, 0.01)]
    print(f"{name}: held-out error {errors[-1]:.2f}, richness {rich:.2f}, CKA {kernel.cka(begin, end):.2f}")
    print(f"  alignment {aligned[0]:.2f} → {aligned[-1]:.2f}, difficulty {hard[0][0]:.0f} → {hard[0][1]:.0f}, ", end="")
    print(f"with a small ridge {hard[1][0]:.0f} → {hard[1][1]:.0f}")
    for axes, values in ((left, errors), (right, aligned)):
        axes.plot(steps, values, color=PAGE[colour].light)
        axes.text(1150, values[-1], name.split(",")[0], color=PAGE[colour].light, va="center")
K = kernel.ntk(Quadratic(100.0), torch.cat([x[train], x[test]]))
foretold = kernel.kernel_prediction(K[100:, :100], K[:100, :100], square[train], time=steps[-1] * lr * 2 / 100 / 100**2)
print(f"kernel regression: held-out error {(foretold - square[test]).square().mean():.2f}")
for axes, label, top in ((left, "held-out error (output²)", 1.5), (right, "alignment with held-out labels", 0.55)):
    axes.set(xscale="symlog", xlim=(0, 1000), xlabel="step of gradient descent", ylabel=label, ylim=(0, top))
