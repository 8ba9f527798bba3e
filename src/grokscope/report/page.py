"""A run as one self-contained HTML file that opens offline, from any folder, on any screen."""

import base64
import json
import re
import zlib
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from grokscope.errors import BadInput
from grokscope.record import Record
from grokscope.report import look, panels, spectrum, story, tables
from grokscope.report.curves import axis_offset, representative
from grokscope.report.derived import derived
from grokscope.report.figures import svg_of_run
from grokscope.sources import bibtex
from grokscope.spec import dump_yaml

SCRIPTS = ("axis.js", "labels.js", "ribbon.js", "lines.js", "spectrum.js", "circle.js", "page.js")
"""One script from several files, in this order, in one scope."""


def write_page(record: Record, path: Path) -> Path:
    """Write the page and return its path.

    Args:
        record: the run, finished or not.
        path: the HTML file; its folders are made where they are missing.

    Raises:
        BadInput: the file cannot be written.
    """
    path = Path(path)
    text = render(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write the page {str(path)!r} ({error.strerror}); choose another file.") from None
    return path


def render(record: Record) -> str:
    """The page's text."""
    median_member = representative(record.phases, record.ended)
    member = median_member.member if median_member else None
    drawn = _panels(record, member)
    environment = Environment(loader=PackageLoader("grokscope.report", "templates"), autoescape=True, trim_blocks=True)
    sentence = record.sentence()
    return environment.get_template("page.html.j2").render(
        record=record,
        sentence=sentence,
        headline=_headline(sentence),
        said=story.sentences(record, member),
        status=story.status(record),
        panels=drawn,
        derived=None if member is None else derived(record, member),
        static=Markup(svg_of_run(record, heading=False)) if drawn else "",
        fields=[tables.SHORT_FIELDS.get(f, f) for f in record.differing],
        rows=tables.member_rows(record),
        rules=tables.rules(record),
        measures=[] if member is None else tables.measure_rows(record, member),
        seed=None if member is None else record.members[member].seed,
        anomalies=tables.anomaly_rows(record),
        facts=tables.facts(record),
        yaml=dump_yaml(record.experiment.to_dict()),
        references=tables.references(record),
        bibtex=bibtex(record.experiment.citations()),
        offset=axis_offset(record.phases),
        css=Markup(colours() + file_text("page.css")),
        data=as_json(_data(record, member, drawn)),
        library=plotly_script() if drawn else "",
        script=Markup("\n".join(file_text(name) for name in SCRIPTS)),
        slug=look.slug,
    )


def _panels(record: Record, member: int | None) -> list[panels.Panel]:
    """The figures that make sense for this run, in the page's order."""
    if member is None:
        return []
    with_circle = [p.member for p in record.phases if spectrum.key_frequencies(record, p.member)]
    chosen = member if member in with_circle or not with_circle else with_circle[0]
    found = (
        panels.picture(record),
        panels.circuit(record, chosen),
        panels.simplicity(record, member),
        spectrum.spectrum(record, chosen),
        spectrum.circles(record, chosen),
    )
    return [panel for panel in found if panel]


def _data(record: Record, member: int | None, drawn: list[panels.Panel]) -> dict[str, Any]:
    """What the script draws from."""
    seen = [
        {
            "id": p.member,
            "seed": record.members[p.member].seed,
            "last": p.events.last_step,
            "open": p.events.censored,
            "segments": [[s.name, s.start, s.end] for s in p.segments],
            "anomalies": [[a.name, a.start, a.end] for a in p.anomalies],
        }
        for p in record.phases
    ]
    return {
        "run": record.name,
        "member": member,
        "members": seen,
        "last": max((p.events.last_step for p in record.phases), default=0),
        "offset": axis_offset(record.phases),
        "series": panels.series(record, drawn),
        "panels": drawn,
        "inkOn": {look.slug(name): ink for name, ink in look.INK_ON.items()},
    }


def _headline(sentence: str) -> Markup:
    """The sentence with its finding marked: ``generalised at step 863``."""
    text = str(escape(sentence))
    return Markup(re.sub(r"(generalised,? at step [\d,]*\d)", r"<mark>\1</mark>", text, count=1))


def colours() -> str:
    """Both themes as CSS: the reader's own by default, the other by the page's switch."""
    light, dark = look.variables("light"), look.variables("dark")
    return (
        f":root{{--font:{look.FONT};--mono:{look.MONO};color-scheme:light;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n"
    )


def as_json(data: Any) -> Markup:
    """JSON that may stand inside a script element."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def file_text(name: str) -> str:
    """A template, style sheet or script that ships with the pages."""
    return resources.files("grokscope.report").joinpath("templates", name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """Plotly's own script from its Python package, deflated and in base64: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs  # half a second, so only when a page is written

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(get_plotlyjs().encode()) + packer.flush()).decode("ascii")
