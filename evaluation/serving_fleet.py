"""What a release tells of the fleet as a whole: the next weeks and the totals ahead, with bounds from the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demand.calendar import Calendar
from demand.panel import Floats, Panel
from evaluation.results import FoldResult
from evaluation.serving import Columns, Scored, Standing
from evaluation.totals import DAYS, Ahead, bounds_of_few, floored_accuracy, relative
from models.base import Forecast

WEEKS, PAST_WEEKS = 12, 26
WEEK_DAYS = 7
NOTHING = np.empty(0)


@dataclass(frozen=True, eq=False)
class FleetErrors:
    """One model's fleet totals at the scored origins: days -> relative errors [n], days -> confidence.

    Errors are those of all stretches of so many days that follow each other inside the scored windows; confidence is
    1 - WAPE of the first stretch of each, floored at 0, NaN where it was never measured.
    """

    errors: Mapping[int, Floats]
    confidence: Mapping[int, float]

    @classmethod
    def of(cls, results: Sequence[FoldResult], scored: Mapping[int, Scored], days: Sequence[int]) -> FleetErrors:
        errors: dict[int, list[float]] = {d: [] for d in days}
        off, demand = dict.fromkeys(days, 0.0), dict.fromkeys(days, 0.0)
        for result in results:
            at = scored[result.fold.cutoff]
            any_known = ~np.isnan(result.actuals).all(axis=0)
            actual = np.where(any_known, np.nansum(result.actuals, axis=0), np.nan)
            forecast, usual = at.means(result).sum(axis=0), float(at.standing.recent.sum())
            for d in days:
                for k, shares in enumerate(at.standing.ahead.blocks(d)):
                    y = float(actual[shares > 0] @ shares[shares > 0])  # NaN where a period of it is unknown
                    f = float(forecast @ shares)
                    if np.isnan(y):
                        continue
                    errors[d].append(float(relative(np.array(y), np.array(f), np.array(usual * shares.sum()))))
                    if k == 0:
                        off[d], demand[d] = off[d] + abs(f - y), demand[d] + abs(y)
        return cls(
            {d: np.array(found) for d, found in errors.items()},
            {d: float(floored_accuracy(off[d], demand[d])) for d in days},
        )


def fleet_errors(results: Sequence[FoldResult], scored: Mapping[int, Scored], live: Standing) -> FleetErrors:
    """The errors behind `week_columns` and `total_columns`; none of totals that cannot be measured."""
    days = [d for d, told in zip(live.days, live.measurable, strict=True) if told]
    return FleetErrors.of(results, scored, days)


def week_columns(
    model: str, live: Standing, forecast: Forecast, errors: FleetErrors, level: float | None, freq: str
) -> Columns:
    """A row for each of the next 12 weeks that begins inside the horizon.

    share_of_week: how much of it lies inside; bounds are stated for whole weeks only, from the errors of whole weeks at
    scored origins (n_errors, bounds_from as in `total_columns`).
    """
    fleet = forecast.mean.sum(axis=0)
    end = Calendar(freq).spans(np.array([live.origin]))[1][0]
    n = min(WEEKS, -(-live.ahead.covered // WEEK_DAYS))
    opens = 1 + WEEK_DAYS * np.arange(n)
    shares = np.array([live.ahead.shares(first, first + WEEK_DAYS - 1) for first in opens.tolist()])
    inside = np.clip(live.ahead.covered - opens + 1, 0, WEEK_DAYS) / WEEK_DAYS
    total = shares @ fleet
    found = errors.errors.get(WEEK_DAYS, NOTHING)
    lower, upper, how = _bounds(total, live.recent.sum() * shares.sum(axis=1), found, level, live)
    whole = (inside == 1.0) & (how != "")
    return {
        "model": np.full(n, model),
        "week": np.arange(1, n + 1),
        "week_start": np.datetime_as_string(end + opens, unit="D"),
        "week_end": np.datetime_as_string(end + opens + WEEK_DAYS - 1, unit="D"),
        "forecast": total,
        "lower": np.where(whole, lower, np.nan),
        "upper": np.where(whole, upper, np.nan),
        "share_of_week": inside,
        "n_errors": np.where(whole, len(found), 0),
        "bounds_from": np.where(whole, how, ""),
    }


def past_week_columns(panel: Panel, origin: int) -> Columns:
    """A row for each of the last 26 whole weeks that end with the period `origin`, oldest first: week_start, week_end,
    total over all styles. A period of which no style is known makes its weeks NaN; in others what is unknown counts
    nothing. Weeks of a longer period hold its share, as those ahead do."""
    first = max(int(panel.start.min()), origin - panel.calendar.periods_in(PAST_WEEKS * WEEK_DAYS))
    demand = panel.window(first, origin - first + 1)
    total = np.where(np.isnan(demand).all(axis=0), np.nan, np.nansum(demand, axis=0))
    days = Ahead.of(panel.calendar, first - 1, len(total))
    n = min(PAST_WEEKS, int(days.last[-1]) // WEEK_DAYS)
    ends = int(days.last[-1]) - WEEK_DAYS * np.arange(n - 1, -1, -1)
    shares = np.array([days.shares(last - WEEK_DAYS + 1, last) for last in ends.tolist()]).reshape(n, len(total))
    sums = np.where(shares @ np.isnan(total) > 0, np.nan, shares @ np.nan_to_num(total))
    before = panel.calendar.spans(np.array([first - 1]))[1][0]
    return {
        "week_start": np.datetime_as_string(before + ends - WEEK_DAYS + 1, unit="D"),
        "week_end": np.datetime_as_string(before + ends, unit="D"),
        "total": sums,
    }


def total_columns(model: str, live: Standing, forecast: Forecast, errors: FleetErrors, level: float | None) -> Columns:
    """A row for each of DAYS; NaN beyond the horizon.

    bounds_from: "counted" quantiles of n_errors relative errors of fleet totals at scored origins, "student_t" (the
    prediction interval of a new error beside 5 or more of them) where these are too few to count, "" where neither is
    possible. confidence: 1 - WAPE of these totals, floored at 0.
    """
    fleet = forecast.mean.sum(axis=0)
    rows = {name: np.full(len(DAYS), np.nan) for name in ("forecast", "lower", "upper", "confidence")}
    n_errors, bounds_from = np.zeros(len(DAYS), dtype=np.int64), np.full(len(DAYS), "", dtype="<U9")
    for d, days in enumerate(live.days):
        k, shares, found = DAYS.index(days), live.totals[d], errors.errors.get(days, NOTHING)
        total = np.array([shares @ fleet])
        lower, upper, how = _bounds(total, live.recent.sum() * shares.sum(), found, level, live)
        rows["forecast"][k], rows["lower"][k], rows["upper"][k] = total[0], lower[0], upper[0]
        rows["confidence"][k] = errors.confidence.get(days, np.nan)
        n_errors[k], bounds_from[k] = len(found) if how else 0, how
    return {"model": np.full(len(DAYS), model), "days": np.array(DAYS), **rows, "n_errors": n_errors,
            "bounds_from": bounds_from}  # fmt: skip


def _bounds(
    total: Floats, usual: Floats | float, errors: Floats, level: float | None, live: Standing
) -> tuple[Floats, Floats, str]:
    """(lower, upper, how) of totals [n] from relative errors; NaN and "" where they are too few."""
    nothing = np.full(len(total), np.nan)
    low, high, how = bounds_of_few(errors, level) if level is not None else (np.nan, np.nan, "")
    if not how:
        return nothing, nothing, ""
    scale = np.maximum(total, usual)
    lower = np.minimum(total, total + low * scale)
    lower = lower if live.negative.any() else np.maximum(lower, 0.0)
    known = scale > 0
    return np.where(known, lower, np.nan), np.where(known, np.maximum(total, total + high * scale), np.nan), how
