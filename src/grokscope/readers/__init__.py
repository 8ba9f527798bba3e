"""Somebody else's logs, as traces."""

from grokscope.readers.base import CURVES, EXTRAS, LoggedRun
from grokscope.readers.read import read_log

__all__ = ["CURVES", "EXTRAS", "LoggedRun", "read_log"]
