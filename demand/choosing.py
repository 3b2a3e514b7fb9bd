"""Which tables of a source are sales, whether they fit together, and what becomes of the files that are not."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from demand.columns import ALIASES
from demand.dates import DATE_FORMATS, read_dates
from demand.errors import SHOWN, SchemaError
from demand.exports import Export, normalised, recognise_export
from demand.layouts import Table, period_columns
from demand.parsing import as_text, distinct, is_text

TAKEN = "taken before"


@dataclass(frozen=True)
class SourceFile:
    """One file (or query) of a source, as the report tells it. cause: why it was not used, "" when it was."""

    name: str
    format: str
    bytes: int
    rows: int
    sha256: str
    export: str
    cause: str = ""


@dataclass(frozen=True, eq=False)
class Raw:
    """The raw tables of a source and where they came from.

    tables     the sales tables, to be joined row by row; origins: the file each of them comes from
    export     the known export they are, None when it is unknown
    files      every file looked at, used or not
    data_hash  sha256 over the bytes read, in the order of the names
    stamps     sha256 of a file used -> what its storage says of it (size, times, tag): equal while it is unchanged
    """

    tables: tuple[Table, ...]
    origins: tuple[SourceFile, ...]
    export: Export | None
    files: tuple[SourceFile, ...]
    data_hash: str
    stamps: Mapping[str, str]


def chosen(
    kind: str,
    max_rows: int,
    read: list[tuple[Table, SourceFile]],
    unused: list[SourceFile],
    taken: Mapping[str, str],
    stamps: Mapping[str, str],
    named: Collection[str] = (),
) -> Raw:
    """The sales among the tables. A single table of unknown headers is taken for sales; its columns will tell.

    No tables when all that are sales were taken before. Raises SchemaError: no sales, files that do not fit together.
    """
    files: list[SourceFile] = list(unused)
    sales: list[tuple[Table, Export | None]] = []
    origins: list[SourceFile] = []
    n_known = sum(file.cause == TAKEN for file in unused)
    read, again = [pair for pair in read if pair[1].sha256 not in taken], [f for _, f in read if f.sha256 in taken]
    files += [replace(file, rows=0, cause=TAKEN) for file in again]
    for table, file in read:
        export = recognise_export(table.columns.column_names)
        name = export.name if export else "unknown"
        cause = ""
        if export is not None and export.kind != "sales" and kind != "sales":
            cause = f"this is a {export.name} export, not sales"
        elif len(read) + n_known > 1 and not _looks_like_sales(table, export, named):
            cause = "no date, style and quantity columns"
        else:
            sales.append((table, export))
            origins.append(replace(file, export=name))
        files.append(replace(file, export=name, cause=cause))
    if not sales and (n_known or again):
        return Raw((), (), None, tuple(sorted(files, key=lambda file: file.name)), "", {})
    if not sales:
        raise SchemaError(
            "no sales were found in the source",
            files=[f"{file.name}: {file.cause}" for file in files],
            hint="Name the file itself, or source.kind=sales to read it as sales",
        )
    headers = {tuple(sorted(table.columns.column_names)) for table, _ in sales}
    common = set.intersection(*(set(names) for names in headers))
    roles = {role_columns(table) for table, _ in sales}
    if len(roles) > 1 or not common:
        raise SchemaError(
            "several files look like sales and do not fit together",
            files=[table.name for table, _ in sales],
            hint="Name one file as source.path, or move the others to another folder",
        )
    total = sum(table.n_rows for table, _ in sales)
    if total > max_rows:
        raise SchemaError("too many rows", found=total, limit=max_rows, hint="Raise source.max_rows")
    files.sort(key=lambda file: file.name)
    used = [file.sha256 for file in sorted(origins, key=lambda file: file.name)]
    data_hash = used[0] if len(used) == 1 else hashlib.sha256("".join(used).encode()).hexdigest()
    tables = tuple(table for table, _ in sales)
    return Raw(tables, tuple(origins), sales[0][1], tuple(files), data_hash, stamps)


def role_columns(table: Table) -> tuple[str, ...]:
    """The headers of a table that name a date, style or quantity, normalised."""
    needed = {alias for role in ("date", "style", "quantity") for alias in ALIASES[role]}
    return tuple(sorted({normalised(name) for name in table.columns.column_names} & needed))


def _looks_like_sales(table: Table, export: Export | None, named: Collection[str]) -> bool:
    if export is not None:
        return export.kind == "sales"
    found = {normalised(name) for name in table.columns.column_names}
    if named and found >= {normalised(name) for name in named}:
        return True
    if all(found & set(ALIASES[role]) for role in ("date", "style", "quantity")):
        return True
    dated = [name for name in table.columns.column_names if name[:1].isdigit()]
    days, _ = period_columns(dated, None)
    return bool(found & set(ALIASES["style"])) and not np.isnat(days).all()


def date_note(raw: Raw, header: str, date_format: str) -> tuple[str, ...]:
    """One note when files were read day first (or month first) only because others beside them can be read no other
    way; none when every file tells it by itself, or none does."""
    other = date_format.replace("%m", "\0").replace("%d", "%m").replace("\0", "%d")
    if other == date_format or not {date_format, other} <= set(DATE_FORMATS):
        return ()
    deciding, following = [], []
    for table, file in zip(raw.tables, raw.origins, strict=True):
        if header not in table.columns.column_names or not is_text(table.columns.column(header)):
            continue
        _, texts = distinct(table.columns.column(header))
        chosen, swapped = read_dates(texts, date_format), read_dates(texts, other)
        read = ~np.isnat(chosen)
        if np.isnat(swapped[read]).any():
            deciding.append(file.name)
        elif (chosen[read] != swapped[read]).any():
            following.append(file.name)
    if not deciding or not following:
        return ()
    return (
        f"dates are read as {date_format} because of {_named(deciding)}; {_named(following)} would fit {other} as "
        "well: columns.date_format decides",
    )


def _named(files: list[str]) -> str:
    return ", ".join(files[:SHOWN]) + (f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else "")


def joined(tables: tuple[Table, ...]) -> Table:
    """The tables under each other; a column that one of them lacks is blank there."""
    if len(tables) == 1:
        return tables[0]
    parts = [table.columns for table in tables]
    try:
        columns = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowInvalid:  # the same column typed differently in two files: as text both are read alike
        texts = [pa.table({name: as_text(part.column(name)) for name in part.column_names}) for part in parts]
        columns = pa.concat_tables(texts, promote_options="permissive")
    left_out: dict[str, int] = {}
    for table in tables:
        for reason, count in table.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    notes = tuple(f"{table.name}: {note}" for table in tables for note in table.notes)
    titles = tuple(title for table in tables for title in table.titles)
    return Table(" + ".join(table.name for table in tables), columns, titles, left_out, notes)
