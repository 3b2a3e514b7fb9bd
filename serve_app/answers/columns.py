"""From the columns of a stored table to the rows of an answer, without a step per cell in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from demand.panel import Floats


def numbers(table: pa.Table, name: str) -> Floats:
    """A column as floats [N]; NaN where it is null."""
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of true and false [N]; none of it is null."""
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.bool_)


def values(table: pa.Table, name: str) -> list[Any]:
    """A column as plain values; None where it is null."""
    return list(table.column(name).to_pylist())


def rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Equally long columns as one mapping a row, keys in the columns' order."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def as_bytes(answer: Mapping[str, Any]) -> bytes:
    """An answer as strict JSON in UTF-8: keys in their order, numbers as short as they read back the same.

    The encoder would write null for NaN; answers hold None where there is no number, so nothing is turned silently.
    """
    return orjson.dumps(answer)
