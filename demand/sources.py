"""Where raw rows come from: a file, a folder, an object store or a database, read once and hashed."""

from __future__ import annotations

import datetime
import hashlib
import io
import re
from dataclasses import dataclass as plain_dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.columns import ALIASES
from demand.delimited import Limits
from demand.errors import DataError, SchemaError, SettingsError, StorageError
from demand.exports import Export, normalised, recognise_export
from demand.formats import check_cells, read_table, recognise, unpacked
from demand.layouts import Table, period_columns
from demand.parsing import as_text
from demand.settings import STRICT

# Only places that store files. http, ftp, and the chained "a::b" addresses of fsspec, are refused: a job must not fetch
# from an address that a setting happens to name.
STORAGE_SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hdfs", "memory")
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake", "redshift")
SUBFOLDER = "ERP Data"
_CHUNK = 1 << 23

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class SourceSettings:
    """Where the rows are and how much of them may be read.

    path: a file, a folder (its subfolder "ERP Data" is looked into as well), an object-store address such as
    s3://bucket/prefix, or a SQLAlchemy address. kind: auto = what the headers say. format: auto = what the content
    says. sheet: of a workbook. query / table: for SQL, one of the two. encoding: auto = UTF-8 with or without a mark.
    as_of: the date of the snapshot; freshness is counted from it, and week numbers are placed by it. root: when given,
    a path outside this folder is refused. max_*: limits of the whole source; max_cell is in bytes.
    """

    path: str
    kind: Literal["auto", "sales", "yarn", "orders"] = "auto"
    format: Literal["auto", "csv", "excel", "json", "parquet", "sql"] = "auto"
    sheet: str | None = None
    query: str | None = None
    table: str | None = None
    encoding: str = "auto"
    as_of: datetime.date | None = None
    root: str | None = None
    max_bytes: Positive = 2_000_000_000
    max_rows: Positive = 50_000_000
    max_columns: Positive = 5_000
    max_cell: Positive = 20_000

    def __post_init__(self) -> None:
        if self.kind in ("yarn", "orders"):
            raise SettingsError(
                "only sales are loaded so far", key="source.kind", found=self.kind, expected="auto or sales"
            )


@plain_dataclass(frozen=True)
class SourceFile:
    """One file (or query) of a source, as the report tells it. cause: why it was not used, "" when it was."""

    name: str
    format: str
    bytes: int
    rows: int
    sha256: str
    export: str
    cause: str = ""


@plain_dataclass(frozen=True, eq=False)
class Raw:
    """The raw tables of a source and where they came from.

    tables     the sales tables, to be joined row by row
    export     the known export they are, None when it is unknown
    files      every file looked at, used or not
    data_hash  sha256 over the bytes read, in the order of the names
    """

    tables: tuple[Table, ...]
    export: Export | None
    files: tuple[SourceFile, ...]
    data_hash: str


def read_source(settings: SourceSettings) -> Raw:
    """Every sales table of a source. What is parsed is exactly what was hashed, also when the file grows meanwhile.

    Peak memory of a whole ingest is about four times the unpacked bytes of a text file (see the room's README), bounded
    by `max_bytes`. Raises StorageError
    (missing, unreadable, too large, a scheme that is not storage), SchemaError (not a table, not sales) and
    SettingsError (a path outside `root`, SQL without a query or table).
    """
    scheme = _scheme(settings)
    if settings.format == "sql" or scheme.split("+")[0] in DATABASE_SCHEMES:
        from demand.database import read_database

        table, digest = read_database(settings.path, settings.query, settings.table, _limits(settings))
        return _chosen(settings, [(table, SourceFile(table.name, "sql", 0, table.n_rows, digest, ""))], [])
    if scheme not in STORAGE_SCHEMES:
        raise StorageError(
            "this kind of address is not storage",
            found=scheme,
            expected=", ".join((*STORAGE_SCHEMES, *DATABASE_SCHEMES)),
            hint="Copy the file to a folder or an object store and name that as source.path",
        )
    return _read_files(settings, scheme)


def _limits(settings: SourceSettings) -> Limits:
    return Limits(settings.max_bytes, settings.max_rows, settings.max_columns, settings.max_cell)


def _scheme(settings: SourceSettings) -> str:
    path = settings.path
    if not path.strip() or "\0" in path:
        raise SettingsError("the source has no path", key="source.path", found=path)
    if "::" in path:
        raise StorageError("chained addresses are not read", found=without_secrets(path))
    match = re.match(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,3}", path)
    scheme = match.group(1).lower() if match else "file"
    if settings.root is not None:
        _refuse_outside(path, settings.root, scheme)
    return scheme


def _refuse_outside(path: str, root: str, scheme: str) -> None:
    from pathlib import Path

    inside = scheme == "file" and Path(path.removeprefix("file://")).resolve().is_relative_to(Path(root).resolve())
    if not inside:
        raise SettingsError("the path is outside the data folder", key="source.path", found=without_secrets(path))


def without_secrets(path: str) -> str:
    """An address without the user and password in it."""
    return re.sub(r"//[^/@]*@", "//***@", path)


# ---- files --------------------------------------------------------------------------------------------------------


