"""From a file to a measured and stored model: what it learns, what it refuses, what it says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demand.errors import (
    CalendarError,
    DataError,
    DemandError,
    SchemaError,
    SettingsError,
    StorageError,
    VersionUnreadable,
)
from models.tabular import FittedTable, MLModelFineTuning
from models.tabular.fitted import METRICS, MODEL
from models.tabular.tuning import Scorer
from tests.models.tabular.made import business, noise

ROOT = Path(__file__).parents[3]
FEW = {"rows_per_tree": 100}  # trees of a hundred rows grow fast


def tuned(frame, target="revenue", **told):
    tuner = MLModelFineTuning(**{**FEW, **told})
    return tuner, tuner.fine_tune_pipeline(frame, target)


def test_when_a_quantity_is_learned_then_it_is_measured_beside_the_mean():
    tuner, metrics = tuned(business())
    assert set(metrics["regression"]) == {"mse", "rmse", "r2_score"}
    assert metrics["regression"]["r2_score"] > 0.9 > 0.05 > metrics["baseline"]["r2_score"]
    assert metrics["regression"]["rmse"] ** 2 == pytest.approx(metrics["regression"]["mse"])
    assert metrics["gap"] == {"measure": "r2_score", "value": pytest.approx(
        metrics["train"]["r2_score"] - metrics["regression"]["r2_score"])}  # fmt: skip
    assert metrics["task"]["chosen"] == "regression"
    importance = tuner.get_feature_importance()
    assert importance[0][0] == "engagement"
    assert sum(value for _, value in importance) == pytest.approx(1)
    assert metrics["rows"]["split"] == "by time: the test begins on 2023-07-12"
    assert metrics["columns"]["aside"] == {"id": "an id", "date": "orders the rows"}
    json.dumps(metrics, allow_nan=False)


def test_when_classes_are_learned_then_accuracy_stands_beside_the_commonest_class():
    frame = business()
    frame["loyal"] = np.where(frame["engagement"] > 0.4, "yes, loyal", "no")
    tuner, metrics = tuned(frame, "loyal")
    assert set(metrics["classification"]) == {"accuracy", "report"}
    assert metrics["classification"]["accuracy"] > 0.95 > metrics["baseline"]["accuracy"] > 0.4
    assert {"no", "yes, loyal", "macro avg"} <= set(metrics["classification"]["report"])
    assert set(tuner.predict(frame)) == {"no", "yes, loyal"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_when_the_target_is_noise_then_nothing_is_claimed(seed):
    frame = noise(800, seed)
    for features in ("none", "custom"):
        metrics = tuned(frame.drop(columns="kind"), features=features, rows_per_tree=400)[1]
        assert metrics["regression"]["r2_score"] <= 0.05
        assert "overfitting" in {one["cause"] for one in metrics["problems"]}
    metrics = tuned(frame, "kind", rows_per_tree=400)[1]
    assert metrics["classification"]["accuracy"] <= metrics["baseline"]["accuracy"] + 0.05


@pytest.mark.parametrize(
    ("values", "task", "why"),
    [
        (["a", "b"] * 120, "classification", "text"),
        ([True, False] * 120, "classification", "truth values"),
        (["yes", "no"] * 120, "classification", "truth values"),
        ([0, 1, 2] * 80, "classification", "codes 0 to 2"),
        ([1, 2] * 120, "regression", "numbers"),
        (list(range(21)) * 11 + [0] * 9, "regression", "numbers"),
        ([0.0, 0.5] * 120, "regression", "numbers"),
    ],
)
def test_when_the_task_is_auto_then_the_target_decides_and_says_why(values, task, why):
    tuner = MLModelFineTuning()
    tuner.preprocess_data(business().assign(goal=values), "goal")
    assert (tuner.prepared.roles.task, tuner.prepared.roles.why) == (task, f"the target is {why}")
    assert MLModelFineTuning(task="classification").preprocess_data(business().assign(goal=[0.0, 0.5] * 120), "goal")


def test_when_training_rows_have_outliers_then_they_go_and_test_rows_stay():
    frame = business().assign(size=np.tile(np.arange(10.0), 24), flag=np.r_[[100.0], np.zeros(239)])
    frame.loc[[5, 6, 230], "size"] = 1e6
    frame.loc[7, "revenue"] = 1e9  # never on the target
    frame.loc[8, "engagement"] = np.nan
    tuner = MLModelFineTuning()
    parts = tuner.preprocess_data(frame, "revenue")
    counts = tuner.prepared.counts
    assert (counts["training_rows"], counts["outliers_left_out"], counts["test_rows"]) == (190, 2, 48)
    assert set(tuner.prepared.preparation.limits_) == {"size", "engagement", "last_purchase_days_ago"}
    assert parts.y_train.max() == 1e9
    assert not parts.X_train.isna().any().any()
    np.testing.assert_allclose(parts.X_train.mean(), 0, atol=1e-9)  # the scaler is of these rows
    preparation = tuner.prepared.preparation
    kept = frame.drop(index=[5, 6]).iloc[:190]
    assert preparation.mean_[preparation.names_.index("engagement")] == pytest.approx(kept["engagement"].mean())
    assert MLModelFineTuning(remove_outliers=False).preprocess_data(frame, "revenue").X_train.shape[0] == 192


def test_when_limits_would_take_most_rows_then_none_goes_and_it_is_said():
    rng = np.random.default_rng(0)
    spiky = {f"s{i}": np.where(rng.random(240) < 0.2, 1e3, rng.random(240)) for i in range(8)}
    metrics = tuned(business().assign(**spiky))[1]
    assert metrics["rows"]["outliers_left_out"] == 0
    assert "outliers_kept" in {one["cause"] for one in metrics["problems"]}
    assert tuned(business().assign(**spiky), outlier_factor=1e9)[1]["problems"] == []


@pytest.mark.parametrize("features", ["none", "custom"])
def test_when_test_rows_change_then_what_was_learned_stays(features):
    frame = business()
    other = frame.copy()
    other.loc[200:, ["engagement", "category", "last_purchase_days_ago"]] = [1e6, "Cars", 1e6]
    states = []
    for one in (frame, other):
        tuner = MLModelFineTuning(features=features)
        tuner.preprocess_data(one, "revenue")
        states.append(tuner.prepared.preparation.state())
    (told, arrays), (told_other, arrays_other) = states
    assert told == told_other
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_other[name])


def test_when_there_are_dates_then_none_is_on_both_sides_of_the_cut():
    frame = business().assign(date=np.repeat(pd.date_range("2024-01-01", periods=24).strftime("%Y-%m-%d"), 10))
    tuner = MLModelFineTuning()
    tuner.preprocess_data(frame.sample(frac=1, random_state=0), "revenue")
    prepared = tuner.prepared
    assert prepared.days[prepared.train].max() < prepared.days[prepared.test].min()
    assert len(prepared.test) == 50
    drawn = MLModelFineTuning()
    drawn.preprocess_data(frame.drop(columns="date"), "revenue")
    assert (len(drawn.prepared.train), len(drawn.prepared.test)) == (192, 48)


def bad(**changes):
    return business().assign(**changes)


@pytest.mark.parametrize(
    ("frame", "told", "error", "words"),
    [
        (business(99), {}, DataError, r"Insufficient data \(needed_rows=100, found_rows=99\)"),
        (business(1), {}, DataError, "found_rows=1"),
        (business(2).iloc[:0], {}, DataError, "found_rows=0"),
        (pd.concat([business(99), business(99)]), {}, DataError, "found_rows=99"),  # repeated rows are one
        (bad(revenue=[np.nan] * 150 + [1.0, 2.0] * 45), {}, DataError, "found_rows=90"),
        (bad(nothing=np.nan), {}, SchemaError, "no value at all.*nothing"),
        (bad(revenue=5.0), {}, SchemaError, "target is constant"),
        (business(), {"target": "revenu"}, SchemaError, "nearest='revenue'"),
        (business(), {"target": "date"}, SchemaError, "date cannot be predicted"),
        (bad(note_text=[f"t{i}" for i in range(240)]), {"max_categories": 100}, SchemaError, "note_text: 240"),
        (bad(date=["2024-01-05", "05.02.2024", "March 3, 2024"] * 80), {}, CalendarError, "mixes formats"),
        (bad(other=business()["date"]), {}, SchemaError, "several columns are dates"),
        (bad(revenue_percentile=0.5), {}, SchemaError, "give the answer away"),
        (bad(revenue_poly_2=1.0), {}, SchemaError, "revenue_poly_2"),
        (bad(units_x_revenue=1.0), {}, SchemaError, "units_x_revenue"),
        (business()[["id", "date", "revenue"]], {}, SchemaError, "no column is left"),
        (business(), {"exclude": ("nowhere",)}, SchemaError, "key='exclude'"),
        (business(), {"exclude": ("revenue",)}, SchemaError, "cannot be left out"),
        (business(), {"target": "category", "task": "regression"}, SchemaError, "text is no quantity"),
        (business(), {"task": "classification"}, SchemaError, "too many classes"),
        (business(), {"date": "category"}, SchemaError, "holds no dates"),
    ],
)
def test_when_a_table_cannot_teach_then_one_error_says_why(frame, told, error, words):
    told = {"target": "revenue", **told}
    with pytest.raises(error, match=words):
        MLModelFineTuning(**told).fine_tune_pipeline(frame)


def test_when_the_order_of_calls_or_a_key_is_wrong_then_that_is_said(tmp_path):
    with pytest.raises(SettingsError, match="nothing is trained yet"):
        MLModelFineTuning().save_models(tmp_path / "m")
    with pytest.raises(SettingsError, match="no file to load"):
        MLModelFineTuning().load_business_data()
    with pytest.raises(SettingsError, match="no target is named"):
        MLModelFineTuning().fine_tune_pipeline(business())
    with pytest.raises(SettingsError, match=r"test_sise.*did you mean 'test_size'"):
        MLModelFineTuning(test_sise=0.1)
    with pytest.raises(SettingsError, match="one fold"):
        MLModelFineTuning(cross_validation=1)
    with pytest.raises(StorageError, match="no such file"):
        MLModelFineTuning(tmp_path / "none.csv").load_business_data()
    tuner = MLModelFineTuning()
    with pytest.raises(SettingsError, match="nothing is prepared"):
        tuner.train_regression_model(*[None] * 4)
    parts = tuner.preprocess_data(business(), "revenue")
    with pytest.raises(SettingsError, match="prepared for regression"):
        tuner.train_classification_model(*parts)
    assert tuner.train_regression_model(*parts)["r2_score"] > 0.9


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_when_a_file_has_blanks_and_repeated_rows_then_each_is_counted(form, tmp_path):
    frame = business()
    frame.loc[3, "engagement"] = None
    frame = pd.concat([frame, frame.iloc[:5]], ignore_index=True).assign(Customer="Somebody")
    path = tmp_path / f"t.{form}"
    {"csv": lambda: frame.to_csv(path, index=False), "json": lambda: frame.to_json(path, orient="records"),
     "parquet": lambda: frame.to_parquet(path)}[form]()  # fmt: skip
    tuner = MLModelFineTuning(path)
    loaded = tuner.load_business_data()
    assert (len(loaded), tuner.table.rows_in, tuner.table.left_out) == (240, 245, {"repeated row": 5})
    assert tuner.table.personal == ("Customer",)
    assert np.isnan(loaded.loc[3, "engagement"])
    assert loaded["date"].dtype.kind == "M"
    assert "Customer" not in loaded


def test_when_the_contracts_two_rows_are_read_then_they_parse_and_are_too_few(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "id,date,revenue,category,engagement,last_purchase_days_ago\n"
        "1,2024-01-15,5000,Electronics,0.8,15\n2,2024-01-16,3200,Home,0.6,45\n",
        encoding="utf-8",
    )
    tuner = MLModelFineTuning(path)
    frame = tuner.load_business_data()
    assert tuner.table.kinds == {"id": "number", "date": "date", "revenue": "number", "category": "text",
                                 "engagement": "number", "last_purchase_days_ago": "number"}  # fmt: skip
    with pytest.raises(DataError, match="Insufficient data"):
        tuner.fine_tune_pipeline(frame, target_column="revenue")


@pytest.mark.parametrize("content", ["", "id,date,revenue\n", "   \n"])
def test_when_a_file_is_empty_or_has_a_header_alone_then_that_is_said(content, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DemandError, match=r"empty|no rows"):
        MLModelFineTuning(path).load_business_data()


def test_when_values_of_a_feature_are_mostly_unknown_or_it_mirrors_the_target_then_a_remedy_is_named():
    frame = business()
    frame["seldom"] = np.where(np.arange(240) % 2, np.nan, np.arange(240.0))
    frame["billed"] = frame["revenue"] * 1.2
    causes = {one["cause"]: one for one in tuned(frame)[1]["problems"]}
    assert "seldom 50%" in causes["unknown_features"]["found"]
    assert "window" in causes["unknown_features"]["remedy"]
    assert "billed" in causes["suspected_leak"]["found"]


def test_when_rows_are_above_the_maximum_then_the_newest_are_kept():
    tuner = MLModelFineTuning(max_training_samples=150)
    tuner.preprocess_data(business().sample(frac=1, random_state=1), "revenue")
    assert tuner.prepared.counts["over_maximum"] == 90
    assert tuner.prepared.days.min() == np.datetime64("2023-04-01")


# ---- kept -----------------------------------------------------------------------------------------------------------

AGAIN = """
import sys, numpy as np, pandas as pd
from models.tabular import FittedTable
fitted = FittedTable.load(__import__("pathlib").Path(sys.argv[1]))
predicted = fitted.predict(pd.read_csv(sys.argv[2]))
np.save(sys.argv[3], predicted)
"""


@pytest.mark.slow
def test_when_a_model_is_loaded_in_a_new_process_then_it_predicts_the_same_bits(tmp_path):
    business().to_csv(tmp_path / "t.csv", index=False)
    tuner = tuned(pd.read_csv(tmp_path / "t.csv"), features="custom")[0]
    folder = tuner.save_models(tmp_path / "m")
    asked = pd.read_csv(tmp_path / "t.csv").drop(columns="revenue")
    asked.to_csv(tmp_path / "asked.csv", index=False)
    command = [sys.executable, "-c", AGAIN, folder, str(tmp_path / "asked.csv"), str(tmp_path / "out.npy")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), tuner.predict(asked))


@pytest.mark.parametrize(("target", "features"), [("category", "custom"), ("revenue", "none")])
def test_when_a_model_is_loaded_then_it_predicts_the_same_bits(target, features, tmp_path):
    frame = business()
    tuner = tuned(frame, target, features=features)[0]
    loaded = MLModelFineTuning.load_models(tuner.save_models(tmp_path / "m"))
    assert loaded.metrics == json.loads(json.dumps(tuner.metrics))
    np.testing.assert_array_equal(loaded.predict(frame.drop(columns=target)), tuner.predict(frame))


def test_when_a_stored_file_was_changed_or_a_folder_is_not_ours_then_it_is_refused(tmp_path):
    tuner = tuned(business())[0]
    folder = tmp_path / "m"
    tuner.save_models(folder)
    tuner.save_models(folder)  # an older one of ours is replaced
    card = json.loads((folder / "card.json").read_text())
    assert card["roles"]["target"] == "revenue"
    assert card["features"] == tuner.fitted.preparation.names_
    assert json.loads((folder / METRICS).read_text()) == json.loads(json.dumps(tuner.metrics))
    (folder / METRICS).write_text((folder / METRICS).read_text() + " ")
    with pytest.raises(VersionUnreadable, match="was changed"):
        FittedTable.load(folder)
    (folder / MODEL).unlink()
    with pytest.raises(VersionUnreadable):
        FittedTable.load(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(StorageError, match="holds something else"):
        tuner.save_models(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").exists()
    with pytest.raises(SchemaError, match="engagement"):
        tuner.predict(business().drop(columns="engagement"))
    with pytest.raises(SchemaError, match="not numeric as they were"):
        tuner.predict(business().assign(engagement="much"))


def test_when_tuned_values_are_accepted_then_cross_validation_scores_them(monkeypatch):
    plain = tuned(business(160), cross_validation=2)[1]["cross_validation"]
    monkeypatch.setattr(Scorer, "tuned", lambda self: ({"max_depth": 1}, {"accepted": True}))
    found = tuned(business(160), cross_validation=2, tuning=True)[1]
    assert found["hyperparameters"] == {"max_depth": 1}
    assert found["cross_validation"]["mean"] < plain["mean"] - 0.1  # a tree of one cut knows little


@pytest.mark.slow
def test_when_it_is_tuned_and_cross_validated_then_trials_are_counted_and_the_test_is_untouched():
    frame = business(160)
    told = {"tuning": True, "tuning_iterations": 3, "cross_validation": 3}
    metrics = tuned(frame, **told)[1]
    assert len(metrics["tuning"]["trials"]) == 3
    assert metrics["tuning"]["trials"][0]["hyperparameters"] == {}
    assert metrics["hyperparameters"] == (metrics["tuning"]["best"] if metrics["tuning"]["accepted"] else {})
    folds = metrics["cross_validation"]
    assert folds["mean"] == pytest.approx(np.mean(folds["scores"]))
    assert folds["worst"] == min(folds["scores"])
    other = frame.copy()
    other.loc[128:, "revenue"] *= -5
    again = tuned(other, **told)[1]
    assert again["tuning"] == metrics["tuning"]
    assert again["cross_validation"] == folds
