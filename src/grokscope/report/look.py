"""The one visual language: colours by name, the fonts, and how numbers are written.

Colours are a light and a dark value. The four segments differ in hue for every common kind of colour
blindness (a test simulates protanopia and deuteranopia) and are always named in words as well.
"""

import math
from dataclasses import dataclass

FONT = 'Inter, "Inter Variable", system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'


@dataclass(frozen=True)
class Colour:
    """A colour on a light and on a dark page."""

    light: str
    dark: str


SEGMENTS = {
    "memorization": Colour("#e0a03a", "#e0a33f"),
    "circuit formation": Colour("#3a76d2", "#4a84dd"),
    "cleanup": Colour("#0b8f8c", "#159c98"),
    "plateau": Colour("#7a86cf", "#8793dc"),
    "transition": Colour("#0b8f8c", "#159c98"),
    "generalised": Colour("#6a9a2b", "#76a836"),
}
INK_ON = {"memorization": "#35240a"}
"""Text on a segment; white unless said otherwise."""
LABELS = {
    "grokking": SEGMENTS["generalised"],
    "comprehension": SEGMENTS["cleanup"],
    "memorization": SEGMENTS["memorization"],
    "confusion": Colour("#8d93a0", "#7d8492"),
}
ANOMALY = Colour("#c8322b", "#f0645c")

PAGE = {
    "paper": Colour("#fcfcfa", "#111216"),
    "raised": Colour("#f4f4f0", "#1a1c21"),
    "ink": Colour("#191b21", "#eceded"),
    "soft": Colour("#5d626e", "#a3a8b2"),
    "faint": Colour("#868b96", "#7c828e"),
    "rule": Colour("#e3e3de", "#2b2e35"),
    "test": Colour("#15171c", "#f5f6f6"),
    "train": Colour("#9a9ea8", "#7d838f"),
    "band": Colour("#3a76d2", "#6b9df0"),
    "restricted": Colour("#2f6fd0", "#6b9df0"),
    "excluded": Colour("#c4552d", "#ec8258"),
    "accent": Colour("#3a76d2", "#6b9df0"),
    "mark": Colour("#dbe7c4", "#2c3c17"),
    "heat-low": Colour("#f3f6fb", "#171b23"),
    "heat-middle": Colour("#8db0e6", "#2f5faa"),
    "heat-high": Colour("#123f8c", "#a9cbff"),
    "anomaly": ANOMALY,
}

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def slug(name: str) -> str:
    """A name as a CSS identifier: ``circuit formation`` is ``circuit-formation``."""
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def variables(theme: str) -> str:
    """All colours of a theme (``light`` or ``dark``) as CSS custom properties."""
    named = {**PAGE, **{f"seg-{slug(n)}": c for n, c in SEGMENTS.items()}}
    named |= {f"label-{slug(n)}": c for n, c in LABELS.items()}
    return "".join(f"--{name}:{getattr(colour, theme)};" for name, colour in named.items())


def count(n: int) -> str:
    """Small counts in words, others in digits: ``four``, ``64``."""
    return WORDS[n] if 0 <= n < len(WORDS) else f"{n:,}"


def step(n: float | None) -> str:
    """A step: ``1,500``; an en dash where there is none."""
    return "–" if n is None else f"{round(n):,}"


def percent(share: float | None, digits: int = 2) -> str:
    """A share: ``99.87 %``. Never rounds up to 100: what is written as 100 is all of it."""
    if share is None or not math.isfinite(share):
        return "–"
    scaled = 100 * share
    if share < 1 and round(scaled, digits) >= 100:
        scaled = math.floor(scaled * 10**digits) / 10**digits
    return f"{scaled:.{digits}f} %"


def number(value: float | None) -> str:
    """Three digits that matter: ``0.0123``, ``4.73``, ``1,240``, ``3.1·10⁻⁶``."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e6):
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa}·10{str(int(power)).translate(SUPERSCRIPTS)}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """A duration: ``8.2 s``, ``2 min 07 s``, ``3 h 12 min``."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
