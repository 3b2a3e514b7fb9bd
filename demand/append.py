"""New files added to the rows kept before: what is known stays, what is restated replaces, and both are counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.choosing import TAKEN
from demand.cleaning import CleaningSettings, CleanRows
from demand.columns import ColumnSettings
from demand.errors import SchemaError
from demand.joining import count_documents, joined_rows
from demand.panel import Ints, Strings
from demand.parsing import Bools, distinct
from demand.reading import Hashes, Reading, reading_of, text_hashes
from demand.sources import SourceSettings, read_source

Corrects = Literal["auto", "document", "line", "date", "nothing"]
_KEY = "a row's content "  # 16 characters; contents are compared within one run only
_MULTIPLIER = np.uint64(6364136223846793005)


@dataclass(frozen=True, eq=False)
class Appended:
    """The rows kept so far and the new ones as one reading; taken: sha256 -> stamp of all files in it."""

    reading: Reading
    taken: dict[str, str]


def append(
    kept: Reading | None,
    taken: Mapping[str, str],
    source: SourceSettings,
    columns: ColumnSettings,
    cleaning: CleaningSettings,
    key: str,
) -> Appended:
    """The kept rows with those of every file of the source that was not taken before, file after file by name.

    Files added one by one give the same rows as files added at once. Raises as `ingest`, and SchemaError when a new
    file does not fit the kept rows.
    """
    raw = read_source(source, taken, columns.named if kept is None else kept.named)
    taken = dict(taken)
    known = sum(file.cause == TAKEN for file in raw.files)
    unused = {file.name: file.cause for file in raw.files if file.cause not in ("", TAKEN)}
    told: dict[str, Any] = {
        **dict.fromkeys(("files", "rows_in", "added", "known", "correcting", "unread", "replaced", "corrections"), 0),
        **dict.fromkeys(("quantity_before", "quantity_after"), 0.0),
        "corrects": [],
        "files_known": known,
        "files_not_used": unused,
        "kept_before": 0 if kept is None else len(kept.rows.style),
    }
    for at in sorted(range(len(raw.tables)), key=lambda i: raw.origins[i].name):
        file = raw.origins[at]
        if file.sha256 in taken:
            continue
        one = replace(raw, tables=raw.tables[at : at + 1], files=(file,), data_hash=file.sha256)
        new = reading_of(raw.tables[at], one, source, columns, cleaning, key, kept)
        if kept is None:
            n = len(new.rows.style)
            kept, counts = new, {"added": n, "unread": sum(new.unread.values())}
            counts["rows_in"] = n + counts["unread"]
        else:
            kept, counts = add(kept, new, source.corrects)
        taken[file.sha256] = raw.stamps[file.sha256]
        told["files"] += 1
        for name, count in counts.items():
            if name != "corrects":
                told[name] += count
            elif count not in told["corrects"]:
                told["corrects"].append(count)
    if kept is None:
        raise SchemaError("no rows are kept, and all files were taken before", files=len(raw.files))
    told["kept_before"] = told["kept_before"] or len(kept.rows.style)
    return Appended(replace(kept, appended=told), taken)


def add(kept: Reading, new: Reading, corrects: Corrects) -> tuple[Reading, dict[str, Any]]:
    """Both as one reading, and what the new one brought.

    Rows belong together that have the same document ("document"), the same document, style and date ("line"), or the
    same style and date ("date"); a row without a document belongs to its style and date. "auto" is document where no
    document had several rows so far, else line, and date without a document column. A group that the new file states
    exactly as kept is known; one that it states otherwise takes the place of the kept one; the rest is added.
    "nothing": only rows with the document and content of a kept row are known, and nothing is replaced.
    """
    _refuse_misfit(kept, new)
    _refuse_unit(kept, new)
    a, b = kept.rows, new.rows
    ids = np.union1d(a.ids, b.ids)
    style_a, style_b = _renumbered(a, ids), _renumbered(b, ids)
    doc_a, doc_b = _documents(kept), _documents(new)
    names = (sorted({*a.past, *b.past}), sorted({*a.future, *b.future}), sorted({*a.labels, *b.labels}))
    hashed = text_hashes(ids.tolist(), _KEY)
    content_a, content_b = _contents(a, hashed[style_a], names), _contents(b, hashed[style_b], names)
    rule = _rule(corrects, kept, new)
    if rule == "nothing":
        key_a, key_b = _mixed(doc_a, content_a), _mixed(doc_b, content_b)
        may_b = doc_b > 0
    else:
        key_a, key_b = _keys(rule, doc_a, hashed[style_a], a), _keys(rule, doc_b, hashed[style_b], b)
        may_b = np.ones(len(key_b), dtype=bool)
    groups, of_b = np.unique(key_b, return_inverse=True)
    place = np.minimum(np.searchsorted(groups, key_a), len(groups) - 1)
    stated = groups[place] == key_a
    count_a, sum_a = _totals(place[stated], content_a[stated], len(groups))
    count_b, sum_b = _totals(of_b, content_b, len(groups))
    restated = count_a > 0
    same = restated & (count_a == count_b) & (sum_a == sum_b) if rule != "nothing" else restated
    changed = restated & ~same
    known = same[of_b] & may_b
    gone, correcting = stated & changed[place], changed[of_b]
    rows = joined_rows(a, b, ids, (style_a, style_b), np.flatnonzero(~gone), np.flatnonzero(~known), names)
    documents = None
    if kept.documents is not None or new.documents is not None:
        documents = np.concatenate([doc_a[~gone], doc_b[~known]])
        count_documents(rows, documents)
    unread = dict(kept.unread)
    for reason, count in new.unread.items():
        unread[reason] = unread.get(reason, 0) + count
    counts = {
        "rows_in": len(style_b) + sum(new.unread.values()),
        "added": int((~known & ~correcting).sum()),
        "known": int(known.sum()),
        "correcting": int(correcting.sum()),
        "unread": sum(new.unread.values()),
        "replaced": int(gone.sum()),
        "corrections": int(changed.sum()),
        "corrects": rule,
        "quantity_before": _quantity(a, gone),
        "quantity_after": _quantity(b, correcting),
    }
    both = replace(
        kept,
        rows=rows,
        documents=documents,
        files=(*kept.files, *new.files),
        data_hash=hashlib.sha256((kept.data_hash + new.data_hash).encode()).hexdigest(),
        layout=tuple(dict.fromkeys((*kept.layout, *new.layout))),
        notes=tuple(dict.fromkeys((*kept.notes, *new.notes))),
        personal=tuple(dict.fromkeys((*kept.personal, *new.personal))),
        unread=unread,
        parts=kept.parts + 1,
        kept={},
    )
    return both, counts


# ---- which rows belong together -----------------------------------------------------------------------------------


def _refuse_misfit(kept: Reading, new: Reading) -> None:
    def shape(one: Reading) -> dict[str, bool]:
        return {"document column": one.documents is not None, "series": one.regular, "wide table": one.wide}

    before, now = shape(kept), shape(new)
    odd = [f"{name}: {'yes' if now[name] else 'no'}" for name in before if before[name] != now[name]]
    if odd:
        raise SchemaError(
            "a new file does not fit the rows that are kept",
            file=[file["name"] for file in new.files],
            differs=odd,
            hint="Name its columns with columns.*, or read everything again without source.append",
        )


def _refuse_unit(kept: Reading, new: Reading) -> None:
    """Rows that name a unit cannot be added to rows that do not: their quantities may not be summed."""
    if new.rows.unit and not kept.rows.unit:
        raise SchemaError(
            "a new file names a unit, and the rows that are kept have none",
            file=[file["name"] for file in new.files],
            unit=new.rows.unit,
            rows=new.rows.facts["units"]["counts"],
            hint="Read everything again without source.append and with cleaning.target_unit, or take the unit out",
        )


def _rule(corrects: Corrects, kept: Reading, new: Reading) -> str:
    if corrects != "auto":
        if corrects in ("document", "line") and kept.documents is None:
            raise SchemaError(
                "there is no document column to correct by", corrects=corrects, hint="Set source.corrects=date"
            )
        return corrects
    if kept.documents is None:
        return "date"
    several = max(one.rows.facts["duplicates"].get("documents_with_several_rows", 0) for one in (kept, new))
    return "line" if several else "document"


def _documents(reading: Reading) -> Hashes:
    return np.zeros(len(reading.rows.style), dtype=np.uint64) if reading.documents is None else reading.documents


def _renumbered(rows: CleanRows, ids: Strings) -> Ints:
    """The place of each row's style in `ids` [n], -1 where it has none."""
    return np.append(np.searchsorted(ids, rows.ids), -1)[rows.style]


