"""What we change on purpose. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.interventions.base import Intervention
from grokscope.interventions.gradient import SlowGradient
from grokscope.interventions.weights import HoldNorm

INTERVENTIONS: tuple[type[Intervention], ...] = (SlowGradient, HoldNorm)

__all__ = ["INTERVENTIONS", "HoldNorm", "Intervention", "SlowGradient"]
