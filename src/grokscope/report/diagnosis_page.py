"""A diagnosis as one self-contained HTML file: what to do, the picture, why, what was read, what was skipped."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from grokscope.diagnosis import Diagnosis
from grokscope.errors import BadInput
from grokscope.forecast.base import INTERVAL
from grokscope.report.diagnosis_figure import NARROW, WIDE, svg_of_diagnosis
from grokscope.report.diagnosis_overlay import Overlay, overlay, sentence
from grokscope.report.page import colours, file_text

MOST_ROWS = 20_000
"""Looks that the page's own copy of the data holds at most; later ones are left to the log itself."""
MOST_FIGURES = 40
"""Runs that get a picture of their own."""
TONES = {  # custom properties of the style sheet
    "keep training": "seg-generalised",
    "cannot tell yet": "seg-plateau",
    "structurally blocked": "seg-memorization",
    "numerical fault": "anomaly",
    "generalised": "seg-generalised",
    "losing generalisation": "anomaly",
}


@dataclass(frozen=True)
class Read:
    """One diagnosis with where it was read from."""

    diagnosis: Diagnosis
    name: str = "training"
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


def write_diagnosis(found: Diagnosis | Read | Sequence[Read], path: str | Path) -> Path:
    """Write the page of one or several diagnoses and return its path.

    Raises:
        BadInput: the file cannot be written.
    """
    path = Path(path)
    many = [found] if isinstance(found, Diagnosis | Read) else list(found)
    text = render([Read(one) if isinstance(one, Diagnosis) else one for one in many])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"cannot write the page {str(path)!r} ({error.strerror}); choose another file.") from None
    return path


def render(many: Sequence[Read]) -> str:
    """The page's text; every name that came from a file is escaped."""
    environment = Environment(loader=PackageLoader("grokscope.report", "templates"), autoescape=True, trim_blocks=True)
    together = overlay([(one.name, TONES[one.diagnosis.advice.verdict], one.diagnosis) for one in many])
    said = "" if together is None else sentence(together.lines)
    return environment.get_template("diagnosis.html.j2").render(
        many=[
            (one, _pictures(one.diagnosis) if i < MOST_FIGURES else None, data_link(one.diagnosis))
            for i, one in enumerate(many)
        ],
        together=together,
        pictures=(Markup(together.svg), Markup(together.narrow)) if together else None,
        heading=said[:1].upper() + said[1:],
        curves=lines_link(together) if together else "",
        most=MOST_FIGURES,
        interval=INTERVAL,
        tones=TONES,
        css=Markup(colours() + file_text("diagnosis.css")),
    )


def _pictures(found: Diagnosis) -> tuple[Markup, Markup] | None:
    """A wide and a narrow one."""
    wide = svg_of_diagnosis(found, WIDE)
    return (Markup(wide), Markup(svg_of_diagnosis(found, NARROW))) if wide else None


def lines_link(together: Overlay) -> str:
    """The lines of the picture of several runs as a CSV in a data link: a row for each point."""
    rows = [
        (_cell(line.name), step, value)
        for line in together.lines
        for step, value in zip(line.steps.tolist(), line.values.tolist(), strict=True)
    ]
    return _link(["run", together.unit, f"test/{together.kind}"], rows[: 5 * MOST_ROWS])


def data_link(found: Diagnosis) -> str:
    """The curves as a CSV in a data link."""
    keys = [k for k in found.trace.keys() if "/" in k][:60]
    columns = {key: dict(zip(*(x.tolist() for x in found.trace.series(key, 0)), strict=True)) for key in keys}
    steps = sorted({step for seen in columns.values() for step in seen})[:MOST_ROWS]
    rows = ([step, *(columns[key].get(step, "") for key in keys)] for step in steps)
    return _link([found.setting.unit, *map(_cell, keys)], rows)


def _cell(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in "=+-@" else name


def _link(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(rows)
    return "data:text/csv;base64," + base64.b64encode(out.getvalue().encode("utf-8", "replace")).decode()
