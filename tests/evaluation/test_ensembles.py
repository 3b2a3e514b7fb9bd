"""The search over ensembles: what is tried, what is taken, and what may weigh it."""

from __future__ import annotations

import numpy as np
import pytest

from demand.panel import Panel
from evaluation.backtest import Question, member_results
from evaluation.ensembles import MARGIN, best_tried, judged_folds, of_members, scored_ensemble, search, way_of
from evaluation.folds import Fold
from models.base import FitContext, ForecastSpec
from models.catalog import recipe_class
from models.ensemble import EnsembleSettings

BASE = EnsembleSettings(models=("arima", "xgboost"), weights=(0.3, 0.7), extra_members=("naive",))


def test_when_members_change_then_configured_weights_stay_and_others_follow():
    kept = of_members(BASE, ["naive", "xgboost", "tsb"])
    assert (kept.models, kept.weights, kept.extra_members) == (("xgboost",), (0.7,), ("naive", "tsb"))
    none = of_members(BASE, ["naive", "tsb"])
    assert (none.models, none.weights, none.extra_members) == (("naive", "tsb"), (1.0, 1.0), ())
    assert of_members(BASE, BASE.members) == BASE


def test_when_one_member_is_harmful_and_another_is_missing_then_the_search_finds_both_and_no_more():
    def score(settings):
        bad = 0.3 * ("arima" in settings.members) - 0.2 * ("tsb" in settings.members)
        return 1 + bad + 0.001 * len(settings.members) + 0.1 * (way_of(settings) == "mean")

    tried = search(BASE, ["arima", "xgboost", "naive", "tsb", "mean"], score)
    best = best_tried(tried)
    assert set(best.settings.members) == {"xgboost", "naive", "tsb"}
    assert (tried[0].step, tried[0].settings) == ("as configured", BASE)
    assert [way_of(one.settings) for one in tried[:5]] == [
        "grid_search", "inverse_error", "median", "mean", "stacking",
    ]  # fmt: skip
    assert best.score == pytest.approx(0.803)


def test_when_nothing_gains_more_than_the_margin_then_the_configured_one_stays():
    tried = search(BASE, ["tsb"], lambda settings: 1.0 if settings == BASE else 1.0 - 0.9 * MARGIN)
    assert best_tried(tried) is tried[0]


def test_when_time_is_up_then_the_configured_one_is_still_scored():
    tried = search(BASE, ["tsb"], lambda settings: 1.0, over=lambda: True)
    assert [one.settings for one in tried] == [BASE]


def test_when_time_ends_in_the_middle_then_what_was_tried_counts():
    calls = []
    tried = search(BASE, ["tsb"], lambda s: calls.append(s) or float(len(calls) == 1), over=lambda: len(calls) >= 7)
    assert len(tried) == 7
    assert best_tried(tried).score == 0.0


def test_when_folds_are_split_then_the_newer_half_judges():
    folds = [Fold(cutoff, 7) for cutoff in (10, 31, 17, 24)]
    assert [fold.cutoff for fold in judged_folds(folds)] == [31, 24]
    assert [fold.cutoff for fold in judged_folds(folds[:3])] == [31]


def test_when_the_judging_window_and_later_ones_change_then_the_weights_do_not():
    rng = np.random.default_rng(0)
    y = rng.poisson(5, (6, 90)).astype(float)
    folds = [Fold(cutoff, 7) for cutoff in (20_272, 20_279, 20_286)]
    question = Question(ForecastSpec(7), FitContext(7), "interpolate")
    settings = of_members(BASE, ["naive", "mean"])
    found = []
    for factor in (1.0, 1e6):
        changed = y.copy()
        changed[:, -14:] *= factor  # the window of the fold that is judged here, and the one after it
        panel = Panel(np.array(list("abcdef")), np.arange(7) * 90, changed.ravel(), 20_300, "D")
        raw = {}
        for kind in settings.members:
            histories = {fold.cutoff: question.history(panel, fold) for fold in folds[:3]}
            raw[kind] = {
                cutoff: recipe_class(kind)().fit(history, question.spec, question.context).forecast(history)
                for cutoff, history in histories.items()
            }
        results = member_results(panel, raw, folds[:3], question)
        found.append(scored_ensemble(panel, raw, results, [folds[2]], question, settings))
    (one,), (other,) = found
    assert np.array_equal(one.forecast.quantiles, other.forecast.quantiles)
    assert not np.array_equal(one.actuals, other.actuals)
