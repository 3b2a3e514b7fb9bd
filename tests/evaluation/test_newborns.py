"""Where siblings serve newborn styles: earlier origins decide, and every row says who made it and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.backtest import Question
from evaluation.folds import Fold, rolling_folds
from evaluation.newborns import with_siblings
from models.base import FitContext, ForecastSpec
from models.siblings import KIND, NewbornSettings
from tests.evaluation.made import LEVELS
from tests.evaluation.test_hierarchy import ensembles
from tests.models.test_siblings import WEEK, fleet, rows_of

H = 7
QUESTION = Question(ForecastSpec(H, LEVELS), FitContext(7), "interpolate")
CHOSEN = NewbornSettings(("family",))


def born_at_each(folds):
    """The fleet with two styles born two periods before each origin."""
    panel = fleet(old=8, length=120)
    series = dict(zip(panel.ids.tolist(), [panel.series(i) for i in range(panel.n_series)], strict=True))
    family = dict(zip(panel.ids.tolist(), panel.static["family"].tolist(), strict=True))
    rng = np.random.default_rng(1)
    for k, fold in enumerate(folds):
        n = panel.end - fold.cutoff + 2
        for j in range(2):
            series[f"n{k}{j}"] = 40 * (1 + j) * np.resize(WEEK, 120)[-n:] * rng.normal(1, 0.2, n).clip(0.1)
            family[f"n{k}{j}"] = "knit"
    from tests.evaluation.made import panel_of

    made = panel_of(series, panel.end)
    return replace(made, static={"family": np.array([family[i] for i in made.ids.tolist()], dtype=object)})


@pytest.fixture(scope="module")
def folds():
    base = fleet(old=8, length=120)
    return [*rolling_folds(base, H, 3, H), Fold(base.end, H)]


@pytest.fixture(scope="module")
def panel(folds):
    return born_at_each(folds)


def own_mean(history):
    return np.repeat(np.array([history.series(i)[-28:].mean() for i in range(history.n_series)])[:, None], H, axis=1)


def clairvoyant(panel):
    def told(history):
        truth = Fold(history.end, H).actuals(panel, history)
        return np.where(np.isnan(truth), own_mean(history), truth)

    return told


def test_when_siblings_missed_less_then_they_make_the_rows_signed_with_their_number(panel, folds):
    found = with_siblings(panel, ensembles(panel, folds, own_mean), QUESTION, CHOSEN)
    assert [one.served for one in found.origins] == [True] * 4
    assert "no earlier origin" in found.origins[0].reason
    assert "less than the ensemble" in found.origins[-1].reason
    at = found.origins[-1]
    after, before = at.ensemble.forecast, at.at.forecast
    rows = at.rows
    assert set(panel.ids[rows]) >= {"n30", "n31", "b1", "b4"}
    assert set(after.made_by[rows]) == {KIND}
    assert set(after.level[rows]) == {1}
    assert all(
        text.startswith("a newborn style: ") and "siblings of family=knit" in text for text in after.reason[rows]
    )
    others = np.setdiff1d(np.arange(panel.n_series), rows)
    assert after.mean[others].tobytes() == before.mean[others].tobytes()
    assert after.quantiles[others].tobytes() == before.quantiles[others].tobytes()
    assert after.made_by[others].tolist() == before.made_by[others].tolist()
    told = found.as_json()
    effect = told["effect"]
    assert told["served"] is True
    assert told["with_siblings"] == len(rows)
    assert effect["wape_siblings"] == effect["wape_served"] < effect["wape_ensemble"]
    assert effect["origins"] == 3
    assert effect["cells"] == sum(one.actual.size for one in found.origins[:3])
    assert effect["interval"] == pytest.approx(0.8)
    assert effect["coverage"] > 0.6


def test_when_the_ensemble_missed_less_then_its_rows_stay_once_that_was_measured(panel, folds):
    found = with_siblings(panel, ensembles(panel, folds, clairvoyant(panel)), QUESTION, CHOSEN)
    assert [one.served for one in found.origins] == [True, False, False, False]
    assert found.origins[-1].ensemble is found.origins[-1].at
    assert "missed no more" in found.as_json()["reason"]
    assert found.as_json()["effect"]["wape_ensemble"] < found.as_json()["effect"]["wape_served"]


@pytest.mark.slow
def test_when_everything_after_an_origin_is_a_million_times_larger_then_nothing_there_moves(panel, folds):
    truth = with_siblings(panel, ensembles(panel, folds, own_mean), QUESTION, CHOSEN)
    for k, fold in enumerate(folds[:-1]):
        late = panel.periods > fold.cutoff
        poisoned = replace(panel, y=np.where(late, panel.y * 1e6 + 1e6, panel.y))
        other = with_siblings(poisoned, ensembles(poisoned, folds, own_mean), QUESTION, CHOSEN).origins[k]
        one = truth.origins[k]
        assert (other.served, other.reason) == (one.served, one.reason)
        assert other.siblings.mean.tobytes() == one.siblings.mean.tobytes()
        assert other.siblings.quantiles.tobytes() == one.siblings.quantiles.tobytes()


def test_when_no_style_is_newborn_then_the_ensemble_stays_and_it_is_said(folds):
    panel = fleet(old=8, length=120)
    old = panel.take(np.setdiff1d(np.arange(panel.n_series), rows_of(panel, "b1", "b2", "b3", "b4")))
    found = with_siblings(old, ensembles(old, folds, own_mean), QUESTION, CHOSEN)
    assert found.origins[-1].ensemble is found.origins[-1].at
    told = found.as_json()
    assert (told["served"], told["newborn_styles"], told["reason"]) == (False, 0, "no style is newborn")
    assert told["effect"]["wape_siblings"] is None
