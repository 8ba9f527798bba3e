"""What we look at: a snapshot of one member, and the measures that are functions of it."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grokscope.measures.irreps import find_group
from grokscope.models.base import Encoding, Network
from grokscope.models.moe import MixtureNetwork
from grokscope.objectives import Objective
from grokscope.sources import Source
from grokscope.spec import Spec
from grokscope.tasks.base import Split, Task
from grokscope.trace import Quantity

Values = Mapping[str, float | NDArray[np.generic]]
BATCH_ROWS = 15_000  # rows per forward pass of a look: bounds memory; the tables of a pass are made once per batch


@dataclass
class Snapshot:
    """One member at one step. What several measures need is computed once, when first asked for."""

    step: int
    network: Network
    """Holds this member's weights; a measure must leave them, and the train/eval mode, as they are."""
    task: Task
    split: Split
    encoding: Encoding
    objective: Objective
    final: "Snapshot | None" = None
    """The finished run, for measures in hindsight; None while training."""
    initial: Callable[[], Mapping[str, Tensor]] | None = None
    """This member's weights at step 0 by parameter name, made when asked for; None where they are not known."""
    _cache: dict[str, Tensor] = field(default_factory=dict)

    @property
    def logits_NRV(self) -> Tensor:
        """Logits of the whole table at every read position."""
        if "logits" not in self._cache:
            with torch.no_grad():
                parts = [self.network(tokens) for tokens in self.encoding.tokens_NL.split(BATCH_ROWS)]
            self._cache["logits"] = torch.cat(parts)
        return self._cache["logits"]

    @property
    def answer_logits_NC(self) -> Tensor:
        """Logits of the answers alone, where they are asked for."""
        return self.logits_NRV[:, self.encoding.answer_row, self.encoding.answers]

    @property
    def targets_NR(self) -> Tensor:
        """Wanted tokens, with this member's answers."""
        if "targets" not in self._cache:
            self._cache["targets"] = self.encoding.targets(self.split.answers_N)
        return self._cache["targets"]

    def activations(self, name: str) -> Tensor:
        """Output of the submodule ``name`` on the whole table, (N, …), as a forward hook sees it."""
        if name not in self._cache:
            seen: list[Tensor] = []
            handle = self.network.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(out))
            try:
                with torch.no_grad():
                    logits = [self.network(tokens) for tokens in self.encoding.tokens_NL.split(BATCH_ROWS)]
            finally:
                handle.remove()
            self._cache.setdefault("logits", torch.cat(logits))
            self._cache[name] = torch.cat(seen)
        return self._cache[name]

    def gradients(self, split: str) -> dict[str, Tensor]:
        """Gradient of the mean loss on a split, by parameter name; ``.grad`` fields are not touched."""
        rows = self.split.rows[split]
        names = [name for name, _ in self.network.named_parameters()]
        leaves = {name: p.detach().requires_grad_() for name, p in self.network.named_parameters()}
        with torch.enable_grad():
            logits = torch.func.functional_call(self.network, leaves, (self.encoding.tokens_NL[rows],))
            loss = self.objective(logits, self.targets_NR[rows])
            return dict(zip(names, torch.autograd.grad(loss, list(leaves.values())), strict=True))


class Measure(Spec):
    """A pure function of a snapshot, for one member; the loop lifts it over members.

    Class attributes declare the facts that report, docs and monitor read: ``quantities`` (key,
    unit, range), ``needs``, ``cost`` and ``sources``.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Of :data:`NEEDS`; where one is not met the measure is skipped and the reason recorded."""
    cost: ClassVar[float] = 0.0
    """Time of one look in forward passes over the whole table, beyond the shared logits."""
    every: ClassVar[int] = 1
    """Taken on every k-th look, and always on the last."""
    quantities: ClassVar[tuple[Quantity, ...]] = ()
    sources: ClassVar[tuple[Source, ...]] = ()

    @property
    def in_hindsight(self) -> bool:
        """Whether the measure waits for the finished run."""
        return any(quantity.hindsight for quantity in self.quantities)

    @abstractmethod
    def __call__(self, snapshot: Snapshot) -> Values:
        """The values by key; arrays for keys declared as arrays."""


NEEDS = {
    "cyclic group": lambda task, network: task.cyclic_order is not None,
    "embedding": lambda task, network: network.embedding_PD() is not None,
    "neurons": lambda task, network: bool(network.neurons),
    "linear readout": lambda task, network: network.neuron_to_logit_HC() is not None,
    "routers": lambda task, network: isinstance(network, MixtureNetwork),
    "commutative task": lambda task, network: task.commutative,
    "group": lambda task, network: task.group_table is not None and find_group(task.group_table) is not None,
}
_BECAUSE = {
    "cyclic group": "the task is not addition in a cyclic group",
    "embedding": "the model has no embedding of the task's elements",
    "neurons": "the model names no hidden layer",
    "linear readout": "the map from neurons to logits is not linear",
    "routers": "the model has no routers that choose experts",
    "commutative task": "the task's answer depends on the order of its operands",
    "group": "the task is no product in a group whose representations are known: Z_n, D_n, S_n, A_n",
}


def unmet(measure: Measure, task: Task, network: Network) -> str | None:
    """Why a measure cannot look at this task and network; None where it can."""
    for need in sorted(measure.needs):
        if not NEEDS[need](task, network):
            return _BECAUSE[need]
    return None
