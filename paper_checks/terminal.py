"""How the commands print: one console, one style of table."""

from __future__ import annotations

import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# Piped output has no width of its own; the tables need about this much.
_PIPED_WIDTH = 110


def console() -> Console:
    """The console of a command: the terminal's width, or a fixed one where output is piped."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)


def plain_table(title: str) -> Table:
    """An empty table in the house's style."""
    return Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def progress_bar(console: Console) -> Progress:
    """A bar with counts and time; it leaves no trace where output is piped."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=not console.is_terminal,
    )
