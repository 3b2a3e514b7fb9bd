"""A company's own table, any columns: text cells become numbers, dates, truth values or stay text, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from demand.columns import PERSONAL
from demand.dates import DATE_FORMATS, parse_dates, read_dates
from demand.errors import SchemaError
from demand.exports import normalised
from demand.parsing import LARGEST, NOTHING, Decimal, distinct, parse_numbers
from demand.sources import SourceSettings, read_tables

Kind = Literal["number", "date", "boolean", "text", "empty"]

READABLE = 0.9  # of the filled cells: a column of numbers with a few words in it is still one of numbers
LOOKS_DATED = 0.5
_SAMPLE = 2_000  # distinct texts that decide whether a column holds dates
_TRUE, _FALSE = frozenset(("true", "yes")), frozenset(("false", "no"))


@dataclass(frozen=True, eq=False)
class BusinessTable:
    """n rows with typed columns.

    frame       numbers as float64 (NaN = missing), dates as datetime64[ns] (NaT), truth values as float64 0 and 1, text
                as objects (None = missing); a fresh index
    kinds       column -> kind, in the table's order
    rows_in     rows of the file; rows_in = n + sum(left_out)
    left_out    reason -> rows
    unreadable  column -> filled cells that became missing
    personal    columns about people or partners that were not taken over
    formats     date column -> how it is written
    """

    frame: pd.DataFrame
    kinds: Mapping[str, Kind]
    rows_in: int
    left_out: Mapping[str, int]
    unreadable: Mapping[str, int]
    personal: tuple[str, ...]
    formats: Mapping[str, str]


def read_business_table(
    source: SourceSettings,
    date_format: str | None = None,
    decimal: Decimal = ".",
    keep: Sequence[str] = (),
) -> BusinessTable:
    """The table of one file (CSV, JSON, Excel or Parquet). keep: personal columns taken over on purpose.

    Raises StorageError, SchemaError and CalendarError as the readers do; nothing is guessed between two date formats.
    """
    tables, others = read_tables(source)
    if len(tables) != 1:
        raise SchemaError(
            "one table is read", path=source.path, tables=[file.name for _, file in tables],
            no_tables=[file.name for file in others], hint="Name the file as source.path",
        )  # fmt: skip
    table = tables[0][0]
    personal = [name for name in table.columns.column_names if normalised(name) in PERSONAL and name not in keep]
    frame = pd.DataFrame(
        {name: pd.Series(table.columns.column(name), dtype=pd.ArrowDtype(table.columns.column(name).type))
         for name in table.columns.column_names if name not in personal}
    )  # fmt: skip
    left_out = dict(table.left_out)
    read = typed(frame, date_format, decimal)
    return BusinessTable(
        read.frame, read.kinds, table.n_rows + sum(left_out.values()), {**left_out, **read.left_out}, read.unreadable,
        tuple(personal), read.formats,
    )  # fmt: skip


def typed(
    frame: pd.DataFrame, date_format: str | None = None, decimal: Decimal = ".", duplicates: bool = True
) -> BusinessTable:
    """The same table with typed columns and, with `duplicates`, without rows that repeat an earlier one.

    A text column is of truth values when all its words are true/false or yes/no, of numbers when nine in ten filled
    cells are, of dates when half of them look like dates (then all must be in one format), else it stays text.
    Raises SchemaError for columns of one name, and CalendarError for mixed or ambiguous dates.
    """
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError("two columns have the same name", columns=twice)
    n = len(frame)
    columns: dict[str, pd.Series] = {}
    kinds: dict[str, Kind] = {}
    unreadable: dict[str, int] = {}
    formats: dict[str, str] = {}
    for name, (_, column) in zip(names, frame.items(), strict=True):
        values, kind, lost, format_ = _typed_column(column, name, date_format, decimal)
        columns[name], kinds[name] = pd.Series(values), kind
        if lost:
            unreadable[name] = lost
        if format_:
            formats[name] = format_
    out = pd.DataFrame(columns)
    repeated = out.duplicated() if duplicates and n and names else pd.Series(False, index=out.index)
    left_out = {"repeated row": int(repeated.sum())} if repeated.any() else {}
    if left_out:
        out = out[~repeated].reset_index(drop=True)
    return BusinessTable(out, kinds, n, left_out, unreadable, (), formats)


def _typed_column(
    column: pd.Series, name: str, date_format: str | None, decimal: Decimal
) -> tuple[np.ndarray, Kind, int, str]:
    """(values [n], kind, filled cells that became missing, date format or "")."""
    kind = column.dtype.kind
    if isinstance(column.dtype, pd.ArrowDtype):
        arrow = pa.chunked_array(column.array.__arrow_array__())
    elif kind == "M":
        bare = column.dt.tz_localize(None) if getattr(column.dt, "tz", None) is not None else column
        return _or_empty(bare.to_numpy().astype("datetime64[ns]"), "date")
    elif kind in "biuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isinf(values)
        return _or_empty(np.where(wrong, np.nan, values), "boolean" if kind == "b" else "number", int(wrong.sum()))
    else:
        cells = column.astype(object)
        text = cells.where(cells.isna(), cells.astype(str))
        arrow = pa.chunked_array([pa.array(text, pa.string(), from_pandas=True)])
    return _typed_arrow(arrow, name, date_format, decimal)


def _typed_arrow(
    arrow: pa.ChunkedArray, name: str, date_format: str | None, decimal: Decimal
) -> tuple[np.ndarray, Kind, int, str]:
    if pa.types.is_timestamp(arrow.type) or pa.types.is_date(arrow.type):
        return _or_empty(arrow.cast(pa.timestamp("ns")).to_numpy().astype("datetime64[ns]"), "date")
    if pa.types.is_boolean(arrow.type):
        return _or_empty(pc.cast(arrow, pa.float64()).to_numpy().astype(np.float64), "boolean")
    if not (
        pa.types.is_string(arrow.type) or pa.types.is_large_string(arrow.type) or pa.types.is_dictionary(arrow.type)
    ):
        found = parse_numbers(arrow, decimal)
        return _or_empty(found.values, "number", int(found.unreadable.sum()))
    plain = _plain_numbers(arrow)
    if plain is not None:
        return _or_empty(plain, "number")
    codes, texts = distinct(arrow)
    blank = pc.match_substring_regex(texts, NOTHING).to_numpy(zero_copy_only=False).astype(bool)
    filled = np.bincount(codes, minlength=len(texts)) * ~blank
    if not filled.sum():
        return np.full(len(codes), np.nan), "empty", 0, ""
    words = {text.lower() for text, there in zip(texts.to_pylist(), filled > 0, strict=True) if there} \
        if (filled > 0).sum() <= 4 else set()  # fmt: skip
    if words and (words <= _TRUE | _FALSE):
        truth = np.array([np.nan if gone else float(text.lower() in _TRUE)
                          for text, gone in zip(texts.to_pylist(), blank, strict=True)])  # fmt: skip
        return truth[codes], "boolean", 0, ""
    numbers = parse_numbers(arrow, decimal)
    if (~np.isnan(numbers.values)).sum() >= READABLE * filled.sum():
        return numbers.values, "number", int(numbers.unreadable.sum()), ""
    if _looks_dated(texts.filter(pa.array(filled > 0)), date_format):
        parsed = parse_dates(arrow, name, date_format)
        lost = int((parsed.words | parsed.unread).sum())
        return parsed.days.astype("datetime64[ns]"), "date", lost, parsed.format
    cells = np.array([None if gone else text for text, gone in zip(texts.to_pylist(), blank, strict=True)], object)
    return cells[codes], "text", 0, ""


def _plain_numbers(arrow: pa.ChunkedArray) -> np.ndarray | None:
    """The numbers of a column in which every cell is one or nothing, the common case, many times faster."""
    try:
        values = pc.cast(pc.if_else(pc.equal(arrow, ""), pa.scalar(None, arrow.type), arrow), pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a word, a currency sign, a dictionary: read cell by cell
        return None
    found = values.to_numpy().astype(np.float64)
    return found if (np.isnan(found) | (np.abs(found) < LARGEST)).all() and not np.isnan(found).all() else None


def _looks_dated(texts: pa.Array, date_format: str | None) -> bool:
    sample = texts.slice(0, _SAMPLE)
    read = np.zeros(len(sample), dtype=bool)
    for pattern in (date_format,) if date_format else DATE_FORMATS:
        read |= ~np.isnat(read_dates(sample, pattern))
    return bool(read.mean() >= LOOKS_DATED)


def _or_empty(values: np.ndarray, kind: Kind, lost: int = 0) -> tuple[np.ndarray, Kind, int, str]:
    nothing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return values, "empty" if nothing.all() else kind, lost, "typed" if kind == "date" else ""
