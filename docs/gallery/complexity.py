"""Complexity: how short a file, how bent a function?

One network learns the parity of three of twenty bits, another coin flips for the same inputs. While they memorise, both
need a longer and longer file; only the first one's shrinks, with and after generalisation. Spectra are read against
known ones: independent normal elements end at the Marchenko-Pastur edge, heavy tails do not. The trap is the start:
a network that knows nothing has the shortest file of all. Local complexity is no size: parity's borders lie nearer.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

from grokscope.measures import complexity, heavy_tails, information, regions
from grokscope.measures.spectrum import singular_values
from grokscope.report.look import PAGE

generator = torch.Generator().manual_seed(1)
x = torch.randint(2, (1200, 20), generator=generator).double() * 2 - 1
tasks = {"parity": (x[:, :3].prod(1) > 0).long(), "coin flips": torch.randint(2, (1200,), generator=generator)}
looks, loss = (1, 3, 10, 30, 60, 100, 200, 300, 400, 500, 600, 800), nn.functional.cross_entropy
sizes, right, nets = {"parity": [], "coin flips": []}, {"parity": [], "coin flips": []}, {}
for name, y in tasks.items():
    torch.manual_seed(0)
    net = nets[name] = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2)).double()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=1.0)
    for step in range(1, looks[-1] + 1):
        if step in looks:
            sizes[name].append(complexity.module_description(net, loss, x[:600], y[:600], tolerance=0.05))
            right[name].append((net(x[600:]).argmax(1) == y[600:]).double().mean().item())
        optimizer.zero_grad()
        loss(net(x[:600]), y[:600]).backward()
        optimizer.step()
for name, net in {"a linear map": nn.Linear(20, 2).double(), **nets}.items():
    number = regions.linear_mapping_number(regions.straightness(net, x[:40]))
    near = regions.local_complexity(net, x[:600], generator, radius=0.05).double().sum(1).mean()
    print(f"{name}: linear mapping number {number:.0f} (linear 1), borders of {near:.0f} neurons near a row")
for name, short in sizes["parity"][-1].items():
    print(f"bytes by {name}, coin flips over parity: {sizes['coin flips'][-1][name].size / short.size:.0f}")
gaussian = torch.randn(200, 400, generator=generator)
pareto = gaussian.sign() / torch.rand(200, 400, generator=generator)  # P(|x| > t) = 1/t, eigenvalues' exponent 1.5
planted = gaussian + 0.3 * torch.outer(torch.linspace(-1, 1, 200), torch.linspace(-1, 1, 400))
spectra = [singular_values(w).square() / 400 for w in (gaussian, pareto)]
print(f"tail exponent, Pareto elements: {heavy_tails.power_law(spectra[1]).alpha:.1f} (1.5)")
beyond = heavy_tails.beyond_edge(gaussian), heavy_tails.beyond_edge(planted)
print(f"beyond the edge: normal {beyond[0]} (0), with one direction planted {beyond[1]} (1)")
z = torch.randn(20_000, 4, generator=generator)
copies, parts = z[:, :3] + 2 * z[:, 3:], torch.stack([z[:, 0], z[:, 1], z[:, :3].sum(1)], 1)  # correlations 0.8
for name, samples, theory in (("noisy copies", copies, 0.4), ("a sum and its terms", parts, -0.14)):
    omega = information.o_information(information.correlations(information.normal_scores(samples)))
    print(f"O-information of {name}: {omega:.2f} nats ({theory})")

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle(
    "The file shrinks where there is a rule; normal noise has an edge, heavy tails do not", x=0.01, ha="left"
)
length, spectrum = figure.subplots(1, 2)
soft, colours = PAGE["soft"].light, (PAGE["accent"].light, PAGE["excluded"].light)
for name, colour, at in zip(tasks, colours, ((80, 560), (11, 700)), strict=True):
    length.semilogx(looks, [found["bz2"].size for found in sizes[name]], "o-", ms=3, color=colour)
    length.text(*at, name, color=colour)
learned = next(step for step, share in zip(looks, right["parity"], strict=True) if share > 0.99)
length.axvline(learned, color=soft, lw=1, ls=(0, (1, 1.5)))
length.text(learned, 30, "held-out parity right ", color=soft, ha="right")
length.set(title="description length", xlabel="optimizer step", ylabel="bytes by bz2", ylim=(0, 1000))
spectrum.axvline(heavy_tails.noise_edge(1.0, 400, 200) / spectra[0].median(), color=soft, lw=1, ls=(0, (1, 1.5)))
for values, colour, words in zip(spectra, colours, ((0.25, 0.02, "normal"), (60, 0.14, "Pareto")), strict=True):
    spectrum.loglog(values / values.median(), torch.arange(1, 201) / 200, color=colour)
    spectrum.text(*words, color=colour)
spectrum.text(4.5, 0.006, "edge of noise", color=soft)
spectrum.set(title="spectra of two random matrices", xlabel="eigenvalue / median", ylabel="share of eigenvalues above")
