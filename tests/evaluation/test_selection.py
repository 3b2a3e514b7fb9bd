"""The ensemble's weights: from ended windows only, summing to 1, vetoes visible, shrunk as the slow loop does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.classes import demand_classes
from evaluation.folds import Fold
from evaluation.selection import (
    CLASS_ORIGINS,
    FLEET_ORIGINS,
    MAX_GRID,
    SHARPNESS,
    exploded,
    simplex,
    weigh,
)
from models.base import Forecast, ForecastSpec
from models.ensemble import EnsembleSettings, middle_mean
from tests.evaluation.made import LEVELS, forecast_of, level_forecast, panel_of, result_of, sparse_panel

SEASON, H = 7, 7
NAMES = ("arima", "xgboost", "seasonal_naive")
SETTINGS = EnsembleSettings(models=("arima", "xgboost"), weights=(0.25, 0.75), extra_members=("seasonal_naive",))


def seasonal(history, h):
    return np.resize(np.nan_to_num(history.tail(7)).T, (h, history.n_series)).T


MAKERS = {
    "arima": level_forecast,
    "xgboost": lambda history, h: 1.3 * level_forecast(history, h) + 1,
    "seasonal_naive": seasonal,
}


def made(n_past=2, panel=None, **named):
    """history, members, past, classes of a small race whose last origin is the panel's end."""
    panel = sparse_panel(n=12, length=100) if panel is None else panel
    folds = [Fold(panel.end - H * (k + 1), H) for k in reversed(range(n_past))]
    past = {name: [result_of(panel, fold, make, name) for fold in folds] for name, make in MAKERS.items()}
    members = {name: forecast_of(panel, make(panel, H), kind=name) for name, make in MAKERS.items()}
    return panel, members | named, past, demand_classes(panel)


def test_when_there_are_earlier_origins_then_each_style_has_weights_that_sum_to_one():
    history, members, past, classes = made()
    for method in ("grid_search", "inverse_error"):
        weights = weigh(history, members, past, classes, replace(SETTINGS, weight_optimization_method=method), SEASON)
        assert weights.basis == method
        assert weights.n_origins == 2
        assert (weights.values >= 0).all()
        np.testing.assert_allclose(weights.values.sum(axis=1), 1.0)
        np.testing.assert_allclose(weights.fleet.sum(), 1.0)
        assert weights.vetoed == {}
        assert len(np.unique(weights.values.round(9), axis=0)) > 1  # styles differ


def test_when_a_window_had_not_ended_then_using_it_is_an_error():
    history, members, past, classes = made()
    known = history.until(history.end - 1)
    now = {name: forecast_of(known, make(known, H), kind=name) for name, make in MAKERS.items()}
    with pytest.raises(ValueError, match="window had not ended"):
        weigh(known, now, past, demand_classes(known), SETTINGS, SEASON)
    assert weigh(history, members, past, classes, SETTINGS, SEASON).n_origins == 2


def test_when_there_is_no_earlier_origin_then_the_configured_weights_are_used():
    history, members, _, classes = made()
    weights = weigh(history, members, {}, classes, SETTINGS, SEASON)
    assert (weights.basis, weights.n_origins) == ("configured", 0)
    np.testing.assert_allclose(weights.values, np.tile([0.25, 0.75, 0.0], (history.n_series, 1)))


def test_when_weights_are_not_to_be_optimised_then_the_configured_ones_stay():
    history, members, past, classes = made()
    weights = weigh(history, members, past, classes, replace(SETTINGS, optimize_weights=False), SEASON)
    assert weights.basis == "configured"
    np.testing.assert_allclose(weights.fleet, [0.25, 0.75, 0.0])


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_when_members_are_to_count_alike_then_they_do(aggregation):
    history, members, past, classes = made()
    weights = weigh(history, members, past, classes, replace(SETTINGS, aggregation=aggregation), SEASON)
    assert weights.basis == "equal"
    np.testing.assert_allclose(weights.values, 1 / 3)


def test_when_stacked_then_weights_are_the_least_squares_of_the_fleet():
    history, members, past, classes = made()
    weights = weigh(history, members, past, classes, replace(SETTINGS, aggregation="stacking"), SEASON)
    assert weights.basis == "stacking"
    assert (weights.values >= 0).all()
    np.testing.assert_allclose(weights.values, np.tile(weights.fleet, (history.n_series, 1)))
    perfect = {**past, "arima": [
        replace(r, forecast=forecast_of(r.fold.history(history), np.nan_to_num(r.actuals), kind="arima"))
        for r in past["arima"]
    ]}  # fmt: skip
    sure = weigh(history, members, perfect, classes, replace(SETTINGS, aggregation="stacking"), SEASON)
    np.testing.assert_allclose(sure.fleet, [1.0, 0.0, 0.0], atol=1e-9)


