"""A reading: the rows of one file, or of many put together, read and judged but not yet summed into periods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from demand.choosing import Raw
from demand.cleaning import CleaningSettings, CleanRows, clean_rows
from demand.columns import ColumnSettings, map_columns
from demand.errors import SettingsError
from demand.exports import normalised
from demand.layouts import CELL, PERIOD, Table, period_columns, to_long
from demand.parsing import as_text, distinct
from demand.sources import SourceSettings

Hashes = NDArray[np.uint64]
_AT_ONCE = 1_000_000  # texts hashed at once: they are Python objects meanwhile


@dataclass(frozen=True, eq=False)
class Reading:
    """n rows with a fate each, and what their files said about themselves.

    documents  [n]  a keyed hash of each row's document, 0 where it has none; None without a document column, or when
                    no key was given. The documents themselves are not kept
    unread     reason -> rows of the files that never became rows (wrong number of fields, blank, ..)
    headers    role -> header, of the first file
    regular    the table had unique_id, ds and y; wide: it had a column per date
    parts      how many files were cleaned apart and put together
    appended   what the newest files brought, None when everything was read at once
    kept       {header: [n]}   the columns that `columns.keep` names, as they were written
    """

    rows: CleanRows
    documents: Hashes | None
    files: tuple[Mapping[str, Any], ...]
    data_hash: str
    export: str
    layout: tuple[str, ...]
    mapping: Mapping[str, str]
    headers: Mapping[str, str]
    personal: tuple[str, ...]
    notes: tuple[str, ...]
    unread: Mapping[str, int]
    columns: tuple[str, ...]
    style: tuple[str, ...]
    regular: bool
    wide: bool
    parts: int = 1
    appended: Mapping[str, Any] | None = None
    kept: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """The headers by which another file of the same kind is known, () for a wide table."""
        return () if self.wide else (self.headers["date"], *self.style, self.headers["quantity"])


def reading_of(
    table: Table,
    raw: Raw,
    source: SourceSettings,
    columns: ColumnSettings,
    cleaning: CleaningSettings,
    key: str | None = None,
    earlier: Reading | None = None,
) -> Reading:
    """One raw table, laid out, mapped and cleaned.

    key: of 16 characters, for the hash of the documents. earlier: what is known of such files decides where this one is
    too short to tell: the same headers in the same roles, the same date format, the same unit. Raises as `ingest`.
    """
    table = _long(table, source, columns, raw)
    wide = any(note.startswith("wide table") for note in table.notes)
    if earlier is not None:
        columns, cleaning = _as_before(table, columns, cleaning, earlier)
    mapped = map_columns(table, columns, raw.export)
    if earlier is None and cleaning.target_unit and "unit" not in mapped.optional:
        raise SettingsError(
            "there is no unit column whose rows could be brought to this unit", key="cleaning.target_unit",
            found=cleaning.target_unit, hint="Name the column with columns.unit, or leave the key out",
        )  # fmt: skip
    preferred = raw.export.date_format if raw.export is not None and mapped.why["date"] == "export" else None
    if earlier is not None and not wide:
        formats = earlier.rows.facts["date"]["format"].split(" + ")
        preferred = next((one for one in formats if one.startswith("%")), preferred)
    rows = clean_rows(table, mapped, columns, cleaning, preferred)
    documents = None
    if key is not None and "document" in mapped.optional:
        documents = keyed_hashes(table.columns.column(mapped.optional["document"]), key)
    return Reading(
        rows=rows,
        documents=documents,
        files=tuple(asdict(file) for file in raw.files),
        data_hash=raw.data_hash,
        export=raw.export.name if raw.export else "unknown export",
        layout=table.notes,
        mapping=mapped.chosen(),
        headers={"date": mapped.date, "quantity": mapped.quantity, **mapped.optional},
        personal=mapped.personal,
        notes=mapped.notes,
        unread=table.left_out,
        columns=tuple(name for name in table.columns.column_names if name not in (PERIOD, CELL)),
        style=mapped.style,
        regular=mapped.regular,
        wide=wide,
        kept={name: as_text(table.columns.column(name)) for name in mapped.keep},
    )


def keyed_hashes(column: pa.ChunkedArray, key: str) -> Hashes:
    """A hash of each cell [n] under a key of 16 characters; 0 for a blank one."""
    codes, texts = distinct(column)
    parts = [
        text_hashes(texts.slice(at, _AT_ONCE).to_pylist(), key) | np.uint64(1) for at in range(0, len(texts), _AT_ONCE)
    ]
    hashes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
    blank = np.asarray(pa.compute.equal(texts, "").to_numpy(zero_copy_only=False))
    return np.asarray(np.where(blank, np.uint64(0), hashes)[codes])


def text_hashes(texts: list[str], key: str) -> Hashes:
    """SipHash of each text [k]; the same on every machine."""
    return np.asarray(pd.util.hash_array(np.array(texts, dtype=object), hash_key=key, categorize=False))


def _long(table: Table, source: SourceSettings, columns: ColumnSettings, raw: Raw) -> Table:
    if columns.date is not None or (raw.export is not None and raw.export.kind == "sales"):
        return table
    names = table.columns.column_names
    days, read_as = period_columns(names, source.as_of, table.titles, columns.date_format)
    return table if np.isnat(days).all() else to_long(table, days, read_as)


def _as_before(
    table: Table, columns: ColumnSettings, cleaning: CleaningSettings, earlier: Reading
) -> tuple[ColumnSettings, CleaningSettings]:
    """The settings, completed by what the earlier files settled."""
    by_name = {normalised(name): name for name in table.columns.column_names}
    known = {} if earlier.regular else dict(earlier.headers)
    given: dict[str, Any] = {
        role: by_name[normalised(header)]
        for role, header in known.items()
        if getattr(columns, role) is None and header not in (PERIOD, CELL) and normalised(header) in by_name
    }
    if columns.style is None and not earlier.regular and all(normalised(name) in by_name for name in earlier.style):
        given["style"] = tuple(by_name[normalised(name)] for name in earlier.style)
    if cleaning.target_unit is None and earlier.rows.unit:
        cleaning = replace(cleaning, target_unit=earlier.rows.unit)
    return replace(columns, **given), cleaning
