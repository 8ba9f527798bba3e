"""Who learns. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.models.base import Encoding, Model, Network
from grokscope.models.mlp import MLP
from grokscope.models.transformer import Transformer

MODELS: tuple[type[Model], ...] = (Transformer, MLP)

__all__ = ["MLP", "MODELS", "Encoding", "Model", "Network", "Transformer"]
