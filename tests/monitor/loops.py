"""Small trainings that the monitor is put on."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.monitor import Monitor

P = 11
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SUMS = PAIRS.sum(1) % P
ORDER = torch.randperm(len(PAIRS), generator=torch.Generator().manual_seed(0))
TRAIN, TEST = ORDER[:70], ORDER[70:]


def batch(rows):
    return PAIRS[rows], SUMS[rows]


class Adder(nn.Module):
    """Has everything that a look could disturb: dropout, running means, a submodule that stays in eval mode."""

    def __init__(self, width=32, dropout=0.1):
        super().__init__()
        self.embed = nn.Embedding(P, width)
        self.norm = nn.BatchNorm1d(2 * width)
        self.frozen = nn.BatchNorm1d(2 * width).eval()
        self.hidden = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(width, P)

    def forward(self, x):
        h = self.frozen(self.norm(self.embed(x).flatten(1)))
        return self.out(self.drop(torch.relu(self.hidden(h))))


def made(seed=0, **settings):
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    model = Adder(**settings)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)


def watched(model, optimizer, **settings):
    return Monitor(model, optimizer, batch(TRAIN), **{"validation": batch(TEST), "max_overhead": 10.0} | settings)


def update(model, optimizer, monitor=None, rows=None, scale=1.0):
    rows = TRAIN[torch.randperm(len(TRAIN))[:32]] if rows is None else rows
    loss = F.cross_entropy(model(PAIRS[rows]), SUMS[rows]) * scale
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if monitor is not None:
        monitor.step(loss)
    return loss


def everything(model, optimizer):
    """All that a monitor might change, as comparable values."""
    moments = [v.clone() for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    state = [v.clone() for v in model.state_dict().values()]
    modes = [part.training for part in model.modules()]
    rng = [
        torch.get_rng_state(),
        torch.tensor(random.getstate()[1]),
        torch.tensor(np.random.get_state()[1].astype(int)),
    ]
    return [*state, *moments, *rng], modes


def updates(count, model, optimizer, monitor, rows=None):
    for _ in range(count):
        update(model, optimizer, monitor, rows)
