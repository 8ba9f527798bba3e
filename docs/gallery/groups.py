"""Groups: which representations, and clock or pizza?

On a group's product the logits are a combination of characters χ(a b c⁻¹), and the variance in each irreducible
representation says which ones the network uses. On addition mod p its neurons become waves whose phases add up.
Distance irrelevance is low for the pizza, whose correct logits fade with a − b, and high for the clock. The trap:
noise has one of nearly 1 too, so look at the variance explained, or at the phases, before calling anything a clock.
"""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grokscope.measures import groups, irreps
from grokscope.report.look import PAGE

# Logits on S5 with a variance of 4 in one representation, 1 in another, and 1 of noise.
s5, generator = irreps.symmetric(5), torch.Generator().manual_seed(0)
names, quotient = [irrep.name for irrep in s5.irreps], s5.quotients_GG[s5.table_GG]  # a b c⁻¹ for all a, b, c
noise = torch.randn(quotient.shape, generator=generator, dtype=torch.float64)
signal = 2 * s5.characters_IG[names.index("4+1")][quotient] + s5.characters_IG[names.index("3+2")][quotient]
shares = {}
for name, logits in {"constructed": signal + noise, "noise": noise}.items():
    shares[name] = groups.variance_shares(logits, groups.mean_over_products(logits, s5), s5)
    print(f"S5, {name}: variance explained {shares[name].sum():.2f}, key irreps {groups.key_irreps(shares[name])}")

p = 31
a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).T
inputs, sums = torch.cat([F.one_hot(a, p), F.one_hot(b, p)], 1).double(), (a + b) % p
train, test = torch.randperm(p * p, generator=generator).chunk(2)


def learn(answers):
    """Weights and logits of (x W)² V, trained on half of the pairs."""
    W = torch.randn(2 * p, 96, generator=generator, dtype=torch.float64).mul_(0.1).requires_grad_()
    V = torch.randn(96, p, generator=generator, dtype=torch.float64).mul_(0.1).requires_grad_()
    optimizer = torch.optim.AdamW([W, V], lr=1e-2, betas=(0.9, 0.98), weight_decay=1.0)
    for _ in range(600):
        optimizer.zero_grad()
        F.cross_entropy((inputs[train] @ W).square() @ V, answers[train]).backward()
        optimizer.step()
    return W.detach(), V.detach(), ((inputs @ W).square() @ V).detach()


differences = {}
for name, answers in {"a + b mod 31": sums, "random labels": torch.randint(p, sums.shape, generator=generator)}.items():
    W, V, logits = learn(answers)
    D = differences[name] = groups.phase_differences(W[:p], W[p:], V.T)
    right = (logits[test].argmax(1) == answers[test]).double().mean()
    print(f"{name}: test accuracy {right:.2f}, IPR {groups.inverse_participation(W[:p]).mean():.2f}, ", end="")
    print(f"misalignment of phases {groups.phase_misalignment(D):.2f}, ", end="")
    correct = logits.gather(1, sums[:, None]).view(p, p)
    print(f"distance irrelevance {groups.distance_irrelevance(correct):.2f}")
pizza = torch.cos(torch.pi * 3 * (a - b) / p).abs().view(p, p)
print(f"a pizza, |cos(w(a − b)/2)|: distance irrelevance {groups.distance_irrelevance(pizza).abs():.2f}")

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("Two irreps write these logits; the phases of neurons that grokked add up", x=0.01, ha="left")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
left.bar(names, shares["constructed"].tolist(), color=PAGE["accent"].light, width=0.6)
left.hlines([4 / 6, 1 / 6], [0.5, 1.5], [1.5, 2.5], color=PAGE["ink"].light, lw=1)
left.text(1.6, 4 / 6, "known: 4/6", va="center")
left.text(2.6, 1 / 6, "known: 1/6", va="center")
left.tick_params(axis="x", rotation=90)
left.grid(False)
left.set(title="Logits on S5", xlabel="irreducible representation", ylabel="share of the variance")
for (name, D), colour, place in zip(differences.items(), ("test", "excluded"), ((0.45, 55), (1.1, 12)), strict=True):
    right.hist(D, bins=31, range=(-torch.pi, torch.pi), histtype="step", color=PAGE[colour].light, lw=1.6)
    right.text(*place, name, color=PAGE[colour].light)
right.set_xticks([-torch.pi, 0, torch.pi], ["−π", "0", "π"])
right.set(title="Phase of output minus phases of inputs", xlabel="φ_out − φ_a − φ_b (radians)", ylabel="neurons")
