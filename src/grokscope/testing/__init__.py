"""The contract of each kind of thing: one call checks one object, ours or a stranger's.

    from grokscope.testing import check_measure

    def test_contract():
        check_measure(MyMeasure())

A broken promise raises AssertionError with one line that says which promise it was.
"""

from grokscope.testing.base import check_spec
from grokscope.testing.detector import Detector, check_detector, planted_trace
from grokscope.testing.intervention import check_intervention
from grokscope.testing.measure import check_measure, small_snapshot
from grokscope.testing.model import check_model
from grokscope.testing.optimizer import check_optimizer
from grokscope.testing.task import check_task

__all__ = [
    "Detector",
    "check_detector",
    "check_intervention",
    "check_measure",
    "check_model",
    "check_optimizer",
    "check_spec",
    "check_task",
    "planted_trace",
    "small_snapshot",
]
