"""Rows made fit for use: dates, ids, quantities, units, duplicates and returns, with one fate for every row."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.calendar import Dates
from demand.columns import DECIMAL_HINT, ColumnSettings, Mapped, shown_values
from demand.dates import ParsedDates, parse_dates
from demand.duplicates import Duplicates, find_duplicates
from demand.errors import SHOWN, CalendarError, DataError, SchemaError, SettingsError
from demand.far_dates import FarDates, isolated
from demand.layouts import PERIOD, Table
from demand.ledger import Ledger
from demand.outliers import OutlierSettings
from demand.panel import ID, Floats, Gaps, Ints, Strings
from demand.parsing import Bools, Numbers, distinct, is_text, parse_numbers, read_numbers
from demand.settings import STRICT, refuse_unknown
from demand.units import one_unit

Level = Literal["off", "warn", "error"]
Cells = NDArray[np.int8]


@dataclass(frozen=True, config=STRICT)
class QualityRule:
    """A limit on one figure of the report. At level `error` a job that breaks it must not end with success."""

    limit: float
    level: Level = "warn"


# Shares are fractions of the rows in (of the styles for rejected_styles). quality_score is a minimum, the others are
# maxima; stale_days is judged only when source.as_of is given, corrected_share (of the rows that were kept) only when
# rows are added to them.
DEFAULT_RULES: Mapping[str, QualityRule] = {
    "left_out_share": QualityRule(0.05),
    "missing_share": QualityRule(0.20),
    "duplicate_share": QualityRule(0.05),
    "corrected_share": QualityRule(0.05),
    "rejected_styles_share": QualityRule(0.10),
    "outlier_share": QualityRule(0.05),
    "stale_days": QualityRule(45.0),
    "quality_score": QualityRule(60.0),
}


@dataclass(frozen=True, config=STRICT)
class CleaningSettings(OutlierSettings):
    """The business choices of cleaning; outlier_* keys as in OutlierSettings.

    gaps: a period without a row is 0 demand, unknown, or an error. handle_missing_data: a blank or unreadable quantity
    is unknown in the panel and filled inside each history (interpolate, forward_fill), or its row is left out (drop),
    which leaves a gap. returns: negative rows are summed with the others, or left out. target_unit: the panel's unit,
    None = the unit of most rows; other units are converted by unit_table {unit: factor} or left out. duplicates: rows
    equal in every column. same_period: further rows of the same style and period. stockouts: mask = a period with
    in_stock 0 is unknown. first_date / last_date: rows outside are left out. far_dates: rows dated in the
    future (after source.as_of, else after tomorrow) and those alone far outside the rest, on a side without first_date
    or last_date. last_period: drop = leave the last period
    out when the data ends inside it. rules: {figure: {limit, level}}, see DEFAULT_RULES.
    """

    gaps: Gaps = "zero"
    handle_missing_data: Literal["interpolate", "forward_fill", "drop"] = "interpolate"
    returns: Literal["net", "drop"] = "net"
    target_unit: str | None = None
    unit_table: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    duplicates: Duplicates = "remove"
    same_period: Literal["sum", "raise"] = "sum"
    stockouts: Literal["keep", "mask"] = "keep"
    first_date: datetime.date | None = None
    last_date: datetime.date | None = None
    far_dates: FarDates = "leave_out"
    last_period: Literal["keep", "drop"] = "keep"
    rules: Mapping[str, QualityRule] = Field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_unknown(self.rules, DEFAULT_RULES, "cleaning.rules")
        if self.first_date and self.last_date and self.first_date > self.last_date:
            raise SettingsError("first_date is after last_date", first=str(self.first_date), last=str(self.last_date))

    def rule(self, figure: str) -> QualityRule:
        """The rule in force for one figure of the report."""
        return self.rules.get(figure, DEFAULT_RULES[figure])


@plain_dataclass(frozen=True, eq=False)
class CleanRows:
    """n raw rows, read and judged.

    ids      [S]  the clean style ids of all rows, ascending
    style    [n]  place in ids, -1 where the cell is blank
    days     [n]  datetime64[D], NaT where missing
    y        [n]  quantity in `unit`, NaN where unknown
    cell     [n]  0 a quantity, 1 nothing in its cell, 2 something that is no number
    past     {name: [n]}, future {name: [n]}   carried columns, NaN where missing
    labels   {name: [n]}   the carried static columns as they were written
    static   one row per style with the carried static columns, None when there are none
    ledger   which rows are still open
    facts    what was found, for the report
    """

    ids: Strings
    style: Ints
    days: Dates
    y: Floats
    unit: str
    cell: Cells
    past: Mapping[str, Floats]
    future: Mapping[str, Floats]
    labels: Mapping[str, pa.ChunkedArray]
    static: pd.DataFrame | None
    ledger: Ledger
    facts: dict[str, Any]


def clean_rows(
    table: Table, mapped: Mapped, columns: ColumnSettings, settings: CleaningSettings, preferred: str | None
) -> CleanRows:
    """Every row read and judged; no row vanishes without a reason in the ledger.

    preferred: the date format that decides where several fit, None = none does.

    Raises CalendarError and SchemaError when a whole column cannot be used; single bad cells are counted.
    """
    get = table.columns.column
    ledger = Ledger(table.n_rows)
    facts: dict[str, Any] = {}
    dates = _dates(get(mapped.date), mapped, columns, preferred)
    ledger.leave_out(dates.blank, "date missing")
    ledger.leave_out(dates.words, "date is a word")
    ledger.leave_out(dates.unread, "date unreadable")
    ids, style = style_ids([get(name) for name in mapped.style], mapped.style)
    ledger.leave_out(style < 0, "style missing")
    numbers = parse_numbers(get(mapped.quantity), columns.decimal)
    if columns.decimal == ".":
        _refuse_decimal_commas(get(mapped.quantity), numbers, mapped.quantity)
    _refuse_mostly_words(numbers, mapped.quantity)
    y = numbers.values
    facts["date"] = {
        "column": mapped.date,
        "format": dates.format,
        "parse_rate": dates.rate,
        "missing": int(dates.blank.sum()),
        "words": int(dates.words.sum()),
        "unreadable": int(dates.unread.sum()),
    }
    words = list(numbers.words.items())[:SHOWN]
    facts["words_in_numbers"] = dict(
        zip(shown_values(dict(words), mapped.quantity), dict(words).values(), strict=False)
    )
    cell = np.where(numbers.blank, 1, np.where(numbers.unreadable, 2, 0)).astype(np.int8)
    facts["missing"] = missing_cells(cell)
    _date_window(dates.days, ledger, settings)
    facts["duplicates"] = find_duplicates(table, mapped, style, dates.days, ledger, settings.duplicates)
    unit, facts["units"] = settings.target_unit or "", {}
    if "unit" in mapped.optional:
        column = get(mapped.optional["unit"])
        y, unit, facts["units"] = one_unit(column, y, ledger, settings.target_unit, settings.unit_table)
    facts["returns"] = {
        "rows": int((ledger.open & (y < 0)).sum()),
        "quantity": float(0.0 - y[ledger.open & (y < 0)].sum()),
    }
    if settings.returns == "drop":
        ledger.leave_out(y < 0, "return")
    past = {name: _carried(get(name), name, columns) for name in mapped.past}
    future = {name: _carried(get(name), name, columns) for name in mapped.future}
    for role, name in (("unit_price", "price"), ("in_stock", "in_stock"), ("inventory_level", "inventory_level")):
        if role in mapped.optional and name not in past and name not in future:
            past[name] = _carried(get(mapped.optional[role]), mapped.optional[role], columns)
    facts["amount_mismatches"] = None
    if "price" in past and {"unit_price", "line_amount"} <= set(mapped.optional):
        facts["amount_mismatches"] = _amount_mismatches(table, mapped, columns, y, ledger.open, past["price"])
    if settings.handle_missing_data == "drop":
        plan = np.isnan(y) if mapped.future else np.zeros(len(y), dtype=bool)
        known = np.flatnonzero(ledger.open & ~np.isnan(y))
        known = known[~isolated(dates.days[known], style[known])[1]]
        ahead = plan & (dates.days > dates.days[known].max()) if len(known) else plan
        ledger.leave_out(np.isnan(y) & ~ahead, "quantity missing")
    out = ledger.open & (past["in_stock"] == 0) if "in_stock" in past else None
    if out is not None:
        facts["out_of_stock"] = int(out.sum())
    if settings.stockouts == "mask":
        if out is None:
            raise SchemaError("stock-outs cannot be masked without an in_stock column", hint="Set columns.in_stock")
        facts["masked_stockouts"] = int(out.sum())
        y = np.where(out, np.nan, y)
    labels = {name: get(name) for name in mapped.static}
    static, facts["static_conflicts"] = static_table(labels, ids, style, dates.days, ledger)
    return CleanRows(ids, style, dates.days, y, unit, cell, past, future, labels, static, ledger, facts)


def missing_cells(cell: Cells) -> dict[str, int]:
    """How many quantities are missing, and why."""
    return {"blank": int((cell == 1).sum()), "unreadable": int((cell == 2).sum())}


# ---- dates and ids ------------------------------------------------------------------------------------------------


def _dates(column: pa.ChunkedArray, mapped: Mapped, columns: ColumnSettings, preferred: str | None) -> ParsedDates:
    if mapped.date == PERIOD:  # the headings were read once already
        return parse_dates(column, "headings", None)
    try:
        return parse_dates(column, mapped.date, columns.date_format, preferred)
    except CalendarError as error:
        for fact in ("first", "with_zone", "without"):
            if fact in error.facts:
                cells = error.facts[fact]
                error.facts[fact] = shown_values([cells] if isinstance(cells, str) else cells, mapped.date)
        raise


def style_ids(columns: list[pa.ChunkedArray], names: tuple[str, ...]) -> tuple[Strings, Ints]:
    """The distinct style ids, ascending [S], and each row's place among them [n], -1 where a cell is blank.

    Ids are text: outer blanks go, `45301.0` is `45301`, leading zeros and `1e5` stay. Several columns are joined with
    "_". Raises SchemaError for control characters in an id.
    """
    ids = np.array([""])
    style = np.zeros(len(columns[0]), dtype=np.int64)
    blank = np.zeros(len(style), dtype=bool)
    for at, (column, name) in enumerate(zip(columns, names, strict=True)):
        codes, texts = distinct(column)
        clean = [re.sub(r"^(\d+)\.0+$", r"\1", text) for text in texts.to_pylist()]
        odd = [text for text in clean if re.search(r"[\x00-\x1f\x7f]", text)]
        if odd:
            raise SchemaError(
                "style ids hold control characters", column=name, count=len(odd), first=shown_values(odd, name)
            )
        parts, place = np.unique(np.array(clean or [""], dtype=str), return_inverse=True)
        part_of_row = place[codes]
        blank |= parts[part_of_row] == ""
        if at == 0:
            ids, style = parts, part_of_row
            continue
        pairs, style = np.unique(style * len(parts) + part_of_row, return_inverse=True)
        joined = np.char.add(np.char.add(ids[pairs // len(parts)], "_"), parts[pairs % len(parts)])
        ids, again = np.unique(joined, return_inverse=True)
        if len(ids) < len(joined):
            raise SchemaError("two different pairs of cells give the same joined style id", columns=list(names))
        style = again[style]
    if not blank.any():
        return ids, style
    used = np.unique(style[~blank])
    renumbered = np.full(len(ids), -1, dtype=np.int64)
    renumbered[used] = np.arange(len(used))
    return ids[used], np.where(blank, -1, renumbered[style])


def _date_window(days: Dates, ledger: Ledger, settings: CleaningSettings) -> None:
    known = days[ledger.open]
    if not len(known):
        raise DataError("no row has both a date and a style", rows=len(days), left_out=ledger.described())
    if settings.first_date is not None:
        ledger.leave_out(days < np.datetime64(settings.first_date), "before cleaning.first_date")
    if settings.last_date is not None:
        ledger.leave_out(days > np.datetime64(settings.last_date), "after cleaning.last_date")
    if not ledger.open.any():
        window = {"first_date": settings.first_date, "last_date": settings.last_date}
        raise SettingsError(
            "no row is left by the date window",
            key=" and ".join(f"cleaning.{name}" for name, day in window.items() if day is not None),
            found=", ".join(str(day) for day in window.values() if day is not None),
            dates_from=str(known.min()),
            dates_to=str(known.max()),
            rows=len(known),
            hint="Give a date inside this range, or leave the key out",
        )


# ---- quantities ---------------------------------------------------------------------------------------------------


def _refuse_decimal_commas(column: pa.ChunkedArray, numbers: Numbers, name: str) -> None:
    """`12,5` beside `1.234` means that the point separates thousands: each cell with a point would be read wrong.

    A single such cell, or one beside decimals with a point, is a bad cell like others.
    """
    words = [word for word in numbers.words if "," in word]
    if not words:
        return
    commas = [word for word, y in zip(words, read_numbers(pa.array(words), ",")[0], strict=True) if not np.isnan(y)]
    rows = sum(numbers.words[word] for word in commas)
    filled = int((~numbers.blank).sum())
    if rows < max(2, 0.01 * filled):
        return
    pointed = pa.compute.match_substring_regex(distinct(column)[1], r"\.(\d{1,2}|\d{4,})\D*$|,\d{3}(\D|$)")
    if not pa.compute.any(pointed).as_py():
        raise SchemaError(
            "the quantities have decimal commas", column=name, cells=rows, filled=filled, first=commas[:SHOWN],
            hint=DECIMAL_HINT,
        )  # fmt: skip


def _refuse_mostly_words(numbers: Numbers, name: str) -> None:
    filled = int((~numbers.blank).sum())
    wrong = int(numbers.unreadable.sum())
    if not filled:
        raise SchemaError("the quantity column is blank", column=name, rows=len(numbers.blank))
    if 2 * wrong > filled:
        raise SchemaError(
            "most cells of the quantity column are not numbers",
            column=name,
            unreadable=wrong,
            filled=filled,
            first=shown_values(numbers.words, name),
            hint="Name another column with columns.quantity, or the decimal sign with columns.decimal",
        )


def _amount_mismatches(
    table: Table, mapped: Mapped, columns: ColumnSettings, y: Floats, rows: Bools, price: Floats
) -> int:
    """Rows whose quantity x price differs from the line amount by more than 1 %."""
    amount = parse_numbers(table.columns.column(mapped.optional["line_amount"]), columns.decimal).values
    off = np.abs(np.abs(y * price) - np.abs(amount)) > 0.01 * np.maximum(np.abs(amount), 0.01)
    return int((rows & off).sum())


# ---- carried columns ----------------------------------------------------------------------------------------------


def _carried(column: pa.ChunkedArray, name: str, columns: ColumnSettings) -> Floats:
    numbers = parse_numbers(column, columns.decimal)
    if 2 * int(numbers.unreadable.sum()) > len(numbers.blank):
        raise SchemaError("a carried column is not numeric", column=name, first=shown_values(numbers.words, name))
    return numbers.values


def static_table(
    labels: Mapping[str, pa.ChunkedArray], ids: Strings, style: Ints, days: Dates, ledger: Ledger
) -> tuple[pd.DataFrame | None, dict[str, int]]:
    """One row per style: the value of its newest row that has one; and by column the styles with several values."""
    if not labels:
        return None, {}
    out: dict[str, Any] = {ID: ids}
    conflicts = {}
    for name, column in labels.items():
        codes, texts = distinct(column)
        rank = np.argsort(np.argsort(np.array(texts.to_pylist(), dtype=str)))
        filled = np.asarray(pa.compute.not_equal(texts, "").to_numpy(zero_copy_only=False))
        rows = np.flatnonzero(ledger.open & filled[codes])
        order = rows[np.lexsort((rank[codes[rows]], days[rows].astype(np.int64), style[rows]))]
        last = order[np.append(style[order][1:] != style[order][:-1], True)] if len(order) else order
        value = np.full(len(ids), -1, dtype=np.int64)
        value[style[last]] = codes[last]
        pairs = np.unique(np.stack([style[rows], codes[rows]]), axis=1)[0]
        conflicts[name] = int((np.bincount(pairs, minlength=len(ids)) > 1).sum())
        cells = np.array([*texts.to_pylist(), ""], dtype=str)[value]
        out[name] = cells if is_text(column) else pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy()
    return pd.DataFrame(out), conflicts
