"""Cleaned rows of two origins as one: styles renumbered, fates kept, facts counted anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demand.cleaning import CleanRows, missing_cells, static_table
from demand.errors import SHOWN
from demand.ledger import Ledger
from demand.panel import Floats, Ints, Strings
from demand.parsing import as_text
from demand.reading import Hashes


def joined_rows(
    a: CleanRows,
    b: CleanRows,
    ids: Strings,
    style: tuple[Ints, Ints],
    at_a: Ints,
    at_b: Ints,
    names: tuple[list[str], list[str], list[str]],
) -> CleanRows:
    """The rows `at_a` of `a` and `at_b` of `b`, in this order, with facts of both.

    style: of all rows of each, places in `ids`. names: of all past, future and static columns; one that a side lacks is
    missing there.
    """

    def both(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([x[at_a], y[at_b]])

    def carried(x: Mapping[str, Floats], y: Mapping[str, Floats], columns: list[str]) -> dict[str, Floats]:
        nothing = (np.full(len(style[0]), np.nan), np.full(len(style[1]), np.nan))
        return {name: both(x.get(name, nothing[0]), y.get(name, nothing[1])) for name in columns}

    labels = {name: _stacked(a.labels.get(name), at_a, b.labels.get(name), at_b) for name in names[2]}
    reasons = list(dict.fromkeys((*a.ledger.reasons, *b.ledger.reasons)))
    fates = [
        np.array([reasons.index(reason) for reason in one.ledger.reasons], dtype=np.int16)[one.ledger.fate]
        for one in (a, b)
    ]
    ledger = Ledger.of(reasons, both(*fates))
    place, days = both(*style), both(a.days, b.days)
    # a style that only replaced rows had is no style any more
    used = np.unique(place[place >= 0])
    renumbered = np.full(len(ids) + 1, -1, dtype=np.int64)
    renumbered[used] = np.arange(len(used))
    ids, place = ids[used], renumbered[place]
    static, conflicts = static_table(labels, ids, place, days, ledger)
    y, cell = both(a.y, b.y), both(a.cell, b.cell)
    facts = _facts(a.facts, b.facts, ledger, y, cell) | {"static_conflicts": conflicts}
    past, future = carried(a.past, b.past, names[0]), carried(a.future, b.future, names[1])
    return CleanRows(ids, place, days, y, a.unit or b.unit, cell, past, future, labels, static, ledger, facts)


def _stacked(a: pa.ChunkedArray | None, at_a: Ints, b: pa.ChunkedArray | None, at_b: Ints) -> pa.ChunkedArray:
    """The cells `at_a` of `a` and `at_b` of `b`; a side that has none is missing there. Two types meet as text."""
    kinds = {column.type for column in (a, b) if column is not None}
    kind = kinds.pop() if len(kinds) == 1 else pa.string()
    if pa.types.is_dictionary(kind):
        kind = pa.string()
    parts = []
    for column, at in ((a, at_a), (b, at_b)):
        if column is None:
            parts.append(pa.nulls(len(at), kind))
            continue
        cells = column if column.type == kind else as_text(column).cast(pa.string())
        parts += cells.take(pa.array(at)).chunks
    return pa.chunked_array(parts, kind)


def _facts(a: dict[str, Any], b: dict[str, Any], ledger: Ledger, y: Floats, cell: NDArray[np.int8]) -> dict[str, Any]:
    """The facts of both. Fates are counted anew; words, units and amounts are sums over the files as they were read."""
    left_out = ledger.left_out()
    formats = dict.fromkeys([*a["date"]["format"].split(" + "), *b["date"]["format"].split(" + ")])
    returned = y < 0
    returned &= ledger.open | (ledger.fate == _place(ledger, "return"))
    mismatches = [one["amount_mismatches"] for one in (a, b) if one["amount_mismatches"] is not None]
    words = _summed(a["words_in_numbers"], b["words_in_numbers"])
    units: dict[str, Any] = {}
    if a["units"] or b["units"]:
        units = {**a["units"], **b["units"]}
        for name in ("counts", "left_out"):
            units[name] = _summed(a["units"].get(name, {}), b["units"].get(name, {}))
        for name in ("converted",):
            units[name] = {**a["units"].get(name, {}), **b["units"].get(name, {})}
        units["blank_taken_as_target"] = sum(one["units"].get("blank_taken_as_target", 0) for one in (a, b))
    facts: dict[str, Any] = {
        "date": {
            "column": a["date"]["column"],
            "format": " + ".join(formats),
            "parse_rate": min(a["date"]["parse_rate"], b["date"]["parse_rate"]),
            "missing": left_out.get("date missing", 0),
            "words": left_out.get("date is a word", 0),
            "unreadable": left_out.get("date unreadable", 0),
        },
        "words_in_numbers": dict(sorted(words.items(), key=lambda pair: -pair[1])[:SHOWN]),
        "missing": missing_cells(cell),
        "duplicates": {**a["duplicates"], "exact": left_out.get("exact duplicate", 0)},
        "units": units,
        "returns": {"rows": int(returned.sum()), "quantity": float(0.0 - y[returned].sum())},
        "amount_mismatches": sum(mismatches) if mismatches else None,
    }
    for name in ("masked_stockouts", "out_of_stock"):
        if name in a or name in b:
            facts[name] = a.get(name, 0) + b.get(name, 0)
    return facts


def _place(ledger: Ledger, reason: str) -> int:
    return ledger.reasons.index(reason) if reason in ledger.reasons else -1


def _summed(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in dict.fromkeys((*a, *b))}


def count_documents(rows: CleanRows, documents: Hashes) -> None:
    """Counts the documents of the used rows anew, in the rows' facts."""
    open_ones = documents[rows.ledger.open & (documents > 0)]
    _, counts = np.unique(open_ones, return_counts=True)
    rows.facts["duplicates"] |= {"documents": len(counts), "documents_with_several_rows": int((counts > 1).sum())}
