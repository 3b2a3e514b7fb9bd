"""Numbers as people read them: sensible precision, a unit where there is one, a dash where nothing was measured."""

from __future__ import annotations

import math

from serve_app.dashboard.blocks import Cell

NOTHING = "–"


def quantity(value: float | None, unit: str = "") -> str:
    """1,234,567 · 84.2 · 0.37: three significant digits below 1,000, whole numbers above."""
    if value is None:
        return NOTHING
    size = abs(value)
    text = _written(value, 0 if size >= 100 or value == 0 else 1 if size >= 10 else 2)
    return f"{text} {unit}" if unit else text


def percent(value: float | None, signed: bool = False, digits: int = 1) -> str:
    """A value that is in percent already (0-100); signed: +4 %, -4 %, and 0 % for what rounds to it."""
    if value is None:
        return NOTHING
    return f"{_written(value, digits, signed)} %"


def share(value: float | None, digits: int = 0) -> str:
    """A fraction (0-1) as percent."""
    return NOTHING if value is None else f"{_written(100 * value, digits)} %"


def ratio(value: float | None) -> str:
    return NOTHING if value is None else _written(value, 3)


def out_of_100(value: float) -> str:
    """A score that is never rounded up: 99.8 is 99 of 100, for 100 says that nothing is wrong."""
    return f"{math.floor(value + 1e-9)} of 100"


def moment(iso: str | None) -> str:
    """2025-09-01T04:05:06Z as 2025-09-01 04:05 UTC."""
    return NOTHING if not iso else f"{iso[:10]} {iso[11:16]} UTC" if len(iso) > 10 else iso


def number(value: float | None, text: str) -> Cell:
    """A right-aligned cell that sorts by its value."""
    return Cell(text, number=True, sort=value)


def _written(value: float, digits: int, signed: bool = False) -> str:
    """A number with thousands separated; what rounds to nothing has neither sign nor decimals."""
    text = f"{value:{'+' if signed else ''}z,.{digits}f}"
    return text if text.strip("+0.") else "0"
