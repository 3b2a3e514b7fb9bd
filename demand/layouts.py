"""The shape of a raw table: title lines, repeated and empty blocks, one column per date."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demand.calendar import Dates
from demand.dates import DATE_FORMATS, read_dates
from demand.errors import SchemaError
from demand.headers import shown_cell
from demand.parsing import Bools, distinct, is_text

WIDE_FROM = 3  # so many columns that are dates make a table wide
CELL, PERIOD = "(cell)", "(column heading)"  # the two columns a wide table becomes; no export has such headers
NO_ROWS = "Export it again with its rows, or name another file as source.path"
_WEEK = re.compile(r"^(?:week|wk|w)[ ._-]?0?(\d{1,2})$", re.I)


@dataclass(frozen=True, eq=False)
class Table:
    """Raw rows as they were read: text or typed columns, nothing interpreted yet.

    columns   one Arrow column per header, in the file's order
    titles    the lines above the header
    left_out  reason -> rows that could not become rows of `columns`
    notes     what was done to the layout, in plain words
    """

    name: str
    columns: pa.Table
    titles: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        return int(self.columns.num_rows)


def find_header(records: Sequence[Sequence[str]], name: str) -> int:
    """The place of the header among the first records of a file: the first that is as full as the rows below it.

    Lines above it with fewer filled cells are title lines. Raises SchemaError when there is no filled record.
    """
    filled = [sum(bool(cell.strip()) for cell in record) for record in records]
    if not any(filled):
        raise SchemaError("the file has no rows", file=name)
    usual = Counter(count for count in filled if count > 1).most_common(1)
    enough = 0.7 * usual[0][0] if usual else 1.0
    for at, count in enumerate(filled):
        if count < enough or not any(re.search(r"[^\W\d_]|[$#]|\d[-/]\d", cell) for cell in records[at]):
            continue
        # a row with plain numbers is data: a narrower row of words above it was the header all along
        words = [row for row in range(at) if filled[row] > 1 and not has_number(records[row])]
        return words[-1] if words and has_number(records[at]) else at
    raise SchemaError(
        "no header line was found", file=name, cells=len(records[0]), hint="The first line must name the columns"
    )


def has_number(record: Sequence[str]) -> bool:
    """Whether a cell is a plain number, as in a row of data."""
    return any(re.fullmatch(r"\s*\(?[-$]?\s*\d[\d,.]*\)?\s*", cell) for cell in record)


def tidy(
    name: str,
    header: Sequence[str],
    columns: list[pa.ChunkedArray],
    titles: Sequence[str] = (),
    above: Sequence[str] = (),
) -> Table:
    """A Table with clean, distinct headers; empty and repeated columns, repeated header lines and blank rows are out.

    above: the cells of the line above the header. Where they name blocks of columns that have the same headers, such as
    Demand and Receipts, the headers begin with them. Raises SchemaError when two columns of different content have the
    same header.
    """
    names = _with_blocks([" ".join(text.replace("\ufeff", "").split()) for text in header], above)
    notes: list[str] = []
    keep: dict[str, pa.ChunkedArray] = {}
    empty = repeated = 0
    for at, (title, column) in enumerate(zip(names, columns, strict=True)):
        if not title:
            if _all_blank(column):
                empty += 1
                continue
            title = f"column {at + 1}"
        if title in keep:
            if not column.equals(keep[title]):
                raise SchemaError(
                    "two columns have the same header and different content",
                    file=name,
                    header=shown_cell(title),
                    places=[i + 1 for i, other in enumerate(names) if other == title],
                    hint="Rename or remove one of them in the file",
                )
            repeated += 1
            continue
        keep[title] = column
    if empty:
        notes.append(f"{empty} empty column(s) without a header left out")
    if repeated:
        notes.append(f"{repeated} repeated column(s) left out")
    if titles:
        notes.append(f"{len(titles)} title line(s) above the header")
    table = pa.table(keep)
    left_out: dict[str, int] = {}
    for reason, found in (("repeated header line", _header_rows), ("blank row", _blank_rows)):
        rows = found(table)
        if rows.any():
            table = table.filter(pa.array(~rows))
            left_out[reason] = int(rows.sum())
    return Table(name, table, tuple(titles), left_out, tuple(notes))


def _with_blocks(names: list[str], above: Sequence[str]) -> list[str]:
    """The headers; in blocks that share some they begin with the name of the block, the nearest to the left."""
    if len(above) != len(names):
        return names
    block, blocks = "", []
    for cell in above:
        block = " ".join(cell.split()) or block
        blocks.append(block)
    places: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        places.setdefault(name, []).append(at)
    sharing: set[str] = set()
    for name, same in places.items():
        inside = [blocks[at] for at in same]
        if name and len(same) > 1 and all(inside) and len(set(inside)) == len(same):
            sharing.update(inside)
    return [f"{block} {name}" if name and block in sharing else name for name, block in zip(names, blocks, strict=True)]


def _all_blank(column: pa.ChunkedArray) -> bool:
    if not is_text(column):
        return bool(column.null_count == len(column))
    _, texts = distinct(column)
    return all(text == "" for text in texts.to_pylist())


def _header_rows(table: pa.Table) -> Bools:
    rows = np.arange(table.num_rows)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not len(rows) or not is_text(column):
            return np.zeros(table.num_rows, dtype=bool)
        cells = pc.utf8_trim_whitespace(column.take(pa.array(rows)).cast(pa.string()))
        rows = rows[pc.fill_null(pc.equal(cells, name), False).to_numpy().astype(bool)]
    return _mask(rows, table.num_rows)


def _blank_rows(table: pa.Table) -> Bools:
    rows = np.arange(table.num_rows)
    for column in table.columns:
        if not len(rows):
            break
        cells = column.take(pa.array(rows)) if len(rows) < len(column) else column
        if is_text(column):
            blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cells.cast(pa.string())), ""), True)
        else:
            blank = pc.is_null(cells)
        rows = rows[blank.to_numpy().astype(bool)]
    return _mask(rows, table.num_rows)


def _mask(rows: Any, n: int) -> Bools:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


# ---- one column per date ------------------------------------------------------------------------------------------


def period_columns(
    names: Sequence[str], as_of: datetime.date | None, titles: Sequence[str] = (), date_format: str | None = None
) -> tuple[Dates, str]:
    """The date each heading stands for [columns], NaT for the others, and how the headings were read.

    Headings are dates in one format, or "Week 37" with "This Week". A week number has no year: it is the week of that
    number nearest to `as_of`, else to a date in the title lines; the date is that week's Monday (ISO 8601). Fewer
    than three such columns are none. Raises SchemaError when week numbers come without any date to place them.
    """
    headings = pa.array([str(name) for name in names], pa.string())
    read = {pattern: read_dates(headings, pattern) for pattern in ((date_format,) if date_format else DATE_FORMATS)}
    counts = {pattern: int((~np.isnat(days)).sum()) for pattern, days in read.items()}
    best = max(counts, key=lambda pattern: counts[pattern])
    if counts[best] >= WIDE_FROM:
        for other, days in read.items():
            if counts[other] == counts[best] and not _same(days, read[best]):
                raise SchemaError(
                    "the date headings fit two formats and give different days",
                    formats=[best, other],
                    hint="Name one with columns.date_format",
                )
        return read[best], best
    weeks = [_WEEK.match(name.strip()) for name in names]
    this_week = [bool(re.fullmatch(r"this week", name.strip(), re.I)) for name in names]
    none = np.full(len(names), np.datetime64("NaT"), dtype="datetime64[D]")
    if sum(match is not None for match in weeks) < WIDE_FROM:
        return none, ""
    snapshot = as_of or _date_in(titles)
    if snapshot is None:
        raise SchemaError(
            "week numbers without a year need the date of the file",
            headings=[name for name, match in zip(names, weeks, strict=True) if match],
            hint="Give it as source.as_of=YYYY-MM-DD",
        )
    for at, match in enumerate(weeks):
        if match:
            none[at] = _nearest_week(int(match.group(1)), snapshot)
        elif this_week[at]:
            none[at] = snapshot - datetime.timedelta(days=snapshot.weekday())
    return none, f"week numbers around {snapshot.isoformat()}"


def _same(a: Dates, b: Dates) -> bool:
    both = ~np.isnat(a) & ~np.isnat(b)
    return bool((a[both] == b[both]).all())


def _date_in(titles: Sequence[str]) -> datetime.date | None:
    """The one date written in the title lines, None when there is none or more than one."""
    pieces = re.findall(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", " ".join(titles))
    found = set()
    for pattern in DATE_FORMATS:
        days = read_dates(pa.array(pieces, pa.string()), pattern)
        found |= {day.item() for day in days[~np.isnat(days)]}
    return found.pop() if len(found) == 1 else None


def _nearest_week(week: int, snapshot: datetime.date) -> datetime.date:
    candidates = []
    for year in (snapshot.year - 1, snapshot.year, snapshot.year + 1):
        try:
            candidates.append(datetime.date.fromisocalendar(year, week, 1))
        except ValueError:  # a week 53 that this year does not have
            continue
    if not candidates:
        raise SchemaError("no year near the file's date has this week", week=week, as_of=snapshot.isoformat())
    return min(candidates, key=lambda day: abs((day - snapshot).days))


def to_long(table: Table, periods: Dates, read_as: str) -> Table:
    """One row per cell of a wide table: the other columns, PERIOD (a date) and CELL.

    `periods` [columns] is NaT for the columns that stay. Rows come column by column.
    """
    names = table.columns.column_names
    wide = [name for name, day in zip(names, periods, strict=True) if not np.isnat(day)]
    days = periods[~np.isnat(periods)]
    if len(np.unique(days)) < len(days):
        raise SchemaError(
            "two columns stand for the same period", file=table.name, headings=wide, read_as=read_as,
            hint="Remove one, or set source.as_of to a day of the week that the file calls This Week",
        )  # fmt: skip
    stay = [name for name in names if name not in set(wide)]
    kinds = {table.columns.column(name).type for name in wide}
    cells = [table.columns.column(name) for name in wide]
    if len(kinds) > 1:
        cells = [pc.cast(column, pa.string()) for column in cells]
    n, k = table.n_rows, len(wide)
    long = {name: pa.chunked_array([c for _ in range(k) for c in table.columns.column(name).chunks]) for name in stay}
    long[PERIOD] = pa.chunked_array([pa.array(np.repeat(days, n))])
    long[CELL] = pa.chunked_array([chunk for column in cells for chunk in column.chunks], cells[0].type)
    vague = [name for name in stay if re.fullmatch(r"later|past[ _-]?due|total", name.strip(), re.I)]
    vague_note = (f"column(s) that are no period left out: {', '.join(vague)}",) if vague else ()
    note = f"wide table: {n} rows x {k} periods from {days.min()} to {days.max()} ({read_as}) became {n * k} rows"
    # a row that was not read was a row of k cells
    left_out = {reason: count * k for reason, count in table.left_out.items()}
    return replace(table, columns=pa.table(long), left_out=left_out, notes=(*table.notes, note, *vague_note))
