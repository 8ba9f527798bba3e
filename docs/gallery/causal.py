"""Causal: which part carries the answer?

A transformer of three layers learns a + b mod 5 next to a third number c that does not matter. One state at a time is
given the value that it has when a is another number; the share of answers that change says how far it carries a.
Read the trace: it leaves a's own place and arrives where the answer is read, while that of c is 0 throughout. Of a
parity of three bits written into four of 64 neurons the active subnetwork is these four; of random weights, most. The
trap is how a part is taken away: its mean and another row's value ask different things, far apart for the MLPs here.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from grokscope.measures import causal, lens, subnetwork
from grokscope.report.look import PAGE

P, WIDTH, LAYERS = 5, 32, 3
torch.manual_seed(0)
layers = [nn.TransformerEncoderLayer(WIDTH, 4, 64, 0.0, batch_first=True, norm_first=True) for _ in range(LAYERS)]
net = nn.Sequential(nn.Embedding(3 * P + 1, WIDTH), *layers, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, P, bias=False))
net, numbers = net.double(), torch.cartesian_prod(*[torch.arange(P)] * 3)  # its layers are named 1, 2 and 3
places = torch.tensor([0, P, 2 * P])  # each place has tokens of its own, the last token is "="
tokens, sums = nn.functional.pad(numbers + places, (0, 1), value=3 * P), numbers[:, :2].sum(1) % P
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
for _ in range(80):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(tokens)[:, -1], sums).backward()
    optimizer.step()
whole, trace = net(tokens).detach()[:, -1], {}
print(f"accuracy: {(whole.argmax(1) == sums).double().mean():.2f}")
for place, name in ((0, "a"), (2, "c")):
    other, shift = tokens.clone(), torch.randint(1, P, sums.shape, generator=torch.Generator().manual_seed(0))
    other[:, place] = (numbers[:, place] + shift) % P + P * place
    states = [(str(layer), (slice(None), at), lambda logits: logits[:, -1]) for layer in (1, 2, 3) for at in range(4)]
    trace[name] = np.array([causal.tracing_strength(net, tokens, other, *state) for state in states]).reshape(3, 4)
    print(f"answers changed by a state that saw another {name}: at most {trace[name].max():.2f} ({1 - place // 2})")
for name, logits in lens.lens(net, tokens, "[123]", unembed=net[5], norm=net[4]).items():
    rank = lens.mean_reciprocal_rank(logits[:, -1], sums)
    print(f"logit lens after layer {name}: reciprocal rank of the answer {rank:.2f} (chance 0.46)")
for how in ("mean", "resample"):
    without = causal.ablated(net, tokens, r"\d\.linear1", how)[:, -1]
    print(f"neurons of all MLPs, {how}: {causal.effect(whole, without, sums).changed:.2f} of the answers change")

figure = Figure(figsize=(7.2, 3.2), layout="constrained")
figure.suptitle("The first number moves to where the answer is read; parity needs four neurons", x=0.01, ha="left")
heat, curve = figure.subplots(1, 2)
heat.imshow(trace["a"], cmap="Blues", vmin=0, vmax=1, aspect="auto")
for (layer, at), value in np.ndenumerate(trace["a"]):
    heat.text(at, layer, f"{100 * value:.0f} %", color="w" if value > 0.6 else "k", ha="center", va="center")
heat.set(title="answers changed by a state that saw another a", xlabel="position", ylabel="after layer")
heat.set(xticks=range(4), xticklabels=["a", "b", "c", "="], yticks=range(3), yticklabels=["1", "2", "3"])
heat.grid(False)
bits, generator = torch.cartesian_prod(*[torch.arange(2.0)] * 10), torch.Generator().manual_seed(0)
for name, size, look, at in (("parity", 0.01, "accent", (6, 0.93)), ("random", 1.0, "excluded", (31, 0.7))):
    first, last = size * torch.randn(64, 11, generator=generator), size * torch.randn(64, 1, generator=generator)
    if name == "parity":  # ∓1 for sums 0 to 3 of the first three bits
        first[10:14, :10] = (torch.arange(10) < 3).float()
        first[10:14, 10], last[10:14, 0] = torch.tensor([1.0, 0, -1, -2]), torch.tensor([-1.0, 3, -4, 4])
    neurons, norms = torch.relu(bits @ first[:, :10].T + first[:, 10]), subnetwork.incoming_norms(first[:, :10])
    agreed = subnetwork.agreement_by_size(neurons, last, norms)
    curve.plot(agreed, color=PAGE[look].light)
    curve.text(*at, name, color=PAGE[look].light)
    print(f"active subnetwork, {name}: {subnetwork.smallest_size(agreed)} of 64 neurons")
curve.set(title="rows answered as by all 64 neurons", xlabel="neurons kept, of largest norm", ylabel="share of rows")
