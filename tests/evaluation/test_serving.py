"""What a release tells of styles and fleet: against a slow twin that counts days, and what may not be known of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from demand.calendar import Calendar
from demand.panel import Panel
from evaluation.classes import CLASSES, demand_classes
from evaluation.folds import Fold
from evaluation.intervals import recent_scale
from evaluation.metrics import by_style
from evaluation.results import FoldResult
from evaluation.serving import Standing, history_columns, scored_origins, style_columns
from evaluation.serving_fleet import fleet_errors, past_week_columns, total_columns, week_columns
from evaluation.totals import DAYS, Ahead, answered_days, bounds_by_group, bounds_of_few, ranks
from models.base import Forecast

HORIZON = {"D": 30, "B": 22, "W-SUN": 9, "MS": 3, "ME": 3}
LEVEL = 0.8


@dataclass(frozen=True, eq=False)
class World:
    panel: Panel
    horizon: int
    results: list[FoldResult]
    forecast: Forecast

    @property
    def live(self) -> Standing:
        return Standing.at(self.panel, self.panel.end, self.horizon, "interpolate")

    def styles(self, level: float | None = LEVEL, threshold: float = 0.7, n_results: int | None = None):
        """(style columns, live standing, scored origins)"""
        live, results = self.live, self.results[:n_results]
        scored = scored_origins(self.panel, results, live, "interpolate")
        return style_columns("m", live, self.forecast, results, scored, level, threshold), live, scored


def forecast_at(panel: Panel, origin: int, horizon: int, rng: np.random.Generator) -> Forecast:
    history = panel.until(origin)
    mean = rng.gamma(2.0, 2.0, (history.n_series, horizon))
    n = history.n_series
    quantiles = mean[:, :, None] * np.array([0.5, 0.9, 2.0])
    return Forecast(history.ids, origin, panel.freq, (0.1, 0.5, 0.9), mean, quantiles, np.full(n, "m"),
                    np.zeros(n, dtype=np.int64), np.full(n, ""), np.full(n, ""))  # fmt: skip


def world(freq: str = "D", n: int = 24, folds: int = 3, blanks: bool = False, seed: int = 0) -> World:
    """Smooth to sparse styles; one was born after the first origins, one nets returns, one never sold."""
    rng, horizon = np.random.default_rng(seed), HORIZON[freq]
    lengths = rng.integers((folds + 2) * horizon, (folds + 4) * horizon, n)
    lengths[0] = 2 * horizon - 1
    parts = [rng.poisson(4, k) * (rng.random(k) < 1 - 0.2 * (i % 4)) for i, k in enumerate(lengths.tolist())]
    parts[2] = parts[2] * 0
    y = np.concatenate(parts).astype(np.float64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    y[indptr[1] + 3 :: 50] -= 6.0 * (np.arange(len(y[indptr[1] + 3 :: 50])) < 1)
    if blanks:
        y[rng.random(len(y)) < 0.1] = np.nan
        y[indptr[4] - horizon : indptr[4]] = np.nan  # nothing known of the newest window
    ids = np.array([f"S{i:02d}" for i in range(n)])
    end = int(Calendar(freq).containing(np.datetime64("2025-08-31")))
    panel = Panel(ids, indptr, y, end, Calendar(freq).freq)
    results = []
    for k in range(folds):
        fold = Fold(panel.end - horizon * (folds - k), horizon)
        history = fold.history(panel)
        ones = np.ones(history.n_series)
        forecast = forecast_at(panel, fold.cutoff, horizon, rng)
        results.append(FoldResult("m", fold, forecast, fold.actuals(panel, history), ones, ones, ones))
    return World(panel, horizon, results, forecast_at(panel, panel.end, horizon, rng))


# ---- the slow twin: every day on its own --------------------------------------------------------------------------


@cache
def days_of(freq: str, label: np.datetime64) -> pd.DatetimeIndex:
    """The days of the period with this label."""
    if freq in ("D", "B"):
        return pd.DatetimeIndex([label])
    period = pd.Period(pd.Timestamp(label), freq="M" if freq.startswith("M") else freq)
    return pd.date_range(period.start_time.normalize(), period.end_time.normalize())


@cache
def day_after_horizon(freq: str, origin: int, horizon: int) -> pd.Timestamp:
    return days_of(freq, Calendar(freq).dates([origin + 1 + horizon])[0])[0]


def by_day(freq: str, origin: int, values: np.ndarray) -> tuple[pd.Timestamp, dict[pd.Timestamp, float]]:
    """(last known day, day -> its share of its period's value)."""
    calendar = Calendar(freq)
    last = days_of(freq, calendar.dates([origin])[0])[-1]
    out: dict[pd.Timestamp, float] = {}
    for label, value in zip(calendar.dates(origin + 1 + np.arange(len(values))), values, strict=True):
        days = days_of(freq, label)
        out |= {day: float(value) / len(days) for day in days}
    return last, out


def slow_total(freq: str, origin: int, values: np.ndarray, days: int) -> float:
    last, daily = by_day(freq, origin, values)
    following = day_after_horizon(freq, origin, len(values))
    total = sum(value for day, value in daily.items() if last < day <= last + pd.Timedelta(days=days))
    missing = max(0, days - ((following - last).days - 1))
    return total + missing * list(daily.values())[-1]


def slow_bounds(made: World, d: int, level: float) -> dict[str, tuple[float, float]]:
    """Class -> quantiles of relative errors of totals."""
    freq = made.panel.freq
    errors: dict[str, list[float]] = {name: [] for name in CLASSES}
    for result in made.results:
        cutoff = result.fold.cutoff
        history = made.panel.until(cutoff).with_blanks_filled()
        classes, recent = demand_classes(history), recent_scale(history, made.horizon)
        for i in range(history.n_series):
            known = ~np.isnan(result.actuals[i])
            whole = slow_total(freq, cutoff, np.ones(made.horizon), d)
            share = slow_total(freq, cutoff, known.astype(float), d) / whole
            actual = slow_total(freq, cutoff, np.where(known, result.actuals[i], 0.0), d)
            forecast = slow_total(freq, cutoff, np.where(known, result.forecast.mean[i], 0.0), d)
            scale = max(forecast, recent[i] * whole * share)
            if share >= 0.5 and scale > 0:
                errors[str(classes[i])].append((actual - forecast) / scale)
    everyone = sorted(e for found in errors.values() for e in found)
    out = {}
    for name, found in errors.items():
        used = sorted(found) if (len(found) + 1) * (1 - level) / 2 >= 1 - 1e-9 else everyone
        k = math.floor((len(used) + 1) * (1 - level) / 2 + 1e-9)
        out[name] = (used[k - 1], used[len(used) - k]) if k >= 1 else (math.nan, math.nan)
    return out


@pytest.mark.parametrize("blanks", [False, True])
@pytest.mark.parametrize("freq", HORIZON)
def test_when_totals_and_bounds_are_made_then_they_are_those_of_the_slow_twin(freq, blanks):
    made = world(freq, blanks=blanks)
    columns, live, _ = made.styles()
    history = made.panel.with_blanks_filled()
    classes, recent = demand_classes(history), recent_scale(history, made.horizon)
    for days in DAYS:
        found = [columns[f"{side}{days}_days"] for side in ("forecast_", "lower_", "upper_")]
        if days not in live.days:
            assert all(np.isnan(column).all() for column in found)
            continue
        bounds = slow_bounds(made, days, LEVEL)
        whole = slow_total(freq, made.panel.end, np.ones(made.horizon), days)
        for i in range(made.panel.n_series):
            total = slow_total(freq, made.panel.end, made.forecast.mean[i], days)
            scale = max(total, recent[i] * whole)
            low, high = (total + b * scale for b in bounds[str(classes[i])])
            floor = -np.inf if np.nanmin(made.panel.series(i)) < 0 else 0.0
            expected = [total, max(floor, min(total, low)), max(total, high)]
            if freq.startswith("M") and days == 7:
                expected[1:] = [np.nan, np.nan]  # a week's share of a month was never observed
            np.testing.assert_allclose([column[i] for column in found], expected, rtol=1e-9)


@pytest.mark.parametrize("freq", HORIZON)
def test_when_history_is_summed_then_days_count_as_the_slow_twin_counts_them(freq):
    made = world(freq, blanks=True)
    columns = history_columns(made.panel, made.live, "interpolate", {"S01": 7})
    filled = made.panel.with_blanks_filled()
    last = days_of(freq, made.panel.calendar.dates([made.panel.end])[0])[-1]
    for i in range(made.panel.n_series):
        y, known = made.panel.series(i), ~np.isnan(made.panel.series(i))
        labels = made.panel.calendar.dates(made.panel.end - np.arange(len(y))[::-1])
        first = days_of(freq, labels[0])[0]
        assert columns["first_day"][i] == str(first)[:10]
        assert columns["last_day"][i] == str(last)[:10]
        assert columns["n_periods"][i] == len(y)
        assert columns["historical_total"][i] == pytest.approx(y[known].sum())
        n_days = ((last - first).days + 1) * known.sum() / len(y)
        assert columns["historical_avg"][i] == pytest.approx(y[known].sum() / n_days)
        total = 0.0
        for label, value in zip(labels, filled.series(i), strict=True):
            days = days_of(freq, label)
            total += float(value) * (days > last - pd.Timedelta(days=30)).sum() / len(days)
        reaches = any(last - pd.Timedelta(days=29) in days_of(freq, label) for label in labels) or freq == "B"
        if reaches:
            assert columns["last_30_days"][i] == pytest.approx(total)
        else:
            assert np.isnan(columns["last_30_days"][i])
    assert columns["n_orders"].tolist()[1] == 7
    assert np.isnan(columns["n_orders"][0])
    assert np.isnan(history_columns(made.panel, made.live, "interpolate", None)["n_orders"]).all()


def test_when_a_style_is_younger_than_thirty_days_then_its_last_thirty_are_not_known():
    made = world("D")
    young = replace(made.panel, indptr=np.array([0, 29, 59]), ids=made.panel.ids[:2], y=np.ones(59))
    live = Standing.at(young, young.end, 30, "interpolate")
    np.testing.assert_array_equal(history_columns(young, live, "interpolate", None)["last_30_days"], [np.nan, 30.0])


# ---- how far to trust it ------------------------------------------------------------------------------------------


def test_when_confidence_is_told_then_it_is_the_styles_own_error_shrunk_to_its_class():
    made = world("D", folds=3)
    columns, live, _ = made.styles()
    errors = by_style(made.results).set_index("unique_id").reindex(live.ids)
    own = np.maximum(0.0, 1 - errors["total_error"].to_numpy())
    np.testing.assert_allclose(columns["wape"], errors["wape"].to_numpy())
    n = errors["n_origins"].fillna(0).to_numpy()
    np.testing.assert_array_equal(columns["confidence_n"], n)
    for i in range(len(live.ids)):
        if np.isnan(own[i]):
            assert np.isnan(columns["confidence"][i])
            assert columns["confidence_basis"][i] == ""
            assert columns["low_confidence"][i]
            continue
        of_class = np.nanmean(own[live.classes == live.classes[i]])
        assert columns["confidence"][i] == pytest.approx((n[i] * own[i] + (5 - n[i]) * of_class) / 5)
        assert columns["confidence_basis"][i] == "class"
        assert columns["low_confidence"][i] == (columns["confidence"][i] < 0.7)
    assert np.isnan(columns["confidence"][2])  # it never sold: there is no error to speak of


def test_when_five_origins_were_scored_then_confidence_is_the_styles_own():
    made = world("D", folds=5)
    columns, live, _ = made.styles()
    own = 1 - by_style(made.results).set_index("unique_id").reindex(live.ids)["total_error"].to_numpy()
    scored = columns["confidence_n"] == 5
    assert scored.sum() > 15
    known = scored & ~np.isnan(own)
    np.testing.assert_allclose(columns["confidence"][known], np.maximum(0.0, own[known]))
    assert set(columns["confidence_basis"][known]) == {"style"}


def test_when_no_origin_was_scored_then_nothing_is_measured_and_nothing_invented():
    made = world("D")
    columns, live, scored = made.styles(n_results=0)
    for name in ("confidence", "wape", "lower_30_days", "upper_30_days"):
        assert np.isnan(columns[name]).all()
    assert not columns["n_errors"].any()
    assert set(columns["confidence_basis"]) == set(columns["bounds_basis"]) == {""}
    assert np.isfinite(columns["forecast_30_days"]).all()
    errors = fleet_errors([], scored, live)
    weeks = week_columns("m", live, made.forecast, errors, LEVEL, "D")
    totals = total_columns("m", live, made.forecast, errors, LEVEL)
    for table in (weeks, totals):
        assert np.isnan(table["lower"]).all()
        assert not table["n_errors"].any()
    assert np.isnan(totals["confidence"]).all()


def test_when_intervals_are_switched_off_then_no_bounds_are_told():
    made = world("D")
    columns, live, scored = made.styles(level=None)
    assert np.isnan(columns["lower_30_days"]).all()
    assert np.isfinite(columns["confidence"][3])
    totals = total_columns("m", live, made.forecast, fleet_errors(made.results, scored, live), None)
    assert np.isnan(totals["lower"]).all()
    assert np.isfinite(totals["confidence"][0])


def test_when_demand_is_never_negative_then_no_lower_bound_is():
    made = world("D")
    columns, _, _ = made.styles(level=0.9)
    lower = columns["lower_30_days"]
    returned = np.array([np.nanmin(made.panel.series(i)) < 0 for i in range(made.panel.n_series)])
    assert returned.any()
    assert np.isfinite(lower).all()
    assert (lower[~returned] >= 0).all()
    assert (columns["upper_30_days"] >= columns["forecast_30_days"]).all()
    assert (lower <= columns["forecast_30_days"]).all()


def test_when_a_class_has_too_few_errors_then_all_classes_are_counted_together():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=60)
    group = np.repeat([0, 1], [50, 10])
    lower, upper, counted, pooled = bounds_by_group(errors, group, 3, 0.95)
    assert pooled.tolist() == [0, 1, 1]
    assert counted.tolist() == [50, 60, 60]
    assert (lower[0], upper[0]) == (np.sort(errors[:50])[0], np.sort(errors[:50])[49])
    assert (lower[1], upper[1]) == (lower[2], upper[2]) == (np.sort(errors)[0], np.sort(errors)[59])
    nothing = bounds_by_group(errors[:38], group[:38], 1, 0.95)
    assert np.isnan(nothing[0]).all()
    assert nothing[2].tolist() == [0]


