"""Representation: what shape have the embeddings taken?

Spectra say how many directions carry the variance; the representation quality index (RQI) is the share of equal sums
that are equal vectors; circularity says how far the principal components are waves. On a line all equal sums are equal
vectors. On a circle few are, which is no fault: there a + b is a sum of angles. The trap is to take one of these
numbers for quality, or for a shape: a line is mostly one slow wave, of circularity 6/π² = 0.61. Another is a linear
probe that is judged on the rows that it was fitted on.
"""

import torch
from matplotlib.figure import Figure

from grokscope.measures import representation, spectrum
from grokscope.report.look import PAGE

p, generator = 59, torch.Generator().manual_seed(0)
x = torch.arange(p, dtype=torch.float64)
angle = 2 * torch.pi * x / p
axes_2D = torch.linalg.qr(torch.randn(16, 2, generator=generator, dtype=torch.float64)).Q.T
embeddings = {
    "a line": torch.stack([x / p, 0 * x], 1) @ axes_2D,
    "a circle": torch.stack([angle.cos(), angle.sin()], 1) @ axes_2D,
    "noise": torch.randn(p, 16, generator=generator, dtype=torch.float64),
}
table = torch.cartesian_prod(torch.arange(p), torch.arange(p))  # a + b, without a modulus
pairs, sums, known = representation.unordered_pairs(table, table.sum(1), torch.arange(0, p * p, 2))

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle(
    "A line adds by vectors, a circle by angles, and noise not at all (first two principal axes)", x=0.01, ha="left"
)
for axes, (name, embedding) in zip(figure.subplots(1, 3), embeddings.items(), strict=True):
    dimension = spectrum.effective_rank(spectrum.covariance_eigenvalues(embedding))
    rqi = representation.rqi(embedding, pairs, sums)
    attraction = representation.effective_loss(embedding, pairs, sums, known)
    circle = representation.circularity(embedding)
    print(f"{name}: effective dimension {dimension:.2f}, RQI {rqi:.3f}, circularity {circle:.2f}, ", end="")
    print(f"effective loss {attraction:.3f}")
    centred = spectrum.centred(embedding)
    y = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    y = y / y.abs().max()
    axes.plot(*y.T, color=PAGE["rule"].light, lw=0.6)
    axes.scatter(*y.T, c=x, cmap="twilight" if name == "a circle" else "viridis", s=14, zorder=2)
    axes.set(title=name, aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[])
    axes.set_xlabel(f"dimension {dimension:.1f} · RQI {rqi:.2f} · circularity {circle:.2f}")
    axes.spines[:].set_visible(False)

features = torch.randn(400, 200, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (400,), generator=generator)
for name, rows in {"its own rows": slice(0, 200), "held-out rows": slice(200, 400)}.items():
    accuracy = spectrum.linear_probe(features[:200], labels[:200], features[rows], labels[rows])
    print(f"a probe for random labels in noise, on {name}: accuracy {accuracy:.1f}")
