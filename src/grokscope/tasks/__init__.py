"""What is learned. The registry is this tuple; ``package.module:Name`` works wherever a kind does."""

from grokscope.tasks.base import Split, Table, Task
from grokscope.tasks.facts import TwoHop
from grokscope.tasks.groups import PermutationGroup
from grokscope.tasks.modular import ModularArithmetic

TASKS: tuple[type[Task], ...] = (ModularArithmetic, PermutationGroup, TwoHop)

__all__ = ["TASKS", "ModularArithmetic", "PermutationGroup", "Split", "Table", "Task", "TwoHop"]
