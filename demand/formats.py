"""Bytes to a Table: CSV, Excel, JSON and Parquet, told apart by what is inside, never by the name."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import Any, Literal
from xml.etree.ElementTree import ParseError

import pyarrow as pa
import pyarrow.compute as pc

from demand.delimited import SAMPLE_RECORDS, Limits, as_utf8, not_utf8, read_csv
from demand.errors import SchemaError, StorageError
from demand.layouts import NO_ROWS, Table, find_header, tidy
from demand.parsing import is_text
from demand.settings import nearest_name

_RECORDS = "Write one object a row, with the same keys in each"
FileFormat = Literal["csv", "excel", "json", "parquet"]


def unpacked(data: bytes, name: str, max_bytes: int) -> bytes:
    """The same bytes, or what a gzip file holds. Raises StorageError past `max_bytes`, counted while unpacking."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    out, left = io.BytesIO(), data
    try:
        while left:  # a gzip file may hold several members
            stream = zlib.decompressobj(wbits=31)
            while left and not stream.eof:
                out.write(stream.decompress(left, 1 << 22))
                left = stream.unconsumed_tail or (stream.unused_data if stream.eof else b"")
                if out.tell() > max_bytes:
                    raise StorageError(
                        "the unpacked file is too large",
                        file=name,
                        packed_bytes=len(data),
                        limit_bytes=max_bytes,
                        hint="Raise source.max_bytes if this is meant",
                    )
            if not stream.eof:
                raise StorageError("the gzip file ends too early", file=name, packed_bytes=len(data))
    except zlib.error as error:
        raise StorageError("the gzip file is damaged", file=name, cause=str(error)) from None
    return out.getvalue()


