"""The reference: training as a notebook writes it, plainly and with no thought of cost.

Every position of every row is computed, heads by einsum, one-hot inputs are multiplied, every expert
sees every token, autograd does the rest, AdamW is torch's with its defaults and a constant rate, the
loss a log-softmax in float64. Written for these comparisons. It computes the same functions as our
networks, and starts from copies of their weights, so that losses and gradients can be held against
each other.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.experiment import Experiment
from grokscope.models import MLP, Network, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import AdamW

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "quadratic": torch.square}


class NotebookTransformer(nn.Module):
    """A decoder over all positions; logits (N, L, V)."""

    def __init__(self, spec: Transformer, network: Network) -> None:
        super().__init__()
        self.spec = spec
        self.weights = {name: nn.Parameter(p.detach().clone()) for name, p in network.named_parameters()}
        for name, parameter in self.weights.items():
            self.register_parameter(name.replace(".", "_"), parameter)
        known: dict[str, Tensor] = dict(network.named_buffers()) | self.weights
        self.positions = known["W_pos"]

    def forward(self, tokens: Tensor) -> Tensor:
        """As the papers write it."""
        w, norm = self.weights, self.spec.norm
        x = w["W_E"][tokens] + self.positions
        for layer in range(self.spec.layers):
            at = f"blocks.{layer}."
            x = x + self.attention(at + "attention.", self.layer_norm(at + "norm_attention", x) if norm == "pre" else x)
            x = self.layer_norm(at + "norm_attention", x) if norm == "post" else x
            x = x + self.mlp(at, self.layer_norm(at + "norm_mlp", x) if norm == "pre" else x)
            x = self.layer_norm(at + "norm_mlp", x) if norm == "post" else x
        x = self.layer_norm("norm_final", x) if norm == "pre" else x
        return x @ w["W_U"]

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        """With its scale and shift."""
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"])

    def attention(self, at: str, x: Tensor) -> Tensor:
        """Heads by einsum, −∞ above the diagonal."""
        width, heads = self.spec.width, self.spec.heads
        w_q, w_k, w_v = (self.weights[at + f"W_{c}"].view(width, heads, width // heads) for c in "QKV")
        q, k, v = (torch.einsum("nld,dhe->nhle", x, w) for w in (w_q, w_k, w_v))
        scores = torch.einsum("nhle,nhme->nhlm", q, k) / (width // heads) ** 0.5
        mask = torch.tril(torch.ones(x.shape[1], x.shape[1], device=x.device))
        pattern = scores.masked_fill(mask == 0, float("-inf")).softmax(-1)
        z = torch.einsum("nhlm,nhme->nlhe", pattern, v).flatten(2)
        return z @ self.weights[at + "W_O"]

    def mlp(self, at: str, x: Tensor) -> Tensor:
        """Two linear maps, or a mixture in which every expert computes every token."""
        names = ("W_in", "b_in", "W_out", "b_out")
        w_in, b_in, w_out, b_out = (self.weights.get(at + name) for name in names)
        assert w_in is not None
        assert w_out is not None
        activate, router = ACTIVATIONS[self.spec.activation], self.weights.get(at + "W_R")
        if router is None:
            h = activate(x @ w_in if b_in is None else x @ w_in + b_in)
            return h @ w_out if b_out is None else h @ w_out + b_out
        logits = x @ router
        top = logits.topk(self.spec.active, -1)  # type: ignore[attr-defined]
        gates = torch.zeros_like(logits).scatter(-1, top.indices, top.values.softmax(-1))
        out = torch.zeros_like(x)
        for e in range(logits.shape[-1]):
            h = activate(x @ w_in[e] if b_in is None else x @ w_in[e] + b_in[e])
            y = h @ w_out[e] if b_out is None else h @ w_out[e] + b_out[e]
            out = out + gates[..., e : e + 1] * y
        return out


class NotebookMLP(nn.Module):
    """Linear layers on concatenated one-hot vectors or embeddings; logits (N, 1, C)."""

    def __init__(self, spec: MLP, network: Network) -> None:
        super().__init__()
        self.spec = spec
        self.weights = {name: nn.Parameter(p.detach().clone()) for name, p in network.named_parameters()}
        for name, parameter in self.weights.items():
            self.register_parameter(name.replace(".", "_"), parameter)

    def forward(self, inputs: Tensor) -> Tensor:
        """``inputs`` are dense one-hot rows (N, 2P), or tokens (N, 2) to be embedded."""
        w, last = self.weights, self.spec.layers
        x = w["W_E"][inputs].flatten(1) if self.spec.inputs == "embedding" else inputs
        for layer in range(last + 1):
            x = x @ w[f"W.{layer}"]
            x = x + w[f"b.{layer}"] if self.spec.bias else x
            x = ACTIVATIONS[self.spec.activation](x) if layer < last else x
        return (x * self.spec.output_scale)[:, None]


class Notebook:
    """The training loop of one experiment.

    Args:
        experiment: AdamW, a transformer or an MLP; what the reference can express.
        test_every_step: also compute the loss of the held-out rows in every step, with its graph, as the
            published loop of Nanda et al. does.
        device: cpu or cuda.
    """

    def __init__(self, experiment: Experiment, test_every_step: bool = False, device: str = "cpu") -> None:
        task, model, optimizer = experiment.task, experiment.model, experiment.optimizer
        assert isinstance(optimizer, AdamW)
        dtype = torch.float64 if experiment.precision == "float64" else torch.float32
        network = model.build(task, experiment.seeds.generator("init")).to(device, dtype)
        split = task.divide(experiment.seeds)
        encoding = model.encode(task, task.table)
        inputs, targets = encoding.tokens_NL, encoding.targets(split.answers_N)
        self.model: nn.Module
        if isinstance(model, Transformer):
            self.model, self.read = NotebookTransformer(model, network), list(network.read)  # type: ignore[arg-type]
        else:
            assert isinstance(model, MLP)
            self.model, self.read = NotebookMLP(model, network), [0]
            if model.inputs == "one-hot":
                inputs = F.one_hot(inputs, task.elements).flatten(1).to(dtype)
        inputs, targets = inputs.to(device), targets.to(device)
        self.experiment, self.test_every_step, self.steps = experiment, test_every_step, 0
        self.train_inputs, self.train_targets = inputs[split.rows["train"]], targets[split.rows["train"]]
        self.test_inputs, self.test_targets = inputs[split.rows["test"]], targets[split.rows["test"]]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=optimizer.lr,
            betas=optimizer.betas,
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy by a log-softmax in float64, or the mean square."""
        logits = self.model(inputs)[:, self.read]
        if isinstance(self.experiment.objective, CrossEntropy):
            logprobs = torch.log_softmax(logits.double(), -1)
            return -logprobs.gather(-1, targets[..., None]).mean()
        return F.mse_loss(logits, F.one_hot(targets, logits.shape[-1]).to(logits.dtype))

    def batch(self) -> tuple[Tensor, Tensor]:
        """Everything, or rows drawn anew."""
        size = self.experiment.batch_size
        if size is None:
            return self.train_inputs, self.train_targets
        rows = torch.randperm(len(self.train_inputs))[:size]
        return self.train_inputs[rows], self.train_targets[rows]

    def step(self) -> float:
        """One step of training; the loss before it."""
        loss = self.loss(*self.batch())
        if self.test_every_step:
            self.loss(self.test_inputs, self.test_targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.item()

    def gradients(self) -> dict[str, Tensor]:
        """Of the loss on all training rows, by the name that the weight has in our network."""
        self.optimizer.zero_grad()
        self.loss(self.train_inputs, self.train_targets).backward()
        weights: dict[str, Tensor] = self.model.weights  # type: ignore[assignment]
        return {name: w.grad for name, w in weights.items() if w.grad is not None}
