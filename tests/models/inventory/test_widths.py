"""How wide totals are: right where errors last, 1 where the paths are right, unmoved by units and unknown demand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import VersionUnreadable
from models.base import Forecast, ForecastSpec
from models.inventory.paths import forecast_paths, widened, widened_totals
from models.inventory.widths import FACTORS, FEWEST, MOST, Came, _crps, widths_of
from models.order_widths import FILE, read_widths, write_widths
from tests.models.inventory.test_paths import panel_of

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
Z = np.array([-1.96, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.96])
MEAN, SD, STEPS, PATHS = 100.0, 15.0, 6, 64


def came(n: int, lasting: float, seed: int = 0, unit: float = 1.0) -> Came:
    """Items forecast at 100 +- 15 a period, each period right; of the variance a share `lasting` is one error that all
    periods of a window have in common. In the past errors did not last."""
    rng = np.random.default_rng(seed)
    history = panel_of(*rng.normal(MEAN, SD, (n, 80)).clip(0) * unit)
    quantiles = np.broadcast_to(MEAN + SD * Z, (n, STEPS, len(Z))) * unit
    forecast = Forecast.build(history, ForecastSpec(STEPS, LEVELS), "made", np.full((n, STEPS), MEAN * unit), quantiles)
    common = rng.normal(size=(n, 1)) * np.sqrt(lasting) + rng.normal(size=(n, STEPS)) * np.sqrt(1 - lasting)
    return Came(forecast, history, (MEAN + SD * common).clip(0) * unit)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12), st.floats(-1e3, 1e3))
def test_when_a_sample_is_scored_then_it_is_the_definition(sample, actual):
    x = np.sort(np.array([sample]), axis=1)
    slow = np.mean([abs(one - actual) for one in sample]) - np.mean([abs(a - b) for a in sample for b in sample]) / 2
    assert _crps(x, np.array([actual]))[0] == pytest.approx(slow, abs=1e-9)


def test_when_errors_last_then_totals_are_as_wide_as_they_turn_out():
    """One lasting error of the variance v beside independent ones: a total of h periods has h (1 - v) + h^2 v of it."""
    past = [came(600, 0.5, seed) for seed in range(2)]
    widths = widths_of(past, PATHS)
    for h in (1, 3, 6):
        assert widths[h - 1] == pytest.approx(np.sqrt(0.5 + 0.5 * h), rel=0.12)
    new = came(2_000, 0.5, 9)
    total = forecast_paths(new.forecast, new.history, STEPS, PATHS, widths=widths).sum(axis=2)
    raw = forecast_paths(new.forecast, new.history, STEPS, PATHS).sum(axis=2)
    short, short_raw = ((new.actual.sum(axis=1) > np.quantile(t, 0.9, axis=1)).mean() for t in (total, raw))
    assert abs(short - 0.1) < 0.03 < abs(short_raw - 0.1)
    assert total.mean(axis=1) == pytest.approx(raw.mean(axis=1))


def test_when_the_paths_are_right_then_they_stay():
    assert widths_of([came(1_500, 0.0)], PATHS) == pytest.approx([1.0] * STEPS, abs=0.13)


def test_when_the_unit_changes_then_the_widths_do_not():
    assert widths_of([came(100, 0.4)], PATHS) == widths_of([came(100, 0.4, unit=64.0)], PATHS)


def test_when_a_total_is_not_known_then_it_tells_nothing():
    one = came(120, 0.5)
    hole = one.actual.copy()
    hole[60:, 0] = np.nan
    worse = replace(one, actual=np.where(np.arange(120)[:, None] < 60, one.actual, 1e9))
    worse.actual[60:, 0] = np.nan
    assert widths_of([replace(one, actual=hole)], PATHS) == widths_of([worse], PATHS)
    unmade = replace(one.forecast, quantiles=one.forecast.quantiles.copy(), mean=one.forecast.mean.copy())
    unmade.quantiles[60:], unmade.mean[60:] = np.nan, np.nan
    half = Came(one.forecast.take(np.arange(60)), one.history.take(np.arange(60)), one.actual[:60])
    assert widths_of([replace(one, forecast=unmade)], PATHS) == widths_of([half], PATHS)


def test_when_there_is_little_to_tell_from_then_the_paths_stay_and_many_are_sampled():
    few = came(FEWEST - 1, 0.9)
    assert widths_of([few], PATHS) == (1.0,) * STEPS
    assert widths_of([], PATHS) == ()
    many = came(MOST + 50, 0.0)
    some = many.sampled()
    assert len(some.forecast.ids) == len(some.actual) == some.history.n_series == MOST
    assert np.array_equal(some.actual, many.actual[[int(name[1:]) for name in some.forecast.ids]])


@given(st.integers(0, 99), st.sampled_from(FACTORS.tolist()))
def test_when_paths_are_widened_then_their_mean_total_stays_and_none_is_negative(seed, factor):
    paths = np.random.default_rng(seed).poisson(0.8, (4, 16, 3)).astype(float)
    wide = widened(paths, factor)
    assert (wide >= 0).all()
    assert wide.sum(axis=2) == pytest.approx(widened_totals(paths.sum(axis=2), factor))
    some = paths.sum(axis=(1, 2)) > 0
    assert wide.sum(axis=2).mean(axis=1)[some] == pytest.approx(paths.sum(axis=2).mean(axis=1)[some])
    assert widened(paths, 1.0) == pytest.approx(paths)


def test_when_widths_are_kept_then_they_come_back_and_a_damaged_file_is_refused(tmp_path):
    assert read_widths(tmp_path) == ()
    write_widths(tmp_path, (1.0, 1.25), {"made_by": "ensemble", "n_origins": 3})
    assert read_widths(tmp_path) == (1.0, 1.25)
    for damage in ({"widths": [1.0, -2]}, {"widths": "1"}, [1.0], {}):
        (tmp_path / FILE).write_text(json.dumps(damage), encoding="utf-8")
        with pytest.raises(VersionUnreadable, match="widths"):
            read_widths(tmp_path)
