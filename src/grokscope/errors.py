"""The one exception that a user's mistake raises, and how it is worded."""

import difflib
from collections.abc import Iterable


class BadInput(Exception):
    """Something that was asked for cannot be done as asked.

    The message is one line: what was wrong, what was got, what is allowed, what to do. The
    command line prints it without a traceback and exits with 2.
    """


class RunFailed(Exception):
    """A run ended by a fault that is not in the request (a worker that died, a full disk)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'a' or 'b'?`` for the closest known names, or the list of them all."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(n) for n in close) + "?"
    return "; known are " + ", ".join(names) + "." if names else "."
