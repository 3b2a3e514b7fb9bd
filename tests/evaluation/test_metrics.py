import json
import math

import numpy as np
import pytest

from demand.errors import DataError
from evaluation import formulas as f
from evaluation.metrics import by_fold, by_step, by_style, evaluation_id, levels, measure
from tests.evaluation.made import from_arrays, race

NAN = float("nan")
Y = np.array([[0.0, 2.0, 4.0], [1.0, NAN, 3.0]])
F = np.array([[1.0, 2.0, 2.0], [1.0, 9.0, 5.0]])


def all_numbers(value):
    if isinstance(value, dict):
        return [x for v in value.values() for x in all_numbers(v)]
    if isinstance(value, list):
        return [x for v in value for x in all_numbers(v)]
    return [value] if isinstance(value, float) else []


def test_when_errors_are_worked_by_hand_then_each_formula_agrees():
    assert f.wape(Y, F) == pytest.approx((1 + 0 + 2 + 0 + 2) / 10)
    assert f.bias(Y, F) == pytest.approx((1 + 0 - 2 + 0 + 2) / 5)
    assert f.bias_rel(Y, F) == pytest.approx(1 / 10)
    assert f.mape(Y, F) == (pytest.approx((0 + 0.5 + 0 + 2 / 3) / 4), 4, 1)
    assert f.mae(Y, F) == pytest.approx(1.0)
    assert f.rmse(Y, F) == pytest.approx(math.sqrt((1 + 4 + 4) / 5))
    assert f.r2(Y, F) == pytest.approx(1 - 9 / np.sum((np.array([0, 2, 4, 1, 3]) - 2.0) ** 2))
    assert f.mase(Y, F, np.array([2.0, 0.0])) == (pytest.approx(0.5), 1)
    assert f.rmsse(Y, F, np.array([5 / 3, NAN])) == (pytest.approx(1.0), 1)
    assert f.total_error(Y, F, np.array([0, 0])) == pytest.approx(1 / 10)
    assert f.total_error(Y, F, np.array([0, 1])) == pytest.approx((1 + 2) / 10)
    assert f.coverage(Y, F - 1, F + 1) == pytest.approx(3 / 5)
    assert f.width(Y, F - 1, F + 1) == pytest.approx(2.0)


def test_when_the_quantile_loss_is_worked_by_hand_then_it_agrees():
    q = np.stack([F - 1, F, F + 1], axis=2)
    levels_ = (0.1, 0.5, 0.9)
    slow = []
    for k, level in enumerate(levels_):
        cells = [(y, x) for y, x in zip(Y.ravel(), q[:, :, k].ravel(), strict=True) if not math.isnan(y)]
        slow.append([max(level * (y - x), (level - 1) * (y - x)) for y, x in cells])
    assert f.quantile_loss(Y, q, levels_) == pytest.approx(np.mean(slow))
    assert f.wql(Y, q, levels_) == pytest.approx(np.mean([2 * sum(losses) / 10 for losses in slow]))


def test_when_a_series_barely_varied_then_it_counts_at_most_ten():
    assert f.mase(np.array([[100.0], [1.0]]), np.array([[0.0], [0.0]]), np.array([0.001, 1.0])) == (5.5, 2)


def test_when_demand_does_not_move_then_direction_leaves_it_out():
    actual = f.moves(np.array([[5.0, 5.0, 6.0, 2.0]]), np.array([4.0]))
    forecast = f.moves(np.array([[4.5, 4.5, 4.0, 3.0]]), np.array([4.0]))
    assert f.directional_accuracy(actual, forecast) == (pytest.approx(2 / 3), 3)


def test_when_levels_are_symmetric_then_the_stated_intervals_are_found():
    assert f.intervals((0.025, 0.1, 0.5, 0.9, 0.975)) == [(0.8, 1, 3), (0.95, 0, 4)]
    assert f.intervals((0.1, 0.5)) == []


@pytest.mark.parametrize(
    ("actual", "history"),
    [
        ([[0.0] * 4] * 3, [0.0] * 20),
        ([[0, 0, 7.0, 0]], [0.0] * 20),
        ([[-3.0, 2.0, -1.0, 0.0]], [1.0, -2.0] * 10),
        ([[5.0] * 4], [5.0] * 20),
        ([[NAN] * 4], [1.0, 2.0] * 10),
    ],
    ids=["all-zero", "single-sale", "negative", "constant", "unknown"],
)
def test_when_demand_is_degenerate_then_every_measure_is_finite_or_null_with_a_reason(actual, history):
    actual = np.array(actual)
    scale = np.abs(np.diff(history)).mean()
    for mean in (np.zeros_like(actual), np.full_like(actual, 2.0)):
        result = from_arrays(actual, mean, scale=scale, scale_sq=scale**2)
        everything = [measure([result], [result]), *by_step([result]), *by_fold([result]), levels([result])]
        for found in everything:
            json.dumps(found, allow_nan=False)
            assert all(math.isfinite(x) for x in all_numbers(found))
        found = everything[0]
        nulls = {name for name, value in found.items() if value is None}
        assert nulls == set(found["reasons"])
        assert by_style([result])["n"].sum() == found["n"]


