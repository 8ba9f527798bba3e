"""Many models as one: the members of a lane advance together, on flat buffers (S, P).

A lane of one member calls its network directly. A lane of more stacks the weights on a leading axis
and lifts the same forward pass with ``torch.func.vmap``; nothing is written twice. Learning rate,
weight decay, init scale and split may differ per member. The parameters of all members are rows of
one buffer, so an elementwise optimizer is a handful of kernels whatever S is.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.measures.base import Snapshot
from grokscope.models.base import Encoding, Network
from grokscope.seeds import Seeds, stream_seed
from grokscope.tasks.base import Split
from grokscope.training.graphs import Recorded
from grokscope.training.start import first_network

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32, "auto": torch.float32}
"""Precision of the master weights; bfloat16 is applied to products by autocast."""


class Lane:
    """S members that take their steps together.

    Args:
        members: (number, experiment) of each; the experiments differ in per-member fields only and
            have equally many training rows.
        device: where the buffers live.
    """

    def __init__(self, members: Sequence[tuple[int, Experiment]], device: str = "cpu") -> None:
        self.numbers = [number for number, _ in members]
        self.experiments = [experiment for _, experiment in members]
        self.shared = shared = self.experiments[0]
        self.device = torch.device(device)
        dtype = DTYPES[shared.precision]
        self.encoding = _to_device(shared.model.encode(shared.task, shared.task.table), self.device)
        self.splits = [_split_to_device(e.task.divide(e.seeds), self.device) for e in self.experiments]
        self.train_rows = self.splits[0].size("train")
        networks = [first_network(e, self.device, dtype) for e in self.experiments]
        self.probe = networks[0]
        """Structure for snapshots: its parameters are pointed at one member's row."""
        self.network = shared.model.skeleton(shared.task).to(self.device, dtype)
        """Structure for training; a member alone has its weights here."""
        self.shapes = {name: p.shape for name, p in self.probe.named_parameters()}
        self.theta_SP = torch.stack([flatten(network) for network in networks])
        self.state = shared.optimizer.start(self.theta_SP)
        self.changes = [intervention.start(self.theta_SP) for intervention in shared.interventions]
        for change, state in zip(shared.interventions, self.changes, strict=True):
            if change.random:
                roots = [e.streams.get("noise", e.seed) for e in self.experiments]
                seeds = [stream_seed(root, "noise", change.kind) for root in roots]
                state["seed"] = torch.tensor(seeds, device=self.device)
        self.dropping = [change for change in shared.interventions if change.drops and not change.identity]
        self._keys_SK: Tensor | None = None
        self._keys_K: Tensor | None = None
        self._listen()
        self.steps = 0
        self._wire()

    def step(self) -> Tensor:
        """One optimizer step of all members; returns their training losses before it, (S,)."""
        changes = list(zip(self.shared.interventions, self.changes, strict=True))
        kept = self.theta_SP.clone() if any(change.perturbs for change, _ in changes) else None
        with torch.no_grad():
            for change, state in changes if kept is not None else ():
                change.perturb(self.theta_SP, state, self.steps)
        self._keys_SK = self._draw_keys() if self.dropping else None
        losses, grads = self._compute(*self.batch())
        self._keys_SK = None
        with torch.no_grad():
            if kept is not None:
                self.theta_SP.copy_(kept)
            torch.cat([grad.reshape(len(self.numbers), -1) for grad in grads], dim=1, out=self.grad_SP)
            for change, state in changes:
                change.gradient(self.grad_SP, self.theta_SP, state, self.steps)
            lr = self.lr_S1 * self.shared.optimizer.rate(self.steps)
            self.shared.optimizer.update(self.theta_SP, self.grad_SP, self.state, self.steps, lr, self.decay_S1)
            for change, state in changes:
                change.weights(self.theta_SP, state, self.steps)
        self.steps += 1
        return losses.detach()

    def gradients(self) -> dict[str, Tensor]:
        """Of the loss on all training rows, by parameter; members on a leading axis where there are several."""
        _, grads = self._differentiate(*self._stacked)
        return dict(zip(self.leaves, grads, strict=True))

    def snapshot(self, s: int, theta_P: Tensor, step: int, network: Network | None = None) -> Snapshot:
        """What measures see of member ``s`` with the weights ``theta_P``."""
        network = network or self.probe
        point(network, theta_P, self.shapes)
        return Snapshot(
            step,
            network,
            self.experiments[s].task,
            self.splits[s],
            self.encoding,
            self.shared.objective,
            initial=partial(_initial, self.experiments[s], self.device, theta_P.dtype),
        )

    def drop(self, gone: Sequence[int]) -> None:
        """Let members leave the lane, by number; the others go on as if alone."""
        keep = [s for s, number in enumerate(self.numbers) if number not in gone]
        index = torch.tensor(keep, dtype=torch.long, device=self.device)
        self.numbers = [self.numbers[s] for s in keep]
        self.experiments = [self.experiments[s] for s in keep]
        self.splits = [self.splits[s] for s in keep]
        self.theta_SP = self.theta_SP[index].contiguous()
        self.state = {name: buffer[index].contiguous() for name, buffer in self.state.items()}
        self.changes = [{name: buffer[index] for name, buffer in state.items()} for state in self.changes]
        if keep:
            self._wire()

    def load(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Continue from what :meth:`tensors` gave at ``step``."""
        self.theta_SP.copy_(tensors["theta"])
        for key, buffer in self._buffers().items():
            buffer.copy_(tensors[key])
        self.steps = step

    def tensors(self, s: int | None = None) -> dict[str, Tensor]:
        """Weights and optimizer state, of all members or of one, for a checkpoint."""
        rows = slice(None) if s is None else slice(s, s + 1)
        return {"theta": self.theta_SP[rows]} | {key: buffer[rows] for key, buffer in self._buffers().items()}

    def _buffers(self) -> dict[str, Tensor]:
        """State beside the weights, by the name it has in a checkpoint."""
        optimizer = {f"optimizer.{name}": buffer for name, buffer in self.state.items()}
        return optimizer | {f"{i}.{name}": b for i, state in enumerate(self.changes) for name, b in state.items()}

    def _wire(self) -> None:
        """Make the parameters views of the buffer, and gather what each member trains on."""
        count = len(self.numbers)
        self.grad_SP = torch.zeros_like(self.theta_SP)
        self.lr_S1 = self.theta_SP.new_tensor([[e.optimizer.lr] for e in self.experiments])
        self.decay_S1 = self.theta_SP.new_tensor([[e.optimizer.weight_decay] for e in self.experiments])
        self.leaves: dict[str, Tensor] = {}
        if count == 1:
            point(self.network, self.theta_SP[0], self.shapes)
            self.leaves.update(self.network.named_parameters())
        else:
            for name, columns, shape in layout(self.shapes):
                self.leaves[name] = self.theta_SP[:, columns].view(count, *shape).detach().requires_grad_()
        rows = [split.rows["train"] for split in self.splits]
        self._train = [
            (self.encoding.tokens_NL[r], self.encoding.targets(split.answers_N)[r])
            for r, split in zip(rows, self.splits, strict=True)
        ]
        self._stacked = tuple(torch.stack(parts) for parts in zip(*self._train, strict=True))
        self._orders: tuple[int, list[Tensor]] = (-1, [])
        recordable = count > 1 and self.device.type == "cuda" and not self.dropping  # stacked: shapes are fixed
        self._compute = Recorded(self._differentiate) if recordable else self._differentiate

    def _differentiate(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        with self._precision():
            losses = self._losses(tokens, targets)
        return losses, torch.autograd.grad(losses.sum(), list(self.leaves.values()))

    def _losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        def loss(logits_NRV: Tensor, targets_NR: Tensor) -> Tensor:
            for change in self.shared.interventions:
                logits_NRV = change.logits(logits_NRV)
            return self.shared.objective(logits_NRV, targets_NR)

        def one(leaves: dict[str, Tensor], keys_K: Tensor, tokens_NL: Tensor, targets_NR: Tensor) -> Tensor:
            self._keys_K = keys_K
            return loss(functional_call(self.network, leaves, (tokens_NL,)), targets_NR)

        keys_SK = tokens.new_empty(len(tokens), 0) if self._keys_SK is None else self._keys_SK
        try:
            if len(self.numbers) == 1:
                self._keys_K = keys_SK[0]
                return loss(self.network(tokens[0]), targets[0])[None]
            return vmap(one)(self.leaves, keys_SK, tokens, targets)
        finally:
            self._keys_K = None

    def _listen(self) -> None:
        """Let what the layers of the training network write pass through dropout; the one that is looked at has none.

        Raises:
            BadInput: the model names no layers whose output can be dropped.
        """
        if self.dropping and not self.network.written:
            raise BadInput(f"interventions: {self.dropping[0].kind} needs a model that names what its layers write.")
        for layer, name in enumerate(self.network.written if self.dropping else ()):

            def thin(_module: nn.Module, _inputs: object, out: Tensor, layer: int = layer) -> Tensor:
                keys_K = self._keys_K
                if keys_K is None or not len(keys_K):
                    return out
                for i, change in enumerate(self.dropping):
                    out = change.written(out, keys_K[i * len(self.network.written) + layer])
                return out

            self.network.get_submodule(name).register_forward_hook(thin)

    def _draw_keys(self) -> Tensor:
        """One key for each member, dropping intervention and layer, (S, K): of seed, step and layer alone."""
        states = [s for c, s in zip(self.shared.interventions, self.changes, strict=True) if c in self.dropping]
        layers = range(len(self.network.written))
        rows = zip(*(state["seed"].tolist() for state in states), strict=True)
        keys = [[stream_seed(seed, self.steps, layer) for seed in seeds for layer in layers] for seeds in rows]
        return torch.tensor(keys, device=self.device)

    def batch(self) -> tuple[Tensor, Tensor]:
        """(S, B, L) and (S, B, R): everything, or the epoch's next slice in each member's own order.

        The order of an epoch is a stream of its own, so there is nothing to save and nothing to replay.
        """
        size = self.shared.batch_size
        if size is None or size >= self.train_rows:
            return self._stacked[0], self._stacked[1]
        per_epoch = -(-self.train_rows // size)
        epoch, part = divmod(self.steps, per_epoch)
        if self._orders[0] != epoch:
            seeds = [Seeds(e.seed, e.streams) for e in self.experiments]
            orders = [torch.randperm(self.train_rows, generator=s.generator("order", epoch)) for s in seeds]
            self._orders = (epoch, [order.to(self.device) for order in orders])
        rows = [order[part * size : (part + 1) * size] for order in self._orders[1]]
        pairs = [(tokens[r], targets[r]) for r, (tokens, targets) in zip(rows, self._train, strict=True)]
        return torch.stack([t for t, _ in pairs]), torch.stack([t for _, t in pairs])

    def _precision(self) -> AbstractContextManager[object]:
        if self.shared.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def _initial(experiment: Experiment, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights that a member began with, from its stream or another run: nothing has to be kept for them."""
    network = first_network(experiment, device, dtype)
    return {name: p.detach() for name, p in network.named_parameters()}


def layout(shapes: dict[str, torch.Size]) -> Iterator[tuple[str, slice, torch.Size]]:
    """Where each parameter lies in a row of P."""
    start = 0
    for name, shape in shapes.items():
        yield name, slice(start, start + shape.numel()), shape
        start += shape.numel()


def flatten(network: nn.Module) -> Tensor:
    """All parameters of a module as one row (P,), in the module's order."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def point(network: nn.Module, theta_P: Tensor, shapes: dict[str, torch.Size]) -> None:
    """Let a module's parameters be views of a row; nothing is copied."""
    parameters = dict(network.named_parameters())
    for name, columns, shape in layout(shapes):
        parameters[name].data = theta_P[columns].view(shape)


def _to_device(encoding: Encoding, device: torch.device) -> Encoding:
    return Encoding(
        encoding.tokens_NL.to(device), encoding.targets_NR.to(device), encoding.answers, encoding.answer_row
    )


def _split_to_device(split: Split, device: torch.device) -> Split:
    return Split(split.answers_N.to(device), {name: rows.to(device) for name, rows in split.rows.items()})