@pytest.mark.parametrize(("n", "level", "places"), [(39, 0.95, (1, 39)), (38, 0.95, None), (19, 0.9, (1, 19)),
                                                   (99, 0.9, (5, 95)), (0, 0.5, None)])  # fmt: skip
def test_when_a_quantile_is_counted_then_it_is_the_finite_sample_one(n, level, places):
    assert ranks(n, level) == places


def test_when_errors_are_few_then_students_t_speaks_and_below_five_nobody():
    errors = np.array([-0.2, 0.0, 0.1, 0.1, 0.3])
    low, high, how = bounds_of_few(errors, 0.95)
    reach = 2.7764451051977987 * errors.std(ddof=1) * math.sqrt(1.2)  # t(0.975, 4) of any table
    assert how == "student_t"
    assert (low, high) == pytest.approx((errors.mean() - reach, errors.mean() + reach))
    assert bounds_of_few(errors[:4], 0.95)[2] == ""
    assert bounds_of_few(np.linspace(-1, 1, 39), 0.95) == (-1.0, 1.0, "counted")


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("rates", [(2.0, 6.0), (0.1, 0.5)])
def test_when_the_future_is_like_the_past_then_bounds_hold_the_stated_share(level, rates):
    """2,000 styles whose demand never changes its nature: what comes next is inside as often as said."""
    rng, n, horizon, folds = np.random.default_rng(5), 2_000, 28, 4
    rate = rng.choice(rates, n)
    length = horizon * (folds + 3)
    all_y = rng.poisson(rate[:, None] * np.ones(length + horizon)) * rng.gamma(4.0, 0.25, (n, length + horizon))
    past = all_y[:, :length]
    panel = Panel(np.array([f"S{i:04d}" for i in range(n)]), np.arange(n + 1) * length, past.ravel(), 20_000, "D")

    def told(origin: int) -> Forecast:
        mean = np.nanmean(panel.until(origin).tail(horizon * 2), axis=1)[:, None] * np.ones(horizon)
        return Forecast(panel.ids, origin, "D", (0.5,), mean, mean[:, :, None], np.full(n, "m"),
                        np.zeros(n, dtype=np.int64), np.full(n, ""), np.full(n, ""))  # fmt: skip

    ones = np.ones(n)
    results = []
    for k in range(folds):
        fold = Fold(panel.end - horizon * (k + 1), horizon)
        results.append(FoldResult("m", fold, told(fold.cutoff), fold.actuals(panel, panel), ones, ones, ones))
    live = Standing.at(panel, panel.end, horizon, "interpolate")
    scored = scored_origins(panel, results, live, "interpolate")
    columns = style_columns("m", live, told(panel.end), results, scored, level, 0.7)
    truth = all_y[:, length : length + 7].sum(axis=1)
    inside = (columns["lower_7_days"] <= truth) & (truth <= columns["upper_7_days"])
    assert inside.mean() >= level - 0.02
    if rates[0] > 1:  # where many totals are exactly 0, a bound of 0 holds more than it must
        assert inside.mean() <= level + 0.02


