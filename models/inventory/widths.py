"""How much further totals over a window lie from the forecast than its paths say, told from windows that are over.

A forecast's quantiles are right period by period at best. How far the total of several periods may be off also depends
on errors that last (a level that is wrong today is wrong next month), and ranks of the past know nothing of those. So
the paths' totals are compared with the totals that came, and one factor for each number of periods moves them as far as
was needed: the one with the smallest continuous ranked probability score (Gneiting and Raftery 2007). It is a proper
score: neither too wide nor too narrow pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demand.panel import Floats, Panel
from models.base import Forecast
from models.inventory.paths import forecast_paths, widened_totals

FACTORS = np.round(np.geomspace(0.5, 4.0, 37), 3)  # 6 % apart, 1.0 is one of them
FEWEST = 30  # totals; below, the paths stay as they are
MOST = 1_000  # items at a date: more tell little and take minutes
MEASURED = 2 ** np.arange(12)  # periods; between: a line


@dataclass(frozen=True, eq=False)
class Came:
    """A forecast, its history (the same items in its order, no NaN), and what came [N, H]; NaN = unknown."""

    forecast: Forecast
    history: Panel
    actual: Floats

    def sampled(self) -> Came:
        """MOST of the items, evenly spaced; all where there are fewer."""
        n = len(self.forecast.ids)
        if n <= MOST:
            return self
        rows = np.arange(MOST) * n // MOST
        return Came(self.forecast.take(rows), self.history.take(rows), self.actual[rows])


def widths_of(past: Sequence[Came], n_paths: int) -> tuple[float, ...]:
    """One factor for totals of 1 .. H periods, H the longest that all of `past` hold; () where nothing is known.

    An item counts by its volume: the score is in units. Totals of which a period is unknown or that have no forecast
    are left out; fewer than FEWEST: 1.0. Factors are measured for some numbers of periods and joined by lines.
    """
    periods = min((one.actual.shape[1] for one in past), default=0)
    if not periods:
        return ()
    measured = np.append(MEASURED[periods > MEASURED], periods)
    some = [one.sampled() for one in past]
    found = [_width(some, int(h), n_paths) for h in measured]
    return tuple(np.round(np.interp(np.arange(1, periods + 1), measured, found), 3).tolist())


def _width(past: Sequence[Came], periods: int, n_paths: int) -> float:
    score, n = np.zeros(len(FACTORS)), 0
    for one in past:
        came = one.actual[:, :periods].sum(axis=1)
        total = forecast_paths(one.forecast, one.history, periods, n_paths).sum(axis=2)
        rows = np.isfinite(came) & np.isfinite(total).all(axis=1)
        n += int(rows.sum())
        total, came = np.sort(total[rows], axis=1), came[rows]
        score += [_crps(widened_totals(total, factor), came).sum() for factor in FACTORS]
    return float(FACTORS[score.argmin()]) if n >= FEWEST else 1.0


def _crps(ascending: Floats, actual: Floats) -> Floats:
    """Continuous ranked probability score [N] of samples [N, S], each in ascending order, against `actual` [N], in its
    unit: E|X - y| - E|X - X'| / 2."""
    n = ascending.shape[1]
    spread = ascending @ (2 * np.arange(1, n + 1) - n - 1) / n**2
    return np.asarray(np.abs(ascending - actual[:, None]).mean(axis=1) - spread)
