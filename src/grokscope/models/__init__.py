"""Who learns. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.models.attention_rate import AttentionRateTransformer
from grokscope.models.base import Encoding, Model, Network
from grokscope.models.dense import Dense
from grokscope.models.mlp import MLP
from grokscope.models.moe import MixtureTransformer
from grokscope.models.transformer import Transformer
from grokscope.models.untied import UntiedMLP

MODELS: tuple[type[Model], ...] = (Transformer, MLP, MixtureTransformer, AttentionRateTransformer, Dense, UntiedMLP)

__all__ = [
    "MLP",
    "MODELS",
    "AttentionRateTransformer",
    "Dense",
    "Encoding",
    "MixtureTransformer",
    "Model",
    "Network",
    "Transformer",
    "UntiedMLP",
]