# ---- the fleet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freq", HORIZON)
def test_when_styles_are_added_up_then_they_are_the_fleet(freq):
    made = world(freq)
    columns, live, scored = made.styles()
    errors = fleet_errors(made.results, scored, live)
    totals = total_columns("m", live, made.forecast, errors, LEVEL)
    for k, days in enumerate(DAYS):
        np.testing.assert_allclose(totals["forecast"][k], columns[f"forecast_{days}_days"].sum(), rtol=1e-9)
    weeks = week_columns("m", live, made.forecast, errors, LEVEL, freq)
    last, daily = by_day(freq, made.panel.end, made.forecast.mean.sum(axis=0))
    for k in range(len(weeks["week"])):
        start, end = (pd.Timestamp(str(weeks[name][k])) for name in ("week_start", "week_end"))
        assert start == last + pd.Timedelta(days=1 + 7 * k)
        assert end == start + pd.Timedelta(days=6)
        assert weeks["forecast"][k] == pytest.approx(sum(v for day, v in daily.items() if start <= day <= end))
        assert weeks["share_of_week"][k] == min(1.0, (live.ahead.covered - 7 * k) / 7)
    assert len(weeks["week"]) == min(12, -(-live.ahead.covered // 7))


def test_when_the_fleets_bounds_are_told_then_they_come_from_the_fleets_own_totals():
    made = world("D", folds=5)
    _, live, scored = made.styles()
    errors = fleet_errors(made.results, scored, live)
    expected, first = [], []
    for result in made.results:
        history = made.panel.until(result.fold.cutoff)
        recent = recent_scale(history.with_blanks_filled(), 30).sum()
        for k in range(4):
            f = result.forecast.mean[:, 7 * k : 7 * k + 7].sum()
            y = result.actuals[:, 7 * k : 7 * k + 7].sum()
            expected.append((y - f) / max(f, 7 * recent))
            if k == 0:
                first.append((abs(f - y), y))
    np.testing.assert_allclose(errors.errors[7], expected)
    assert errors.confidence[7] == pytest.approx(max(0.0, 1 - sum(e for e, _ in first) / sum(y for _, y in first)))
    low, high, how = bounds_of_few(np.array(expected), LEVEL)
    assert how == "counted"
    weeks = week_columns("m", live, made.forecast, errors, LEVEL, "D")
    scale = np.maximum(weeks["forecast"], 7 * live.recent.sum())
    np.testing.assert_allclose(weeks["upper"][:4], np.maximum(weeks["forecast"], weeks["forecast"] + high * scale)[:4])
    np.testing.assert_allclose(weeks["lower"][:4], np.minimum(weeks["forecast"], weeks["forecast"] + low * scale)[:4])
    assert weeks["n_errors"].tolist() == [20, 20, 20, 20, 0]
    assert np.isnan(weeks["lower"][4])  # a part of a week: its error was not measured
    totals = total_columns("m", live, made.forecast, errors, LEVEL)
    assert totals["n_errors"].tolist() == [20, 5, 0, 0, 0]
    assert totals["bounds_from"].tolist() == ["counted", "student_t", "", "", ""]
    assert (totals["lower"][0], totals["upper"][0]) == (weeks["lower"][0], weeks["upper"][0])


def test_when_a_panel_has_months_then_no_error_of_a_week_is_claimed():
    made = world("MS", folds=5)
    _, live, scored = made.styles()
    errors = fleet_errors(made.results, scored, live)
    assert 7 not in errors.errors
    assert np.isnan(week_columns("m", live, made.forecast, errors, LEVEL, "MS")["lower"]).all()


# ---- days and horizons --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("freq", "horizon", "answered"), [("D", 90, (7, 30, 60, 90)), ("D", 29, (7,)),
    ("B", 64, (7, 30, 60, 90)), ("W-SUN", 13, (7, 30, 60, 90)), ("W-WED", 26, DAYS), ("MS", 3, (7, 30, 60, 90)),
    ("ME", 6, DAYS), ("D", 6, ())])  # fmt: skip
