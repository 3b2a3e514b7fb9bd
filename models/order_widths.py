"""How wide a release's demand paths are to be, kept beside its forecast: `order_widths.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demand.errors import VersionUnreadable
from models.files import read_json, write_json

FILE = "order_widths.json"


def write_widths(folder: Path, widths: Sequence[float], facts: dict[str, Any]) -> None:
    """The factors of totals over 1, 2, .. periods (`models.inventory.widths`) and what they were told from."""
    write_json(folder / FILE, {"widths": list(widths), **facts})


def read_widths(folder: Path) -> tuple[float, ...]:
    """Of a release's folder; () where it was made without: its paths stay as its quantiles have them.

    Raises VersionUnreadable for what is not a list of positive numbers.
    """
    if not (folder / FILE).is_file():
        return ()
    told = read_json(folder / FILE)
    found = told.get("widths") if isinstance(told, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, int | float) and one > 0 for one in found):
        raise VersionUnreadable("the stored widths of demand paths cannot be used", file=FILE, found=found,
                                expected="a list of positive numbers")  # fmt: skip
    return tuple(float(one) for one in found)
