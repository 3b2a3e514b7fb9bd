"""Where raw rows come from: a file, a folder, an object store or a database, read once and hashed."""

from __future__ import annotations

import datetime
import hashlib
import io
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.choosing import TAKEN, Raw, SourceFile, chosen
from demand.delimited import Limits
from demand.errors import DataError, SchemaError, SettingsError, StorageError
from demand.formats import check_cells, read_table, recognise, unpacked
from demand.layouts import Table
from demand.masking import masked
from demand.settings import STRICT

# Only places that store files. http, ftp, and the chained "a::b" addresses of fsspec, are refused: a job must not fetch
# from an address that a setting happens to name.
STORAGE_SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hdfs", "memory")
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake", "redshift")
SUBFOLDER = "ERP Data"
_CHUNK = 1 << 23
_BUCKETS = ("s3", "s3a", "gs", "gcs")
_REACH = "Check source.path, the network and the credentials in the environment"
NONE_TAKEN: Mapping[str, str] = {}

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class SourceSettings:
    """Where the rows are and how much of them may be read.

    path: a file, a folder (its subfolder "ERP Data" is looked into as well), an object-store address such as
    s3://bucket/prefix, or a SQLAlchemy address. kind: auto = what the headers say. format: auto = what the content
    says. sheet: of a workbook. query / table: for SQL, one of the two. encoding: auto = UTF-8 with or without a mark.
    as_of: the date of the snapshot; freshness is counted from it, week numbers are placed by it, and rows
    dated later are left out. root: when given,
    a path outside this folder is refused. max_*: limits of the whole source; max_cell is in bytes. append: files not
    taken before are added to the rows kept in the storage (`jobs.ingest` only). corrects: which kept rows a newer file
    replaces, see `demand.append.add`.
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
    append: bool = False
    corrects: Literal["auto", "document", "line", "date", "nothing"] = "auto"

    def __post_init__(self) -> None:
        if self.corrects != "auto" and not self.append:
            raise SettingsError("corrects acts on appended files only", key="source.corrects", found=self.corrects,
                                hint="Set source.append=true")  # fmt: skip
        if self.kind in ("yarn", "orders"):
            raise SettingsError(
                "a source holds sales", key="source.kind", found=self.kind, expected="auto or sales",
                hint="The company's other tables are read from company.folder",
            )  # fmt: skip


def read_source(settings: SourceSettings, taken: Mapping[str, str] = NONE_TAKEN, named: Collection[str] = ()) -> Raw:
    """Every sales table of a source. What is parsed is exactly what was hashed, also when the file grows meanwhile.

    taken: sha256 -> stamp of files taken before. They are not parsed (not even read where the stamp is the same), and
    when only they are there, no table comes back. named: headers that make a table sales, besides the known ones.

    Peak memory of a whole ingest is about four times the unpacked bytes of a text file (see the room's README), bounded
    by `max_bytes`. Raises StorageError (missing, unreadable, too large, a scheme that is not storage), SchemaError (not
    a table, not sales) and SettingsError (a path outside `root`, SQL without a query or table).
    """
    scheme = address_scheme(settings)
    if settings.format == "sql" or scheme.split("+")[0] in DATABASE_SCHEMES:
        from demand.database import read_database

        table, digest = read_database(settings.path, settings.query, settings.table, _limits(settings))
        read = [(table, SourceFile(table.name, "sql", 0, table.n_rows, digest, ""))]
        return chosen(settings.kind, settings.max_rows, read, [], taken, {digest: ""}, named)
    if scheme not in STORAGE_SCHEMES:
        raise StorageError(
            "this kind of address is not storage",
            found=scheme,
            expected=", ".join((*STORAGE_SCHEMES, *DATABASE_SCHEMES)),
            hint="Copy the file to a folder or an object store and name that as source.path",
        )
    used, unused, stamps = _read_files(settings, scheme, taken)
    return chosen(settings.kind, settings.max_rows, used, unused, taken, stamps, named)


def read_tables(settings: SourceSettings) -> tuple[list[tuple[Table, SourceFile]], list[SourceFile]]:
    """Every table of a file, a folder or an object-store prefix, whatever it is of, and the files that are no table.

    Raises as `read_source`; a single file that is no table raises, in a folder its cause is told.
    """
    scheme = address_scheme(settings)
    if scheme not in STORAGE_SCHEMES:
        raise StorageError("this kind of address is not storage", found=scheme, expected=", ".join(STORAGE_SCHEMES))
    used, unused, _ = _read_files(settings, scheme, NONE_TAKEN)
    return used, unused


def _limits(settings: SourceSettings) -> Limits:
    return Limits(settings.max_bytes, settings.max_rows, settings.max_columns, settings.max_cell)


def address_scheme(settings: SourceSettings) -> str:
    """The kind of place `path` names, "file" for a plain path. Raises as `read_source`."""
    path = settings.path
    if not path.strip() or "\0" in path:
        raise SettingsError("the source has no path", key="source.path", found=path)
    if "::" in path:
        raise StorageError("chained addresses are not read", found=path)
    match = re.match(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,3}", path)
    scheme = match.group(1).lower() if match else "file"
    if match and scheme in _BUCKETS and re.match(r"[^/]*[:@]", path[match.end() :]):
        raise SettingsError(
            "keys do not belong in the address of a bucket", key="source.path", found=path,
            hint="Leave them out; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
        )  # fmt: skip
    if settings.root is not None:
        _refuse_outside(path, settings.root, scheme)
    return scheme


def _refuse_outside(path: str, root: str, scheme: str) -> None:
    from pathlib import Path

    inside = scheme == "file" and Path(path.removeprefix("file://")).resolve().is_relative_to(Path(root).resolve())
    if not inside:
        raise SettingsError("the path is outside the data folder", key="source.path", found=path)


# ---- files --------------------------------------------------------------------------------------------------------


def _read_files(
    settings: SourceSettings, scheme: str, taken: Mapping[str, str]
) -> tuple[list[tuple[Table, SourceFile]], list[SourceFile], dict[str, str]]:
    """The tables and their files, the files that are no table or taken before, and sha256 -> stamp of those read."""
    from fsspec.core import url_to_fs

    shown = masked(settings.path)
    try:
        fs, root = url_to_fs(settings.path)
        names, is_folder = _listing(fs, root)
    except ImportError as error:
        raise StorageError(
            "a package for this storage is missing", path=shown, cause=masked(str(error), settings.path)
        ) from None
    except _storage_errors(scheme) as error:
        raise _unreadable(error, shown, settings.path) from None
    if not names:
        raise StorageError(
            "the folder holds no files", path=shown, hint="Put the export there, or name another as source.path"
        )
    used: list[tuple[Table, SourceFile]] = []
    unused: list[SourceFile] = []
    stamps: dict[str, str] = {}
    sha256_of = {stamp: sha256 for sha256, stamp in taken.items() if stamp}
    left = settings.max_bytes
    for name in names:
        short = PurePosixPath(name).name
        try:
            stamp = str(fs.ukey(name))  # before the bytes: a file that changes while it is read has another one then
            if stamp in sha256_of:
                unused.append(SourceFile(short, "", 0, 0, sha256_of[stamp], "", TAKEN))
                continue
            data = _read_bytes(fs, name, short, left)
        except _storage_errors(scheme) as error:
            raise _unreadable(error, short, settings.path) from None
        left -= len(data)
        digest = hashlib.sha256(data).hexdigest()
        if digest in taken:
            unused.append(SourceFile(short, "", len(data), 0, digest, "", TAKEN))
            continue
        stamps[digest] = stamp
        try:
            used.append(_one_file(data, short, digest, settings))
        except DataError as error:
            if not is_folder:
                raise
            # in a folder anything may lie beside the sales; each file that is no table is named in the report
            unused.append(SourceFile(short, "", len(data), 0, digest, "", str(error)))
    if settings.sheet is not None and used and all(file.format != "excel" for _, file in used):
        raise SettingsError(
            "only a workbook has sheets", key="source.sheet", found=settings.sheet,
            formats=sorted({file.format for _, file in used}), hint="Leave it out",
        )  # fmt: skip
    return used, unused, stamps


def _storage_errors(scheme: str) -> tuple[type[Exception], ...]:
    if scheme in ("s3", "s3a"):
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        return (OSError, BotoCoreError, ClientError)
    return (OSError,)


def _unreadable(error: Exception, shown: str, address: str) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError("there is no such file or folder", path=shown, hint="Check source.path")
    if isinstance(error, PermissionError):
        hint = "Give this user the right to read it"
        return StorageError("the file may not be read", path=shown, cause=type(error).__name__, hint=hint)
    cause = masked(f"{type(error).__name__}: {error}", address)
    return StorageError("the storage cannot be read", path=shown, cause=cause, hint=_REACH)


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
