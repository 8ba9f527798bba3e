"""Somebody else's logs, as traces."""

from grokscope.readers.base import CURVES, EXTRAS, LoggedRun

__all__ = ["CURVES", "EXTRAS", "LoggedRun"]
