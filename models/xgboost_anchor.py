"""Where a series would go without trees: its level, and its own last year moved to today's level.

Trees cannot leave the range of their training rows. So they learn what is left after this anchor, and growth, level and
yearly peaks pass through it untouched. The anchor is one pooled linear rule per group of rows, fitted by least absolute
deviations: single wild orders do not move it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints
from features import intermittency, lags, windows
from features.catalog import PROFILE, SHORT_SEASON, year_ago_mean
from features.view import OriginView, Spans

SPARSE = 0.4  # from this share of periods without demand on, the anchor is 0: the median of such demand is often 0
GROWTH = (0.5, 2.0)  # last year's peaks are scaled by the growth since, within these bounds
ROUNDS = 20
LEVEL_TERMS = 5  # the first terms are the series' own level; the others are what earlier seasons add to it
FEW = 200  # rows below which a rule is not fitted: the level of the last quarter stands

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AnchorTerms:
    """What the rule is a linear mix of, for R rows, in units of the series' scale.

    terms [R, K] finite · has_year [R]: last year is known · sparse [R]: too few sales for an anchor
    """

    terms: Floats
    has_year: Flags
    sparse: Flags

    def take(self, rows: Ints) -> AnchorTerms:
        return AnchorTerms(self.terms[rows], self.has_year[rows], self.sparse[rows])


def anchor_terms(view: OriginView, spans: Spans, row: Ints, step: Ints) -> AnchorTerms:
    """The terms of (series, step) rows of a view: row, step [R].

    1, the last value, the level of the last month, quarter and year, the profile of the short season, and last year's
    departure from its own level (of the quarter, of the year), scaled by growth. A term that a young series cannot
    have is its nearest shorter sister; unknown departures are 0.
    """
    y, n = view.y, view.n_series
    last = y[:, -1]
    month, quarter, year = (windows.rolling_mean(y, w) for w in (spans.month, spans.quarter, spans.year))
    levels = np.column_stack([np.ones(n), last, month, quarter, year])[row]
    then_quarter = windows.mean_before(y, spans.quarter, spans.year)
    then_year = windows.mean_before(y, spans.year, spans.year)
    if spans.season < spans.year:
        value = year_ago_mean(y, row, step, spans.year, max(1, spans.season // 2))
    else:
        value = lags.seasonal_lag(y, row, step, spans.year)
    departures = [_departure(value, now[row], then[row]) for now, then in ((quarter, then_quarter), (year, then_year))]
    known = np.isfinite(departures[0])
    departures[1] = np.where(np.isfinite(departures[1]), departures[1], departures[0])
    columns = [levels, *(np.where(known, d, 0.0)[:, None] for d in departures)]
    if spans.season <= SHORT_SEASON and spans.season < spans.year:
        profile = lags.seasonal_mean(y, row, step, spans.season, PROFILE)
        around = windows.rolling_mean(y, spans.season * PROFILE)[row]
        columns.append(np.where(np.isfinite(profile), profile - around, 0.0)[:, None])
    sparse = intermittency.zero_share(y, spans.year) >= SPARSE
    return AnchorTerms(np.column_stack(columns), known, np.asarray(sparse[row]))


def _departure(value: Floats, now: Floats, then: Floats) -> Floats:
    positive = (now > 0) & (then > 0)
    growth = np.where(positive, now / np.where(positive, then, 1.0), 1.0)
    return np.asarray((value - then) * np.clip(growth, *GROWTH))


@dataclass(frozen=True)
class Anchor:
    """The fitted rule: weights of the terms, one vector for rows with a known last year and one for those without."""

    with_year: tuple[float, ...]
    without_year: tuple[float, ...]

    @classmethod
    def fit(cls, found: AnchorTerms, target: Floats) -> Self:
        """The rule with the smallest absolute errors on rows with demand target [R], in units of scale."""
        dense = ~found.sparse
        vectors = [_fit_group(found.terms, target, dense & group) for group in (found.has_year, ~found.has_year)]
        return cls(*vectors)

    def at(self, found: AnchorTerms) -> Floats:
        """The anchor of each row [R], in units of scale; never negative, 0 for sparse rows."""
        return np.asarray(np.maximum(self.parts(found).sum(axis=1), 0.0))

    def parts(self, found: AnchorTerms) -> Floats:
        """What each term adds to the anchor before it is kept at or above 0 [R, K], in units of scale; all 0 for sparse
        rows."""
        weights = np.where(found.has_year[:, None], np.array(self.with_year), np.array(self.without_year))
        return np.where(found.sparse[:, None], 0.0, found.terms * weights)


def _fit_group(terms: Floats, target: Floats, rows: Flags) -> tuple[float, ...]:
    width = terms.shape[1]
    if rows.sum() < FEW:
        level = np.zeros(width)
        level[3] = 1.0  # the quarter's level
        return tuple(level)
    return tuple(float(w) for w in least_absolute(terms[rows], target[rows]))


def least_absolute(terms: Floats, target: Floats) -> Floats:
    """Weights [K] that minimise sum |target - terms @ weights|, a touch of ridge towards 0 for collinear terms.

    Iteratively reweighted least squares (Schlossmacher 1973), ROUNDS rounds from least squares.
    """
    ridge = 1e-4 * len(terms) * np.eye(terms.shape[1])
    weights = np.ones(len(terms))
    spread = max(float(np.abs(target).mean()), 1e-9)
    found: Floats = np.zeros(terms.shape[1])
    for _ in range(ROUNDS):
        weighted = terms * weights[:, None]
        found = np.asarray(np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ target), dtype=np.float64)
        weights = spread / np.maximum(np.abs(target - terms @ found), 1e-3 * spread)
        weights /= weights.mean()
    return found