def test_when_a_member_has_no_row_then_it_is_vetoed_there_and_counted():
    history, members, past, classes = made()
    one = members["arima"]
    members["arima"] = Forecast.build(
        history, ForecastSpec(H, LEVELS), "arima", one.mean, one.quantiles, reasons={2: "did not converge"}
    )
    weights = weigh(history, members, past, classes, SETTINGS, SEASON)
    calm = weigh(history, {**members, "arima": one}, past, classes, SETTINGS, SEASON)
    assert weights.vetoed == {"arima": 1}
    assert weights.values[2, 0] == 0.0
    np.testing.assert_allclose(weights.values.sum(axis=1), 1.0)
    others = np.arange(history.n_series) != 2
    assert np.array_equal(weights.values[others], calm.values[others])
    share = calm.values[2, 1:] / calm.values[2, 1:].sum()
    np.testing.assert_allclose(weights.values[2, 1:], share)


def test_when_a_member_explodes_then_it_is_vetoed_there_and_nowhere_else():
    history, members, past, classes = made()
    mean = members["xgboost"].mean.copy()
    mean[5, 3] = 1e9
    members["xgboost"] = forecast_of(history, mean, kind="xgboost")
    weights = weigh(history, members, past, classes, SETTINGS, SEASON)
    assert weights.vetoed == {"xgboost": 1}
    assert weights.values[5, 1] == 0.0
    assert (weights.values[np.arange(12) != 5, 1] > 0).any()


def test_when_all_members_are_vetoed_then_the_style_has_no_weight_at_all():
    history, members, past, classes = made()
    for name, one in members.items():
        members[name] = Forecast.build(
            history, ForecastSpec(H, LEVELS), name, one.mean, one.quantiles, reasons={0: "failed"}
        )
    weights = weigh(history, members, past, classes, SETTINGS, SEASON)
    assert weights.vetoed == dict.fromkeys(NAMES, 1)
    assert (weights.values[0] == 0).all()
    np.testing.assert_allclose(weights.values[1:].sum(axis=1), 1.0)


def test_when_only_members_without_weight_are_left_then_they_share_it():
    history, members, _, classes = made()
    for name in ("arima", "xgboost"):  # the two that are configured
        one = members[name]
        members[name] = Forecast.build(
            history, ForecastSpec(H, LEVELS), name, one.mean, one.quantiles, reasons={0: "failed"}
        )
    weights = weigh(history, members, {}, classes, SETTINGS, SEASON)
    assert weights.values[0].tolist() == [0.0, 0.0, 1.0]


def test_when_a_forecast_is_far_beyond_the_history_then_it_has_exploded():
    history = panel_of({"a": np.full(50, 10.0), "new": np.zeros(50), "old": [1000.0] + [0.0] * 49}, end=100)
    limit = {"a": 100.0, "new": 10 * 505.0, "old": 10_000.0}  # the usual level is the median of 10 and 1000
    for i, name in enumerate(history.ids):
        for factor, expected in ((0.999, False), (1.001, True)):
            mean = np.ones((3, H))
            mean[i, 2] = limit[str(name)] * factor
            found = exploded(forecast_of(history, mean, spread=0.0), history, SEASON)
            assert found.tolist() == [expected if row == i else False for row in range(3)]


def twin_weights(history, past, classes, grid):
    """[N, M] by loops: pinball losses, relative to the mean over the grid, own + class + fleet, soft minimum."""
    n, names = history.n_series, list(past)
    losses = np.zeros((len(grid), n))
    origins = np.zeros(n)
    for k in range(len(past[names[0]])):
        results = [past[name][k] for name in names]
        for row, series in enumerate(results[0].forecast.ids.tolist()):
            i = history.ids.tolist().index(series)
            origins[i] += 1
            for h in range(H):
                actual = results[0].actuals[row, h]
                if np.isnan(actual):
                    continue
                for g, weights in enumerate(grid):
                    for q, level in enumerate(LEVELS):
                        said = sum(w * r.forecast.quantiles[row, h, q] for w, r in zip(weights, results, strict=True))
                        error = actual - said
                        losses[g, i] += level * error if error >= 0 else (level - 1) * error
    level = losses.mean(axis=0)
    scored = [i for i in range(n) if level[i] > 0]

    def views(of):
        volume = losses[:, of].sum(axis=1) / level[of].sum()
        alike = np.mean([losses[:, i] / level[i] for i in of], axis=0)
        return (volume + alike) / 2

    fleet = views(scored)
    out = np.zeros((n, len(grid[0])))
    for i in range(n):
        mine = [j for j in scored if classes[j] == classes[i]]
        group = views(mine) if mine else fleet
        own, seen = (losses[:, i] / level[i], origins[i]) if level[i] > 0 else (np.ones(len(grid)), 0.0)
        score = (seen * own + CLASS_ORIGINS * group + FLEET_ORIGINS * fleet) / (seen + CLASS_ORIGINS + FLEET_ORIGINS)
        near = np.exp(-(score - score.min()) / SHARPNESS)
        out[i] = (near / near.sum()) @ np.array(grid)
    return out


