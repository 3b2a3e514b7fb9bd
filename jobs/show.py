"""Printing for people: tables and lines on stdout, at most 80 columns where that is possible."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

COLUMNS = 80


def show(*things: Any) -> None:
    """Prints tables as tables and text as it is (no markup, no wrapping: paths stay whole)."""
    console = Console(file=sys.stdout, width=COLUMNS, highlight=False)
    for thing in things:
        if isinstance(thing, str):
            print(thing, flush=True)
        else:
            console.print(thing)
