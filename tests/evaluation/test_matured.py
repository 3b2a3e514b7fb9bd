"""Matured cells: the right forecast for each period, against a twin that goes cell by cell."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from demand.calendar import Calendar
from evaluation.folds import Fold
from evaluation.matured import CHAMPION, Served, matured
from evaluation.matured_measures import by_class, by_step, by_style, classes_of, measured
from evaluation.metrics import by_style as backtest_by_style
from evaluation.metrics import measure
from evaluation.results import FoldResult, scales
from evaluation.terms import Promotion, Term, terms
from tests.evaluation.made import forecast_of, panel_of, sparse_panel

ORIGIN = 20_000


def fleet(seed=0, n=9, after=20, **how):
    return sparse_panel(n=n, length=100 + after, seed=seed, end=ORIGIN + after, **how)


def made_at(panel, origin, seed=0, horizon=15, kind="xgboost"):
    """A forecast from the history up to `origin`, off by chance."""
    history = panel.until(origin)
    rng = np.random.default_rng([seed, origin])
    level = np.array([np.nanmean(history.series(i)) for i in range(history.n_series)])
    return forecast_of(history, level[:, None] * rng.uniform(0.3, 1.8, (history.n_series, horizon)), kind=kind)


def slow_cells(panel, served, first, last):
    """(style, period) -> (release, step, actual, median, mean, lower, upper): cell by cell."""
    out = {}
    for one in served:
        forecast = one.forecasts[CHAMPION]
        for period in range(max(first, one.term.first), min(last, one.term.last) + 1):
            step = period - one.term.origin
            for i, name in enumerate(forecast.ids.tolist()):
                at = int(panel.index_of(np.array([name]))[0])
                if at < 0 or step > forecast.horizon or period < panel.start[at]:
                    continue
                y = panel.series(at)[period - panel.start[at]]
                if not np.isnan(y):
                    q = forecast.quantiles[i, step - 1]
                    out[name, period] = (one.term.release, step, y, q[1], forecast.mean[i, step - 1], q[0], q[2])
    return out


def two_terms(panel, seed=0):
    a, b = made_at(panel, ORIGIN, seed), made_at(panel, ORIGIN + 6, seed)
    naive = made_at(panel, ORIGIN, seed + 1, kind="seasonal_naive")
    return [
        Served(Term(1, ORIGIN, ORIGIN + 1, ORIGIN + 8), {CHAMPION: a, "xgboost": a, "seasonal_naive": naive}),
        Served(Term(2, ORIGIN + 6, ORIGIN + 9, ORIGIN + 20), {CHAMPION: b, "arima": b}),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_when_actuals_have_come_then_the_cells_and_their_measures_are_those_of_the_slow_twin(seed):
    panel = fleet(seed)
    y = panel.y.copy()
    y[np.random.default_rng(seed).random(len(y)) < 0.1] = np.nan
    panel = type(panel)(panel.ids, panel.indptr, y, panel.end, panel.freq)
    served, first, last = two_terms(panel, seed), ORIGIN + 3, ORIGIN + 18
    cells = matured(panel, served, first, last, season=7)[CHAMPION]
    slow = slow_cells(panel, served, first, last)
    keys = list(zip(cells.ids[cells.style].tolist(), cells.period.tolist(), strict=True))
    assert len(keys) == len(set(keys)) == len(slow)
    columns = ("release", "step", "actual", "median", "mean", "lower", "upper")
    for k, key in enumerate(keys):
        assert tuple(float(getattr(cells, name)[k]) for name in columns) == slow[key]
    values = np.array(list(slow.values()))
    got = measured(cells)
    sold = np.abs(values[:, 2]).sum()
    assert got["wape"] == pytest.approx(np.abs(values[:, 3] - values[:, 2]).sum() / sold)
    assert got["bias_rel"] == pytest.approx((values[:, 4] - values[:, 2]).sum() / sold)
    assert got["coverage"] == pytest.approx(((values[:, 2] >= values[:, 5]) & (values[:, 2] <= values[:, 6])).mean())
    for name, group in (("step", 1), ("release", 0)):
        table = by_step(cells) if name == "step" else None
        for value in np.unique(values[:, group]):
            mine = values[values[:, group] == value]
            if table is not None:
                row = table.set_index("step").loc[int(value)]
                assert row["n"] == len(mine)
                assert row["mae"] == pytest.approx(np.abs(mine[:, 3] - mine[:, 2]).mean())
    styles = by_style(cells, classes_of(panel, cells.ids, ORIGIN)).set_index("unique_id")
    for name in styles.index:
        mine = np.array([row for (style, _), row in slow.items() if style == name])
        assert styles.loc[name, "n"] == len(mine)
        assert styles.loc[name, "mae"] == pytest.approx(np.abs(mine[:, 3] - mine[:, 2]).mean())


def test_when_one_release_answers_for_its_whole_horizon_then_the_measures_are_the_backtest_s():
    panel = fleet(after=15)
    forecast = made_at(panel, ORIGIN)
    history = panel.until(ORIGIN)
    actuals = panel.take(panel.index_of(history.ids)).window(ORIGIN + 1, 15)
    result = FoldResult("xgboost", Fold(ORIGIN, 15), forecast, actuals, *scales(history, 7))
    cells = matured(panel, [Served(Term(1, ORIGIN, ORIGIN + 1, ORIGIN + 15), {CHAMPION: forecast})],
                    ORIGIN + 1, ORIGIN + 15, 7)[CHAMPION]  # fmt: skip
    got, wanted = measured(cells), measure([result])
    for name in ("wape", "accuracy", "bias_rel", "mae", "rmsse", "coverage", "n", "n_zero", "interval"):
        assert got[name] == pytest.approx(wanted[name]), name
    styles = by_style(cells, classes_of(panel, cells.ids, ORIGIN))
    expected = backtest_by_style([result])
    assert styles["rmsse"].to_numpy() == pytest.approx(expected["rmsse"].to_numpy(), nan_ok=True)
    assert sum(one["n"] for one in by_class(cells, classes_of(panel, cells.ids, ORIGIN))) == len(cells)


def test_when_a_model_is_in_one_release_only_then_only_that_release_s_cells_are_its_and_the_naive_stands_beside():
    panel = fleet()
    cells = matured(panel, two_terms(panel), ORIGIN + 1, ORIGIN + 20, 7)
    assert list(cells) == [CHAMPION, "arima", "seasonal_naive", "xgboost"]
    assert np.unique(cells["arima"].release).tolist() == [2]
    assert np.unique(cells["xgboost"].release).tolist() == [1]
    said = cells["seasonal_naive"]
    assert np.array_equal(said.naive, said.median)  # what the release itself said
    # The second release holds none: it is made from the history up to that origin.
    second = cells["arima"]
    at = int(np.flatnonzero((second.ids[second.style] == "S000") & (second.step == 3))[0])
    history = panel.until(ORIGIN + 6)
    assert second.naive[at] == history.series(0)[-5]


@profile(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_when_the_future_is_poisoned_then_no_score_of_a_date_moves(seed):
    """No matured cell uses a forecast of a release that was promoted after the period, or knew it; a later forecast
    changes nothing about earlier dates."""
    rng = np.random.default_rng(seed)
    panel, first, last = fleet(seed % 5), ORIGIN - 5, ORIGIN + 20
    promotions, origin = [], ORIGIN - 10
    for number in range(1, int(rng.integers(2, 6))):
        origin = int(min(ORIGIN + 18, origin + rng.integers(0, 9)))
        said = origin if rng.random() < 0.8 else max(ORIGIN - 12, origin - 6)  # an older release comes back
        at = origin + int(rng.integers(1, 5))
        promotions.append(Promotion(number, date(1970, 1, 1) + timedelta(days=at), said, 15))
    found = terms(promotions, last, "D")
    by_number = {one.release: one for one in promotions}
    served = [Served(t, {CHAMPION: made_at(panel, t.origin, t.release)}) for t in found]
    cells = matured(panel, served, first, last, 7).get(CHAMPION)
    if cells is None:
        return
    for release, period, step in zip(cells.release.tolist(), cells.period.tolist(), cells.step.tolist(), strict=True):
        promoted = by_number[release]
        assert promoted.origin == period - step < period
        assert (promoted.on - date(1970, 1, 1)).days <= period  # promoted before the period was over
    day = int(rng.integers(first, last))
    poisoned = [
        one if one.term.first <= day else Served(one.term, {CHAMPION: made_at(panel, one.term.origin, 999)})
        for one in served
    ]
    again = matured(panel, poisoned, first, last, 7)[CHAMPION]
    early = cells.period <= day
    assert np.array_equal(cells.median[early], again.median[again.period <= day])


# ---- terms ----------------------------------------------------------------------------------------------------------


def spans(promotions, end, freq="D"):
    return [(t.release, t.first, t.last) for t in terms(promotions, end, freq)]


def day(period):
    return date(1970, 1, 1) + timedelta(days=period)


def test_when_releases_follow_each_other_then_each_answers_from_the_day_it_was_promoted():
    promotions = [Promotion(1, day(101), 100, 30), Promotion(2, day(108), 106, 30), Promotion(3, day(115), 114, 30)]
    assert spans(promotions, 120) == [(1, 101, 107), (2, 108, 114), (3, 115, 120)]
    assert spans(promotions, 110) == [(1, 101, 107), (2, 108, 110)]


def test_when_a_release_comes_back_then_it_answers_from_that_day_with_its_old_forecast():
    promotions = [Promotion(1, day(101), 100, 30), Promotion(2, day(108), 107, 30), Promotion(1, day(110), 100, 30)]
    assert spans(promotions, 115) == [(1, 101, 107), (2, 108, 109), (1, 110, 115)]


def test_when_two_were_promoted_on_one_day_then_the_last_one_answers():
    promotions = [Promotion(1, day(101), 100, 30), Promotion(2, day(101), 100, 30)]
    assert spans(promotions, 105) == [(2, 101, 105)]


def test_when_old_data_is_replayed_then_the_release_answers_from_the_first_period_it_did_not_know():
    promotions = [Promotion(1, day(900), 100, 30), Promotion(2, day(901), 110, 30), Promotion(3, None, 115, 30)]
    assert spans(promotions, 120) == [(1, 101, 110), (2, 111, 115), (3, 116, 120)]


@pytest.mark.parametrize(("freq", "promoted", "first"), [
    ("W-SUN", date(2025, 9, 8), "2025-09-14"),  # a Monday: the week that ends on the 14th was still to come
    ("W-SUN", date(2025, 9, 14), "2025-09-14"),
    ("MS", date(2025, 10, 1), "2025-10-01"),
    ("ME", date(2025, 10, 31), "2025-10-31"),
    ("B", date(2025, 9, 6), "2025-09-08"),  # a Saturday belongs to Monday
])  # fmt: skip
def test_when_periods_are_longer_than_a_day_then_the_one_under_way_was_still_to_come(freq, promoted, first):
    calendar = Calendar(freq)
    start = int(calendar.containing(np.datetime64(first)))
    found = terms([Promotion(1, promoted, start - 1, 5)], start + 3, freq)
    assert [str(d)[:10] for d in calendar.dates([found[0].first])] == [first]


# ---- bad data -------------------------------------------------------------------------------------------------------

ODD = {
    "zero": {"a": np.zeros(60), "b": np.zeros(60)},
    "one sale": {"a": np.r_[np.zeros(59), 3.0], "b": np.zeros(60)},
    "negative": {"a": -np.ones(60), "b": np.r_[np.zeros(55), -4, 0, 2, 0, 1.0]},
    "constant": {"a": np.full(60, 5.0)},
    "unknown": {"a": np.r_[np.ones(50), np.full(10, np.nan)], "b": np.r_[np.ones(50), np.full(10, np.nan)]},
    "huge": {"a": np.full(60, 1e150)},
}


@pytest.mark.parametrize("name", ODD)
def test_when_demand_is_odd_then_every_measure_is_finite_or_null_with_its_reason(name):
    panel = panel_of(ODD[name], ORIGIN + 10)
    history = panel.until(ORIGIN)
    forecast = forecast_of(history, np.full((history.n_series, 10), 2.0))
    cells = matured(panel, [Served(Term(1, ORIGIN, ORIGIN + 1, ORIGIN + 10), {CHAMPION: forecast})],
                    ORIGIN + 1, ORIGIN + 10, 7)[CHAMPION]  # fmt: skip
    got = measured(cells)
    json.dumps(got, allow_nan=False)
    for measure_name in ("wape", "accuracy", "bias_rel", "mae", "rmsse", "coverage"):
        assert (got[measure_name] is None) == (measure_name in got["reasons"])
    if name == "zero":
        assert (got["wape"], got["reasons"]["wape"], got["mae"]) == (None, "nothing was sold", 2.0)
    if name == "unknown":
        assert (got["n"], got["reasons"]["mae"]) == (0, "nothing has matured")
    by_style(cells, classes_of(panel, cells.ids, ORIGIN))
    by_step(cells)


def test_when_no_term_reaches_into_the_window_then_there_is_nothing():
    panel = fleet()
    assert matured(panel, [], ORIGIN, ORIGIN + 5, 7) == {}
    assert matured(panel, two_terms(panel), ORIGIN + 30, ORIGIN + 40, 7) == {}
