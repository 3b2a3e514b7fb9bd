"""The chain: which level made a row, who signed it and why it was needed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import ModelError
from demand.panel import Panel
from models.base import FitContext, Forecast, ForecastSpec
from models.baselines import Naive
from models.fallback import complete, nothing
from models.smoothing import ExponentialSmoothing

SPEC = ForecastSpec(4)
CONTEXT = FitContext(7)


def panel_of(*series):
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in series])]).astype(np.int64)
    ids = np.array([f"s{i:02d}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate(series).astype(float), 20_000, "D")


FLEET = panel_of(np.arange(1.0, 31.0), np.zeros(30), np.array([5.0]), 20 + np.arange(60) % 7)


def with_holes(*rows):
    """A forecast in which these rows are missing, for the reason of their number."""
    whole = Naive().fit(FLEET, SPEC, CONTEXT).forecast(FLEET)
    return Forecast.build(
        FLEET, SPEC, "asked", whole.mean, whole.quantiles, reasons={row: f"broken {row}" for row in rows}
    )


def test_when_every_row_is_there_then_nothing_changes():
    forecast = with_holes()
    done = complete(forecast, FLEET, SPEC, CONTEXT)
    assert done is forecast


def test_when_rows_are_missing_then_smoothing_makes_and_signs_them_and_the_reason_stays():
    done = complete(with_holes(0, 3), FLEET, SPEC, CONTEXT)
    assert done.made_by.tolist() == ["exponential_smoothing", "asked", "asked", "exponential_smoothing"]
    assert done.level.tolist() == [2, 0, 0, 2]
    assert done.reason.tolist() == ["broken 0", "", "", "broken 3"]
    alone = ExponentialSmoothing().fit(FLEET, SPEC, CONTEXT).forecast(FLEET)
    assert np.array_equal(done.mean[[0, 3]], alone.mean[[0, 3]])
    assert np.array_equal(done.quantiles[[0, 3]], alone.quantiles[[0, 3]])
    assert np.array_equal(done.mean[[1, 2]], with_holes(0, 3).mean[[1, 2]])


def test_when_a_single_model_has_the_row_then_it_comes_before_smoothing():
    best = replace(with_holes(3), made_by=np.array(["best", "best", "best", ""]))
    second = replace(with_holes(), made_by=np.array(["second"] * 4))
    done = complete(with_holes(0, 3), FLEET, SPEC, CONTEXT, alternatives=[best, second])
    assert done.made_by.tolist() == ["best", "asked", "asked", "second"]
    assert done.level.tolist() == [1, 0, 0, 1]
    assert done.reason.tolist() == ["broken 0", "", "", "broken 3; level 1: broken 3"]


def test_when_an_alternative_lacks_series_then_rows_are_found_by_id():
    part = FLEET.take([1, 3])
    best = Naive().fit(part, SPEC, CONTEXT).forecast(part)
    done = complete(with_holes(2, 3), FLEET, SPEC, CONTEXT, alternatives=[best])
    assert done.made_by.tolist() == ["asked", "asked", "exponential_smoothing", "naive"]
    assert np.array_equal(done.mean[3], best.mean[1])


def test_when_smoothing_fails_then_the_last_level_makes_the_row(monkeypatch):
    original = ExponentialSmoothing.fit

    class Broken:
        def __init__(self, fitted):
            self.fitted = fitted

        def forecast(self, history):
            made = self.fitted.forecast(history)
            rows = dict.fromkeys(range(history.n_series), "smoothing broke")
            return Forecast.build(history, SPEC, "exponential_smoothing", made.mean, made.quantiles, reasons=rows)

    monkeypatch.setattr(ExponentialSmoothing, "fit", lambda self, *question: Broken(original(self, *question)))
    done = complete(with_holes(1, 2), FLEET, SPEC, CONTEXT)
    assert done.made_by.tolist() == ["asked", "moving_average", "moving_average", "asked"]
    assert done.level.tolist() == [0, 3, 3, 0]
    assert done.reason[2] == "broken 2; level 2: smoothing broke"
    assert np.allclose(done.mean[2], 5.0)


def test_when_no_model_was_run_then_every_row_is_made_by_the_chain_with_that_reason():
    done = complete(nothing(FLEET, SPEC, "enable_ml is false"), FLEET, SPEC, CONTEXT)
    assert done.made.all()
    assert (done.level >= 2).all()
    assert (done.reason == "enable_ml is false").all()


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=40), min_size=1, max_size=4))
def test_when_any_finite_history_comes_then_the_chain_never_ends_without_a_row(series):
    panel = panel_of(*[np.array(y) for y in series])
    done = complete(nothing(panel, SPEC, "none"), panel, SPEC, CONTEXT)
    assert done.made.all()
    assert np.isfinite(done.quantiles).all()
    assert (np.diff(done.quantiles, axis=2) >= 0).all()


def test_when_the_forecast_answers_another_question_then_it_is_refused():
    forecast = with_holes(0)
    with pytest.raises(ModelError, match="another question"):
        complete(forecast, FLEET, ForecastSpec(5), CONTEXT)
    with pytest.raises(ModelError, match="another question"):
        complete(forecast, replace(FLEET, end=FLEET.end + 1), SPEC, CONTEXT)
    with pytest.raises(ModelError, match="other series"):
        complete(forecast, FLEET.take([0, 1, 2]), SPEC, CONTEXT)
