"""The command that holds papers' claims against what is measured here."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.base import JsonOption, StoreOption, unless_interrupted
from grokscope.errors import BadInput, RunFailed


def reproduce(
    paper: Annotated[str, typer.Argument(help="A paper (grokscope ls papers), or all.")],
    preset: Annotated[
        str, typer.Option("--preset", help="smoke: that it runs; quick: a verdict in minutes; paper: its own sizes.")
    ] = "quick",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="SEEDS", help="100-104 or 100,102; the judged ones unless given.")
    ] = "",
    claims: Annotated[str, typer.Option("--claims", help="Comma-separated ids; all unless given.")] = "",
    store: StoreOption = Path("runs"),
    results: Annotated[Path, typer.Option("--results", help="Folder to record the verdicts in.")] = Path("results"),
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="At most so many steps of anything, to see that it starts.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a claim is not reproduced or contradicted.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Hold a paper's claims against what is measured here: studies over seeds, criteria, verdicts."""
    from grokscope.papers import PAPERS
    from grokscope.reproduction.reproduce import find_paper
    from grokscope.reproduction.reproduce import reproduce as do
    from grokscope.terminal import print_reproduction

    chosen = list(PAPERS) if paper == "all" else [find_paper(paper)]
    if paper == "all" and claims:
        raise BadInput("--claims takes the ids of one paper's claims; name the paper instead of all.")
    found, failed = [], []
    for one in chosen:
        words = ["grokscope", "reproduce", one.key, "--preset", preset, *(["--seeds", seeds] if seeds else [])]
        try:
            done = unless_interrupted(
                do,
                one,
                preset,
                go_on="grokscope reproduce",
                seeds=_seeds(seeds),
                claims=[name.strip() for name in claims.split(",") if name.strip()],
                store=store,
                results=results,
                limit=steps,
                command=shlex.join(words),
            )
        except RunFailed as error:
            if paper != "all":
                raise
            failed.append(str(error))
            print(f"grokscope: {error}", file=sys.stderr)
            continue
        found.append(done)
        if not json_:
            print_reproduction(done)
    if json_:
        print(json.dumps([one.summary() for one in found] if paper == "all" else found[0].summary()))
    verdicts = {claim["verdict"] for one in found for claim in one.claims}
    if failed or (strict and verdicts & {"not reproduced", "contradicted"}):
        raise typer.Exit(1)


def _seeds(text: str) -> list[int] | None:
    """``100-104`` or ``100,102,200-201``; None for nothing."""
    found: list[int] = []
    try:
        for part in text.split(",") if text else []:
            first, _, last = part.strip().partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError:
        found = []
    if text and not found:
        raise BadInput(f"--seeds takes numbers and ranges, such as 100-104 or 100,102; got {text!r}.")
    return list(dict.fromkeys(found)) or None
