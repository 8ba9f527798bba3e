"""Your own loop, watched: two lines more, and it says whether to wait. Some seconds on a laptop."""

import torch
from torch import nn
from torch.nn import functional as F

import grokscope

torch.manual_seed(0)
p = 31
pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
inputs, sums = F.one_hot(pairs, p).flatten(1).float(), pairs.sum(1) % p
train, test = torch.randperm(len(pairs)).tensor_split([600])

model = nn.Sequential(nn.Linear(2 * p, 128), nn.ReLU(), nn.Linear(128, p))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)

monitor = grokscope.Monitor(  # the first line
    model,
    optimizer,
    probe=(inputs[train], sums[train]),
    validation=(inputs[test], sums[test]),
    max_overhead=0.2,  # a step of this model takes less than a millisecond; 0.03 is for real ones
    folder="runs/watched",
    on_phase_change=lambda name: print(f"step {monitor.at}: {name}"),
)

for _ in range(4000):
    loss = F.cross_entropy(model(inputs[train]), sums[train])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    monitor.step(loss)  # the second
    if monitor.should_stop():
        break

print(monitor.advice)
print(f"{monitor.phases.label}; looking took {monitor.overhead:.1%} of the time")
print("page:", monitor.report("runs/watched.html"))
