"""What a message may say of a file's first line: headers, never the cells of a row that stands in their place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pyarrow as pa

from demand.dates import DATE_FORMATS, read_dates
from demand.exports import normalised
from demand.parsing import Bools, is_text, read_numbers
from demand.settings import nearest_name

LONGEST = 40  # a header is a name; what is longer is a sentence, or a line that was not taken apart
_NAMED = 30
_SAMPLE = 100


def shown_cell(text: str) -> str:
    """The cell, or *** for one that may be an address of a person or a whole line."""
    return "***" if "@" in text or len(text) > LONGEST else text


def are_headers(names: Sequence[str], columns: pa.Table, known: Collection[str]) -> bool:
    """Whether the first line names the columns, as far as that can be told.

    It does when one of its cells is a known header, or when it has words alone and a column below has dates or numbers.
    """
    if any(normalised(name) in known for name in names):
        return True
    if any("@" in name for name in names) or _of_data(pa.array(list(names), pa.string())).any():
        return False
    for column in columns.columns:
        if not is_text(column):
            return True
        cells = pa.array([text.strip() for text in column.slice(0, _SAMPLE).to_pylist() if text], pa.string())
        if len(cells) and _of_data(cells).mean() >= 0.5:
            return True
    return False


def said_of(names: Sequence[str], columns: pa.Table, known: Collection[str]) -> str | list[str]:
    """The headers for a message; only how many there are when they may be the cells of a row."""
    if not are_headers(names, columns, known):
        return f"{len(names)}; none is a known header, and they may be data, so they are not shown"
    shown = [shown_cell(name) for name in names]
    return ", ".join(shown) if len(shown) <= _NAMED else shown


def nearest_aliases(names: Iterable[str], aliases: Collection[str]) -> list[str]:
    """The aliases that are nearest to any of the names, without the names."""
    near = (nearest_name(normalised(name), aliases) for name in names if normalised(name))
    return sorted({alias for alias in near if alias})


def _of_data(cells: pa.Array) -> Bools:
    found = ~np.isnan(read_numbers(cells)[0])
    for pattern in DATE_FORMATS:
        found |= ~np.isnat(read_dates(cells, pattern))
    return found
