"""What several commands share: options, interruption, finding a run by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.errors import BadInput

if TYPE_CHECKING:
    from grokscope.runs import Run
    from grokscope.sweeps.diagram import Diagram

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of runs.", show_default=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
RunArgument = Annotated[str, typer.Argument(help="A run: its folder, its name, or the start of its name or id.")]


class Interrupted(Exception):
    """Ctrl-C, past the command-line library, which would swallow the command that goes on."""


def unless_interrupted(call: Callable[..., Any], *args: Any, go_on: str = "grokscope resume", **kwargs: Any) -> Any:
    """The call's result.

    Raises:
        Interrupted: with ``go_on`` and what the interruption names, the command that continues it.
    """
    try:
        return call(*args, **kwargs)
    except KeyboardInterrupt as error:
        raise Interrupted(f"{go_on} {error}" if str(error) else "") from None


def run_or_sweep(name: str, store: Path) -> "Run | Diagram":
    """A run or a sweep by its name; what is said of a name that fits neither is about runs."""
    from grokscope import runs
    from grokscope.sweeps.diagram import load_diagram
    from grokscope.sweeps.folder import list_sweeps

    try:
        return runs.load(name, store=store)
    except BadInput:
        if not list_sweeps(store) and not (Path(name) / "sweep.yaml").is_file():
            raise
        try:
            return load_diagram(name, store=store)
        except BadInput as error:
            raise BadInput(f"no run and {error}") from None
