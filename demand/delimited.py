"""CSV text to a Table: encoding, delimiter, title lines, rows of the wrong width, quotes that are never closed."""

from __future__ import annotations

import csv
import io
from codecs import getincrementaldecoder
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demand.errors import SHOWN, SchemaError
from demand.layouts import NO_ROWS, Table, find_header, has_number, tidy

_SAMPLE_BYTES = 1 << 16
SAMPLE_RECORDS = 40
_BLOCK = 1 << 24  # bytes parsed at once; small blocks make many small chunks, which cost later
_QUOTE = "Close the quote in that row or the one before it; a quote inside a quoted cell is written twice"
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Limits:
    """What one source may hold at most: bytes (after unpacking), rows, columns, bytes of one text cell."""

    bytes: int
    rows: int
    columns: int
    cell: int

    def check(self, what: Literal["bytes", "rows", "columns"], found: int, name: str) -> None:
        """Raises SchemaError when `found` is above the limit."""
        limit = {"bytes": self.bytes, "rows": self.rows, "columns": self.columns}[what]
        if found > limit:
            hint = f"Raise source.max_{what} if this is meant"
            raise SchemaError(f"too many {what}", file=name, found=found, limit=limit, hint=hint)


def as_utf8(data: bytes, name: str, encoding: str) -> bytes:
    if encoding != "auto":
        try:
            return data.decode(encoding).removeprefix("\ufeff").encode("utf-8")
        except (UnicodeDecodeError, LookupError) as error:
            raise SchemaError(
                "the file is not in this encoding", file=name, encoding=encoding, cause=str(error)
            ) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SchemaError("the file is UTF-16, not UTF-8", file=name, hint="Name it with source.encoding=utf-16")
    at = data.find(b"\0")
    if at >= 0:
        raise SchemaError(
            "the file holds NUL bytes: it is binary, damaged, or in another encoding",
            file=name,
            line=data.count(b"\n", 0, at) + 1,
            hint="Name the encoding with source.encoding, such as utf-16",
        )
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1a\x1b" for byte in data[:4096])
    if control > 4:
        raise SchemaError("this is a binary file, not a table", file=name, control_bytes=control)
    return data.removeprefix(b"\xef\xbb\xbf")


def not_utf8(data: bytes, name: str) -> SchemaError:
    line = None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    return SchemaError(
        "the file is not UTF-8",
        file=name,
        line=line,
        hint="Name its encoding with source.encoding, such as latin-1 or cp1252",
    )