def _mixed(*columns: NDArray[Any]) -> Hashes:
    """One hash of each row's cells [n]."""
    out = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        out = pd.util.hash_array(out * _MULTIPLIER + pd.util.hash_array(column))
    return np.asarray(out)


def _keys(rule: str, documents: Hashes, style: Hashes, rows: CleanRows) -> Hashes:
    dated = _mixed(style, rows.days.astype(np.int64))
    if rule == "date":
        return dated
    return np.where(documents > 0, documents if rule == "document" else _mixed(documents, dated), dated)


def _contents(rows: CleanRows, style: Hashes, names: tuple[list[str], list[str], list[str]]) -> Hashes:
    """A hash of what each row says [n], whichever file it comes from."""
    n = len(rows.style)
    cells: list[NDArray[Any]] = [style, rows.days.astype(np.int64), rows.y + 0.0, rows.ledger.open.astype(np.int64)]
    for group, columns in zip((rows.past, rows.future), names[:2], strict=True):
        cells += [group.get(name, np.full(n, np.nan)) + 0.0 for name in columns]
    for name in names[2]:
        if name in rows.labels:
            codes, texts = distinct(rows.labels[name])
            cells.append(text_hashes(texts.to_pylist(), _KEY)[codes])
        else:
            cells.append(np.full(n, text_hashes([""], _KEY)[0]))
    return _mixed(*cells)


def _totals(group: Ints, contents: Hashes, n: int) -> tuple[Ints, Hashes]:
    """Rows of each group, and the sum of their contents modulo 2^64: the same whatever their order."""
    sums = np.zeros(n, dtype=np.uint64)
    np.add.at(sums, group, contents)
    return np.bincount(group, minlength=n), sums


def _quantity(rows: CleanRows, chosen: Bools) -> float:
    return float(np.nansum(rows.y[chosen & rows.ledger.open]))
