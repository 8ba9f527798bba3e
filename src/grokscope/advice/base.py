"""What an advice is."""

from dataclasses import dataclass
from typing import Literal, get_args

from grokscope.forecast import Evidence

Verdict = Literal[
    "keep training",
    "cannot tell yet",
    "structurally blocked",
    "numerical fault",
    "generalised",
    "losing generalisation",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
STOPS: frozenset[Verdict] = frozenset(VERDICTS[2:])
"""Verdicts after which more of the same training is of no use."""


@dataclass(frozen=True)
class Advice:
    """One verdict, what it means in a sentence, and what it rests on."""

    verdict: Verdict
    text: str
    """What to do and why, with numbers."""
    evidence: tuple[Evidence, ...] = ()
    would_tell: str = ""
    """What would change or decide the answer."""
    ends: bool = True
    """Whether a verdict of :data:`STOPS` ends the training; a fault that learning may come through does not."""

    @property
    def stop(self) -> bool:
        """Whether more steps of the same training are of no use."""
        return self.ends and self.verdict in STOPS

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text}" + (f" {self.would_tell}" if self.would_tell else "")
