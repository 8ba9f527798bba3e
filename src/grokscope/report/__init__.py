"""What a run looks like: one self-contained page, and figures for notebooks and papers."""

from grokscope.report.figures import png_of_run, svg_of_run
from grokscope.report.page import write_page

__all__ = ["png_of_run", "svg_of_run", "write_page"]
