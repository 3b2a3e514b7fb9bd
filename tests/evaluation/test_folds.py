"""Past moments of decision: history through one door, the truth through another."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError, ShortHistoryError
from evaluation.folds import Fold, rolling_folds
from tests.evaluation.made import panel_of
from tests.strategies import panels


@given(panels(), st.integers(1, 6), st.integers(0, 8))
def test_when_the_future_is_rewritten_then_no_history_changes(panel, horizon, back):
    fold = Fold(panel.end - back, horizon)
    future = panel.periods > fold.cutoff
    poisoned = replace(panel, y=np.where(future, 1e6, panel.y))
    one, two = fold.history(panel), fold.history(poisoned)
    assert one.y.tobytes() == two.y.tobytes()
    assert one.ids.tolist() == two.ids.tolist()
    assert np.isfinite(one.y).all()
    assert one.n_series == 0 or one.end == fold.cutoff


@given(panels(), st.integers(1, 6), st.integers(0, 8))
def test_when_actuals_are_asked_for_then_they_are_the_cells_after_the_cutoff(panel, horizon, back):
    fold = Fold(panel.end - back, horizon)
    history = fold.history(panel)
    actuals = fold.actuals(panel, history)
    assert actuals.shape == (history.n_series, horizon)
    where = dict(zip(panel.ids.tolist(), range(panel.n_series), strict=True))
    for row, name in enumerate(history.ids.tolist()):
        for h in range(horizon):
            period = fold.cutoff + 1 + h
            values = panel.series(where[name])
            position = period - int(panel.start[where[name]])
            expected = values[position] if period <= panel.end else np.nan
            np.testing.assert_equal(actuals[row, h], expected)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_when_folds_roll_then_they_end_with_the_panel_and_step_evenly(horizon, n, step):
    panel = panel_of({"a": np.ones(horizon + (n - 1) * step + 2)}, end=500)
    folds = rolling_folds(panel, horizon, n, step)
    assert len(folds) == n
    assert folds[-1].cutoff + horizon == panel.end
    assert {b.cutoff - a.cutoff for a, b in itertools.pairwise(folds)} <= {step}
    assert folds[0].history(panel).lengths.max() == 2
    with pytest.raises(ShortHistoryError, match="needed"):
        rolling_folds(panel_of({"a": np.ones(horizon + (n - 1) * step + 1)}, end=500), horizon, n, step)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_when_numbers_are_impossible_then_they_are_refused(numbers):
    with pytest.raises(SettingsError, match="at least 1"):
        rolling_folds(panel_of({"a": np.ones(50)}), *numbers)


def test_when_blanks_are_filled_then_nothing_is_read_beyond_the_cutoff():
    panel = panel_of({"a": [1.0, np.nan, np.nan, 10.0, 4.0, 4.0]}, end=5)
    assert Fold(2, 1).history(panel).y.tolist() == [1.0, 1.0, 1.0]  # 10 was not known yet
    assert Fold(3, 1).history(panel).y.tolist() == [1.0, 4.0, 7.0, 10.0]
    assert Fold(3, 1).history(panel, "forward_fill").y.tolist() == [1.0, 1.0, 1.0, 10.0]


def test_when_a_minimum_length_is_asked_for_then_shorter_series_are_left_out():
    panel = panel_of({"long": np.ones(20), "short": np.ones(5)}, end=100)
    assert Fold(98, 2).history(panel, min_length=4).ids.tolist() == ["long"]
    assert Fold(98, 2).history(panel, min_length=3).ids.tolist() == ["long", "short"]
