"""Alarms: rare where nothing changed, there where something did. Rates are counted over seeded fleets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from demand.panel import Panel
from evaluation import formulas as f
from evaluation.drift import DriftLimits, _holm, drift, psi
from evaluation.matured import CHAMPION, Served, matured
from evaluation.monitoring import Promise, alert_id, degradation, window_number
from evaluation.terms import Term
from tests.evaluation.made import forecast_of, panel_of

END, AFTER = 20_000, 30
ORIGIN = END - AFTER


def stable(seed, n=40, length=190, sparse=0.4, shock=0.1, memory=0.5):
    """[N, length]: weekly shape, days that all styles share (they hang together), gamma noise, zero periods."""
    rng = np.random.default_rng(seed)
    shared = np.zeros(length)
    for t in range(1, length):
        shared[t] = memory * shared[t - 1] + rng.normal(0, shock)
    week = 1 + 0.3 * np.sin(2 * np.pi * np.arange(length) / 7)
    y = rng.lognormal(2.5, 1, n)[:, None] * week * np.exp(shared) * rng.gamma(3, 1 / 3, (n, length))
    return y * (rng.random((n, length)) >= sparse)


def panel(y, **past):
    n, length = y.shape
    ids = np.array([f"S{i:04d}" for i in range(n)])
    return Panel(ids, np.arange(n + 1) * length, y.ravel(), END, "D", past={k: v.ravel() for k, v in past.items()})


def changed(y, change):
    """The same fleet with its last 30 days changed."""
    out = y.copy()
    out[:, -AFTER:] = change(out[:, -AFTER:])
    return out


def drifted(y, **past):
    made = panel(y, **past)
    return drift(made, ORIGIN, END, AFTER, DriftLimits(), made.ids)


def names(found):
    return {one["measure"] for one in found["measures"] if one["drifted"]}


# ---- drift ------------------------------------------------------------------------------------------

RUNS = 150


@pytest.mark.parametrize("how", [{}, {"n": 5}, {"n": 1, "sparse": 0.0}, {"sparse": 0.8}, {"memory": 0.8}], ids=str)
def test_when_nothing_changed_then_drift_is_alarmed_in_at_most_one_run_of_fifty(how):
    # Found: 0 of 150 in each of the five fleets; `false_alarm` alone promises 1 %.
    alarms = sum(bool(drifted(stable(seed, **how))["drifted"]) for seed in range(RUNS))
    assert alarms <= RUNS // 50


@pytest.mark.parametrize(("change", "named"), [
    (lambda y: 2 * y, "level"),
    (lambda y: 0.4 * y, "level"),
    (lambda y: 0 * y, "zero_share"),
    (lambda y: np.r_[y[: len(y) // 2], 0 * y[len(y) // 2 :]], "silent_share"),
    (lambda y: y * (np.arange(y.shape[1]) % 3 == 0), "zero_share"),
])  # fmt: skip
def test_when_demand_changes_then_drift_is_alarmed_and_named(change, named):
    # Found: 40 of 40 in each case.
    alarmed = [names(drifted(changed(stable(seed), change))) for seed in range(40)]
    assert sum(named in one for one in alarmed) >= 38


def test_when_prices_double_then_that_column_is_named_and_demand_is_not():
    rng = np.random.default_rng(0)
    price = rng.normal(10, 0.5, (40, 190))
    found = drifted(stable(0), price=price)
    assert found["drifted"] is False
    price[:, -AFTER:] *= 2
    assert names(drifted(stable(0), price=price)) == {"past.price"}


def test_when_a_fleet_grows_by_new_styles_then_the_level_is_as_before_and_their_share_is_what_is_named():
    y = stable(1, n=60)
    series = {f"S{i:04d}": y[i] if i < 40 else y[i, -20:] for i in range(60)}
    made = panel_of(series, END)
    found = drift(made, ORIGIN, END, AFTER, DriftLimits(), made.ids[:40])
    assert names(found) == {"new_styles"}
    last = found["measures"][-1]
    assert (last["n_new"], last["n_gone"], last["now"]) == (20, 0, pytest.approx(1 / 3))


@pytest.mark.parametrize("series", [
    {"a": np.zeros(100)}, {"a": -np.ones(100), "b": np.zeros(100)}, {"a": np.full(100, 5.0)}, {"a": np.ones(31)},
    {"a": np.ones(32), "b": np.full(32, np.nan)}, {"a": np.ones(3)},
], ids=["zero", "negative", "constant", "one period before", "unknown", "nothing before"])  # fmt: skip
def test_when_demand_is_odd_or_short_then_drift_is_no_or_not_judged_and_strict_json(series):
    made = panel_of(series, END)
    found = drift(made, ORIGIN, END, AFTER, DriftLimits(), made.ids)
    json.dumps(found, allow_nan=False)
    assert not found["drifted"]
    for one in found["measures"]:
        assert one["drifted"] is not None or one["reason"]


def test_when_nothing_came_after_the_origin_then_drift_is_not_judged():
    found = drift(panel(stable(0)), END, END, AFTER, DriftLimits())
    assert (found["drifted"], found["measures"]) == (None, [])


def test_when_only_periods_before_the_origin_change_afterwards_then_the_window_is_the_same_length_after_it():
    made = panel(stable(0))
    assert drift(made, END - 9, END, AFTER, DriftLimits())["window"] == 9
    assert drift(made, ORIGIN, END, 20, DriftLimits())["window"] == 20


def slow_psi(before, now):
    few = max(2, min(10, len(before) // 5))
    edges = sorted({sorted(before)[max(0, int(np.ceil(k / few * len(before))) - 1)] for k in range(1, few)})
    bins = [[0.5] * (len(edges) + 1), [0.5] * (len(edges) + 1)]
    for which, values in enumerate((before, now)):
        for value in values:
            bins[which][sum(value > edge for edge in edges)] += 1
    total = 0.0
    used = [k for k in range(len(edges) + 1) if bins[0][k] + bins[1][k] > 1]
    sums = [sum(one[k] for k in used) for one in bins]
    for k in used:
        p, q = bins[0][k] / sums[0], bins[1][k] / sums[1]
        total += (q - p) * np.log(q / p)
    return total


@pytest.mark.parametrize("seed", range(10))
def test_when_psi_is_computed_then_it_is_the_slow_twin_s(seed):
    rng = np.random.default_rng(seed)
    before, now = np.round(rng.gamma(2, 3, 40 + seed)), np.round(rng.gamma(2, 4, 40 + seed))
    assert psi(before, now)[0] == pytest.approx(slow_psi(before.tolist(), now.tolist()))


def test_when_several_measures_are_tested_then_each_p_pays_for_the_number_of_them():
    measures = [{"p": 0.01}, {"p": None}, {"p": 0.04}, {"p": 0.03}]
    _holm(measures)
    assert [one["p_adjusted"] for one in measures] == [pytest.approx(0.03), None, 0.06, 0.06]


# ---- degradation ------------------------------------------------------------------------------------------


def judged(y, actual=None, **changes):
    """Degradation of a rolling mean (56 days) whose backtest had four origins of 30 days."""
    length = y.shape[1] - AFTER

    def forecast(cut):
        return np.repeat(y[:, max(0, cut - 56) : cut].mean(axis=1)[:, None], AFTER, axis=1)

    cuts = [length - AFTER * k for k in (4, 3, 2, 1)]
    each = [f.wape(y[:, cut : cut + AFTER], forecast(cut)) for cut in cuts]
    errors = sum(np.abs(y[:, cut : cut + AFTER] - forecast(cut)).sum() for cut in cuts)
    promise = Promise(errors / np.abs(y[:, cuts[0] : length]).sum(), float(np.std(each, ddof=1)), 4)
    made = panel(y if actual is None else actual)
    said = forecast_of(made.until(ORIGIN), forecast(length))
    cells = matured(made, [Served(Term(1, ORIGIN, ORIGIN + 1, END), {CHAMPION: said})], ORIGIN + 1, END, 7)[CHAMPION]
    told = {"threshold": 0.1, "false_alarm": 0.01, "min_cells": 20, "min_periods": 7, "season": 7} | changes
    return degradation(cells, {1: promise}, **told)


@pytest.mark.parametrize("how", [{}, {"n": 100, "sparse": 0.7}, {"n": 3}, {"n": 1, "sparse": 0.0}], ids=str)
def test_when_nothing_changed_then_degradation_is_alarmed_in_at_most_one_run_of_thirty(how):
    # Found in 200 runs each: 0, 0, 0 and, for the single style, 3.
    alarms = sum(bool(judged(stable(seed, memory=0.0, **how))["degraded"]) for seed in range(60))
    assert alarms <= 2


@pytest.mark.parametrize("change", [
    lambda y: 0.4 * y,
    lambda y: y[np.random.default_rng(0).permutation(len(y))],
    lambda y: y * 3 * (np.arange(y.shape[1]) % 3 == 0),
], ids=["demand falls", "styles change places", "orders come in lumps"])  # fmt: skip
def test_when_the_forecasts_go_wrong_then_degradation_is_alarmed(change):
    # Found: 30 of 30 in each case.
    found = [judged(y, changed(y, change)) for y in map(stable, range(30))]
    assert sum(bool(one["degraded"]) for one in found) >= 28
    assert all(one["lower"] <= one["change"] for one in found)


def test_when_the_rise_is_within_chance_or_below_the_threshold_then_it_is_no_degradation():
    y = stable(0)
    worse = changed(y, lambda part: 0.4 * part)
    assert judged(y, worse)["degraded"] is True
    assert judged(y, worse, threshold=100.0)["degraded"] is False
    few = judged(stable(0, n=1, sparse=0.8), min_cells=20)
    assert few["degraded"] is False or few["reason"]


@pytest.mark.parametrize(("changes", "says"), [
    ({"min_cells": 5000}, "1200 of 5000 cells"), ({"min_periods": 31}, "30 of 31 periods"),
])  # fmt: skip
def test_when_too_little_has_matured_then_nothing_is_judged_and_the_reason_is_said(changes, says):
    found = judged(stable(0), **changes)
    assert found["degraded"] is None
    assert says in found["reason"]


def test_when_nothing_was_sold_or_promised_then_there_is_nothing_to_compare():
    y = stable(0)
    found = judged(y, changed(y, lambda part: 0 * part))
    assert (found["degraded"], found["wape"]) == (None, None)
    assert "nothing was sold" in found["reason"]
    json.dumps(found, allow_nan=False)
    said = forecast_of(panel(y).until(ORIGIN), np.ones((len(y), AFTER)))
    served = [Served(Term(1, ORIGIN, ORIGIN + 1, END), {CHAMPION: said})]
    cells = matured(panel(y), served, ORIGIN + 1, END, 7)[CHAMPION]
    for promise in (Promise(None), Promise(0.0)):
        found = degradation(cells, {1: promise}, threshold=0.1, false_alarm=0.01, min_cells=1, min_periods=1, season=7)
        assert (found["degraded"], found["change"]) == (None, None)
        assert "no WAPE" in found["reason"]


def test_when_two_releases_answered_then_the_promise_is_weighted_by_the_demand_of_each():
    y = np.ones((4, 40))
    y[:, -5:] = 3.0
    made = panel(y)
    a, b = (forecast_of(made.until(at), np.full((4, 30), 2.0)) for at in (END - 10, END - 5))
    served = [Served(Term(1, END - 10, END - 9, END - 5), {CHAMPION: a}),
              Served(Term(2, END - 5, END - 4, END), {CHAMPION: b})]  # fmt: skip
    cells = matured(made, served, END - 9, END, 7)[CHAMPION]
    found = degradation(cells, {1: Promise(0.5), 2: Promise(0.1)}, threshold=0.1, false_alarm=0.01, min_cells=1,
                        min_periods=1, season=7)  # fmt: skip
    assert found["promised"] == pytest.approx((0.5 * 20 + 0.1 * 60) / 80)
    assert found["wape"] == pytest.approx(40 / 80)


def test_when_alerts_are_named_then_the_same_cause_release_and_window_have_one_id():
    assert [window_number(end, 100, 30) for end in (99, 101, 130, 131, 160, 161)] == [0, 0, 0, 1, 1, 2]
    assert alert_id("drift", "abc", 1) == alert_id("drift", "abc", 1)
    told = (("drift", "abc", 1), ("drift", "abc", 2), ("drift", "abd", 1), ("degradation", "abc", 1))
    different = {alert_id(*one) for one in told}
    assert len(different) == 4
