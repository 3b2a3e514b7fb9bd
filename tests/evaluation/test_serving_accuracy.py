"""Errors by step and class: `metrics` says the same of each step, a slow loop of each class."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.classes import CLASSES
from evaluation.metrics import by_step, measure
from evaluation.serving import Standing
from evaluation.serving_accuracy import accuracy_columns
from tests.evaluation.made import race, sparse_panel

PANEL = sparse_panel()
RESULTS = race(PANEL, horizon=7, n=3, step=7)
LIVE = Standing.at(PANEL, PANEL.end, 7, "interpolate")


def rows_of(columns):
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("model", sorted(RESULTS))
def test_when_steps_are_measured_then_they_are_those_of_the_metrics(model):
    rows = [row for row in rows_of(accuracy_columns(model, LIVE, RESULTS[model])) if row["part"] == "step"]
    for row, wanted in zip(rows, by_step(RESULTS[model]), strict=True):
        assert row["key"] == str(wanted["step"])
        assert row["n"] == wanted["n"]
        assert row["n_styles"] == PANEL.n_series
        for name in ("wape", "accuracy", "bias_rel", "mae", "coverage"):
            assert row[name] == pytest.approx(wanted[name], abs=1e-12), name


def test_when_classes_are_measured_then_a_slow_loop_says_the_same():
    rows = [row for row in rows_of(accuracy_columns("xgboost", LIVE, RESULTS["xgboost"])) if row["part"] == "class"]
    kinds = {name: CLASSES[k] for name, k in zip(LIVE.ids.tolist(), LIVE.classes.tolist(), strict=True)}
    assert {row["key"] for row in rows} == set(kinds.values())
    for row in rows:
        off = demand = signed = inside = n = 0.0
        for result in RESULTS["xgboost"]:
            for i, style in enumerate(result.forecast.ids.tolist()):
                if kinds[style] != row["key"]:
                    continue
                for h, y in enumerate(result.actuals[i].tolist()):
                    low, middle, high = result.forecast.quantiles[i, h].tolist()
                    off, demand, n = off + abs(middle - y), demand + abs(y), n + 1
                    signed, inside = signed + result.forecast.mean[i, h] - y, inside + (low <= y <= high)
        assert row["n"] == n
        assert row["n_styles"] == list(kinds.values()).count(row["key"])
        assert row["wape"] == pytest.approx(off / demand)
        assert row["bias_rel"] == pytest.approx(signed / demand)
        assert row["mae"] == pytest.approx(off / n)
        assert row["coverage"] == pytest.approx(inside / n)
    assert sum(row["mae"] * row["n"] for row in rows) == pytest.approx(
        measure(RESULTS["xgboost"])["mae"] * sum(row["n"] for row in rows)
    )


def test_when_values_are_unknown_then_they_are_not_scored():
    results = RESULTS["xgboost"][:1]
    (only,) = results
    blank = only.actuals.copy()
    blank[0] = np.nan
    changed = type(only)(only.model, only.fold, only.forecast, blank, only.scale, only.scale_sq, only.last)
    rows = rows_of(accuracy_columns("xgboost", LIVE, [changed]))
    assert rows[0]["n"] == len(only.forecast.ids) - 1
    assert rows[0]["n_styles"] == len(only.forecast.ids) - 1
    assert rows[0]["mae"] == pytest.approx(by_step([changed])[0]["mae"])


def test_when_a_model_was_not_scored_then_it_has_no_row():
    columns = accuracy_columns("xgboost", LIVE, [])
    assert {len(values) for values in columns.values()} == {0}