def recognise(data: bytes, name: str) -> FileFormat:
    """The format of a file, by its first bytes. Raises SchemaError for what is not a table."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start and not data.strip():
        raise SchemaError("the file is empty", file=name, bytes=len(data), hint=NO_ROWS)
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in data[:4096] or b"xl/" in data:
            return "excel"
        raise SchemaError("this is a zip archive, not a table", file=name, hint="Unpack it and name the file inside")
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise SchemaError("the old .xls format is not read", file=name, hint="Save it as .xlsx or CSV")
    if data.startswith(
        (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"SQLite format 3", b"\x7fELF", b"BZh", b"\x28\xb5\x2f\xfd")
    ):
        raise SchemaError("this is a binary file, not a table", file=name, first_bytes=data[:4].hex())
    if start.startswith((b"[", b"{")):
        return "json"
    if start.startswith(b"<"):
        raise SchemaError("this is an HTML or XML page, not a table", file=name)
    return "csv"


def read_table(data: bytes, name: str, kind: FileFormat, *, encoding: str, sheet: str | None, limits: Limits) -> Table:
    """The rows of one file. Raises SchemaError or StorageError naming the file and what is wrong with it."""
    if kind == "parquet":
        return _read_parquet(data, name, limits)
    if kind == "excel":
        return _read_excel(data, name, sheet, limits)
    text = as_utf8(data, name, encoding)
    if kind == "json":
        return _read_json(text, name, limits)
    return read_csv(text, name, limits)


def check_cells(table: Table, limits: Limits) -> None:
    """Raises SchemaError when a text cell is longer than `limits.cell` bytes."""
    for title, column in zip(table.columns.column_names, table.columns.columns, strict=True):
        if not is_text(column) or not len(column):
            continue
        longest = pc.max(pc.binary_length(column.cast(pa.string()))).as_py() or 0
        if longest > limits.cell:
            raise SchemaError(
                "a cell is too long",
                file=table.name,
                column=title,
                bytes=longest,
                limit=limits.cell,
                hint="Raise source.max_cell if this is meant; an unclosed quote is the usual cause",
            )


def _read_excel(data: bytes, name: str, sheet: str | None, limits: Limits) -> Table:
    from openpyxl import load_workbook  # type: ignore[import-untyped]
    from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

    try:
        limits.check("bytes", sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(data)).infolist()), name)
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        if sheet is not None and sheet not in book.sheetnames:
            raise SchemaError(
                "the workbook has no such sheet", file=name, sheet=sheet, found=book.sheetnames,
                nearest=nearest_name(sheet, book.sheetnames),
            )  # fmt: skip
        filled = [s for s in book.worksheets if sheet in (None, s.title)]
        pages = [(page.title, _sheet_rows(page, name, limits)) for page in filled]
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, ParseError, zlib.error, OSError) as error:
        raise SchemaError("the Excel file is damaged", file=name, cause=f"{type(error).__name__}: {error}") from None
    pages = [(title, rows) for title, rows in pages if rows]
    if not pages:
        raise SchemaError("the workbook has no rows", file=name)
    if len(pages) > 1:
        raise SchemaError(
            "the workbook has several sheets with rows",
            file=name,
            sheets=[title for title, _ in pages],
            hint="Name one with source.sheet",
        )
    return _from_records(name, pages[0][1])


def _sheet_rows(page: Any, name: str, limits: Limits) -> list[list[str]]:
    rows: list[list[str]] = []
    for cells in page.iter_rows(values_only=True):
        limits.check("columns", len(cells), name)
        texts = [_excel_text(cell) for cell in cells]
        if any(texts) or rows:
            rows.append(texts)
            limits.check("rows", len(rows), name)
    while rows and not any(rows[-1]):
        rows.pop()
    return rows


def _excel_text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)


def _from_records(name: str, rows: list[list[str]]) -> Table:
    at = find_header(rows[:SAMPLE_RECORDS], name)
    header, body = rows[at], rows[at + 1 :]
    if not body:
        raise SchemaError("the file has a header and no rows", file=name, columns=len(header), hint=NO_ROWS)
    titles = [" ".join(cell for cell in row if cell) for row in rows[:at]]
    columns = [pa.chunked_array([pa.array([row[i] for row in body], pa.string())]) for i in range(len(header))]
    return tidy(name, header, columns, titles, rows[at - 1] if at else ())


def _read_json(data: bytes, name: str, limits: Limits) -> Table:
    # numbers stay text, exactly as written: an id such as 1e5 or 0012 is not a number
    parse: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": str}
    try:
        text = data.decode("utf-8")
        try:
            found = json.loads(text, **parse)
        except json.JSONDecodeError:
            if not text.lstrip().startswith("{"):
                raise
            found = [json.loads(line, **parse) for line in text.splitlines() if line.strip()]  # one object a line
    except UnicodeDecodeError:
        raise not_utf8(data, name) from None
    except json.JSONDecodeError as error:
        raise SchemaError("the JSON cannot be read", file=name, line=error.lineno, cause=error.msg) from None
    except RecursionError:
        raise SchemaError("the JSON is nested too deep to be a table", file=name) from None
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else [found]
    if not found or not all(isinstance(record, dict) for record in found):
        raise SchemaError("the JSON is not a list of records", file=name, records=len(found), hint=_RECORDS)
    limits.check("rows", len(found), name)
    titles = list(dict.fromkeys(title for record in found for title in record))
    if not titles:
        raise SchemaError(
            "the JSON is not a list of records", file=name, records=len(found), fields=0,
            hint=_RECORDS,
        )  # fmt: skip
    limits.check("columns", len(titles), name)
    columns = [
        pa.chunked_array([pa.array([_json_text(record.get(title)) for record in found], pa.string())])
        for title in titles
    ]
    return tidy(name, titles, columns)


def _json_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def _read_parquet(data: bytes, name: str, limits: Limits) -> Table:
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        limits.check("rows", file.metadata.num_rows, name)
        limits.check("columns", file.metadata.num_columns, name)
        groups = range(file.metadata.num_row_groups)
        limits.check("bytes", sum(file.metadata.row_group(i).total_byte_size for i in groups), name)
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise SchemaError("the Parquet file is damaged", file=name, cause=str(error)) from None
    if not table.num_rows:
        raise SchemaError("the file has a header and no rows", file=name, columns=len(table.column_names), hint=NO_ROWS)
    return tidy(name, table.column_names, table.columns)
