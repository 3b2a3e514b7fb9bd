"""What lies before each row: windows, sums and changes over earlier rows of its group, for a whole table at once.

A cell is what happened in one group on one date (or one row, when rows have no dates). Only earlier cells are the past
of a row: those of its own date are not, because their order is not known. Every number of a cell is combined from the
numbers of the cells before it, never by subtracting running sums: large offsets lose no digits, and rows that are added
later change no bit of what was there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.calendar import Dates
from demand.panel import Floats, Ints

Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Cells:
    """c cells in the order of group and date, made of the rows that have both.

    rows    [m]  places of those rows in the table, cell by cell
    of_row  [m]  the cell of each of them
    start   [c]  where a cell begins in `rows`
    group   [c]  ascending
    day     [c]  days since 1970; None when cells are single rows in the table's order
    n            rows of the table
    """

    rows: Places
    of_row: Places
    start: Places
    group: Ints
    day: Ints | None
    n: int

    @classmethod
    def of(cls, group: Ints, days: Dates | None) -> Cells:
        """group: [n], -1 = in none. days: [n]; a row without a day is in no cell."""
        n = len(group)
        kept = group >= 0 if days is None else (group >= 0) & ~np.isnat(days)
        rows = np.flatnonzero(kept)
        day = None if days is None else days[rows].astype(np.int64)
        order = np.argsort(group[rows], kind="stable") if day is None else np.lexsort((day, group[rows]))
        rows = rows[order]
        sorted_group = group[rows].astype(np.int64)
        if day is None:
            start = np.arange(len(rows))
            return cls(rows, start, start, sorted_group, None, n)
        day = day[order]
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (sorted_group[1:] != sorted_group[:-1]) | (day[1:] != day[:-1])
        start = np.flatnonzero(new)
        return cls(rows, np.cumsum(new) - 1, start, sorted_group[start], day[start], n)

    def to_rows(self, values: Floats) -> Floats:
        """The value of each row's cell [n], NaN for rows in no cell."""
        out = np.full(self.n, np.nan)
        out[self.rows] = values[self.of_row]
        return out

    def earlier(self, k: int, within: int | None = None) -> Places:
        """The k-th cell before each [c] in its group, at most `within` days away; -1 where there is none."""
        place = np.arange(len(self.start)) - k
        there = place >= 0
        older = max(0, len(self.start) - k)
        there[k:] &= self.group[k:] == self.group[:older]
        if within is not None and self.day is not None:
            there[k:] &= self.day[k:] - self.day[:older] <= within
        return np.where(there, place, -1)


@dataclass(frozen=True, eq=False)
class CellValues:
    """One column summed up by cell: n known values, their sum, mean (NaN when none), and squared distance to it [c]."""

    n: Ints
    total: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, cells: Cells, values: Floats) -> CellValues:
        """values: [n] of the table, NaN where not known (left out)."""
        inside = values[cells.rows]
        if not len(cells.start):
            return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
        known = ~np.isnan(inside)
        n = np.add.reduceat(known.astype(np.int64), cells.start)
        total = np.add.reduceat(np.where(known, inside, 0.0), cells.start)
        mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        away = np.where(known, inside - mean[cells.of_row], 0.0)
        return cls(n, total, mean, np.add.reduceat(away * away, cells.start))


def rolling(cells: Cells, values: CellValues, window: int) -> tuple[Floats, Floats]:
    """(mean, sample standard deviation) of the known values in the `window` days or rows before each cell [c].

    The mean is NaN without a known value, the deviation (divisor n - 1) without two. Deviations are summed about the
    window's own mean.
    """
    n = np.zeros(len(cells.start))
    # distances to the newest known cell, not the values themselves: what all have in common costs no digits
    anchor = np.full(len(n), np.nan)
    shifted = np.zeros(len(n))
    for k in range(1, window + 1):
        at = cells.earlier(k, window)
        used = (at >= 0) & (values.n[at] > 0)
        weight = np.where(used, values.n[at], 0)
        anchor = np.where(np.isnan(anchor) & used, values.mean[at], anchor)
        n += weight
        shifted += np.where(used, weight * (values.mean[at] - anchor), 0.0)
    centre = shifted / np.maximum(n, 1)  # of the window, seen from its anchor
    mean = np.where(n > 0, anchor + centre, np.nan)
    squares = np.zeros(len(n))
    for k in range(1, window + 1):
        at = cells.earlier(k, window)
        used = (at >= 0) & (values.n[at] > 0)
        away = (values.mean[at] - anchor) - centre
        squares += np.where(used, values.squares[at] + values.n[at] * away * away, 0.0)
    deviation = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)
    return mean, deviation


def running_total(cells: Cells, values: CellValues) -> Floats:
    """The sum of the known values of all earlier cells of the group [c]; NaN before the first known value."""
    grouped = pd.DataFrame({"total": values.total, "n": values.n}).groupby(cells.group, sort=False).cumsum()
    before = cells.earlier(1)
    total, n = grouped["total"].to_numpy(), grouped["n"].to_numpy()
    return np.where((before >= 0) & (n[before] > 0), total[before], np.nan)


def change(cells: Cells, values: CellValues) -> Floats:
    """How much the last earlier cell was above the one before it, as a fraction [c] (means of cells of several rows).

    NaN without two earlier cells with known values, and after a mean of 0.
    """
    last, before = cells.earlier(1), cells.earlier(2)
    there = (last >= 0) & (before >= 0)
    new, old = values.mean[last], values.mean[before]
    return np.where(there & (old != 0), new / np.where(old == 0, 1.0, old) - 1.0, np.nan)
