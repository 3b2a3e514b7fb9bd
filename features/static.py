"""Facts of a series that do not change with time, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats

UNKNOWN = -1.0
MOST = 1000  # more categories than this name single series, not groups: the column is left out


def is_number(values: NDArray[Any]) -> bool:
    """Whether a static column holds numbers (and no text)."""
    return np.asarray(values).dtype.kind in "fiub"


def categories_of(values: NDArray[Any]) -> tuple[str, ...]:
    """The distinct values of a text column, in alphabetical order; missing values are none of them."""
    return tuple(sorted({str(value) for value in values if not _missing(value)}))


def as_codes(values: NDArray[Any], categories: tuple[str, ...]) -> Floats:
    """The place of each value in `categories` [n] -> [n]; UNKNOWN for a value that is missing or not among them."""
    place = {name: float(k) for k, name in enumerate(categories)}
    return np.array([UNKNOWN if _missing(value) else place.get(str(value), UNKNOWN) for value in values])


def _missing(value: Any) -> bool:
    return value is None or value != value
