import json

import numpy as np
import pytest

from evaluation.backtest_json import backtest_json, fleet_totals
from evaluation.leaderboard import leaderboard
from evaluation.metrics import measure
from tests.evaluation.made import from_arrays, level_forecast, race, sparse_panel


def built(results, **more):
    options = {"status": "success", "timestamp": "2025-09-01T02:00:00Z", "data_points": 1242} | more
    return backtest_json(results, leaderboard(results), **options)


@pytest.fixture(scope="module")
def value():
    results = race(models={"ensemble": level_forecast})
    return built(
        results,
        status="partial",
        errors={"lstm": "Insufficient data: 100 windows are needed, 57 found"},
        importance={"xgboost": {"lag_7": np.float64(0.7), "month": 0.3}},
        weights={"xgboost": 0.8, "lstm": 0.2},
        recommendations=["Look at S003."],
    )


def test_when_a_backtest_is_written_then_it_is_strict_json_and_survives_a_round_trip(value):
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_when_a_model_is_in_the_file_then_its_entry_has_the_agreed_keys(value):
    entry = value["results"]["xgboost"]
    agreed = {"model", "status", "metrics", "by_step", "folds", "predictions", "test_actual", "train_size", "test_size"}
    assert agreed <= set(entry)
    assert len(entry["by_step"]) == 7
    assert len(entry["folds"]) == 3
    assert len(entry["predictions"]) == len(entry["test_actual"]) == len(entry["test_dates"]) == 21
    assert entry["test_size"] == 12 * 21
    assert entry["train_size"] == 1242 - 12 * 7
    assert entry["feature_importance"] == {"lag_7": 0.7, "month": 0.3}
    assert "feature_importance" not in value["results"]["mean"]


def test_when_a_model_failed_then_the_file_says_so_and_stays_partial(value):
    assert value["status"] == "partial"
    failed = value["results"]["lstm"]
    assert failed == {
        "model": "lstm",
        "status": "failed",
        "error": "Insufficient data: 100 windows are needed, 57 found",
    }
    assert value["summary"]["model_comparison"]["lstm"] == {
        "wape": None, "mape": None, "rmse": None, "r2": None, "status": "failed",
    }  # fmt: skip


def test_when_the_ensemble_ran_then_members_weights_and_failures_are_listed(value):
    entry = value["results"]["ensemble"]
    assert entry["weights"] == {"xgboost": 0.8, "lstm": 0.2}
    assert entry["models_used"] == ["xgboost"]
    assert entry["models_failed"] == ["lstm"]
    assert entry["individual_results"]["xgboost"] == value["results"]["xgboost"]["metrics"]


def test_when_a_summary_is_given_then_it_is_the_best_models_own_numbers(value):
    best = value["summary"]["best_model"]
    assert value["summary"]["best_wape"] == value["results"][best]["metrics"]["wape"]
    assert value["recommendations"] == ["Look at S003."]


def test_when_a_model_made_no_row_of_its_own_then_it_is_failed_though_its_fallback_was_scored():
    results = race()
    value = built(results, status="partial", errors={"xgboost": "time_budget"})
    assert value["results"]["xgboost"]["status"] == "failed"
    assert value["results"]["xgboost"]["error"] == "time_budget"
    skipped = built(results, status="success", errors={"xgboost": "12 periods are too few"}, skipped={"xgboost"})
    assert skipped["results"]["xgboost"]["status"] == "skipped"
    assert skipped["summary"]["model_comparison"]["xgboost"]["status"] == "skipped"


def test_when_nothing_was_sold_then_the_file_is_still_strict_json():
    zero = np.zeros((2, 3))
    results = {n: [from_arrays(zero, zero, model=n)] for n in ("zero", "mean", "seasonal_naive")}
    value = built(results)
    json.dumps(value, allow_nan=False)
    assert value["summary"]["best_wape"] is None


def test_when_totals_are_taken_then_an_unknown_value_makes_its_total_unknown():
    dates, predicted, actual = fleet_totals([from_arrays([[1.0, np.nan], [2.0, 3.0]], [[1.0, 1.0], [2.0, 2.0]])])
    assert [str(d)[:10] for d in dates] == ["1970-01-02", "1970-01-03"]
    np.testing.assert_array_equal(predicted, [3, 3])
    np.testing.assert_array_equal(actual, [3, np.nan])


def test_when_a_fleet_is_summed_then_predictions_are_the_mean_forecasts():
    results = race(sparse_panel(n=4))
    value = built(results)
    expected = np.concatenate([r.forecast.mean.sum(axis=0) for r in results["xgboost"]])
    np.testing.assert_allclose(value["results"]["xgboost"]["predictions"], expected)
    assert value["results"]["xgboost"]["metrics"] == measure(results["xgboost"], results["seasonal_naive"])
