from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from demand.errors import DataError, SettingsError
from evaluation.leaderboard import (
    best_model,
    leaderboard,
    measured_levels,
    recommendations,
    targets_table,
    terminal_table,
)
from evaluation.metrics import measure
from tests.evaluation.made import forecast_of, from_arrays, level_forecast, race, sparse_panel


def board_of(actual, means, quantiles=None, scale=1.0, **options):
    quantiles = quantiles or {}
    results = {
        name: [from_arrays(actual, mean, quantiles.get(name), model=name, scale=scale, scale_sq=scale)]
        for name, mean in means.items()
    }
    return leaderboard(results, **options)


SPARSE = [[0, 0, 0, 5, 0, 0, 2, 0, 0, 0.0]]
LEVEL = np.full((1, 10), 0.7)


def test_when_models_raced_then_the_board_is_sorted_and_holds_what_was_measured():
    results = race()
    board = leaderboard(results)
    assert list(board.columns[:3]) == ["model", "wape", "mase"]
    assert board["wape"].is_monotonic_increasing
    for row in board.to_dict("records"):
        found = measure(results[row["model"]])
        for name in ("wape", "mase", "rmsse", "wql", "coverage", "evaluation_id", "n_fell_back"):
            assert row[name] == found[name], name
    assert board.attrs["ranked_by"] == "wape"


def test_when_a_baseline_is_missing_then_there_is_no_board():
    results = race()
    del results["mean"]
    with pytest.raises(DataError, match="mean"):
        leaderboard(results)


def test_when_models_ran_other_races_then_they_are_not_compared():
    results = race()
    with pytest.raises(DataError, match="same folds"):
        leaderboard(results | {"xgboost": results["xgboost"][1:]})
    other = [replace(r, actuals=r.actuals + 1) for r in results["xgboost"]]
    with pytest.raises(DataError, match="actual values"):
        leaderboard(results | {"xgboost": other})


def test_when_the_metric_is_unknown_then_it_is_refused():
    with pytest.raises(SettingsError, match="accuracy"):
        leaderboard(race(), metric="accuracy")


def test_when_zero_wins_on_wape_then_it_is_said_and_zero_is_not_champion():
    zero = np.zeros((1, 10))
    q = np.stack([zero, zero, np.full((1, 10), 2.0)], axis=2)
    board = board_of(
        SPARSE,
        {"zero": zero, "mean": LEVEL, "seasonal_naive": LEVEL * 3, "tsb": LEVEL},
        {"tsb": q, "zero": np.zeros((1, 10, 3))},
    )
    assert board.set_index("model").loc["zero", "wape"] == 1.0
    assert board.attrs["ranked_by"] == "rmsse+quantile_loss"
    assert "zero" in board.attrs["notes"][0]
    assert best_model(board) == "tsb"
    assert any("zero" in text for text in recommendations(board))


def test_when_a_model_forecasts_nothing_at_all_then_it_is_not_eligible_under_any_name():
    zero = np.zeros((1, 10))
    board = board_of(SPARSE, {"zero": zero, "mean": LEVEL, "seasonal_naive": LEVEL * 3, "lstm": zero})
    assert not board.set_index("model").loc["lstm", "eligible"]
    assert best_model(board) in ("mean", "seasonal_naive")


def test_when_every_actual_is_zero_then_a_board_still_stands_without_zero_as_champion():
    zero = np.zeros((1, 4))
    board = board_of(zero, {"zero": zero, "mean": zero, "seasonal_naive": zero, "arima": zero + 1})
    assert board["wape"].isna().all()
    assert best_model(board) != "zero"
    assert board.attrs["ranked_by"] == "mae"
    assert recommendations(board)


def test_when_mape_is_nowhere_defined_then_it_falls_to_another_metric_and_says_so():
    zero = np.zeros((1, 4))
    board = board_of(zero, {"zero": zero, "mean": zero + 1, "seasonal_naive": zero + 2}, metric="mape")
    assert board.attrs["ranked_by"] != "mape"
    assert "mape is undefined" in board.attrs["notes"][0]


@pytest.mark.parametrize(("metric", "winner"), [("wape", "a"), ("rmse", "b"), ("r2", "b"), ("mae", "a")])
def test_when_the_metric_changes_then_the_winner_of_a_built_case_does(metric, winner):
    actual = [[10.0, 10.0, 10.0, 30.0]]
    a, b = [[10.0, 10.0, 10.0, 15.0]], [[15.0, 15.0, 15.0, 25.0]]
    board = board_of(
        actual,
        {
            "zero": np.zeros((1, 4)),
            "mean": np.full((1, 4), 40.0),
            "seasonal_naive": np.full((1, 4), 50.0),
            "a": a,
            "b": b,
        },
        metric=metric,
    )
    assert best_model(board) == winner
    assert bool(board.set_index("model").loc[winner, "beats_baseline"])


def test_when_a_model_does_not_beat_both_baselines_then_the_board_says_no():
    board = leaderboard(race(models={"bad": lambda h, steps: level_forecast(h, steps) * 5}))
    rows = board.set_index("model")
    assert not rows.loc["bad", "beats_baseline"]
    assert not rows.loc["mean", "beats_baseline"]


