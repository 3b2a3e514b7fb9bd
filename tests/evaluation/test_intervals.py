from dataclasses import replace

import numpy as np
import pytest

from evaluation.folds import rolling_folds
from evaluation.intervals import _moved, calibrate, recent_scale
from evaluation.metrics import measure
from tests.evaluation.made import forecast_of, level_forecast, panel_of, result_of

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
Z = np.array([-1.96, -1.2816, 0.0, 1.2816, 1.96])


def noise_panel(n=60, length=140, seed=0, sd=0.2, zeros=0.0):
    rng = np.random.default_rng(seed)
    series = {}
    for i in range(n):
        level = 20.0 + 5 * i
        y = np.maximum(level * (1 + sd * rng.standard_normal(length)), 0)
        series[f"S{i:03d}"] = np.round(y * (rng.random(length) >= zeros), 2)
    return panel_of(series)


def with_spread(spread):
    def make(history, horizon):
        mean = level_forecast(history, horizon)
        return forecast_of(history, mean, mean[:, :, None] * (1 + spread * Z), levels=LEVELS)

    return make


def case(spread, n_folds=5, panel=None, horizon=7):
    """(test result, earlier results, history at the test's origin)"""
    panel = noise_panel() if panel is None else panel
    folds = rolling_folds(panel, horizon, n_folds, horizon)
    results = [result_of(panel, fold, with_spread(spread), levels=LEVELS) for fold in folds]
    return results[-1], results[:-1], folds[-1].history(panel)


def coverage(result, forecast=None):
    found = measure([replace(result, forecast=forecast) if forecast is not None else result])
    return found["coverage"], found["quantile_loss"]


@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_when_intervals_are_far_too_narrow_or_wide_then_calibration_brings_them_to_what_they_state(spread):
    test, past, history = case(spread)
    calibrated, facts = calibrate(test.forecast, past, history)
    before, after = coverage(test), coverage(test, calibrated)
    assert abs(before[0] - 0.95) > 0.04
    assert abs(after[0] - 0.95) < 0.025
    assert after[1] < before[1]
    assert facts["applied"]
    assert facts["loss_after"] < facts["loss_before"]
    assert abs(facts["coverage_after"] - 0.95) < 0.03


def test_when_intervals_are_right_already_then_little_changes():
    test, past, history = case(0.2)
    calibrated, _ = calibrate(test.forecast, past, history)
    assert coverage(test, calibrated)[1] <= coverage(test)[1] * 1.01
    assert coverage(test, calibrated)[0] == pytest.approx(0.95, abs=0.025)


def test_when_quantiles_are_moved_then_mean_and_median_stay_and_nothing_crosses_or_falls_below_zero():
    test, past, history = case(0.6)
    new, _ = calibrate(test.forecast, past, history)
    old = test.forecast
    np.testing.assert_array_equal(new.mean, old.mean)
    np.testing.assert_array_equal(new.median, old.median)
    assert (np.diff(new.quantiles, axis=2) >= 0).all()
    assert (new.quantiles >= 0).all()
    assert not np.array_equal(new.quantiles, old.quantiles)


@pytest.mark.parametrize("n_past", [0, 1])
def test_when_there_are_fewer_than_two_earlier_origins_then_nothing_changes_and_it_is_said(n_past):
    test, past, history = case(0.05)
    calibrated, facts = calibrate(test.forecast, past[:n_past], history)
    assert calibrated is test.forecast
    assert not facts["applied"]
    assert f"{n_past} earlier origins" in facts["reason"]


def test_when_there_are_too_few_errors_then_nothing_changes_and_it_is_said():
    test, past, history = case(0.05, n_folds=3, panel=noise_panel(n=4), horizon=2)
    calibrated, facts = calibrate(test.forecast, past, history)
    assert calibrated is test.forecast
    assert "too few" in facts["reason"]


def test_when_a_window_had_not_ended_then_using_it_is_an_error():
    test, past, history = case(0.05)
    with pytest.raises(ValueError, match="had not ended"):
        calibrate(test.forecast, [*past, test], history)


