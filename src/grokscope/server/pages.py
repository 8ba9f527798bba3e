"""The live page's HTML: five shells that ask the JSON API for everything, and the script and style of the report.

The pages hold no data and no inline script: a strict Content-Security-Policy is enough for them. Colours,
style sheet and figure code are those of the static report, put together here, so that both look the same.
"""

from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from grokscope.report import look
from grokscope.report.page import colours

PAGES = ("list", "run", "compare", "sweep", "papers")
FIGURES = ("axis.js", "labels.js", "ribbon.js", "lines.js", "spectrum.js", "circle.js")
"""The report's figure code, in this order, in one scope."""
EXPORTED = (
    *("data", "state", "root", "X", "stepAt", "whole", "range", "words", "css", "slug", "alpha", "margins", "narrow"),
    *("plots", "memberOf", "piece", "drawRibbon", "drawStrip", "lineFigure", "spectrumFigure", "startCircle"),
    *("circleRows", "textWidth"),
)
"""Names of it that the live page uses."""


def page(name: str, **context: Any) -> str:
    """One of the live pages as HTML.

    Args:
        name: one of :data:`PAGES`.
        context: for the template: ``title`` (of the window) and ``base`` (a path before all links, without a
            slash at its end; empty at the root of a host).

    Raises:
        ValueError: there is no such page.
    """
    if name not in PAGES:
        raise ValueError(f"page must be one of {', '.join(PAGES)}, got {name!r}.")
    return _environment().get_template(f"{name}.html.j2").render(**{"base": "", "title": ""} | context | {"page": name})


@lru_cache(maxsize=1)
def figures() -> str:
    """``/static/figures.js``: the report's figure code as one ES module.

    It draws from the object in the page's element ``#data``, which the live page fills as data arrives.
    """
    code = "\n".join(_report(name) for name in FIGURES)
    return f"{code}\nexport {{ {', '.join(EXPORTED)} }};\n"


@lru_cache(maxsize=1)
def style() -> str:
    """``/static/page.css``: the colours of both themes and the report's style sheet."""
    ink = "".join(f"--on-{look.slug(name)}:{colour};" for name, colour in look.INK_ON.items())
    return f"{colours()}:root{{{ink}}}\n{_report('page.css')}"


def generated(name: str) -> tuple[str, str] | None:
    """(text, media type) of a file under ``/static`` that is put together and not on disk; None if it is not one."""
    made = {"figures.js": (figures, "text/javascript"), "page.css": (style, "text/css")}
    if name not in made:
        return None
    text, media = made[name]
    return text(), media


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("grokscope.server", "templates"), autoescape=True, trim_blocks=True)
    environment.globals["empty"] = Markup(_EMPTY)
    return environment


_EMPTY = '{"run":"","member":null,"members":[],"last":1,"offset":1,"series":{},"panels":[],"inkOn":{}}'


def _report(name: str) -> str:
    return resources.files("grokscope.report").joinpath("templates", name).read_text(encoding="utf-8")
