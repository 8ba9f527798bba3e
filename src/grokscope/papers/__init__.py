"""The literature, one file a paper: its experiments, and how they differ from the paper."""

from types import ModuleType

from grokscope.papers import nanda2023progress, power2022grokking

PAPERS: tuple[ModuleType, ...] = (power2022grokking, nanda2023progress)

__all__ = ["PAPERS"]