def test_when_losses_are_shrunk_then_it_equals_the_slow_twin():
    panel = sparse_panel(n=6, length=60)
    zeros = panel_of({**{str(i): panel.series(k) for k, i in enumerate(panel.ids)}, "Z": np.zeros(60)}, panel.end)
    history, members, past, classes = made(panel=zeros)
    grid = [[a / 4, b / 4, (4 - a - b) / 4] for a in range(5) for b in range(5 - a)]
    import evaluation.selection as room

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "simplex", lambda n: np.array(grid))
        weights = weigh(history, members, past, classes, SETTINGS, SEASON)
    slow = twin_weights(history, past, classes, grid)
    usable = np.column_stack([m.made & ~exploded(m, history, SEASON) for m in members.values()])
    slow = np.where(usable, slow, 0.0)
    np.testing.assert_allclose(weights.values, slow / slow.sum(axis=1, keepdims=True), rtol=1e-9)


@given(st.integers(2, 7))
def test_when_a_simplex_is_cut_then_its_points_are_distinct_weights_with_every_corner(n):
    grid = simplex(n)
    assert grid.shape[1] == n
    assert len(grid) <= MAX_GRID
    np.testing.assert_allclose(grid.sum(axis=1), 1.0)
    assert (grid >= 0).all()
    points = {tuple(point) for point in grid.round(9).tolist()}
    assert len(points) == len(grid)
    assert {tuple(corner) for corner in np.eye(n).tolist()} <= points


def test_when_the_weights_are_shown_then_each_style_is_a_row_and_each_member_a_column():
    history, members, past, classes = made()
    frame = weigh(history, members, past, classes, SETTINGS, SEASON).to_frame()
    assert list(frame.columns) == ["unique_id", *NAMES]
    assert frame["unique_id"].tolist() == history.ids.tolist()


def test_when_the_middle_mean_lost_less_at_earlier_origins_then_its_classes_are_named_as_the_slow_loop_names_them():
    found = set()
    for seed in range(6):
        history, members, past, classes = made(panel=sparse_panel(n=14, length=100, seed=seed))
        weights = weigh(history, members, past, classes, SETTINGS, SEASON)
        losses = {"mean": {}, "middle": {}}
        for k in range(2):
            then = [past[name][k] for name in weights.members]
            for i, name in enumerate(then[0].forecast.ids):
                row = int(np.searchsorted(weights.ids, name))
                for step in range(H):
                    actual = then[0].actuals[i, step]
                    theirs = np.array([result.forecast.quantiles[i, step] for result in then])  # [M, Q]
                    for way, mixed in (
                        ("mean", weights.values[row] @ theirs), ("middle", middle_mean(theirs, weights.values[row])),
                    ):  # fmt: skip
                        loss = sum(
                            max(q * (actual - f), (q - 1) * (actual - f)) for q, f in zip(LEVELS, mixed, strict=True)
                        )
                        losses[way][row] = losses[way].get(row, 0.0) + loss
        expected = []
        for name in np.unique(classes):
            rows = [r for r in losses["mean"] if classes[r] == name and losses["mean"][r] + losses["middle"][r] > 0]
            change = [losses["middle"][r] - losses["mean"][r] for r in rows]
            level = [(losses["middle"][r] + losses["mean"][r]) / 2 for r in rows]
            if rows and np.mean(np.array(change) / level) + sum(change) / sum(level) < 0:
                expected.append(str(name))
        assert weights.trimmed == tuple(expected)
        found |= {(name in expected) for name in np.unique(classes)}
    assert found == {True, False}


def test_when_weights_are_not_learned_then_no_class_is_trimmed():
    history, members, past, classes = made()
    for settings, results in (
        (SETTINGS, {}), (replace(SETTINGS, optimize_weights=False), past),
        (replace(SETTINGS, aggregation="mean"), past), (replace(SETTINGS, aggregation="stacking"), past),
    ):  # fmt: skip
        assert weigh(history, members, results, classes, settings, SEASON).trimmed == ()