def test_when_the_future_is_rewritten_then_the_calibrated_forecast_does_not_move():
    panel = noise_panel()
    test, past, history = case(0.05, panel=panel)
    y = panel.y.copy()
    after = panel.periods > test.fold.cutoff
    poisoned = replace(panel, y=np.where(after, y * 1e6, y))
    again, past_again, history_again = case(0.05, panel=poisoned)
    a, _ = calibrate(test.forecast, past, history)
    b, _ = calibrate(again.forecast, past_again, history_again)
    np.testing.assert_array_equal(a.quantiles, b.quantiles)


def test_when_demand_is_mostly_zero_then_lower_bounds_of_zero_stay_zero():
    panel = noise_panel(zeros=0.5)
    folds = rolling_folds(panel, 7, 5, 7)

    def make(history, horizon):
        mean = level_forecast(history, horizon)
        factors = np.array([0.0, 0.0, 1.0, 1.2, 1.3])
        return forecast_of(history, mean, mean[:, :, None] * factors, levels=LEVELS)

    results = [result_of(panel, fold, make, levels=LEVELS) for fold in folds]
    new, facts = calibrate(results[-1].forecast, results[:-1], folds[-1].history(panel))
    assert facts["applied"]
    assert (new.quantile(0.025) == 0).all()
    assert (new.quantile(0.1) == 0).all()


def test_when_a_series_sells_nothing_then_its_all_zero_quantiles_stay_zero():
    panel = noise_panel()
    dead = panel_of({name: panel.series(i) for i, name in enumerate(panel.ids)} | {"DEAD": np.zeros(140)})
    test, past, history = case(0.05, panel=dead)
    new, facts = calibrate(test.forecast, past, history)
    assert facts["applied"]
    assert (new.quantiles[list(new.ids).index("DEAD")] == 0).all()


def test_when_a_row_was_not_made_then_it_stays_unmade():
    test, past, history = case(0.05)
    mean, quantiles = test.forecast.mean.copy(), test.forecast.quantiles.copy()
    mean[3], quantiles[3] = np.nan, np.nan
    hole = forecast_of(history, mean, quantiles, levels=LEVELS)
    holes = [replace(r, forecast=forecast_of(r_history(r, history), _holed(r.forecast.mean),
             _holed(r.forecast.quantiles), levels=LEVELS)) for r in past]  # fmt: skip
    new, facts = calibrate(hole, holes, history)
    assert facts["applied"]
    assert np.isnan(new.quantiles[3]).all()
    assert np.isfinite(np.delete(new.quantiles, 3, axis=0)).all()


def r_history(result, history):
    return history.until(result.fold.cutoff)


def _holed(values):
    values = values.copy()
    values[5] = np.nan
    return values


def test_when_errors_only_ever_grow_by_chance_then_a_worse_loss_is_not_accepted():
    panel = noise_panel(n=60)
    folds = rolling_folds(panel, 7, 5, 7)
    y = panel.y.copy()
    for k, fold in enumerate(folds[:-1]):  # each origin's errors are of another size: no origin teaches the next
        inside = (panel.periods > fold.cutoff) & (panel.periods <= fold.cutoff + 7)
        y[inside] *= (0.5, 1.6)[k % 2]
    test, past, history = case(0.2, panel=replace(panel, y=y))
    calibrated, _ = calibrate(test.forecast, past, history)
    assert coverage(test, calibrated)[1] <= coverage(test)[1] * 1.1


def test_when_recent_demand_is_scaled_then_unknown_periods_are_left_out():
    panel = panel_of({"A": [1.0] * 20 + [4.0, np.nan, 8.0], "B": [0.0] * 23}, freq="MS")
    np.testing.assert_allclose(recent_scale(panel, 1), [(9 * 1.0 + 4 + 8) / 11, 0.0])


def test_when_zeros_are_as_frequent_as_a_level_then_its_bound_of_zero_is_not_pushed_up():
    quantiles = np.array([[0.0, 0.0, 5.0, 9.0, 12.0]] * 3)
    up = np.array([2.0, 3.0, 4.0, 1.0, 1.0])
    moved = _moved(quantiles, np.broadcast_to(up, quantiles.shape), LEVELS, np.array([0.0, 0.05, 0.3]))
    np.testing.assert_array_equal(moved, [[2, 3, 5, 10, 13], [0, 3, 5, 10, 13], [0, 0, 5, 10, 13]])
