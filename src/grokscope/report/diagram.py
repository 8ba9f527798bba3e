"""A sweep as one self-contained HTML file: the map of its cells, their members, and slices through them.

The map is plain SVG drawn by the page's own script, not by plotly: every cell can then be reached by
keyboard and has words for a screen reader, hatches print, what is exported is what is seen, and the file
is 2 MB smaller.
"""

from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from grokscope.errors import BadInput
from grokscope.report import diagram_words as words
from grokscope.report import look
from grokscope.report.diagram_data import REGIME_COLOURS, Findings, axis_data, payload
from grokscope.report.diagram_figure import png_of_diagram, still, svg_of_diagram
from grokscope.report.page import as_json, colours, file_text
from grokscope.sources import bibtex
from grokscope.spec import dump_yaml
from grokscope.sweeps.folder import SweepFolder

__all__ = ["diagram_html", "png_of_diagram", "svg_of_diagram", "write_diagram"]

SCRIPTS = ("diagram_base.js", "diagram_key.js", "diagram_map.js", "diagram_cell.js", "diagram_slices.js", "diagram.js")
"""One script from several files, in this order, in one scope."""


def write_diagram(folder: SweepFolder, path: Path) -> Path:
    """Write the page and return its path.

    Args:
        folder: the sweep, finished or not.
        path: the HTML file; its folders are made where they are missing.

    Raises:
        BadInput: the file cannot be written.
    """
    path = Path(path)
    text = diagram_html(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write the page {str(path)!r} ({error.strerror}); choose another file.") from None
    return path


def diagram_html(folder: SweepFolder, live: bool = False, base: str = "") -> str:
    """The page's text.

    Args:
        folder: the sweep, finished or not.
        live: members link to their runs on a server, ``base/run/<sweep>/runs/<run>``; else the command is shown.
        base: where that server's addresses begin.
    """
    found = Findings(folder)
    environment = Environment(loader=PackageLoader("grokscope.report", "templates"), autoescape=True, trim_blocks=True)
    return environment.get_template("diagram.html.j2").render(
        name=found.name,
        record={"meta": found.meta},  # as the part on what was run expects it
        experiment=found.sweep.experiment,
        axes=[axis_data(axis) for axis in found.sweep.axes],
        sentence=words.sentence(found),
        headline=words.headline(found),
        said=words.said(found),
        status=words.status(found),
        savings=words.savings(found),
        rows=words.table(found),
        members=found.sweep.members,
        static=Markup(still(found)) if not live and found.cells else "",
        live=live,
        facts=words.facts(found),
        yaml=dump_yaml(found.sweep.to_dict()),
        references=words.references(found),
        bibtex=bibtex(words.sources(found)),
        css=Markup(colours() + _regime_colours() + file_text("page.css") + file_text("diagram.css")),
        data=as_json(payload(found, live, base)),
        script=Markup("\n".join(file_text(name) for name in SCRIPTS)),
        slug=look.slug,
    )


def _regime_colours() -> str:
    light = "".join(f"--regime-{look.slug(name)}:{c.light};" for name, c in REGIME_COLOURS.items())
    dark = "".join(f"--regime-{look.slug(name)}:{c.dark};" for name, c in REGIME_COLOURS.items())
    return (
        f":root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}\n"
    )
