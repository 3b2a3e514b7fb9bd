"""Explanations in stored values and in words: what is said follows from the numbers, and nothing is invented."""

import numpy as np
import pytest

from demand.errors import ModelError
from demand.panel import Panel
from evaluation.explain import driver_words, explain, weight_words
from evaluation.selection import Weights
from features.groups import GROUPS
from models.base import Forecast, ForecastSpec
from models.drivers import Drivers, Reliance

NAN = float("nan")


def effects(**told: float) -> dict[str, float]:
    return {name: told.get(name, 0.0) for name in GROUPS}


def test_when_effects_are_in_units_then_the_largest_are_named_and_the_rest_is_summed():
    told = effects(season=2.0, trend=-0.5, level=0.3, calendar=0.2, age=0.1)
    (said,) = driver_words("xgboost", "sum", 10.0, 12.1, told, "yds")
    assert said == ("xgboost starts from 10.0 yds a period, the style's own level, and arrives at 12.1: same season "
                    "before +2.00, trend −0.50, recent level +0.30, all else +0.30.")  # fmt: skip


def test_when_effects_are_factors_then_they_are_said_as_factors():
    told = dict.fromkeys(GROUPS, 1.0) | {"season": 1.2, "trend": 0.9}
    (said,) = driver_words("xgboost", "product", 10.0, 10.8, told, "")
    assert "from 10.0 units a period" in said
    assert said.endswith("arrives at 10.8: same season before x 1.20, trend x 0.90.")


def test_when_nothing_moves_a_forecast_then_that_is_said():
    assert "nothing moves it" in driver_words("xgboost", "sum", 5.0, 5.0, effects(), "kg")[0]
    assert "has not sold" in driver_words("xgboost", "sum", 0.0, 0.0, effects(), "kg")[0]


def test_when_members_are_weighed_then_shares_and_errors_are_told_largest_first():
    mixed, errors = weight_words("ensemble", "ensemble", "", {"a": 0.3, "b": 0.7, "c": 0.001},
                                 {"a": 0.5, "b": 0.4, "c": 0.1}, "grid_search")  # fmt: skip
    assert mixed == "The forecast is a mix: b 70%, a 30%; what erred less on past origins counts more."
    assert errors == "Errors of this style on past origins (WAPE): b 0.40, a 0.50."


@pytest.mark.parametrize(("basis", "words"), [("equal", "alike"), ("configured", "configured")])
def test_when_weights_were_not_measured_then_no_error_is_given_as_their_reason(basis, words):
    said = weight_words("ensemble", "ensemble", "", {"a": 0.5, "b": 0.5}, {"a": NAN, "b": NAN}, basis)
    assert len(said) == 1
    assert words in said[0]
    assert "erred" not in said[0]


def test_when_a_style_was_never_scored_then_its_weights_are_said_to_be_others():
    (said,) = weight_words("ensemble", "ensemble", "", {"a": 1.0}, {"a": NAN}, "grid_search")
    assert "never scored" in said


def test_when_another_model_made_the_row_then_it_signs_with_the_cause():
    (said,) = weight_words("ensemble", "mean", "no member made this row", {"a": 1.0}, {"a": 0.2}, "grid_search")
    assert said == "mean made this forecast in the place of ensemble: no member made this row."


def test_when_one_model_is_served_then_it_is_said_to_be_alone():
    assert "(WAPE): 0.20" in weight_words("mean", "mean", "", {"mean": 1.0}, {"mean": 0.2}, "")[0]
    assert "never scored" in weight_words("mean", "mean", "", {"mean": 1.0}, {"mean": NAN}, "")[0]


@pytest.fixture
def live() -> Forecast:
    panel = Panel(np.array(["a", "b", "c"]), np.array([0, 2, 4, 6]), np.arange(6.0), 100, "D")
    spec = ForecastSpec(2, (0.5,))
    return Forecast.build(panel, spec, "ensemble", np.ones((3, 2)), np.ones((3, 2, 1)))


def weights(live: Forecast) -> Weights:
    return Weights(live.ids, ("lstm", "xgboost"), np.array([[0.25, 0.75]] * 3), np.array([0.25, 0.75]), "grid_search",
                   2, {})  # fmt: skip


def test_when_a_release_is_explained_then_every_style_has_its_row_and_facts_say_how(live):
    groups = tuple(GROUPS)
    moved = np.zeros((2, len(groups)))
    moved[:, groups.index("season")] = [1.0, -1.0]
    drivers = Drivers("xgboost", live.ids[[0, 2]], groups, "sum", np.array([1.0, 2.0]), moved, np.array([2.0, 1.0]),
                      (1, 2), 1e-7)  # fmt: skip
    found = {"xgboost": drivers, "lstm": Reliance("lstm", {"level": 0.4}, 3), "tide": ModelError("too few", found=1)}
    told = {"xgboost": {"objective": "reg:squarederror"}, "lstm": {"time_steps": 30}, "tide": {"time_steps": 40}}
    made = explain(live, "ensemble", weights(live), {}, found, told | {"zero": {}}, "yds")
    assert made.styles["unique_id"].tolist() == ["a", "b", "c"]
    assert made.styles["effect_season"].tolist()[::2] == [1.0, -1.0]
    assert np.isnan(made.styles["effect_season"][1])
    assert made.styles["model"].tolist() == ["xgboost", None, "xgboost"]
    assert [len(said) for said in made.styles["words"]] == [2, 2, 2]
    assert "no model of it was taken apart" in made.styles["words"][1][1]
    models = made.facts["models"]
    assert models["xgboost"]["shares"]["season"] == 1.0
    assert models["lstm"]["change"] == {"level": 0.4}
    assert "30 periods" in models["lstm"]["said"]
    assert models["tide"]["error"].startswith("too few")
    assert models["zero"]["method"] == "none"


def test_when_no_model_can_be_taken_apart_then_that_is_said_and_no_number_is_made_up(live):
    made = explain(live, "ensemble", weights(live), {}, {}, {"arima": {"p": 2, "d": 1, "q": 2}}, "yds")
    assert "ARIMA of order (2, 1, 2)" in made.facts["models"]["arima"]["said"]
    assert all("taken apart" in said[-1] for said in made.styles["words"])
    assert made.styles[["base", "forecast", "effect_level"]].isna().all(axis=None)
