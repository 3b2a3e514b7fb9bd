"""Each problem is found where it is, not found where it is not, and comes with its remedy."""

from __future__ import annotations

import numpy as np
import pytest

from models.tabular.measures import baseline, classification, gap, regression
from models.tabular.problems import few_samples, no_importance, overfitting, suspected_leaks, unknown_features
from models.tabular.settings import FineTuneSettings
from models.tabular.split import folds, split

SETTINGS = FineTuneSettings()


def test_when_samples_are_few_then_more_are_asked_for():
    (found,) = few_samples(99, SETTINGS)
    assert (found.found, found.remedy) == ("99 rows, 100 are needed", "Get more data: at least 100 rows")
    assert few_samples(100, SETTINGS) == []


def test_when_no_feature_matters_then_scaling_and_distribution_are_named():
    (found,) = no_importance([("a", 0.0), ("b", 0.0)])
    assert "scaling and distribution" in found.remedy
    assert no_importance([("a", 0.0), ("b", 1.0)]) == []


def test_when_training_beats_the_test_then_a_simpler_model_or_more_data_is_named():
    (found,) = overfitting(0.21, "r2_score", SETTINGS)
    assert "simpler model" in found.remedy
    assert "more data" in found.remedy
    assert overfitting(0.2, "r2_score", SETTINGS) == overfitting(None, "r2_score", SETTINGS) == []
    assert overfitting(0.3, "r2_score", FineTuneSettings(overfit_gap=0.5)) == []


def test_when_features_are_unknown_then_the_window_and_filling_forward_are_named():
    (found,) = unknown_features({"a": 31, "b": 30}, 100)
    assert found.found == "values are missing: a 31%"
    assert "forward" in found.remedy
    assert "nulls" not in found.remedy  # jobs.finetune has no such key
    assert unknown_features({"b": 30}, 100) == []


def test_when_a_feature_orders_rows_as_the_target_does_then_it_is_suspected():
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    X = np.column_stack([np.exp(y), -y, y + rng.normal(size=300), np.ones(300)])
    (found,) = suspected_leaks(X, y, ["rank", "minus", "fair", "constant"], 0)
    assert found.found.endswith("rank, minus")


def test_when_errors_are_measured_then_they_are_those_of_the_formulas():
    actual, predicted = np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 5.0])
    assert regression(actual, predicted) == pytest.approx(
        {"mse": 5 / 3, "rmse": (5 / 3) ** 0.5, "r2_score": 1 - 5 / 14}
    )
    constant = regression(np.ones(3), predicted)
    assert constant["r2_score"] is None
    assert gap("regression", {"r2_score": 0.9}, constant) is None
    found = classification(np.array([0, 1, 1]), np.array([0, 0, 1]), ["no", "yes"])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["report"]["yes"]["recall"] == 0.5
    assert baseline("classification", np.array([0, 1, 1]), np.array([1, 1, 0, 1]))["accuracy"] == 0.75
    assert baseline("regression", np.array([1.0, 3.0]), np.array([2.0, 2.0]))["mse"] == 0


def test_when_folds_are_made_of_dates_then_each_is_scored_on_later_ones_only():
    days = np.sort(np.datetime64("2024-01-01") + np.random.default_rng(0).integers(0, 40, 200))
    made = list(folds(days, 200, 4, 0, None))
    assert len(made) == 4
    for train, later in made:
        assert days[train].max() < days[later].min()
    assert [later[0] for _, later in made] == sorted(later[0] for _, later in made)
    plain = list(folds(None, 20, 4, 0, np.array([0, 1] * 10)))
    assert np.array_equal(np.sort(np.concatenate([later for _, later in plain])), np.arange(20))


def test_when_all_rows_are_of_one_date_then_they_are_drawn():
    train, test = split(np.full(100, np.datetime64("2024-01-01")), 0.2, 42, np.array([0, 1] * 50), 100)
    assert (len(train), len(test)) == (80, 20)
    assert set(train) | set(test) == set(range(100))
