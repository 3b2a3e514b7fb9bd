"""One entry a model: the same in the history and in the run's summary, true also for a model that made nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from jobs import compose
from jobs.entries import entries, top_features
from jobs.fleet import registry_of
from jobs.outputs import summary, write_backtest
from jobs.publish import publish
from jobs.rowless import commonest_reason, failed_models
from models.catalog import BASELINES, FORECASTERS, recipe
from models.files import write_json

M = {"wape", "accuracy", "bias", "bias_rel", "mape", "n_used", "n_zero", "rmse", "mae", "r2", "directional_accuracy",
     "mase", "rmsse", "coverage", "total_error", "baseline", "unit", "evaluation_id", "train_size",
     "test_size"}  # fmt: skip


def without_arima(race, reason):
    """The same race in which ARIMA made no row, for this reason."""
    empty = {
        cutoff: replace(f, made_by=np.full(len(f.ids), ""), reason=np.full(len(f.ids), reason))
        for cutoff, f in race.raw["arima"].items()
    }
    return replace(race, raw={**race.raw, "arima": empty})


def test_when_models_succeed_then_each_entry_has_the_agreed_fields_and_traces_to_the_stored_evaluation(judged):
    fleet, race, verdict, styles = judged
    write_backtest(fleet, race, verdict)
    number = publish(fleet, race, verdict, styles).number
    stored = fleet.run.json("backtest.json")["results"]
    history = {entry["model_type"]: entry for entry in registry_of(fleet.settings).history()}
    assert set(history) == {*fleet.recipes, "ensemble"} == set(stored)
    cells = int(fleet.panel.lengths.sum())
    for kind, entry in history.items():
        assert entry["status"] == "success"
        assert "error" not in entry
        assert set(entry["metrics"]) >= M
        assert entry["metrics"]["baseline"] == stored[kind]["metrics"]["baseline"]
        assert entry["metrics"]["baseline"]["name"] == "seasonal_naive"
        assert entry["metrics"]["unit"] == "fraction"
        assert entry["metrics"]["evaluation_id"] == stored[kind]["metrics"]["evaluation_id"]
        assert (entry["metrics"]["train_size"], entry["metrics"]["test_size"]) == (cells, stored[kind]["test_size"])
        assert (entry["run_id"], entry["release"]) == ("r", number)
        assert entry["promotion"].endswith("nothing serves yet")
        assert (registry_of(fleet.settings).root / entry["model_path"]).exists()
    assert history["arima"]["parameters"] == {**asdict(fleet.recipes["arima"]), "raises_on": ["S007"], "dies_on": []}
    assert history["ensemble"]["parameters"]["aggregation"] == fleet.settings.ensemble.aggregation


def test_when_the_summary_is_written_then_its_results_are_the_entries_of_the_history(judged):
    fleet, race, verdict, styles = judged
    number = publish(fleet, race, verdict, styles).number
    fleet.run.write_json("summary.json", summary(fleet, race, verdict, styles, {}, number))
    told = fleet.run.json("summary.json")
    assert told["results"] == {
        entry["model_type"]: {name: value for name, value in entry.items() if name != "promotion"}
        for entry in registry_of(fleet.settings).history()
    }
    assert told["models_attempted"] == told["models_succeeded"] == len(told["results"])
    assert (told["run_id"], told["release"]) == ("r", 1)


@pytest.mark.parametrize(
    ("reason", "status", "asked"),
    [
        ("FitError: nothing", "failed", None),
        ("12 periods are too few", "skipped", None),
        ("12 periods are too few", "failed", ("arima",)),
    ],
)
def test_when_a_model_made_no_row_anywhere_then_its_entry_says_why_and_claims_no_numbers(judged, reason, status, asked):
    fleet, race, verdict, styles = judged
    broken = without_arima(race, reason)
    fleet = replace(fleet, settings=replace(fleet.settings, only=asked))
    publish(fleet, broken, verdict, styles)
    history = {entry["model_type"]: entry for entry in registry_of(fleet.settings).history()}
    entry = history["arima"]
    assert (entry["status"], entry["error"], entry["metrics"]) == (status, reason, None)
    assert entry["trained_at"] == fleet.run.json("manifest.json")["created"]
    assert history["mean"]["status"] == "success"
    assert commonest_reason(broken, "mean") == ""
    failed = failed_models(broken, fleet.settings)
    told = summary(fleet, broken, verdict, styles, failed, 1)
    assert told["results"]["arima"]["status"] == status
    assert told[f"models_{status}"] == 1
    assert told["models_succeeded"] == told["models_attempted"] - 1


def test_when_nothing_is_released_then_no_path_is_claimed_and_the_training_ends_before_the_newest_window(judged):
    fleet, race, verdict, _ = judged
    found = entries(fleet, race, replace(verdict, live=None), None)
    newest = max(verdict.results["mean"], key=lambda result: result.fold.cutoff)
    for entry in found.values():
        assert (entry["model_path"], entry["release"]) == (None, None)
    assert found["mean"]["metrics"]["train_size"] == int(fleet.panel.lengths.sum()) - newest.actuals.size


def test_when_a_model_keeps_no_file_then_the_release_does_not_list_it(judged):
    fleet, race, verdict, styles = judged
    for path in sorted(fleet.run.file("models/mean").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    fleet.run.file("models/mean").rmdir()
    publish(fleet, race, verdict, styles)
    release = registry_of(fleet.settings).open("champion")
    assert set(release.manifest["models"]) == {*fleet.recipes, "ensemble"} - {"mean"}
    assert all(release.file(model["path"]).exists() for model in release.manifest["models"].values())
    mean = next(entry for entry in registry_of(fleet.settings).history() if entry["model_type"] == "mean")
    assert mean["model_path"] is None


def test_when_a_model_has_features_then_all_columns_and_the_ten_most_important_are_named(judged):
    fleet, race, verdict, _ = judged
    shares = {f"lag_{k}": k / 78 for k in range(1, 13)}
    write_json(next(fleet.run.path.glob("models/arima/*/importances.json")), shares)
    entry = entries(fleet, race, verdict, 1)["arima"]
    assert entry["feature_columns"] == list(shares)
    assert entry["top_features"] == [[f"lag_{k}", k / 78] for k in range(12, 2, -1)]
    assert "feature_columns" not in entries(fleet, race, verdict, 1)["mean"]
    assert top_features({"b": 0.5, "a": 0.5}) == [["a", 0.5], ["b", 0.5]]


@pytest.mark.parametrize("kind", [*BASELINES, *(kind for kind in FORECASTERS if kind not in BASELINES)])
def test_when_parameters_are_stored_then_every_recipe_is_strict_json(kind):
    settings = compose.load("train", [])
    json.dumps(asdict(recipe(kind, settings.models[kind])), allow_nan=False)
