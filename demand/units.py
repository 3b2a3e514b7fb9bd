"""One panel has one unit: which spellings mean the same, what is converted, what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from demand.ledger import Ledger
from demand.panel import Floats
from demand.parsing import distinct

# Spellings of the same unit; any other word is a unit of its own.
UNIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "yds": ("yd", "yds", "yard", "yards"),
    "lbs": ("lb", "lbs", "pound", "pounds"),
    "kg": ("kg", "kgs", "kilo", "kilos", "kilogram", "kilograms"),
    "m": ("m", "mtr", "mtrs", "meter", "meters", "metre", "metres"),
    "each": ("ea", "each", "pc", "pcs", "piece", "pieces", "unit", "units"),
}
UNIT_REASON = "unit "  # how the reasons begin that rows are left out for
_UNIT = {word: unit for unit, words in UNIT_WORDS.items() for word in words}


def unit_word(text: str) -> str:
    """One spelling of a unit: "YD." is yds; a word that is no known unit stays, in small letters."""
    word = text.lower().strip(" .")
    return _UNIT.get(word, word)


def one_unit(
    column: pa.ChunkedArray, y: Floats, ledger: Ledger, target_unit: str | None, unit_table: Mapping[str, float]
) -> tuple[Floats, str, dict[str, Any]]:
    """The quantity in one unit [n], that unit, and what was found.

    The unit is `target_unit`, else the one of most open rows, where rows without a unit are a unit of their own (""). A
    blank cell is taken for the unit, and counted, when `target_unit` was given or at least half of all open rows name
    that unit. Rows of other units are multiplied by their factor in `unit_table`, or left out: quantities of two units
    are never summed.
    """
    codes, texts = distinct(column)
    units = np.array([unit_word(text) for text in texts.to_pylist()], dtype=str)
    names, place = np.unique(units, return_inverse=True)
    row_unit = place[codes]
    counts = {
        str(name): int(count)
        for name, count in zip(names, np.bincount(row_unit[ledger.open], minlength=len(names)), strict=True)
    }
    filled = {name: count for name, count in counts.items() if name}
    if not filled:
        return y, target_unit or "", {"counts": counts}
    usual = max(counts, key=lambda name: (counts[name], name != ""))
    target = _UNIT.get(target_unit.lower(), target_unit) if target_unit else usual
    blank_too = bool(target_unit) or 2 * filled.get(target, 0) >= sum(counts.values())
    table_of_units = {_UNIT.get(unit.lower(), unit.lower()): factor for unit, factor in unit_table.items()}
    own = {target, ""} if blank_too else {target}
    factors = np.array([1.0 if name in own else table_of_units.get(str(name), np.nan) for name in names])
    lost = np.isnan(factors)
    for at in np.flatnonzero(lost):
        ledger.leave_out(row_unit == at, f"{UNIT_REASON}{names[at] or '(blank)'} is not {target or '(blank)'}")
    facts = {
        "counts": counts,
        "target": target,
        "converted": {str(n): float(f) for n, f in zip(names, factors, strict=True) if f != 1.0 and not np.isnan(f)},
        "left_out": {str(names[at]): counts[str(names[at])] for at in np.flatnonzero(lost)},
        "blank_taken_as_target": counts.get("", 0) if target and blank_too else 0,
    }
    return y * factors[row_unit], str(target), facts