def _is_utf8(body: memoryview) -> bool:
    """Whether all of it is, looked at in parts: no second copy of the file is made."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(body), _BLOCK):
            decoder.decode(body[at : at + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def read_csv(data: bytes, name: str, limits: Limits) -> Table:
    import pyarrow.csv as arrow_csv

    lines = _first_lines(data, name)
    delimiter = _delimiter(lines)
    records, ends = _records(lines, delimiter)
    at = find_header(records, name)
    header = records[at]
    limits.check("columns", len(header), name)
    titles = [" ".join(cell.strip() for cell in record if cell.strip()) for record in records[:at]]
    start = len("".join(lines[: ends[at]]).encode("utf-8"))
    body = memoryview(data)[start:]
    if not bytes(body[:_SAMPLE_BYTES]).strip() and not bytes(body).strip():
        raise SchemaError("the file has a header and no rows", file=name, columns=len(header), hint=NO_ROWS)
    if not _is_utf8(body):  # before Arrow: it cannot hand a row of another encoding to `on_wrong`
        raise not_utf8(data, name)
    wrong: list[tuple[int, int]] = []
    broken: list[int] = []
    n_good_or_bad = 0

    def on_wrong(row: Any) -> str:
        nonlocal n_good_or_bad
        n_good_or_bad += 1
        if row.text.strip(delimiter + " \r\n"):
            wrong.append((row.number or 0, row.actual_columns))
            if "\n" in row.text.strip("\r\n"):
                broken.append(row.number or 0)
        return "skip"

    places = [f"c{i}" for i in range(len(header))]
    try:
        raw = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            read_options=arrow_csv.ReadOptions(column_names=places, use_threads=False, block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=on_wrong
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={place: pa.string() for place in places}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise SchemaError("the CSV file cannot be read", file=name, cause=str(error)) from None
    limits.check("rows", raw.num_rows, name)
    _refuse_open_quote(data, raw, broken, name)
    # a few rows of another width are left out and counted; many mean that the header or the delimiter is wrong
    if len(wrong) > max(1, 0.05 * (raw.num_rows + len(wrong))):
        raise SchemaError(
            "rows do not have as many fields as the header",
            file=name,
            header_fields=len(header),
            rows=len(wrong),
            first=[f"row {number}: {fields} fields" for number, fields in wrong[:SHOWN]],
            delimiter=delimiter,
            hint="Give these rows as many fields as the header; a cell that holds the delimiter is written in quotes",
        )
    table = tidy(name, header, raw.columns, titles, records[at - 1] if at else ())
    if wrong:
        told = _places(data, start, ends[at], [number for number, _ in wrong])
        table = replace(
            table,
            left_out={"wrong number of fields": len(wrong), **table.left_out},
            notes=(*table.notes, f"{told} of another number of fields than the header"),
        )
    return table


def _places(data: bytes, start: int, header_lines: int, numbers: Sequence[int]) -> str:
    """Records by their numbers below the header, which ends before `start`, as a text: "1 row (line 31)".

    Records are lines of the file unless there are blank lines, which are no records, or quotes, which may hide line
    ends: then they are called what they are.
    """
    end = len(data)
    while data[end - 1 : end] in (b"\n", b"\r"):
        end -= 1
    hidden = (b'"', b"\n\n", b"\n\r", b"\r\r")
    lines = data[start : start + 1] not in (b"\n", b"\r") and all(data.find(mark, start, end) < 0 for mark in hidden)
    what, below = ("line", "") if lines else ("row", " below the header")
    shown = ", ".join(str(number + (header_lines if lines else 0)) for number in numbers[:SHOWN])
    several = "s" if len(numbers) > 1 else ""
    more = ", .." if len(numbers) > SHOWN else ""
    return f"{len(numbers):,} row{several} ({what}{several} {shown}{more}{below})"


def _first_lines(data: bytes, name: str) -> list[str]:
    sample = data[:_SAMPLE_BYTES]
    try:
        # the sample may end inside a letter: only what is certainly wrong is refused here
        text = sample.decode("utf-8") if len(sample) == len(data) else sample.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3:
            raise not_utf8(data, name) from None
        text = sample[: error.start].decode("utf-8")
    return list(io.StringIO(text, newline=""))


def _delimiter(lines: Sequence[str]) -> str:
    """The separator under which most of the first lines have the same number of fields, more than one.

    It is in the header as well: what comes first under a decimal sign taken for the separator is half a number.
    """
    best, best_score, best_width = ",", 0.0, 0
    for delimiter in _DELIMITERS:
        records = [record for record in _records(lines, delimiter)[0] if record]
        widths = [len(record) for record in records]
        several = [width for width in widths if width > 1]
        if several:
            usual = max(set(several), key=lambda width: (several.count(width), width))
            score = several.count(usual) / len(widths)
            if has_number(records[widths.index(usual)]):
                score /= 2
            if score > best_score + 0.1 or (score >= best_score and usual > best_width):
                best, best_score, best_width = delimiter, score, usual
    return best


def _records(lines: Sequence[str], delimiter: str) -> tuple[list[list[str]], list[int]]:
    """The first records and the number of lines read up to the end of each."""
    reader = csv.reader(lines, delimiter=delimiter)
    records, ends = [], []
    try:
        for record in reader:
            records.append(record)
            ends.append(reader.line_num)
            if len(records) == SAMPLE_RECORDS:
                break
    except csv.Error:  # a field longer than the csv module's limit: what came before is enough to see the layout
        pass
    return records, ends


def _refuse_open_quote(data: bytes, raw: pa.Table, broken: list[int], name: str) -> None:
    """A quote that is never closed swallows lines: the cell then holds line ends and the quotes do not pair up."""
    if broken:
        raise SchemaError(
            "a quoted cell runs over lines and breaks its row: a quote is not closed",
            file=name,
            row=broken[0],
            hint=_QUOTE,
        )
    if data.count(b'"') % 2 == 0:
        return
    for title, column in zip(raw.column_names, raw.columns, strict=True):
        found = pc.match_substring_regex(column, r"[\r\n]").to_numpy().astype(bool)
        if found.any():
            row, place = int(np.flatnonzero(found)[0]) + 1, int(title[1:]) + 1
            raise SchemaError("a quote is not closed", file=name, row=row, column=place, hint=_QUOTE)
    last = data.rstrip(b"\r\n").rsplit(b"\n", 1)[-1]
    if last.count(b'"') % 2:
        raise SchemaError("a quote is not closed", file=name, row=raw.num_rows, line="the last one", hint=_QUOTE)
