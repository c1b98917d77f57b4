"""Where tables are printed."""

import sys

from rich.console import Console

PIPE_WIDTH = 160


def output() -> Console:
    """Stdout; into a file or a pipe, where nobody's window is too narrow, rows stay whole.

    Words in brackets, as names of files may hold, are no markup.
    """
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False)
