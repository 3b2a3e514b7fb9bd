"""The ensemble at a past origin knows nothing of what came after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.outliers import OutlierSettings
from evaluation.backtest import Question, ensemble_at, ensemble_result, member_results
from evaluation.folds import rolling_folds
from models.base import FitContext, Forecast, ForecastSpec
from models.ensemble import KIND, EnsembleSettings
from tests.evaluation.made import LEVELS, sparse_panel

H, SEASON = 7, 7
QUESTION = Question(ForecastSpec(H, LEVELS), FitContext(SEASON), "interpolate")
SETTINGS = EnsembleSettings(models=("arima", "xgboost"), weights=(0.5, 0.5), extra_members=("seasonal_naive",))


def raw_of(panel, folds, broken=()):
    """{model: {cutoff: forecast}} of rules that see the history alone; `broken` rows of arima are not made."""
    raw: dict[str, dict[int, Forecast]] = {}
    for fold in folds:
        history = QUESTION.history(panel, fold)
        level = np.repeat(np.nanmean(history.tail(28), axis=1)[:, None], H, axis=1)
        recent = np.repeat(np.nanmean(history.tail(7), axis=1)[:, None], H, axis=1)
        season = np.resize(np.nan_to_num(history.tail(7)).T, (H, history.n_series)).T
        for name, mean in (("arima", level), ("xgboost", recent), ("seasonal_naive", season)):
            reasons = dict.fromkeys(broken, "broken") if name == "arima" else {}
            forecast = Forecast.build(
                history, QUESTION.spec, name, mean, mean[:, :, None] * np.array([0.5, 1.0, 1.5]), reasons=reasons
            )
            raw.setdefault(name, {})[fold.cutoff] = forecast
    return raw


@pytest.fixture(scope="module")
def panel():
    return sparse_panel(n=10, length=140)


@pytest.fixture(scope="module")
def folds(panel):
    return rolling_folds(panel, H, 4, H)


def same(one, two):
    return all(
        getattr(one, name).tobytes() == getattr(two, name).tobytes() for name in ("mean", "quantiles", "level")
    ) and all(getattr(one, name).tolist() == getattr(two, name).tolist() for name in ("made_by", "reason", "note"))


@pytest.mark.parametrize("aggregation", ["weighted_mean", "median", "mean", "stacking"])
def test_when_everything_after_an_origin_is_a_million_times_larger_then_the_ensemble_there_does_not_move(
    panel, folds, aggregation
):
    settings = replace(SETTINGS, aggregation=aggregation)
    for fold in folds[1:]:
        late = panel.periods > fold.cutoff
        poisoned = replace(panel, y=np.where(late, panel.y * 1e6 + 1e6, panel.y))
        found = []
        for data in (panel, poisoned):
            raw = raw_of(data, folds)
            results = member_results(data, raw, folds, QUESTION)  # also of the windows that had not ended
            found.append(ensemble_at(data, raw, results, fold, QUESTION, settings))
        one, two = found
        assert same(one.forecast, two.forecast)
        assert one.weights.values.tobytes() == two.weights.values.tobytes()
        assert one.weights.n_origins == folds.index(fold)


def test_when_the_past_changes_then_the_ensemble_does_move(panel, folds):
    fold = folds[-1]
    early = panel.periods <= fold.cutoff
    changed = replace(panel, y=np.where(early, panel.y * 3 + 1, panel.y))
    one, two = (
        ensemble_at(data, raw_of(data, folds), member_results(data, raw_of(data, folds), folds, QUESTION), fold,
                    QUESTION, SETTINGS)
        for data in (panel, changed)
    )  # fmt: skip
    assert not same(one.forecast, two.forecast)


def test_when_members_are_measured_then_every_row_is_complete_and_signed(panel, folds):
    raw = raw_of(panel, folds, broken=(1, 3))
    results = member_results(panel, raw, folds, QUESTION)
    for result in results["arima"]:
        result.require_complete()
        assert result.n_fell_back == 2
        assert set(result.forecast.made_by[[1, 3]]) == {"exponential_smoothing"}
        assert set(result.forecast.reason[[1, 3]]) == {"broken"}
    assert [result.fold for result in results["xgboost"]] == folds
    for name, by_fold in results.items():
        for result, reference in zip(by_fold, results["xgboost"], strict=True):
            assert result.forecast.ids.tolist() == reference.forecast.ids.tolist(), name
            assert result.actuals.tobytes() == reference.actuals.tobytes()


def test_when_a_member_is_broken_everywhere_then_the_ensemble_goes_on_without_it_and_says_so(panel, folds):
    everyone = tuple(range(panel.n_series))
    raw = raw_of(panel, folds, broken=everyone)
    results = member_results(panel, raw, folds, QUESTION)
    at = ensemble_at(panel, raw, results, folds[-1], QUESTION, SETTINGS)
    assert at.weights.vetoed == {"arima": panel.n_series}
    assert (at.weights.values[:, 0] == 0).all()
    assert set(at.forecast.made_by) == {KIND}


def test_when_no_member_makes_a_row_then_it_falls_back_and_the_others_stay(panel, folds):
    raw = raw_of(panel, folds)
    fold = folds[-1]
    whole = ensemble_at(panel, raw, member_results(panel, raw, folds, QUESTION), fold, QUESTION, SETTINGS)
    for name in raw:
        one = raw[name][fold.cutoff]
        raw[name][fold.cutoff] = Forecast.build(
            QUESTION.history(panel, fold), QUESTION.spec, name, one.mean, one.quantiles, reasons={4: "failed"}
        )
    at = ensemble_at(panel, raw, member_results(panel, raw, folds, QUESTION), fold, QUESTION, SETTINGS)
    assert at.forecast.made.all()
    assert at.forecast.made_by[4] == "exponential_smoothing"
    assert at.forecast.level[4] > 0
    assert "no member made this row" in at.forecast.reason[4]
    others = np.arange(panel.n_series) != 4
    assert at.forecast.made_by[others].tolist() == whole.forecast.made_by[others].tolist()
    assert at.forecast.mean[others].tobytes() == whole.forecast.mean[others].tobytes()


def test_when_the_ensemble_is_scored_then_its_truth_is_that_of_the_members(panel, folds):
    raw = raw_of(panel, folds)
    results = member_results(panel, raw, folds, QUESTION)
    at = ensemble_at(panel, raw, results, folds[-1], QUESTION, SETTINGS)
    result = ensemble_result(at, panel, QUESTION)
    assert result.model == KIND
    assert result.fold == folds[-1]
    assert result.actuals.tobytes() == results["arima"][-1].actuals.tobytes()
    assert result.scale.tobytes() == results["arima"][-1].scale.tobytes()


def test_when_unusual_demand_is_capped_then_models_see_the_limit_and_errors_keep_their_yardstick(panel, folds):
    y = panel.y.copy()
    spike = panel.indptr[0] + int(np.argmax(panel.series(0)[:60]))
    y[spike] = 1e4
    spiked = replace(panel, y=y)
    capping = replace(QUESTION, outliers=OutlierSettings(outlier_action="cap"))
    assert QUESTION.history(spiked, folds[0]).y.max() == 1e4
    assert capping.history(spiked, folds[0]).y.max() < 1e3
    assert np.array_equal(capping.known(spiked, folds[0]).y, QUESTION.history(spiked, folds[0]).y)
    raw = raw_of(spiked, folds)
    usual, capped = (member_results(spiked, raw, folds, question)["arima"] for question in (QUESTION, capping))
    for one, other in zip(usual, capped, strict=True):
        assert np.array_equal(one.actuals, other.actuals, equal_nan=True)
        assert np.array_equal(one.scale, other.scale, equal_nan=True)