def test_when_nothing_was_sold_then_an_all_zero_forecast_is_not_scored_as_perfect():
    found = measure([from_arrays([[0.0, 0.0]], [[0.0, 0.0]])])
    assert found["wape"] is None
    assert found["accuracy"] is None
    assert found["mape"] is None
    assert (found["n_used"], found["n_zero"]) == (0, 2)
    assert found["mae"] == 0.0


def test_when_values_leave_the_floats_then_the_measure_is_null_and_says_so():
    found = measure([from_arrays([[1e200, 2e200]], [[0.0, 1.0]])])
    assert found["rmse"] is None
    assert "large" in found["reasons"]["rmse"]


def test_when_results_are_split_in_folds_then_pooling_is_over_all_of_them():
    a, b = from_arrays([[1.0, 3.0]], [[2.0, 2.0]], cutoff=0), from_arrays([[10.0, 0.0]], [[6.0, 4.0]], cutoff=2)
    assert measure([a, b])["wape"] == pytest.approx((2 + 8) / 14)
    assert [fold["cutoff"] for fold in by_fold([a, b])] == [0, 2]
    assert [step["wape"] for step in by_step([a, b])] == [pytest.approx(5 / 11), pytest.approx(5 / 3)]


def test_when_errors_are_added_up_then_the_four_levels_differ_as_they_should():
    found = levels([from_arrays([[1.0, 3.0], [4.0, 2.0]], [[3.0, 1.0], [2.0, 4.0]])])
    assert found["style_period"]["wape"] == pytest.approx(8 / 10)
    assert found["style_total"]["wape"] == 0
    assert found["fleet_period"]["wape"] == 0
    assert found["fleet_total"]["wape"] == 0


def test_when_a_value_is_unknown_then_totals_leave_its_forecast_out_too():
    found = levels([from_arrays([[1.0, NAN], [4.0, 2.0]], [[1.0, 99.0], [4.0, 2.0]])])
    assert all(level["wape"] == 0 for level in found.values())
    assert found["fleet_period"]["n"] == 2


def test_when_rows_are_summed_by_style_then_they_equal_a_measure_of_each_style_alone():
    results = race()["xgboost"]
    table = by_style(results).set_index("unique_id")
    for name in ("S000", "S007"):
        alone = []
        for r in results:
            i = int(np.flatnonzero(r.forecast.ids == name)[0])
            rows = np.array([i])
            alone.append(type(r)(r.model, r.fold, r.forecast.take(rows), r.actuals[rows], r.scale[rows],
                                 r.scale_sq[rows], r.last[rows]))  # fmt: skip
        found = measure(alone)
        for column in ("wape", "mae", "bias", "bias_rel", "rmse", "mase", "rmsse", "coverage", "total_error"):
            assert table.loc[name, column] == pytest.approx(found[column]), column


def test_when_numbers_are_equal_then_the_evaluation_id_is_and_when_one_differs_it_is_not():
    a = from_arrays([[1.0, NAN]], [[2.0, 0.0]])
    same = from_arrays([[1.0, -NAN]], [[2.0, -0.0]])
    other = from_arrays([[1.0, NAN]], [[2.0, 0.1]])
    assert evaluation_id([a]) == evaluation_id([same])
    assert evaluation_id([a]) != evaluation_id([other])
    assert measure([a])["evaluation_id"] == evaluation_id([a])


def test_when_there_is_no_fold_then_measuring_is_an_error():
    with pytest.raises(DataError, match="no fold"):
        measure([])


def test_when_folds_have_other_horizons_then_they_are_not_mixed():
    with pytest.raises(DataError, match="belong together"):
        measure([from_arrays([[1.0]], [[1.0]]), from_arrays([[1.0, 2.0]], [[1.0, 2.0]])])


def test_when_a_baseline_is_given_then_its_name_and_error_stand_beside():
    results = race()
    found = measure(results["xgboost"], results["seasonal_naive"])
    assert found["baseline"] == {
        "name": "seasonal_naive",
        "wape": pytest.approx(measure(results["seasonal_naive"])["wape"]),
    }
