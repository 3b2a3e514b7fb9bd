"""The company's tables from a folder or single files: recognised by content, read, every row accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from demand.choosing import SourceFile
from demand.company.cells import costs, days, numbers, shares, switched_on, texts
from demand.company.fields import FIELDS, headers_of
from demand.company.rows import MERGED, Rows
from demand.company.rules import apply
from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS, NAMES, Company, TableReport
from demand.company.weeks import BLOCKS, by_week, weeks_of
from demand.duplicates import repeated_rows
from demand.errors import DemandError, SchemaError
from demand.exports import recognise_export
from demand.layouts import Table
from demand.ledger import Ledger
from demand.sources import SourceSettings, read_tables

_TABLES = {name: table for table, name in NAMES.items()}


def read_company(settings: CompanySettings) -> Company:
    """The tables that the settings name, and what became of every row.

    A file of `company.folder` that is none of them (the sales, a note) is told in `files` and left alone. Personal and
    partner columns (customer, sold to, ship to, CSR, notes, document and order numbers) are compared where rows are
    told apart, and go no further.

    Raises StorageError and SchemaError (nothing readable, not the table that was named, needed columns missing, two
    files of one kind), CalendarError and DataError (dates, percentages or repeated rows that only a key can settle).
    """
    found: dict[str, tuple[Table, SourceFile]] = {}
    files: dict[str, str] = {}
    for table, path in settings.named():
        found[table] = _one_file(table, path, settings)
        files[found[table][1].name] = NAMES[table]
    if settings.folder is not None:
        _look_into(settings, found, files)
    frames: dict[str, pd.DataFrame] = {}
    reports: dict[str, TableReport] = {}
    for table in COLUMNS:
        if table in found:
            raw, file = found[table]
            frames[table], reports[table] = read_table(table, raw, file.name, settings)
    return Company(**frames, reports=reports, files=dict(sorted(files.items())))


def tables_at(path: str, key: str, encoding: str = "auto") -> tuple[list[tuple[Table, SourceFile]], list[SourceFile]]:
    """As `read_tables`; an error names the key of these settings, not that of the sales."""
    try:
        return read_tables(SourceSettings(path=path, encoding=encoding))
    except DemandError as error:
        hint = error.hint.replace("source.path", key).replace("source.encoding", "company.encoding")
        facts = {name: key if value == "source.path" else value for name, value in error.facts.items()}
        raise type(error)(error.message, hint=hint, **facts) from None


def _one_file(table: str, path: str, settings: CompanySettings) -> tuple[Table, SourceFile]:
    used, unused = tables_at(path, f"company.{table}", settings.encoding)
    if len(used) != 1:
        raise SchemaError(
            "a key of one table needs one file", key=f"company.{table}", tables=[file.name for _, file in used],
            no_tables=[file.name for file in unused], hint="Name the file, or its folder as company.folder",
        )  # fmt: skip
    raw, file = used[0]
    export = recognise_export(raw.columns.column_names)
    if export is not None and export.name in _TABLES and export.name != NAMES[table]:
        raise SchemaError(
            f"this file is the {export.name}, not the {NAMES[table]}", key=f"company.{table}", file=file.name,
            hint=f"Name it as company.{_TABLES[export.name]}",
        )  # fmt: skip
    return raw, file


def _look_into(settings: CompanySettings, found: dict[str, tuple[Table, SourceFile]], files: dict[str, str]) -> None:
    """The tables of the folder that no key of their own named."""
    used, unused = tables_at(str(settings.folder), "company.folder", settings.encoding)
    given = set(found)
    files |= {file.name: file.cause for file in unused}
    for raw, file in used:
        export = recognise_export(raw.columns.column_names)
        table = _TABLES.get(export.name) if export else None
        if table is None:
            files.setdefault(file.name, f"not used: {export.name if export else 'its headers are of no known table'}")
        elif table in given:
            files.setdefault(file.name, f"not used: company.{table} names another file")
        elif table not in found:
            found[table] = (raw, file)
            files[file.name] = NAMES[table]
        elif found[table][1].sha256 == file.sha256:
            files[file.name] = f"not used: the same bytes as {found[table][1].name}"
        else:
            raise SchemaError(
                f"two files are the {NAMES[table]}", files=[found[table][1].name, file.name],
                hint=f"Name one of them as company.{table}, or move the older one away",
            )  # fmt: skip


def read_table(table: str, raw: Table, file: str, settings: CompanySettings) -> tuple[pd.DataFrame, TableReport]:
    """One raw table as its frame, with the columns and types of `COLUMNS`, and the report. Raises as `read_company`."""
    facts: dict[str, Any] = {}
    notes = list(raw.notes)
    headers = headers_of(table, raw)
    again = repeated_rows(raw.columns)
    frame = _cells(table, raw, headers, settings, facts)
    left_out = dict(raw.left_out)
    if table in BLOCKS:
        found = weeks_of(table, raw, settings, notes)
        frame = by_week(table, frame, raw, found, settings, facts)
        again = np.tile(again, len(found))
        # a row that was not read was a row of as many cells
        left_out = {reason: count * len(found) for reason, count in left_out.items()}
    rows_in = len(again) + sum(left_out.values())
    rows = Rows(table, frame, Ledger(len(frame)), settings, facts, notes)
    rows.drop(again, "exact duplicate")
    used = apply(rows)[list(COLUMNS[table])].reset_index(drop=True)
    left_out |= rows.ledger.left_out()
    merged = left_out.pop(MERGED, 0)
    shown = {field: header for field, header in headers.items() if not field.startswith("_")}
    report = TableReport(table, file, rows_in, len(used), merged, left_out, shown, facts, tuple(notes))
    return used, report


def _cells(
    table: str, raw: Table, headers: Mapping[str, str], settings: CompanySettings, facts: dict[str, Any]
) -> pd.DataFrame:
    """All fields of a table as typed columns, in the order of the file's rows; what it lacks is not known."""
    n = raw.n_rows
    columns: dict[str, Any] = {}
    dated = {headers[f.name]: raw.columns.column(headers[f.name])
             for f in FIELDS[table] if f.kind == "date" and f.name in headers}  # fmt: skip
    read = days(dated, settings, facts)
    lacking = [field.name for field in FIELDS[table] if field.name not in headers and not field.name.startswith("_")]
    if lacking:
        facts["columns_the_file_lacks"] = lacking
    for field in FIELDS[table]:
        header = headers.get(field.name)
        if field.kind == "date":
            columns[field.name] = read[header] if header else np.full(n, np.datetime64("NaT", "ns"))
        elif field.kind in ("id", "text"):
            columns[field.name] = (
                texts(raw.columns.column(header), is_id=field.kind == "id") if header else np.full(n, "", dtype=object)
            )
        elif field.kind == "on":
            columns[field.name] = switched_on(raw.columns.column(header)) if header else np.zeros(n, dtype=bool)
        elif header is None:
            columns[field.name] = np.full(n, np.nan)
        else:
            parse = {"number": numbers, "cost": costs, "share": shares}[field.kind]
            columns[field.name] = parse(raw.columns.column(header), header, settings, facts)
    return pd.DataFrame(columns)