def _read_files(settings: SourceSettings, scheme: str) -> Raw:
    from fsspec.core import url_to_fs

    shown = without_secrets(settings.path)
    try:
        fs, root = url_to_fs(settings.path)
        names, is_folder = _listing(fs, root)
    except ImportError as error:
        raise StorageError("a package for this storage is missing", path=shown, cause=str(error)) from None
    except _storage_errors(scheme) as error:
        raise _unreadable(error, shown) from None
    if not names:
        raise StorageError("the folder holds no files", path=shown)
    used: list[tuple[Table, SourceFile]] = []
    unused: list[SourceFile] = []
    left = settings.max_bytes
    for name in names:
        short = PurePosixPath(name).name
        try:
            data = _read_bytes(fs, name, short, left)
        except _storage_errors(scheme) as error:
            raise _unreadable(error, short) from None
        left -= len(data)
        digest = hashlib.sha256(data).hexdigest()
        try:
            used.append(_one_file(data, short, digest, settings))
        except DataError as error:
            if not is_folder:
                raise
            # in a folder anything may lie beside the sales; each file that is no table is named in the report
            unused.append(SourceFile(short, "", len(data), 0, digest, "", str(error)))
    return _chosen(settings, used, unused)


def _storage_errors(scheme: str) -> tuple[type[Exception], ...]:
    if scheme in ("s3", "s3a"):
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        return (OSError, BotoCoreError, ClientError)
    return (OSError,)


def _unreadable(error: Exception, shown: str) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError("there is no such file or folder", path=shown, hint="Check source.path")
    if isinstance(error, PermissionError):
        return StorageError("the file may not be read", path=shown, cause=type(error).__name__)
    return StorageError("the storage cannot be read", path=shown, cause=f"{type(error).__name__}: {error}")


def _listing(fs: Any, root: str) -> tuple[list[str], bool]:
    """The files to look at, in the order of their names, and whether `root` is a folder."""
    if fs.isfile(root):
        return [root], False
    if not fs.isdir(root):
        if fs.exists(root):
            raise StorageError("this is not a regular file or folder", path=root)
        raise FileNotFoundError(root)
    names = []
    for folder in (root, f"{root.rstrip('/')}/{SUBFOLDER}"):
        if folder == root or fs.isdir(folder):
            entries = fs.ls(folder, detail=True)
            names += [entry["name"] for entry in entries if entry["type"] == "file"]
    visible = [name for name in names if not PurePosixPath(name).name.startswith((".", "_", "~$"))]
    return sorted(visible), True


def _read_bytes(fs: Any, name: str, short: str, limit: int) -> bytes:
    data = io.BytesIO()  # parts joined at the end would lie in memory twice
    with fs.open(name, "rb") as file:
        while chunk := file.read(_CHUNK):
            data.write(chunk)
            if data.tell() > limit:
                raise StorageError(
                    "the source is too large",
                    file=short,
                    limit_bytes=limit,
                    hint="Raise source.max_bytes if this is meant",
                )
    return data.getvalue()


def _one_file(data: bytes, name: str, digest: str, settings: SourceSettings) -> tuple[Table, SourceFile]:
    whole = unpacked(data, name, settings.max_bytes)
    kind = recognise(whole, name)
    if settings.format not in ("auto", kind):
        raise SchemaError("the file is not in this format", file=name, format=settings.format, found=kind)
    limits = _limits(settings)
    table = read_table(whole, name, kind, encoding=settings.encoding, sheet=settings.sheet, limits=limits)
    check_cells(table, limits)
    return table, SourceFile(name, kind, len(data), table.n_rows, digest, "")


# ---- which of them are sales --------------------------------------------------------------------------------------


def _chosen(settings: SourceSettings, read: list[tuple[Table, SourceFile]], unused: list[SourceFile]) -> Raw:
    """The sales among the tables. A single table of unknown headers is taken for sales; its columns will tell."""
    files: list[SourceFile] = list(unused)
    sales: list[tuple[Table, Export | None]] = []
    for table, file in read:
        export = recognise_export(table.columns.column_names)
        name = export.name if export else "unknown"
        cause = ""
        if export is not None and export.kind != "sales" and settings.kind != "sales":
            cause = f"this is a {export.name} export, not sales"
        elif len(read) > 1 and not _looks_like_sales(table, export):
            cause = "no date, style and quantity columns"
        else:
            sales.append((table, export))
        files.append(SourceFile(file.name, file.format, file.bytes, file.rows, file.sha256, name, cause))
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
    if total > settings.max_rows:
        raise SchemaError("too many rows", found=total, limit=settings.max_rows, hint="Raise source.max_rows")
    files.sort(key=lambda file: file.name)
    names = {table.name for table, _ in sales}
    digest = hashlib.sha256("".join(file.sha256 for file in files if file.name in names).encode())
    only = [file.sha256 for file in files if file.name in names]
    data_hash = only[0] if len(only) == 1 else digest.hexdigest()
    return Raw(tuple(table for table, _ in sales), sales[0][1], tuple(files), data_hash)


def role_columns(table: Table) -> tuple[str, ...]:
    """The headers of a table that name a date, style or quantity, normalised."""
    needed = {alias for role in ("date", "style", "quantity") for alias in ALIASES[role]}
    return tuple(sorted({normalised(name) for name in table.columns.column_names} & needed))


def _looks_like_sales(table: Table, export: Export | None) -> bool:
    if export is not None:
        return export.kind == "sales"
    found = {normalised(name) for name in table.columns.column_names}
    if all(found & set(ALIASES[role]) for role in ("date", "style", "quantity")):
        return True
    dated = [name for name in table.columns.column_names if name[:1].isdigit()]
    days, _ = period_columns(dated, None)
    return bool(found & set(ALIASES["style"])) and not np.isnat(days).all()


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
