"""What trials may see, which styles they are scored on, and when the best of them is accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import DataError, ShortHistoryError
from demand.panel import Panel
from evaluation import tuning
from evaluation.backtest import Question
from evaluation.classes import demand_classes
from evaluation.leaderboard import ZERO_RULE
from evaluation.results import FoldResult
from evaluation.tuning import Split, Yardstick, accept, stratified
from models.base import FitContext, Forecast, ForecastSpec

HORIZON = 4


def panel(n=6, days=60, scale=10.0, seed=1, sold=1.0):
    rng = np.random.default_rng(seed)
    y = rng.gamma(4, scale / 4, n * days) * (rng.random(n * days) < sold)
    return Panel(np.array([f"S{i:03d}" for i in range(n)]), np.arange(n + 1) * days, y, 20_000, "D")


def question():
    return Question(ForecastSpec(HORIZON), FitContext(season=7), "interpolate")


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 5))
def test_when_folds_are_split_then_all_that_trials_may_see_ends_before_the_outer_window(n_inner, step, gap):
    one = panel()
    split = Split.of(one, HORIZON, n_inner, step, gap)
    assert split.outer.cutoff + HORIZON == one.end
    assert split.known.end == split.outer.cutoff - gap
    assert len(split.inner) == n_inner
    assert split.inner[0].cutoff + HORIZON == split.known.end
    assert all(a.cutoff - b.cutoff == step for a, b in zip(split.inner, split.inner[1:], strict=False))
    assert split.known.until(split.inner[-1].cutoff).lengths.max() >= 2 * HORIZON


def test_when_the_history_is_one_period_too_short_then_it_is_refused_with_what_is_needed():
    needed = 2 * HORIZON + HORIZON + 2 * 3 + 1 + HORIZON
    assert Split.of(panel(days=needed), HORIZON, 3, 3, 1).inner
    with pytest.raises(ShortHistoryError) as caught:
        Split.of(panel(days=needed - 1), HORIZON, 3, 3, 1)
    assert (caught.value.facts["needed"], caught.value.facts["longest_history"]) == (needed, needed - 1)


@pytest.mark.parametrize("back", [0, HORIZON, 2 * HORIZON])
def test_when_nothing_was_sold_in_one_window_then_it_is_refused_by_its_dates(back):
    one = panel()
    at = np.arange(60)[None, :]
    silent = (at >= 60 - back - HORIZON) & (at < 60 - back)
    quiet = replace(one, y=np.where(silent, 0.0, one.y.reshape(6, 60)).ravel())
    with pytest.raises(DataError, match="nothing was sold") as caught:
        Split.of(quiet, HORIZON, 2, HORIZON, 0)
    assert len(caught.value.facts["windows"]) == 1


@given(st.integers(1, 40), st.integers(0, 5))
def test_when_styles_are_sampled_then_each_class_has_its_share_and_all_are_different(size, seed):
    parts = [panel(n, seed=n, sold=sold) for n, sold in ((20, 1.0), (7, 0.4), (2, 0.0))]
    ids = np.array([f"S{i:03d}" for i in range(29)])
    fleet = Panel(ids, np.arange(30) * 60, np.concatenate([p.y for p in parts]), 20_000, "D")
    rows = stratified(fleet, size, seed)
    assert len(set(rows.tolist())) == len(rows) == min(size, 29)
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == stratified(fleet, size, seed).tolist()
    classes = demand_classes(fleet)
    for name in np.unique(classes):
        share = (classes == name).mean() * min(size, 29)
        assert abs((classes[rows] == name).sum() - share) < 2  # rounding, and one style of a class that would have none
        assert size < len(np.unique(classes)) or (classes[rows] == name).any()


def test_when_another_seed_is_told_then_other_styles_are_drawn():
    assert stratified(panel(30), 10, 1).tolist() != stratified(panel(30), 10, 2).tolist()


@pytest.mark.parametrize(("sold", "rule"), [(1.0, "wape"), (0.05, ZERO_RULE)])
def test_when_saying_nothing_would_have_the_best_wape_then_trials_are_ranked_otherwise(sold, rule):
    split = Split.of(panel(40, 200, sold=sold), HORIZON, 2, HORIZON, 0)
    yardstick = Yardstick.of(split.known, split.inner, question(), "wape")
    assert yardstick.ranked_by == rule
    naive = [yardstick.naive[fold.cutoff] for fold in split.inner]
    if rule == ZERO_RULE:
        assert yardstick.score(naive) == pytest.approx(1.0)  # each relative to the seasonal naive
        assert "sparse" in yardstick.notes[0]


def result(one: Panel, error: float) -> FoldResult:
    """A forecast that misses every period by `error` of it."""
    split = Split.of(one, HORIZON, 1, HORIZON, 0)
    history = split.outer.history(one)
    truth = split.outer.actuals(one, history)
    mean = truth * (1 + error)
    forecast = Forecast.build(history, question().spec, "trial", mean, np.repeat(mean[:, :, None], 3, axis=2))
    ones = np.ones(one.n_series)
    return FoldResult("trial", split.outer, forecast, truth, ones, ones, ones)


@pytest.mark.parametrize("metric", ["wape", "r2", "rmse"])
@pytest.mark.parametrize(
    ("defaults", "best", "accepted", "said"),
    [(0.2, 0.1, True, "beyond chance"), (0.1, 0.2, False, "the defaults stay"), (0.1, 0.1, True, "as good as")],
)
def test_when_the_best_is_not_worse_on_the_outer_fold_then_and_only_then_it_is_accepted(
    metric, defaults, best, accepted, said
):
    one = panel(12)
    split = Split.of(one, HORIZON, 1, HORIZON, 0)
    yardstick = replace(Yardstick.of(split.known, split.inner, question(), metric), ranked_by=metric)
    found = accept(yardstick.at(one, split.outer, question()), [result(one, defaults)], [result(one, best)], 42)
    assert found.accepted is accepted
    assert said in found.why
    assert np.sign(found.gain) == np.sign(defaults - best)
    if metric == "wape":
        assert (found.defaults, found.best) == pytest.approx((defaults, best))
        assert found.gain == pytest.approx(1 - best / defaults)
    if metric == "r2":
        assert np.sign(found.best - found.defaults) == np.sign(defaults - best)


def test_when_two_forecasts_differ_by_chance_alone_then_the_gain_is_called_chance():
    rng = np.random.default_rng(3)
    said = []
    for k in range(20):
        one = panel(12, seed=k)
        split = Split.of(one, HORIZON, 1, HORIZON, 0)
        yardstick = Yardstick.of(split.known, split.inner, question(), "wape").at(one, split.outer, question())
        made = []
        for _ in range(2):
            base = result(one, 0.0)
            mean = base.actuals * rng.gamma(10, 0.1, base.actuals.shape)
            forecast = replace(base.forecast, mean=mean, quantiles=np.repeat(mean[:, :, None], 3, axis=2))
            made.append([replace(base, forecast=forecast)])
        said.append(accept(yardstick, *made, 42).why)
    assert sum("beyond chance" in why for why in said) <= 3  # one in twenty of those that look better
    assert any("may be chance" in why for why in said)
    assert any("the defaults stay" in why for why in said)


def test_when_the_panel_for_trials_is_asked_for_then_nothing_after_its_end_is_in_it():
    one = panel()
    poisoned = replace(one, y=np.where(np.tile(np.arange(60) >= 56, 6), one.y * 1e6, one.y))
    clean, poison = (tuning.known_to_trials(each, one.end - 4) for each in (one, poisoned))
    assert clean.y.tolist() == poison.y.tolist()
    assert tuning.known_to_trials(poisoned, one.end - 3).y.max() > 1e6
