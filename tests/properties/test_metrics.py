"""The measures against slow obvious loops, and what must hold for any numbers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation import formulas as f
from evaluation.metrics import by_step, levels, measure
from tests.evaluation.made import from_arrays

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))
AMOUNTS = st.one_of(st.just(0.0), st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)))
ACTUALS = SHAPES.flatmap(lambda shape: arrays(float, shape, elements=st.one_of(st.just(float("nan")), AMOUNTS)))
FORECASTS = st.floats(0, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def scored(draw):
    actual = draw(ACTUALS)
    return actual, draw(arrays(float, actual.shape, elements=FORECASTS))


def cells(actual, forecast):
    return [(y, x) for y, x in zip(actual.ravel(), forecast.ravel(), strict=True) if not math.isnan(y)]


@given(scored())
def test_when_errors_are_pooled_then_they_equal_the_slow_loop(case):
    actual, forecast = case
    pairs = cells(actual, forecast)
    sold = sum(abs(y) for y, _ in pairs)
    wape = f.wape(actual, forecast)
    if sold == 0:
        assert math.isnan(wape)
    else:
        assert wape == pytest.approx(sum(abs(x - y) for y, x in pairs) / sold)
        assert f.bias_rel(actual, forecast) == pytest.approx(sum(x - y for y, x in pairs) / sold, abs=1e-9)
    relative = [abs(y - x) / abs(y) for y, x in pairs if y != 0]
    value, n_used, n_zero = f.mape(actual, forecast)
    assert (n_used, n_zero) == (len(relative), len(pairs) - len(relative))
    assert math.isnan(value) if not relative else value == pytest.approx(np.mean(relative))
    if pairs:
        assert f.rmse(actual, forecast) == pytest.approx(math.sqrt(np.mean([(x - y) ** 2 for y, x in pairs])))


@given(scored(), st.sampled_from([0.5, 4.0, 1024.0]))
def test_when_the_unit_changes_then_fractions_stay_and_amounts_scale(case, c):
    actual, forecast = case
    one, scaled = (measure([from_arrays(actual * k, forecast * k, scale=3 * k, scale_sq=9 * k * k)]) for k in (1.0, c))
    for name in ("wape", "bias_rel", "mape", "mase", "rmsse", "wql", "coverage", "total_error", "r2"):
        assert one[name] == pytest.approx(scaled[name], rel=1e-6, abs=1e-9) if one[name] is not None else (
            scaled[name] is None
        ), name  # fmt: skip
    for name in ("mae", "rmse", "bias", "quantile_loss", "width"):
        if one[name] is not None:
            assert scaled[name] == pytest.approx(one[name] * c, rel=1e-6, abs=1e-6), name


@given(scored())
def test_when_anything_is_measured_then_it_is_strict_json_and_every_null_has_a_reason(case):
    result = from_arrays(*case)
    for found in (measure([result]), *by_step([result]), *levels([result]).values()):
        json.dumps(found, allow_nan=False)
        assert {name for name, value in found.items() if value is None} - {"baseline", "interval"} == set(
            found["reasons"]
        )


@given(scored())
def test_when_the_forecast_is_right_then_every_error_is_zero(case):
    actual, _ = case
    actual = np.abs(actual)
    found = measure([from_arrays(actual, np.nan_to_num(actual))])
    for name in ("wape", "bias", "mape", "mae", "rmse", "mase", "rmsse", "total_error"):
        assert found[name] in (None, 0.0), name


@given(scored())
def test_when_demand_is_added_up_then_errors_of_totals_are_never_larger_than_of_the_parts(case):
    actual, forecast = case
    found = levels([from_arrays(np.abs(actual), forecast, quantiles=np.repeat(forecast[:, :, None], 3, axis=2))])
    if found["style_period"]["wape"] is not None:
        parts = found["style_period"]["wape"] + 1e-9
        assert found["style_total"]["wape"] <= parts
        assert found["fleet_period"]["wape"] <= parts
        assert found["fleet_total"]["wape"] <= min(found["style_total"]["wape"], found["fleet_period"]["wape"]) + 1e-9
