"""Who learns. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.models.base import Encoding, Model, Network
from grokscope.models.mlp import MLP
from grokscope.models.moe import MixtureTransformer
from grokscope.models.transformer import Transformer

MODELS: tuple[type[Model], ...] = (Transformer, MLP, MixtureTransformer)

__all__ = ["MLP", "MODELS", "Encoding", "MixtureTransformer", "Model", "Network", "Transformer"]
