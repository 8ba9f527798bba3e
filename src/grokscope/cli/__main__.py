"""``python -m grokscope.cli``: the same commands."""

from grokscope.cli import main

main()
