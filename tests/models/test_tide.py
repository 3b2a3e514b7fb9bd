"""TiDE: its recipe and weights without TensorFlow, and (marked deep) what the network learns and keeps."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from demand.errors import FitError, SettingsError
from demand.panel import Panel
from models.base import FitContext, ForecastSpec
from models.config import ModelConfig
from models.lstm_training import Pool
from models.lstm_windows import WindowLayout, WindowSource
from models.tide import Tide
from models.tide_network import TideShape, build_tide
from models.tide_training import Usual

SPEC = ForecastSpec(7)
CONTEXT = FitContext(season=7, seed=3, threads=1)
TINY = Tide(encoder=(12, 6), decoder=8, time_steps=10, steps=6, batch_size=16, steps_ahead=3)
CONFIG = Path(__file__).parents[2] / "conf" / "model" / "tide.yaml"


def weekly(n_series=6, n=120, seed=0, noise=16):
    """Series of a weekly rhythm whose size is the tenfold of their place."""
    rng = np.random.default_rng(seed)
    week = 1 + 0.5 * np.sin(2 * np.pi * np.arange(n) / 7)
    y = np.concatenate([10 * (i + 1) * week * rng.gamma(noise, 1 / noise, n) for i in range(n_series)])
    return Panel(np.array([f"s{i:02d}" for i in range(n_series)]), np.arange(n_series + 1) * n, y, 20_000, "D")


def source_of(panel, **layout):
    return WindowSource(panel, WindowLayout(time_steps=10, horizon=7, periods=(7,), **layout))


def same(a, b):
    return np.array_equal(a.mean, b.mean) and np.array_equal(a.quantiles, b.quantiles)


# ---- without TensorFlow ---------------------------------------------------------------------------------------------


def test_when_configured_as_shipped_then_the_recipe_has_its_defaults():
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert Tide.from_config(ModelConfig(**values)) == Tide()


def test_when_only_the_recipe_is_imported_then_tensorflow_is_not():
    import subprocess

    code = "import sys, models.tide; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("features", [("season",), ("demand", "weather")])
def test_when_features_are_impossible_then_the_key_is_named(features):
    with pytest.raises(SettingsError, match=r"features|demand"):
        replace(TINY, features=features)


def test_when_there_are_too_few_windows_then_it_says_how_many_are_needed():
    with pytest.raises(FitError, match="Insufficient data") as caught:
        TINY.fit(weekly(n=20), SPEC, replace(CONTEXT, min_rows=500))
    assert "needed=500" in str(caught.value)


def test_when_windows_are_weighed_then_each_counts_by_its_volume_and_none_more_than_ten():
    panel = weekly()
    source = source_of(panel)
    pool = Pool.of(*source.origins(10_000))
    usual = Usual.of(source, pool, np.random.default_rng(1))
    assert usual.scale == pytest.approx(35.0, rel=0.05)  # the mean of 10, 20 .. 60
    np.testing.assert_allclose(usual.weights(np.array([usual.scale, usual.scale / 4, 1e9])), [1, 0.25, 10])


def test_when_one_row_is_wild_then_the_mean_learns_no_more_than_the_fleet_usually_shows():
    panel = weekly(n_series=40)
    y = panel.y.copy()
    y[-3] = 1e7
    wild = source_of(replace(panel, y=y))
    pool = Pool.of(*wild.origins(100_000))
    assert Usual.of(wild, pool, np.random.default_rng(1)).wild < 50


# ---- with TensorFlow ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return TINY.fit(weekly(), SPEC, CONTEXT)


@pytest.mark.deep
def test_when_the_network_is_untrained_then_every_head_is_the_plain_mean_of_its_anchors():
    windows = source_of(weekly()).windows(np.array([0, 3]), np.array([60, 80]))
    widths = {"channels": 2, "ahead": 2, "static": 2, "anchors": 2}
    for name, part in zip(widths, windows, strict=False):
        widths[name] = part.shape[-1]
    network = build_tide(TideShape((8,), 8, 0.1, 10, **widths, heads=4), seed=1)
    answer = np.asarray(network(list(windows[:4]), training=False))
    assert answer.shape == (2, 7, 4)
    np.testing.assert_allclose(answer, np.repeat(windows.anchors.mean(axis=2)[:, :, None], 4, axis=2), rtol=1e-5)


@pytest.mark.deep
@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": (12,)}, {"decoder": 6}, {"dropout": 0.5}, {"time_steps": 12}, {"steps": 7}, {"batch_size": 8},
        {"steps_ahead": 7}, {"learning_rate": 0.02}, {"features": ("demand", "season")},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_when_a_parameter_changes_then_the_forecast_changes(fitted, changes):
    other = replace(TINY, **changes).fit(weekly(), SPEC, CONTEXT)
    assert not same(other.forecast(weekly()), fitted.forecast(weekly()))


@pytest.mark.deep
def test_when_no_time_is_left_then_time_budget_and_when_a_little_then_the_state_so_far(monkeypatch):
    import models.tide_training as training

    with pytest.raises(FitError, match="time_budget"):
        TINY.fit(weekly(), SPEC, replace(CONTEXT, max_seconds=1e-9))
    clock = iter([time.monotonic()] * 4 + [np.inf] * 9)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    facts = TINY.fit(weekly(), SPEC, CONTEXT).facts
    assert (facts["stopped_by"], facts["steps"]) == ("time_budget", 4)


@pytest.mark.deep
def test_when_the_training_diverged_then_it_is_refused(monkeypatch):
    import models.tide_training as training

    monkeypatch.setattr(training, "weights_of", lambda network: {"w00": np.array([1.0, np.nan])})
    with pytest.raises(FitError, match="diverged"):
        TINY.fit(weekly(), SPEC, CONTEXT)


@pytest.mark.deep
@pytest.mark.slow
def test_when_there_is_a_rhythm_then_it_learns_it_and_its_quantiles_hold_what_comes():
    panel = weekly(n_series=30, n=240, noise=40)
    history = panel.until(panel.end - 7)
    recipe = Tide(encoder=(64,), decoder=32, time_steps=21, steps=400, batch_size=64)
    forecast = recipe.fit(history, SPEC, CONTEXT).forecast(history)
    truth = panel.tail(7)
    flat = np.repeat(history.tail(28).mean(axis=1)[:, None], 7, axis=1)
    assert np.abs(truth - forecast.median).sum() < 0.5 * np.abs(truth - flat).sum()
    inside = (truth >= forecast.quantiles[:, :, 0]) & (truth <= forecast.quantiles[:, :, -1])
    assert 0.65 < inside.mean() < 0.95  # of 80 %
    assert abs(forecast.mean.sum() / truth.sum() - 1) < 0.05
