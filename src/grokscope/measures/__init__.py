"""What we look at. The registry is this tuple; ``package.module:Name`` works wherever a kind does.

Each family's module also holds its formulas as plain functions, usable alone on tensors, series or modules.
"""

from grokscope.measures.base import Measure, Snapshot, unmet
from grokscope.measures.causal import LayerAblation
from grokscope.measures.complexity import DescriptionLength
from grokscope.measures.curvature import Curvature, LossSlice
from grokscope.measures.dynamics import LogProbabilityQuantiles, WeightSketch
from grokscope.measures.fit import Fit
from grokscope.measures.groups import ClockPizza, Irreps, KeyIrreps, NeuronWaves
from grokscope.measures.heavy_tails import HeavyTails
from grokscope.measures.information import OInformation
from grokscope.measures.kernel import Laziness, TangentKernel
from grokscope.measures.landscape import CommutatorDefect, GradientNoise, GradientSize
from grokscope.measures.llc import LocalLearning
from grokscope.measures.memorization import Memorization
from grokscope.measures.norms import Norms
from grokscope.measures.pathways import Pathways
from grokscope.measures.precision import LogitScale, SoftmaxCollapse, UpdateDirection
from grokscope.measures.progress import FourierSparsity, KeyFrequencies
from grokscope.measures.regions import LinearMapping, LocalComplexity
from grokscope.measures.representation import Circularity, NeuralCollapse, Parallelograms, Separation
from grokscope.measures.spectrum import EmbeddingSpectrum, Layers, RepresentationSpectrum
from grokscope.measures.subnetwork import ActiveSubnetwork, IncomingNorms

MEASURES: tuple[type[Measure], ...] = (
    Fit,
    Norms,
    FourierSparsity,
    KeyFrequencies,
    RepresentationSpectrum,
    EmbeddingSpectrum,
    Layers,
    Parallelograms,
    Circularity,
    Separation,
    NeuralCollapse,
    TangentKernel,
    Laziness,
    Curvature,
    LossSlice,
    LocalLearning,
    GradientSize,
    GradientNoise,
    CommutatorDefect,
    SoftmaxCollapse,
    LogitScale,
    UpdateDirection,
    LogProbabilityQuantiles,
    WeightSketch,
    Memorization,
    Pathways,
    ActiveSubnetwork,
    IncomingNorms,
    LayerAblation,
    Irreps,
    KeyIrreps,
    NeuronWaves,
    ClockPizza,
    DescriptionLength,
    HeavyTails,
    OInformation,
    LocalComplexity,
    LinearMapping,
)

__all__ = [
    "MEASURES",
    "ActiveSubnetwork",
    "Circularity",
    "ClockPizza",
    "CommutatorDefect",
    "Curvature",
    "DescriptionLength",
    "EmbeddingSpectrum",
    "Fit",
    "FourierSparsity",
    "GradientNoise",
    "GradientSize",
    "HeavyTails",
    "IncomingNorms",
    "Irreps",
    "KeyFrequencies",
    "KeyIrreps",
    "LayerAblation",
    "Layers",
    "Laziness",
    "LinearMapping",
    "LocalComplexity",
    "LocalLearning",
    "LogProbabilityQuantiles",
    "LogitScale",
    "LossSlice",
    "Measure",
    "Memorization",
    "NeuralCollapse",
    "NeuronWaves",
    "Norms",
    "OInformation",
    "Parallelograms",
    "Pathways",
    "RepresentationSpectrum",
    "Separation",
    "Snapshot",
    "SoftmaxCollapse",
    "TangentKernel",
    "UpdateDirection",
    "WeightSketch",
    "unmet",
]
