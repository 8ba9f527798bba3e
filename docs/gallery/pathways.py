"""Pathways: which experts does a sample take?

A mixture of experts in three layers learns the larger, the smaller, or the difference of two numbers, another one
random answers. A pathway names the experts that hold a sample's routing weight, layer by layer. Read the gap between
pairs of one answer and of two against random labels: all distances rise at first, while samples are memorised, and a
gap opens without a rule too, a smaller one. The trap is consistency, mean over largest cosine: it is 1 for two layers.
"""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grokscope.measures import pathways
from grokscope.report.look import PAGE

P, EXPERTS, ACTIVE, WIDTH, LAYERS, looks = 11, 8, 2, 32, 3, (1, 3, 6, 10, 20, 30, 60, 100, 150, 200)


def network(tokens_NT, embed, routers_LDE, into, out, unembed):
    """Logits of the answers, and of each layer's router; each row goes through its two best experts."""
    x, routed = embed[tokens_NT].sum(1), []
    for layer in range(LAYERS):
        y = F.layer_norm(x, (WIDTH,))
        routed.append(y @ routers_LDE[layer])
        hidden = torch.relu(y @ into[layer]).unflatten(1, (EXPERTS, -1))
        x = x + (pathways.gates(routed[-1], ACTIVE)[..., None] * hidden).flatten(1) @ out[layer]
    return x @ unembed, routed


generator = torch.Generator().manual_seed(0)
a, b, task = torch.cartesian_prod(torch.arange(P), torch.arange(P), torch.arange(3)).T
rule = torch.stack([torch.maximum(a, b), torch.minimum(a, b), (a - b).abs()])[task, torch.arange(len(a))]
noise, order = torch.randint(P, rule.shape, generator=generator), torch.randperm(len(a), generator=generator)
tokens, train, test, sample = torch.stack([a, P + b, 2 * P + task], 1), order[:218], order[218:], order[:120]
shapes = (2 * P + 3, WIDTH), (LAYERS, WIDTH, EXPERTS), (LAYERS, WIDTH, 128), (LAYERS, 128, WIDTH), (WIDTH, P)
start = [torch.randn(shape, generator=generator, dtype=torch.float64) / 7 for shape in shapes]
start[0] *= 7
figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("Pathways of one answer come together, more so where there is a rule", x=0.01, ha="left")
curves, heat = figure.subplots(1, 2)
for name, look, y in (("random\nlabels", "excluded", noise), ("a rule", "accent", rule)):
    weights, within, across = [w.clone().requires_grad_() for w in start], [], []
    optimizer = torch.optim.AdamW(weights, lr=0.005, weight_decay=1.0)
    for step in range(1, looks[-1] + 1):
        if step in looks:
            routed = network(tokens[sample], *weights)[1]
            gates = torch.stack([pathways.gates(logits, ACTIVE) for logits in routed], 1).detach()
            distances = pathways.edit_distances([pathways.pathway(gates_LE) for gates_LE in gates])
            within.append(pathways.distance_within(distances, y[sample]))
            across.append(pathways.distance_across(distances, y[sample]))
        optimizer.zero_grad()
        F.cross_entropy(network(tokens[train], *weights)[0], y[train]).backward()
        optimizer.step()
    right = (network(tokens[test], *weights)[0].argmax(1) == y[test]).double().mean()
    print(f"{name.split()[-1]}: held-out accuracy {right:.1f}, edits across less within {across[-1] - within[-1]:.1f}")
    curves.semilogx(looks, within, color=PAGE[look].light)
    curves.semilogx(looks, across, color=PAGE[look].light, lw=1, ls=(0, (1, 1.5)))
    curves.text(220, within[-1], name, color=PAGE[look].light, va="center")
print(f"a pathway: {pathways.pathway(gates[0])}")
print(f"imbalance of the load: {pathways.imbalance(pathways.load(routed[0], ACTIVE)):.1f} (even 0, one expert 7)")
cosines = pathways.layer_cosines(gates, weights[1].detach().mT)
for count, part in (("three", cosines), ("two", cosines[:, :1])):
    both = pathways.consistency(part).median(), pathways.erraticness(part).median()
    print(f"{count} layers: consistency {both[0]:.1f}, erraticness {both[1]:.1f}")
curves.set(title="distance of pairs; dotted, of two answers", xlabel="optimizer step", ylabel="edits", xlim=(0.9, 600))
shares = torch.stack([gates[rule[sample] == answer].mean(0).flatten() for answer in range(P)])
figure.colorbar(heat.imshow(shares, cmap="Blues", aspect="auto"), ax=heat)
heat.set(title="mean routing weight under the rule", xlabel="experts of each layer", ylabel="answer")
heat.set(xticks=(3.5, 11.5, 19.5), xticklabels=("layer 1", "layer 2", "layer 3"))
heat.grid(False)
