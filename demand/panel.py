"""The one data type: demand of many series on one regular calendar, end to end in a few arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.calendar import Calendar
from demand.errors import SHOWN, CalendarError, DataError, SchemaError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]
Gaps = Literal["zero", "unknown", "raise"]
Blanks = Literal["interpolate", "forward_fill"]

ID, TIME, TARGET = "unique_id", "ds", "y"


@dataclass(frozen=True, eq=False)
class Panel:
    """Demand of N series, laid end to end as in a CSR matrix; all end at the same period.

        ids     [N]    str, ascending, unique
        indptr  [N+1]  series i is y[indptr[i] : indptr[i+1]]; no series is empty
        y       [T]    demand in the source's unit; NaN = unknown (a blank cell), never a gap
        end            the number of the last period (see Calendar), the same for every series
        past    {name: [T]}            known up to the origin only; NaN = unknown
        future  {name: [T + N*ahead]}  known ahead: each series' history, then `ahead` periods more
        static  {name: [N]}            one value a series
        unit           what one unit of y is ("yds"), "" when not said

    Public constructors check once; `take`, `until` and `batches` of a valid panel are valid by construction.
    """

    ids: Strings
    indptr: Ints
    y: Floats
    end: int
    freq: str
    past: Mapping[str, Floats] = field(default_factory=dict)
    future: Mapping[str, Floats] = field(default_factory=dict)
    ahead: int = 0
    static: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    unit: str = ""

    # ---- making one -------------------------------------------------------------------------------------------

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        freq: str,
        *,
        past: tuple[str, ...] = (),
        future: tuple[str, ...] = (),
        static: pd.DataFrame | None = None,
        gaps: Gaps = "zero",
        unit: str = "",
    ) -> Panel:
        """A checked panel from rows of `unique_id, ds, y` (+ columns), in any order.

        A period without a row, from a series' first row to the panel's last date, is 0 demand (`gaps="zero"`), NaN
        ("unknown") or an error ("raise"). A blank y is NaN: unknown. Rows with a blank y after the last known y of the
        whole table are the plan of the `future` columns. `past` and `future` values without a row repeat the series'
        last value. `static` has a column `unique_id`. Raises SchemaError (missing columns or ids, infinite y, no rows)
        and CalendarError (dates unreadable, with a time zone, off the calendar, doubled, gaps when "raise").
        """
        calendar = Calendar(freq)
        needed = [ID, TIME, TARGET, *past, *future]
        missing = [name for name in needed if name not in frame]
        if missing:
            raise SchemaError("columns are missing", missing=missing, found=list(frame.columns))
        if not len(frame):
            raise SchemaError("the table has no rows")
        row_series, ids = _numbered(frame[ID])
        dates = _dates(frame[TIME])
        off = ~calendar.on_calendar(dates)
        if off.any():
            shown = [str(date)[:10] for date in np.unique(dates[off])]
            raise CalendarError("dates off the calendar", freq=calendar.freq, count=int(off.sum()), first=shown)
        y_of_rows = frame[TARGET].to_numpy(dtype=np.float64)
        if np.isinf(y_of_rows).any():
            raise SchemaError("y is infinite", count=int(np.isinf(y_of_rows).sum()))
        period = calendar.containing(dates)
        known = ~np.isnan(y_of_rows)
        if not known.any():
            raise SchemaError("y has no value at all", rows=len(frame))
        end = int(period[known].max())
        first = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(first, row_series, period)
        inside = first <= end
        if not inside.all():  # series that only have planned rows: nothing is known of them yet
            keep_rows = inside[row_series]
            return cls.from_frame(frame[keep_rows], freq, past=past, future=future, static=static, gaps=gaps, unit=unit)
        ahead = int(max(0, period.max() - end)) if future else 0
        indptr = np.concatenate([[0], np.cumsum(end - first + 1)]).astype(np.int64)
        in_history = period <= end
        slot = (indptr[row_series] + period - first[row_series])[in_history]
        _refuse_doubled(slot)
        y = np.full(indptr[-1], 0.0 if gaps == "zero" else np.nan)
        if gaps == "raise" and len(slot) < len(y):
            absent = np.ones(len(y), dtype=bool)
            absent[slot] = False
            at = np.flatnonzero(absent)[:SHOWN]
            of = np.searchsorted(indptr, at, side="right") - 1
            days = calendar.dates(end - (indptr[of + 1] - 1 - at))
            raise CalendarError(
                "periods without a row", count=int(absent.sum()),
                first=[f"{ids[i]} {str(day)[:10]}" for i, day in zip(of, days, strict=True)],
                hint="Add these rows, or set cleaning.gaps=zero (nothing was sold) or cleaning.gaps=unknown",
            )  # fmt: skip
        y[slot] = y_of_rows[in_history]
        panel = cls(ids, indptr, y, end, calendar.freq, ahead=ahead, unit=unit)
        past_arrays = {name: panel._filled(frame[name], slot, in_history) for name in past}
        future_arrays = {}
        for name in future:
            wide = np.full(indptr[-1] + len(ids) * ahead, np.nan)
            position = indptr[row_series] + row_series * ahead + period - first[row_series]
            _refuse_doubled(position)
            wide[position] = frame[name].to_numpy(dtype=np.float64)
            future_arrays[name] = _carry_forward(wide, indptr + np.arange(len(ids) + 1) * ahead)
        statics = _static_arrays(static, ids) if static is not None else {}
        return replace(panel, past=past_arrays, future=future_arrays, static=statics)

    def _filled(self, column: pd.Series, slot: Ints, in_history: NDArray[np.bool_]) -> Floats:
        values = np.full(len(self.y), np.nan)
        values[slot] = column.to_numpy(dtype=np.float64)[in_history]
        return _carry_forward(values, self.indptr)

    def __post_init__(self) -> None:
        if len(self.indptr) != len(self.ids) + 1:
            raise DataError("indptr does not fit the ids", ids=len(self.ids), indptr=len(self.indptr))
        if len(self.y) != (self.indptr[-1] if len(self.indptr) else 0):
            raise DataError("y does not fit indptr", y=len(self.y), indptr=int(self.indptr[-1]))
        expected = {"past": len(self.y), "future": len(self.y) + len(self.ids) * self.ahead, "static": len(self.ids)}
        for group, length in expected.items():
            for name, values in getattr(self, group).items():
                if len(values) != length:
                    raise DataError(f"a {group} column does not fit", name=name, expected=length, found=len(values))

    # ---- asking it --------------------------------------------------------------------------------------------

    @property
    def n_series(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Ints:
        """Periods of history of each series [N]."""
        return np.diff(self.indptr)

    @property
    def start(self) -> Ints:
        """The number of each series' first period [N]."""
        return self.end - self.lengths + 1

    @property
    def series_of(self) -> Ints:
        """The series each position of y belongs to [T]."""
        return np.repeat(np.arange(self.n_series), self.lengths)

    @property
    def periods(self) -> Ints:
        """The period number of each position of y [T]."""
        return np.arange(len(self.y)) - np.repeat(self.indptr[:-1] - self.start, self.lengths)

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.freq)

    def series(self, i: int) -> Floats:
        """The history of series i, oldest first (a view)."""
        return self.y[self.indptr[i] : self.indptr[i + 1]]

    def index_of(self, ids: Strings) -> Ints:
        """The position of each id, -1 where this panel does not have it [n] -> [n]."""
        if not self.n_series:
            return np.full(len(ids), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), self.n_series - 1)
        return np.where(self.ids[at] == ids, at, -1)

    def tail(self, n: int, name: str = TARGET) -> Floats:
        """The last n periods as [N, n], oldest first; NaN before a series starts.

        `name` is y or a past column.
        """
        return self.window(self.end - n + 1, n, name)

    def window(self, first: int, n: int, name: str = TARGET) -> Floats:
        """Periods first .. first+n-1 as [N, n]; NaN outside a series.

        `name` is y, a past column or a future column; a future column reaches `ahead` periods beyond the end.
        """
        ahead = self.ahead if name in self.future else 0
        values = self.y if name == TARGET else self.past[name] if name in self.past else self.future[name]
        if not len(values):
            return np.full((self.n_series, n), np.nan)
        offset = first - self.start[:, None] + np.arange(n)[None, :]  # [N, n]
        inside = (offset >= 0) & (offset < (self.lengths + ahead)[:, None])
        base = (self.indptr[:-1] + np.arange(self.n_series) * ahead)[:, None]
        return np.where(inside, values[np.where(inside, base + offset, 0)], np.nan)

    # ---- cutting it -------------------------------------------------------------------------------------------

    def until(self, cutoff: int) -> Panel:
        """What was known at the end of period `cutoff`: series that had started, cut there.

        Future columns keep everything that is planned, also what lies after the cutoff.
        """
        if cutoff >= self.end:
            return self
        started = np.flatnonzero(self.start <= cutoff)
        shorter = self.end - cutoff
        panel = self.take(started)
        lengths = panel.lengths - shorter
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        keep = _ranges(panel.indptr[:-1], lengths)
        past = {name: values[keep] for name, values in panel.past.items()}
        ahead = self.ahead + shorter if self.future else 0
        return replace(panel, indptr=indptr, y=panel.y[keep], end=cutoff, past=past, ahead=ahead)

    def take(self, series: Any) -> Panel:
        """These series only, by ascending position [n]."""
        series = np.asarray(series, dtype=np.int64)
        if len(series) == self.n_series and self.n_series and series[0] == 0 and (np.diff(series) == 1).all():
            return self
        lengths = self.lengths[series]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        keep = _ranges(self.indptr[series], lengths)
        wide = _ranges(self.indptr[series] + series * self.ahead, lengths + self.ahead)
        return replace(
            self,
            ids=self.ids[series],
            indptr=indptr,
            y=self.y[keep],
            past={name: values[keep] for name, values in self.past.items()},
            future={name: values[wide] for name, values in self.future.items()},
            static={name: values[series] for name, values in self.static.items()},
        )

    def batches(self, n: int) -> Iterator[Panel]:
        """Consecutive parts of at most `n` series each, in order."""
        for first in range(0, self.n_series, n):
            yield self.take(np.arange(first, min(first + n, self.n_series)))

    def with_blanks_filled(self, method: Blanks = "interpolate") -> Panel:
        """The same panel without NaN in y: only values of the same series and of this panel are looked at.

        "interpolate": on the straight line between the nearest known neighbours; before the first or after the last
        known value, that value. "forward_fill": the last known value. A series without any known value becomes 0.
        """
        unknown = np.isnan(self.y)
        if not unknown.any():
            return self
        position = np.arange(len(self.y))
        first, last = np.repeat(self.indptr[:-1], self.lengths), np.repeat(self.indptr[1:], self.lengths) - 1
        before = np.maximum.accumulate(np.where(unknown, -1, position))
        after = np.minimum.accumulate(np.where(unknown, len(self.y), position)[::-1])[::-1]
        has_before, has_after = before >= first, after <= last
        left = self.y[np.where(has_before, before, 0)]
        right = self.y[np.where(has_after, after, 0)]
        if method == "forward_fill":
            filled = np.where(has_before, left, np.where(has_after, right, 0.0))
        else:
            share = (position - before) / np.maximum(after - before, 1)
            both = left + (right - left) * share
            filled = np.where(has_before & has_after, both, np.where(has_before, left, np.where(has_after, right, 0.0)))
        return replace(self, y=np.where(unknown, filled, self.y))

    def to_frame(self) -> pd.DataFrame:
        """One row a series and period: unique_id, ds, y, then past and (up to the end) future columns."""
        columns: dict[str, Any] = {
            ID: self.ids.astype(object)[self.series_of],  # rows share their id's text
            TIME: self.calendar.dates(self.periods),
            TARGET: self.y,
        }
        columns.update(self.past)
        inside = _ranges(self.indptr[:-1] + np.arange(self.n_series) * self.ahead, self.lengths)
        columns.update({name: values[inside] for name, values in self.future.items()})
        return pd.DataFrame(columns)


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """start, start+1, .. for each pair, end to end."""
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    moved: Ints = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return moved