def test_when_accuracy_is_below_or_unknown_then_the_threshold_is_not_reached():
    rows = leaderboard(race(), thresholds={"xgboost": 0.05, "mean": 0.99}).set_index("model")
    assert not rows.loc["xgboost", "below_threshold"]
    assert rows.loc["mean", "below_threshold"]
    assert not rows.loc["zero", "below_threshold"]
    zero = np.zeros((1, 4))
    unknown = board_of(zero, {"zero": zero, "mean": zero, "seasonal_naive": zero}, thresholds={"mean": 0.1})
    assert unknown.set_index("model").loc["mean", "below_threshold"]


def test_when_models_miss_their_thresholds_then_advice_names_each_with_what_was_wanted():
    board = leaderboard(race(models={"tsb": level_forecast}), thresholds={"xgboost": 0.05, "tsb": 0.99, "mean": 0.99})
    accuracy = board.set_index("model").loc["tsb", "accuracy"]
    said = recommendations(board)[-1]
    assert said == f"Accuracy (1 - WAPE) below the configured min_accuracy_threshold: tsb ({accuracy:.0%}, wanted 99%)."


def test_when_one_origin_is_far_worse_then_it_is_named_and_the_model_called_unstable():
    good = [from_arrays([[10.0, 10.0]], [[10.0, 10.0]], cutoff=0, model="m")]
    bad = [from_arrays([[10.0, 10.0]], [[30.0, 30.0]], cutoff=365, model="m")]
    results = {name: [replace(r, model=name) for r in good + bad] for name in ("zero", "mean", "seasonal_naive", "m")}
    row = leaderboard(results).set_index("model").loc["m"]
    assert row["worst_cutoff"] == "1971-01-01"
    assert row["wape_worst"] == 2.0
    assert row["unstable"]


def test_when_rows_fell_back_then_they_are_counted_and_recommended_to_look_at():
    def make(history, horizon):
        made = forecast_of(history, level_forecast(history, horizon))
        by = made.made_by.astype("U32")
        by[0] = "exponential_smoothing"
        return replace(made, made_by=by)

    board = leaderboard(race(models={"xgboost": make}))
    row = board.set_index("model").loc["xgboost"]
    assert (row["n_fell_back"], row["n_rows"]) == (3, 36)
    assert any("3 of 36" in text for text in recommendations(board))


def test_when_targets_are_shown_then_each_is_met_missed_or_not_measurable_at_every_level():
    results = race()
    table = targets_table(
        {"xgboost": {"mape": 0.11, "rmse": 1e9, "training_time": 60}, "lstm": {"mape": 0.1, "training_time": 300}},
        measured_levels(results),
        {"xgboost": 70.0},
    )
    assert len(table) == 4 + 4 + 1 + 4 + 1
    xgboost = table[table["model"] == "xgboost"]
    assert set(xgboost.loc[xgboost["target"] == "rmse", "result"]) == {"met"}
    assert xgboost.loc[xgboost["target"] == "rmse", "remark"].str.contains("unit").all()
    assert xgboost.loc[xgboost["target"] == "training_time", "result"].item() == "missed"
    lstm = table[table["model"] == "lstm"]
    assert set(lstm["result"]) == {"not measurable"}
    assert lstm["measured"].isna().all()
    mape = xgboost[xgboost["target"] == "mape"]
    assert (mape["result"].eq("met") == (mape["measured"] <= 0.11)).all()
    assert set(table["target_value"]) == {0.11, 1e9, 60, 0.1, 300}


def test_when_the_table_is_printed_then_it_fits_eighty_columns():
    board = leaderboard(race(models={"exponential_smoothing": level_forecast}))
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(terminal_table(board))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "exponential_smoothing" in text
    assert "…" not in text


def test_when_demand_is_noise_then_nothing_beats_the_mean_by_much():
    rng = np.random.default_rng(11)
    panel = sparse_panel(n=24, length=110)
    panel = replace(panel, y=rng.poisson(6, len(panel.y)).astype(float))
    board = leaderboard(race(panel)).set_index("model")
    assert board.loc["xgboost", "wape"] > board.loc["mean", "wape"] - 0.02
    assert board.loc["xgboost", "r2"] <= 0.05


def test_when_another_model_made_every_row_then_a_model_is_not_eligible_for_them():
    results = race()
    whole = [replace(r, forecast=replace(r.forecast, made_by=np.full(len(r.forecast.ids), "tsb")))
             for r in results["xgboost"]]  # fmt: skip
    board = leaderboard(results | {"xgboost": whole}).set_index("model")
    assert not board.loc["xgboost", "eligible"]
    assert board.loc["xgboost", "n_fell_back"] == board.loc["xgboost", "n_rows"]
    half = [whole[0], *results["xgboost"][1:]]
    assert leaderboard(results | {"xgboost": half}).set_index("model").loc["xgboost", "eligible"]


def test_when_none_may_be_called_best_then_it_is_the_yardstick():
    zero = np.zeros((1, 10))
    board = board_of(SPARSE, {"zero": zero, "mean": zero, "seasonal_naive": zero, "lstm": zero})
    assert not board["eligible"].any()
    assert best_model(board) == "seasonal_naive"


def test_when_scores_are_equal_then_the_baseline_comes_before_what_was_learned():
    models = {"arima": LEVEL, "zero": LEVEL * 0, "mean": LEVEL, "seasonal_naive": LEVEL, "tsb": LEVEL}
    board = board_of(np.full((1, 10), 1.0), models)
    assert board["model"].tolist() == ["mean", "seasonal_naive", "tsb", "arima", "zero"]
