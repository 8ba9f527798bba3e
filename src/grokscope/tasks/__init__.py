"""What is learned. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.tasks.base import Split, Table, Task
from grokscope.tasks.bits import BitwiseXor
from grokscope.tasks.facts import TwoHop
from grokscope.tasks.groups import AlternatingGroup, DihedralGroup, PermutationGroup
from grokscope.tasks.images import Digits
from grokscope.tasks.modular import ModularArithmetic
from grokscope.tasks.parity import SparseParity

TASKS: tuple[type[Task], ...] = (
    ModularArithmetic,
    PermutationGroup,
    TwoHop,
    BitwiseXor,
    SparseParity,
    DihedralGroup,
    AlternatingGroup,
    Digits,
)

__all__ = [
    "TASKS",
    "AlternatingGroup",
    "BitwiseXor",
    "Digits",
    "DihedralGroup",
    "ModularArithmetic",
    "PermutationGroup",
    "SparseParity",
    "Split",
    "Table",
    "Task",
    "TwoHop",
]