def _numbered(column: pd.Series) -> tuple[Ints, Strings]:
    """The series of each row [n], and the ids, ascending [N]."""
    if column.isna().any():
        raise SchemaError("unique_id is missing in some rows", count=int(column.isna().sum()))
    # ids that are numbered already are not written out row by row
    numbered = isinstance(column.dtype, pd.CategoricalDtype)
    texts = column if numbered else column.astype(str)
    if "\0" in "".join(
        map(str, column.cat.categories) if numbered else texts.tolist()
    ):  # numpy and pandas both take "a" and "a\0" for the same text
        raise SchemaError("an id holds a NUL character", hint="Clean the ids first")
    # Not np.unique on fixed-width text: one id of 200 characters would make every row cost 800 bytes.
    number, found = pd.factorize(texts)
    names = np.asarray(found).astype(str)
    order = np.argsort(names)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[number], names[order]


def _dates(column: pd.Series) -> NDArray[np.datetime64]:
    """The dates of the rows [n]; none is missing."""
    if pd.api.types.is_numeric_dtype(column):  # pandas would take 20240105 for nanoseconds since 1970
        raise CalendarError("dates are plain numbers", first=column.head().tolist(), hint="Read them as dates first")
    try:
        dates = pd.to_datetime(column)
    except ValueError as error:
        raise CalendarError("dates cannot be read", cause=str(error)) from None
    if dates.dtype.kind != "M" or isinstance(dates.dtype, pd.DatetimeTZDtype):
        raise CalendarError("dates have a time zone", dtype=str(dates.dtype), hint="Make them local dates first")
    if dates.isna().any():
        raise CalendarError("dates are missing", count=int(dates.isna().sum()))
    return dates.to_numpy()


def _refuse_doubled(slot: Ints) -> None:
    order = np.sort(slot)
    doubled = int((order[1:] == order[:-1]).sum())
    if doubled:
        raise CalendarError("several rows for the same series and period", count=doubled)


def _carry_forward(values: Floats, indptr: Ints) -> Floats:
    """Each NaN becomes the last value before it in the same series; NaN stays before the first."""
    first = np.repeat(indptr[:-1], np.diff(indptr))
    before = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.where(before >= first, values[np.maximum(before, 0)], np.nan)


def _static_arrays(static: pd.DataFrame, ids: Strings) -> dict[str, NDArray[Any]]:
    if ID not in static:
        raise SchemaError("the static table has no unique_id", found=list(static.columns))
    table = static.assign(**{ID: static[ID].astype(str)})
    if table[ID].duplicated().any():
        raise SchemaError("the static table names a series twice", first=table.loc[table[ID].duplicated(), ID].unique())
    aligned = table.set_index(ID).reindex(ids)
    return {name: aligned[name].to_numpy() for name in aligned.columns}
