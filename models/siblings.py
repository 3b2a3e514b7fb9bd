"""Newborn styles: what their siblings are forecast to sell, at the level of the few periods a style has itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from demand.errors import SettingsError
from demand.panel import Floats, Ints, Panel, Strings
from demand.settings import STRICT
from models.base import FitContext, Forecast, ForecastSpec
from models.group_columns import check_named
from models.intervals import empirical_quantiles
from models.reconciliation import summed
from models.smoothing import ExponentialSmoothing

KIND = "siblings"
KEY = "newborns.siblings_by"
SEEN = 3  # a sibling has at least so many times `periods` of history; its newest ones tell the level and its spread
OWN_SPREAD = 20  # siblings of which a group's errors make its intervals; fewer take those of all groups
TRIED = 2  # origins in the past at which siblings must have been better
OLD, NONE = "it has more history than a newborn style", "it has no siblings"


@settings(frozen=True, config=STRICT)
class NewbornSettings:
    """Whose course a young style takes.

    siblings_by: static columns that make siblings, the closest first, such as (family, category); () = off. periods:
    a style with at most so many periods of history is newborn. least: siblings needed, else the next column is tried.
    """

    siblings_by: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    periods: Annotated[int, Field(strict=True, ge=1)] = 4
    least: Annotated[int, Field(strict=True, ge=2)] = 5


def check_columns(panel: Panel, columns: Sequence[str]) -> None:
    """Raises SettingsError for a column the panel lacks, one named twice, and one that makes no siblings at all."""
    check_named(panel, columns, KEY, "siblings are named by")
    for column in columns:
        code, names = _groups(panel, column)
        if not (np.bincount(code[code >= 0], minlength=1) > 1).any():
            raise SettingsError(
                "no two styles are siblings by this column", key=KEY, column=column, styles=panel.n_series,
                values=len(names), blank=int((code < 0).sum()), hint="Name a column that several styles share",
            )  # fmt: skip


def sibling_forecast(history: Panel, spec: ForecastSpec, context: FitContext, chosen: NewbornSettings) -> Forecast:
    """A row for every newborn style with siblings; all others carry the reason. y must be known (blanks filled).

    The siblings of a style are the styles of its group with SEEN x `periods` of history. Their sum is forecast by
    exponential smoothing; a newborn style gets an average sibling's course times its own level over theirs in the
    periods that it has, shrunk towards 1 as far as such short levels are noise: by the ratio of the variance within
    siblings (over its number of periods) to that between their levels (empirical Bayes, Buehlmann's credibility).
    Quantiles are those of actual / forecast when the same was asked one and two horizons ago of siblings cut to so few
    periods (each still in its group's sum: a little flattered in small groups). A column by which that was not better
    than the mean of those periods at both makes no row.
    """
    n, newborn = history.n_series, history.lengths <= chosen.periods
    mean = np.full((n, spec.horizon), np.nan)
    quantiles = np.full((n, spec.horizon, len(spec.levels)), np.nan)
    reasons = {int(i): NONE if newborn[i] else OLD for i in range(n)}
    notes: dict[int, str] = {}
    for column in chosen.siblings_by:
        rows = np.flatnonzero(newborn & np.isnan(mean[:, 0]))
        if not len(rows):
            break
        code, names = _groups(history, column)
        trial = _Trial.of(history, code, len(names), spec, context, chosen)
        if trial is None or not trial.better:
            why = f"by {column} {'nothing could be tried' if trial is None else 'its own mean was better'}"
            reasons |= {int(i): f"{reasons[int(i)]}; {why}" for i in rows}
            continue
        group = _Siblings.of(history, code, len(names), spec, context, chosen)
        own = np.add.reduceat(history.y, history.indptr[:-1])[rows]
        made, usable = group.expected(code[rows], history.lengths[rows], own)
        usable &= group.count[np.maximum(code[rows], 0)] >= chosen.least
        rows, made = rows[usable], made[usable]
        mean[rows] = made
        quantiles[rows] = made[:, :, None] * trial.spread(code[rows], history.lengths[rows])[:, None, :]
        for i in rows.tolist():
            del reasons[i]
            notes[i] = f"{group.count[code[i]]} siblings of {column}={names[code[i]]}"
    return Forecast.build(history, spec, KIND, mean, quantiles, reasons=reasons, notes=notes)


@dataclass(frozen=True, eq=False)
class _Siblings:
    """The groups of one column at one origin.

    count   [G]         siblings: styles with enough history
    ahead   [G, H]      the forecast of an average sibling
    recent  [G, P + 1]  what an average sibling sold in the last 0 .. P periods, added up
    noise   [G]         squared relative deviation of one period within siblings
    apart   [G]         squared relative deviation of siblings' levels, without that noise
    """

    count: Ints
    ahead: Floats
    recent: Floats
    noise: Floats
    apart: Floats

    @classmethod
    def of(
        cls, history: Panel, code: Ints, n: int, spec: ForecastSpec, context: FitContext, chosen: NewbornSettings
    ) -> _Siblings:  # fmt: skip
        width = SEEN * chosen.periods
        rows = np.flatnonzero((history.lengths >= width) & (code >= 0))
        group = code[rows]
        count = np.bincount(group, minlength=n)
        some = np.flatnonzero(count)
        ahead = np.zeros((n, spec.horizon))
        if len(some):
            sums = summed(history.take(rows), np.searchsorted(some, group), np.array([f"{k:09d}" for k in some]))
            made = ExponentialSmoothing().fit(sums, spec, context).forecast(sums).mean
            ahead[some] = np.nan_to_num(made) / count[some][:, None]
        last = history.take(rows).tail(width)  # [M, W]
        course = _mean_by(group, last, count)  # [G, W]
        level, usual = last.mean(axis=1), course.mean(axis=1)
        shape = np.divide(course, usual[:, None], out=np.ones_like(course), where=usual[:, None] > 0)
        within = _mean_by(group, ((last - level[:, None] * shape[group]) ** 2).mean(axis=1, keepdims=True), count)[:, 0]
        between = _mean_by(group, (level - usual[group])[:, None] ** 2, count)[:, 0]
        square = np.where(usual > 0, usual**2, np.inf)
        noise, spread = within / square, between / square
        apart = np.maximum(spread - noise / width, 1e-3 * spread)
        added = np.cumsum(course[:, ::-1][:, : chosen.periods], axis=1)
        return cls(count, ahead, np.column_stack([np.zeros(n), added]), noise, apart)

    def expected(self, code: Ints, periods: Ints, own: Floats) -> tuple[Floats, np.ndarray]:
        """Means [n, H] of styles that sold `own` in their `periods` periods, and where there is such an answer [n]."""
        group = np.maximum(code, 0)
        usual = self.recent[group, periods]
        usable = (code >= 0) & (self.count[group] > 0) & (usual > 0)
        doubt = self.noise[group] / periods  # of a level seen for so few periods
        trust = np.divide(self.apart[group], self.apart[group] + doubt, out=np.ones(len(group)), where=doubt > 0)
        ratio = np.divide(own, usual, out=np.ones(len(group)), where=usable)
        return self.ahead[group] * np.maximum(1 + trust * (ratio - 1), 0.0)[:, None], usable


@dataclass(frozen=True, eq=False)
class _Trial:
    """The same asked one and two horizons ago of styles that were long known, cut to 1 .. P periods.

    better   whether at each of these origins the sum of absolute errors was below that of the mean of the kept periods
    ratios   [P, M, H] actual / forecast, over the same of the group as a whole (one window says little of how a group
             will be missed, much of how its styles differ); NaN where there is none
    code     [M] the group of each; count [G] how many styles of each were asked
    """

    better: bool
    ratios: Floats
    code: Ints
    count: Ints
    levels: tuple[float, ...]

    @classmethod
    def of(
        cls, history: Panel, code: Ints, n: int, spec: ForecastSpec, context: FitContext, chosen: NewbornSettings
    ) -> _Trial | None:  # fmt: skip
        """None where no group had enough siblings one horizon ago."""
        asked = [_asked(history, code, n, spec, context, chosen, back) for back in range(1, TRIED + 1)]
        tried = [one for one in asked if one is not None]
        if not tried:
            return None
        ratios, codes, better = zip(*tried, strict=True)
        every = np.concatenate(codes)
        return cls(all(better), np.concatenate(ratios, axis=1), every, np.bincount(codes[0], minlength=n), spec.levels)

    def spread(self, code: Ints, periods: Ints) -> Floats:
        """[n, Q]: quantiles of actual / forecast for styles of these groups with so many periods, never negative."""
        out = np.full((len(code), len(self.levels)), np.nan)
        for p in np.unique(periods).tolist():
            everyone = _quantiles(self.ratios[p - 1], self.levels)
            for g in np.unique(code[periods == p]).tolist():
                own = self.ratios[p - 1][self.code == g] if self.count[g] >= OWN_SPREAD else None
                out[(periods == p) & (code == g)] = everyone if own is None else _quantiles(own, self.levels)
        return out


def _asked(
    history: Panel, code: Ints, n: int, spec: ForecastSpec, context: FitContext, chosen: NewbornSettings, back: int
) -> tuple[Floats, Ints, bool] | None:  # fmt: skip
    """(ratios, code, better) of `_Trial` at one origin, `back` horizons ago; None without enough siblings there."""
    past = history.until(history.end - back * spec.horizon)
    at = history.index_of(past.ids)
    group = _Siblings.of(past, code[at], n, spec, context, chosen)
    old = (past.lengths >= SEEN * chosen.periods) & (code[at] >= 0)
    old &= group.count[np.maximum(code[at], 0)] >= chosen.least
    if not old.any():
        return None
    rows, codes = np.flatnonzero(old), code[at][old]
    actual = history.take(at[rows]).window(past.end + 1, spec.horizon)
    kept = np.cumsum(past.take(rows).tail(chosen.periods)[:, ::-1], axis=1)  # [M, P] sums of the last 1 .. P
    ratios = np.full((chosen.periods, *actual.shape), np.nan)
    theirs = alone = 0.0
    for p in range(1, chosen.periods + 1):
        made, usable = group.expected(codes, np.full(len(rows), p), kept[:, p - 1])
        theirs += float(np.abs(actual - made)[usable].sum())
        alone += float(np.abs(actual - np.maximum(kept[:, p - 1] / p, 0.0)[:, None])[usable].sum())
        course = made * _missed(actual, made, usable, codes, n)
        np.divide(actual, course, out=ratios[p - 1], where=usable[:, None] & (course > 0))
    return ratios, codes, theirs < alone


def _missed(actual: Floats, made: Floats, usable: np.ndarray, code: Ints, n: int) -> Floats:
    """[M, 1]: total actual over total forecast of each row's group; 0 where either is none."""
    sold = np.bincount(code[usable], weights=actual[usable].sum(axis=1), minlength=n)
    told = np.bincount(code[usable], weights=made[usable].sum(axis=1), minlength=n)
    ratio = np.divide(sold, told, out=np.zeros(n), where=(told > 0) & (sold > 0))
    return np.asarray(ratio[code][:, None], dtype=np.float64)


def _quantiles(ratios: Floats, levels: Sequence[float]) -> Floats:
    """[Q]: of the known ratios, never negative; NaN without any."""
    known = ratios[np.isfinite(ratios)]
    if not len(known):
        return np.full(len(levels), np.nan)
    found: Floats = np.maximum(empirical_quantiles(known[None, :], levels)[0], 0.0)
    return found


def _groups(panel: Panel, column: str) -> tuple[Ints, Strings]:
    """Each series' group [N], -1 where its value is missing, and the groups' names."""
    texts = np.array(["" if v is None or v != v else str(v).strip() for v in panel.static[column]], dtype=str)
    names, code = np.unique(texts, return_inverse=True)
    if len(names) and names[0] == "":
        return code.astype(np.int64) - 1, names[1:]
    return code.astype(np.int64), names


def _mean_by(group: Ints, values: Floats, count: Ints) -> Floats:
    """[G, W]: the mean of the rows [M, W] of each group; 0 where there are none."""
    out = np.zeros((len(count), values.shape[1]))
    np.add.at(out, group, values)
    return out / np.maximum(count, 1)[:, None]
