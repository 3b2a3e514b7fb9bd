"""Rows that come twice: equal in every column, or one document with several rows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa

from demand.calendar import Dates
from demand.columns import Mapped
from demand.errors import SHOWN, DataError
from demand.layouts import Table
from demand.ledger import Ledger
from demand.panel import Ints
from demand.parsing import Bools, codes_of, distinct

Duplicates = Literal["remove", "keep", "raise"]


def find_duplicates(
    table: Table, mapped: Mapped, style: Ints, days: Dates, ledger: Ledger, mode: Duplicates
) -> dict[str, Any]:
    """Leaves out rows equal in every column but for the first; counts documents whose rows differ."""
    removed = 0
    if mode != "keep":
        # only rows of the same style and day can be equal: the rest needs no comparison
        open_rows = np.flatnonzero(ledger.open)
        number = days[open_rows].astype(np.int64)
        key = style[open_rows] * (number.max() - number.min() + 1) + number - number.min()
        order = np.argsort(key, kind="stable")
        same = key[order][1:] == key[order][:-1]
        twins = np.zeros(len(key), dtype=bool)
        twins[order[1:]] |= same
        twins[order[:-1]] |= same
        rows = open_rows[twins]
        if len(rows):
            repeated = _repeated(table, mapped, rows, key[twins])
            mask = np.zeros(len(style), dtype=bool)
            mask[repeated] = True
            if mode == "raise" and len(repeated):
                shown = [int(row) + 1 for row in repeated[:SHOWN]]
                raise DataError("rows come twice", count=len(repeated), first_rows=shown)
            removed = ledger.leave_out(mask, "exact duplicate")
    facts: dict[str, Any] = {"exact": removed, "with_document": "document" in mapped.optional}
    if "document" in mapped.optional:
        codes, texts = distinct(table.columns.column(mapped.optional["document"]))
        filled = np.asarray(pa.compute.not_equal(texts, "").to_numpy(zero_copy_only=False))
        counts = np.bincount(codes[ledger.open], minlength=len(texts))
        facts["documents"] = int((filled & (counts > 0)).sum())
        facts["documents_with_several_rows"] = int((filled & (counts > 1)).sum())
    return facts


def repeated_rows(table: pa.Table) -> Bools:
    """The rows [n] that equal an earlier one in every column."""
    key = np.zeros(table.num_rows, dtype=np.int64)
    for column in table.columns:
        codes = codes_of(column)
        key = np.unique(key * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1].astype(np.int64)
    later = np.ones(table.num_rows, dtype=bool)
    later[np.unique(key, return_index=True)[1]] = False
    return later


def _repeated(table: Table, mapped: Mapped, rows: Ints, key: Ints) -> Ints:
    """Those of the rows [k] (ascending) that equal an earlier one in every column; rows of different key differ.

    Column after column, only rows that are still alike are compared: a document column leaves few to the others.
    """
    names = table.columns.column_names
    first = mapped.optional.get("document")
    key = np.unique(key, return_inverse=True)[1]
    for name in sorted(names, key=lambda name: name != first):
        if not len(rows):
            break
        codes = codes_of(table.columns.column(name).take(pa.array(rows)))
        key = np.unique(key * (codes.max() + 1) + codes, return_inverse=True)[1]
        alike = np.bincount(key)[key] > 1
        rows, key = rows[alike], key[alike]
    later = np.ones(len(rows), dtype=bool)
    later[np.unique(key, return_index=True)[1]] = False
    return np.asarray(rows[later])
