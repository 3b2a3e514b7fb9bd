"""What a release tells of every style and of the fleet: history, totals ahead, their bounds, how far to trust them.

Every figure is computed once, when the release is made, from the live forecast and from the scored origins; serving
only reads it. Totals and bounds are in the unit sold, shares and confidence are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.panel import Blanks, Floats, Ints, Panel, Strings
from evaluation.classes import CLASSES, demand_classes
from evaluation.intervals import recent_scale
from evaluation.results import FoldResult
from evaluation.totals import DAYS, Ahead, answered_days, bounds_by_group, floored_accuracy, measurable, relative
from models.base import Forecast

ENOUGH_ORIGINS = 5  # scored origins from which a style's confidence is its own
KNOWN_SHARE = 0.5  # of a total: with less of it known its error says nothing
RECENT_DAYS = 30
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of N styles at an origin, whichever model is asked; ids ascending.

    classes [N]     number of the demand class in CLASSES
    recent  [N]     mean absolute demand a period of late
    measurable [D]  whether errors of these totals can be measured (a week's share of a month cannot)
    totals [D, H]   how often each period ahead counts in the total of each of `days` days
    negative [N]    net returns are part of the style's demand: a total may fall below 0
    """

    ids: Strings
    origin: int
    days: tuple[int, ...]
    ahead: Ahead
    measurable: tuple[bool, ...]
    totals: Floats
    classes: Ints
    recent: Floats
    negative: NDArray[np.bool_]

    @classmethod
    def at(cls, panel: Panel, origin: int, horizon: int, blanks: Blanks) -> Standing:
        """From what was known at the end of period `origin` alone."""
        history = panel.until(origin).with_blanks_filled(blanks)
        ahead = Ahead.of(panel.calendar, origin, horizon)
        days = answered_days(panel.calendar, horizon)
        number = {name: place for place, name in enumerate(CLASSES)}
        names, place = np.unique(demand_classes(history), return_inverse=True)
        return cls(
            ids=history.ids,
            origin=origin,
            days=days,
            ahead=ahead,
            measurable=tuple(measurable(panel.calendar, d) for d in days),
            totals=np.array([ahead.total(d) for d in days]).reshape(len(days), horizon),
            classes=np.array([number[str(name)] for name in names], dtype=np.int64)[place],
            recent=recent_scale(history, horizon),
            negative=np.minimum.reduceat(history.y, history.indptr[:-1]) < 0,
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """The truth of one scored origin, whichever model is judged: n styles, D totals.

    rows  [n]        each style's place among the live ones
    actual [n, D]    totals over the known periods; share [n, D]: how much of the total these are
    known [n, H]     None where every period is known
    demand [n]       sum of absolute demand over the known periods of the window
    """

    standing: Standing
    rows: Ints
    actual: Floats
    share: Floats
    known: NDArray[np.bool_] | None
    demand: Floats

    @classmethod
    def of(cls, standing: Standing, result: FoldResult, live: Standing) -> Scored:
        """`result` of any model that was asked there. Raises ValueError when its window had not ended by the live
        origin: that would be a leak."""
        if result.fold.cutoff + result.fold.horizon > live.origin:
            raise ValueError("an origin whose window had not ended is used for what a release tells")
        known = ~np.isnan(result.actuals)
        y = np.where(known, result.actuals, 0.0)
        whole = standing.totals.sum(axis=1)
        share = (known @ standing.totals.T) / whole
        rows = np.searchsorted(live.ids, result.forecast.ids)
        return cls(standing, rows, y @ standing.totals.T, share, None if known.all() else known, np.abs(y).sum(axis=1))

    def means(self, result: FoldResult) -> Floats:
        """[n, H]: the model's mean forecast of the known periods, 0 elsewhere."""
        mean = result.forecast.mean
        return mean if self.known is None else np.where(self.known, mean, 0.0)


def scored_origins(panel: Panel, results: Sequence[FoldResult], live: Standing, blanks: Blanks) -> dict[int, Scored]:
    """Cutoff -> what came of it, from the results of one model that was asked at every scored origin."""
    found = {}
    for result in results:
        standing = Standing.at(panel, result.fold.cutoff, result.fold.horizon, blanks)
        found[result.fold.cutoff] = Scored.of(standing, result, live)
    return found


def history_columns(panel: Panel, live: Standing, blanks: Blanks, n_orders: Mapping[str, int] | None) -> Columns:
    """The columns that tell of the past, the same for every model; each [N].

    historical_avg is the mean a day over all days of the known periods, those without demand among them. last_30_days
    is the total of the last 30 days of the history that the models saw (blanks filled), cut by days; NaN where the
    style is younger. n_orders: order lines by style, None where the source has none; a style it lacks has none known.
    """
    history = panel.until(live.origin)
    calendar, n = history.calendar, history.n_series
    known = ~np.isnan(history.y)
    total = np.add.reduceat(np.where(known, history.y, 0.0), history.indptr[:-1])
    n_known = np.add.reduceat(known.astype(np.int64), history.indptr[:-1])
    first, _ = calendar.spans(history.start)
    end = calendar.spans(np.array([live.origin]))[1][0]
    days = ((end - first).astype(np.int64) + 1) * n_known / history.lengths
    oldest = int(calendar.containing(end - np.timedelta64(RECENT_DAYS - 1, "D")))
    back = np.arange(oldest, live.origin + 1)
    begins, ends = ((edge - end).astype(np.int64) + RECENT_DAYS for edge in calendar.spans(back))  # 1 .. 30 count
    shares = np.maximum(0, ends - np.maximum(begins, 1) + 1) / (ends - begins + 1)
    filled = history.with_blanks_filled(blanks).window(oldest, len(back))
    lines = np.full(n, np.nan)
    if n_orders is not None:
        lines = np.array([n_orders.get(name, np.nan) for name in history.ids.tolist()], dtype=np.float64)
    return {
        "unique_id": history.ids,
        "demand_class": np.array(CLASSES)[live.classes],
        "first_day": np.datetime_as_string(first, unit="D"),
        "last_day": np.full(n, str(end)),
        "n_periods": history.lengths,
        "n_orders": lines,
        "historical_total": np.where(n_known > 0, total, np.nan),
        "historical_avg": np.divide(total, days, out=np.full(n, np.nan), where=days > 0),
        "last_30_days": np.where(history.start <= oldest, np.nan_to_num(filled) @ shares, np.nan),
    }


def style_columns(
    model: str,
    live: Standing,
    forecast: Forecast,
    results: Sequence[FoldResult],
    scored: Mapping[int, Scored],
    level: float | None,
    threshold: float,
) -> Columns:
    """The columns of one model, each [N]; NaN = not measurable.

    level: of the bounds, None = none are wanted. Bounds are counted quantiles of (actual - forecast total) over the
    larger of forecast total and recent demand, at scored origins, by demand class (of all classes where a class has too
    few); n_errors counts those behind the longest total. confidence is 1 - WAPE of the style's horizon totals, floored
    at 0; with n < 5 scored origins (n x own + (5 - n) x mean of the class) / 5. threshold: below it, or without any
    confidence, low_confidence is true.
    """
    n, measured = len(live.ids), _Measured.of(results, scored, live)
    totals = forecast.mean @ live.totals.T
    columns: Columns = {"model": np.full(n, model)}
    columns |= {f"forecast_{days}_days": np.full(n, np.nan) for days in DAYS}
    columns |= {f"{side}_{days}_days": np.full(n, np.nan) for days in DAYS for side in ("lower", "upper")}
    n_errors, basis = np.zeros(n, dtype=np.int64), np.full(n, "", dtype="<U5")
    for d, days in enumerate(live.days):
        columns[f"forecast_{days}_days"] = totals[:, d]
        if level is None or not live.measurable[d]:
            continue
        low, high, counted, pooled = bounds_by_group(measured.errors[:, d], measured.classes, len(CLASSES), level)
        scale = np.maximum(totals[:, d], live.recent * live.totals[d].sum())
        scale[~(scale > 0)] = np.nan  # nothing sold and nothing forecast: how far off that may be was not measured
        lower = np.where(live.negative, -np.inf, 0.0)
        lower = np.maximum(lower, np.minimum(totals[:, d], totals[:, d] + low[live.classes] * scale))
        upper = np.maximum(totals[:, d], totals[:, d] + high[live.classes] * scale)
        stated = np.isfinite(lower) & np.isfinite(upper)
        columns[f"lower_{days}_days"] = np.where(stated, lower, np.nan)
        columns[f"upper_{days}_days"] = np.where(stated, upper, np.nan)
        n_errors = np.where(stated, counted[live.classes], 0)
        basis = np.where(stated, np.where(pooled[live.classes] == 1, "fleet", "class"), "")
    own = floored_accuracy(measured.off_total, measured.demand)
    confidence, confidence_basis = _shrunk(own, measured.n_origins, live.classes)
    return columns | {
        "n_errors": n_errors,
        "bounds_basis": basis,
        "confidence": confidence,
        "confidence_n": measured.n_origins,
        "confidence_basis": confidence_basis,
        "wape": np.divide(measured.off, measured.demand, out=np.full(n, np.nan), where=measured.demand > 0),
        "made_by": forecast.made_by,
        "fallback_level": forecast.level,
        "reason": forecast.reason,
        "low_confidence": ~(confidence >= threshold),
    }


@dataclass(frozen=True, eq=False)
class _Measured:
    """One model over the scored origins: M rows of totals' errors, sums for each of N live styles.

    errors [M, D] relative, NaN = the total is not known; classes [M] of the style at that origin. off, off_total,
    demand [N]: sums over origins of |median - y|, |sum mean - sum y| and |y|, over known periods; n_origins [N].
    """

    errors: Floats
    classes: Ints
    off: Floats
    off_total: Floats
    demand: Floats
    n_origins: Ints

    @classmethod
    def of(cls, results: Sequence[FoldResult], scored: Mapping[int, Scored], live: Standing) -> _Measured:
        n = len(live.ids)
        errors, classes = [np.empty((0, len(live.days)))], [np.empty(0, dtype=np.int64)]
        off, off_total, demand = np.zeros(n), np.zeros(n), np.zeros(n)
        n_origins = np.zeros(n, dtype=np.int64)
        for result in results:
            at = scored[result.fold.cutoff]
            mean = at.means(result)
            usual = at.standing.recent[:, None] * at.standing.totals.sum(axis=1) * at.share
            error = relative(at.actual, mean @ at.standing.totals.T, usual)
            errors.append(np.where(at.share >= KNOWN_SHARE, error, np.nan))
            classes.append(at.standing.classes)
            apart = np.nan_to_num(np.abs(result.forecast.median - result.actuals))
            off[at.rows] += apart.sum(axis=1)
            off_total[at.rows] += np.abs(mean.sum(axis=1) - np.nansum(result.actuals, axis=1))
            demand[at.rows] += at.demand
            n_origins[at.rows] += 1 if at.known is None else at.known.any(axis=1)
        return cls(np.concatenate(errors), np.concatenate(classes), off, off_total, demand, n_origins)


def _shrunk(own: Floats, n_origins: Ints, classes: Ints) -> tuple[Floats, Strings]:
    """(confidence, "style" | "class" | "" where there is none) of each style [N]."""
    measured = np.isfinite(own)
    count = np.bincount(classes[measured], minlength=len(CLASSES))
    total = np.bincount(classes[measured], weights=own[measured], minlength=len(CLASSES))
    of_class = np.divide(total, count, out=np.full(len(CLASSES), np.nan), where=count > 0)[classes]
    n = np.minimum(n_origins, ENOUGH_ORIGINS)
    mixed = (n * own + (ENOUGH_ORIGINS - n) * of_class) / ENOUGH_ORIGINS
    confidence = np.where(measured, np.where(n == ENOUGH_ORIGINS, own, mixed), np.nan)
    return confidence, np.where(measured, np.where(n == ENOUGH_ORIGINS, "style", "class"), "")
