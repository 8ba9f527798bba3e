"""What we look at. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.measures.base import Measure, Snapshot, unmet
from grokscope.measures.fit import Fit
from grokscope.measures.norms import Norms
from grokscope.measures.progress import FourierSparsity, KeyFrequencies

MEASURES: tuple[type[Measure], ...] = (Fit, Norms, FourierSparsity, KeyFrequencies)

__all__ = ["MEASURES", "Fit", "FourierSparsity", "KeyFrequencies", "Measure", "Norms", "Snapshot", "unmet"]
