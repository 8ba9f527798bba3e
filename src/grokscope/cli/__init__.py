"""The command line: a thin face over the library; heavy imports wait until a command needs them."""

import sys
from typing import Annotated

import typer

from grokscope import __version__
from grokscope.cli import bench, diagnose, look, reproduce, train
from grokscope.cli.base import Interrupted
from grokscope.errors import BadInput, RunFailed

app = typer.Typer(
    name="grokscope",
    no_args_is_help=True,
    add_completion=True,
    help="A laboratory and monitor for grokking, the delayed generalisation of neural networks.",
)
for command in (
    train.run,
    train.resume,
    train.sweep,
    reproduce.reproduce,
    diagnose.diagnose,
    look.ls,
    look.show,
    look.export,
    look.report,
    look.serve,
    look.cite,
    look.doctor,
):
    app.command()(command)
app.add_typer(bench.app, name="bench")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(f"grokscope {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted and resumable."""
    try:
        code = app(standalone_mode=False)  # an Exit comes back as its number
        if code == 130:
            _fail("interrupted.", 130)
        sys.exit(code if isinstance(code, int) else 0)
    except BadInput as error:
        _fail(str(error), 2)
    except RunFailed as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort, Interrupted) as error:
        _fail(f"interrupted; {error} continues it." if str(error) else "interrupted.", 130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if isinstance(error, typer.BadParameter.__mro__[1]):  # a usage error of the command-line library
            _fail(f"{error.format_message()} See grokscope --help.", 2)  # type: ignore[attr-defined]
        raise


def _fail(message: str, code: int) -> None:
    print(f"grokscope: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