def test_when_a_horizon_is_given_then_the_days_it_answers_are_those_it_was_set_in(freq, horizon, answered):
    assert answered_days(Calendar(freq), horizon) == answered


def test_when_three_months_hold_89_days_then_the_missing_day_counts_at_the_last_months_mean():
    calendar = Calendar("MS")
    origin = int(calendar.containing(np.datetime64("2025-01-01")))
    ahead = Ahead.of(calendar, origin, 3)  # February, March, April
    assert ahead.covered == 89
    np.testing.assert_allclose(ahead.total(90), [1.0, 1.0, 1 + 1 / 30])
    np.testing.assert_allclose(ahead.total(30), [1.0, 2 / 31, 0.0])


# ---- nothing from the future --------------------------------------------------------------------------------------


def test_when_a_window_had_not_ended_by_the_live_origin_then_its_errors_are_refused():
    made = world("D")
    live = Standing.at(made.panel, made.panel.end - 1, made.horizon, "interpolate")
    with pytest.raises(ValueError, match="had not ended"):
        scored_origins(made.panel, made.results, live, "interpolate")


def test_when_everything_after_an_origin_is_multiplied_then_what_is_known_there_stays():
    made = world("D")
    cutoff = made.results[0].fold.cutoff
    late = made.panel.periods > cutoff
    poisoned = replace(made.panel, y=np.where(late, made.panel.y * 1e6 - 1e9, made.panel.y))
    one, two = (Standing.at(panel, cutoff, made.horizon, "interpolate") for panel in (made.panel, poisoned))
    for name in ("classes", "recent", "negative", "totals"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


@pytest.mark.parametrize(("freq", "n"), [("D", 300), ("D", 10), ("B", 200), ("W-SUN", 60), ("W-WED", 9), ("MS", 20)])
def test_when_the_weeks_before_are_told_then_each_is_the_sum_of_its_days_shares(freq, n):
    rng = np.random.default_rng(5)
    y = [rng.poisson(9, n).astype(float), rng.poisson(4, n // 2).astype(float)]  # the second one began later
    y[0][: n // 3] = np.nan  # nothing is known of anybody then
    end = Calendar(freq).containing(np.datetime64("2025-07-31"))
    panel = Panel(np.array(["a", "b"]), np.array([0, n, n + n // 2]), np.concatenate(y), int(end), freq)
    told = past_week_columns(panel, int(end))
    by_day: dict[np.datetime64, float] = {}
    for period in range(int(end) - n + 1, int(end) + 1):
        first, last = (edge[0] for edge in panel.calendar.spans(np.array([period])))
        known = [one for one in panel.window(period, 1)[:, 0] if not np.isnan(one)]
        span = np.arange(first, last + 1)
        for day in span:
            by_day[day] = sum(known) / len(span) if known else np.nan
    final = panel.calendar.spans(np.array([int(end)]))[1][0]
    weeks = []
    for k in range(26):
        days = np.arange(final - 7 * (k + 1) + 1, final - 7 * k + 1)
        if days[0] < min(by_day):
            break
        weeks.insert(0, (str(days[0]), str(days[-1]), sum(by_day.get(day, 0.0) for day in days)))
    assert list(zip(told["week_start"], told["week_end"], strict=True)) == [week[:2] for week in weeks]
    np.testing.assert_allclose(told["total"], [week[2] for week in weeks], rtol=1e-12)
    assert len(weeks) <= 26
