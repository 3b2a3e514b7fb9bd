"""Which way of adding up serves: decided by earlier origins alone, measured, and the same in every table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.backtest import EnsembleAt, Question
from evaluation.folds import Fold, rolling_folds
from evaluation.hierarchy import HierarchySettings, reconcile
from evaluation.intervals import Calibration
from evaluation.selection import Weights
from models.base import FitContext, Forecast, ForecastSpec
from tests.evaluation.made import LEVELS, panel_of

H, SEASON, N = 7, 7, 12
QUESTION = Question(ForecastSpec(H, LEVELS), FitContext(SEASON), "interpolate")
CHOSEN = HierarchySettings(("family",))


def seasonal_fleet(n=N, length=140, seed=2):
    """Noisy styles of three families whose weekly season only the families show clearly."""
    rng = np.random.default_rng(seed)
    week = 1 + 0.8 * np.sin(2 * np.pi * np.arange(length) / SEASON)
    fleet = panel_of({f"S{i:02d}": rng.poisson(6 * week * (1 + i % 3)).astype(float) for i in range(n)}, 20_000)
    return replace(fleet, static={"family": np.array(["a", "b", "c"])[np.arange(n) % 3]})


def ensembles(panel, folds, mean_of):
    """An ensemble at each origin whose means are `mean_of(history)` [N, H]."""
    out = []
    for fold in folds:
        history = QUESTION.history(panel, fold)
        mean = mean_of(history)
        forecast = Forecast.build(history, QUESTION.spec, "ensemble", mean, mean[:, :, None] * np.array([0.5, 1, 1.5]))
        weights = Weights(history.ids, ("x",), np.ones((history.n_series, 1)), np.ones(1), "configured", 0, {})
        out.append(EnsembleAt(fold, forecast, weights, Calibration(LEVELS, None), None))
    return out


def flat(history):
    return np.repeat(np.nanmean(history.tail(28), axis=1)[:, None], H, axis=1)


@pytest.fixture(scope="module")
def panel():
    return seasonal_fleet()


@pytest.fixture(scope="module")
def folds(panel):
    return [*rolling_folds(panel, H, 4, H), Fold(panel.end, H)]


@pytest.fixture(scope="module")
def found(panel, folds):
    return reconcile(panel, ensembles(panel, folds, flat), QUESTION, CHOSEN)


def test_when_families_show_what_styles_cannot_then_mint_serves_once_two_origins_have_shown_it(found, panel):
    served = [one.served for one in found.origins]
    assert served == ["bottom_up"] * 3 + ["min_trace"] * 2
    assert "2 are needed" in found.origins[2].reason
    rows = found.effect()
    assert [row["level"] for row in rows] == ["style", "family", "total"]
    assert [row["nodes"] for row in rows] == [N, 3, 1]
    assert all(row["origins"] == 3 for row in rows)
    for row in rows:
        assert row["wape_min_trace"] < row["wape_served"] < row["wape_bottom_up"]
    by_hand = [
        np.abs(one.actual[1] - one.bottom_up[1]).sum() for one in found.origins[1:4]
    ]  # fmt: skip
    demand = sum(np.abs(one.actual[1]).sum() for one in found.origins[1:4])
    assert rows[1]["wape_bottom_up"] == pytest.approx(sum(by_hand) / demand)
    assert "MinT serves" in found.sentence()


def test_when_styles_are_right_and_families_are_not_then_bottom_up_stays_and_it_is_said(folds):
    panel = seasonal_fleet()
    jump = panel.periods > folds[0].cutoff  # demand moves to another level: only the styles' models know
    moved = replace(panel, y=np.where(jump & (panel.periods % 2 == 0), 3 * panel.y, panel.y))

    def told(history):
        return answers[history.end]

    answers = {
        fold.cutoff: np.nan_to_num(fold.actuals(moved, QUESTION.history(moved, fold)), nan=1.0) for fold in folds
    }
    found = reconcile(moved, ensembles(moved, folds, told), QUESTION, CHOSEN)
    assert {one.served for one in found.origins} == {"bottom_up"}
    assert "larger" in found.origins[-1].reason
    same = ensembles(moved, folds, told)[-1].forecast
    assert found.origins[-1].ensemble.forecast.mean.tobytes() == same.mean.tobytes()
    assert found.origins[-1].ensemble.forecast.note.tolist() == same.note.tolist()


@pytest.mark.slow
def test_when_everything_after_an_origin_is_a_million_times_larger_then_nothing_there_moves(panel, folds, found):
    for k, fold in enumerate(folds[1:-1], start=1):
        late = panel.periods > fold.cutoff
        poisoned = replace(panel, y=np.where(late, panel.y * 1e6 + 1e6, panel.y))
        other = reconcile(poisoned, ensembles(poisoned, folds, flat), QUESTION, CHOSEN).origins[k]
        assert other.served == found.origins[k].served
        for one, two in ((found.origins[k].means, other.means), (found.origins[k].min_trace, other.min_trace)):
            assert all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


def test_when_windows_overlap_then_an_origin_learns_nothing_from_one_that_has_not_ended(panel):
    close = [*rolling_folds(panel, H, 4, 2)]
    assert all(
        one.min_trace is None for one in reconcile(panel, ensembles(panel, close, flat), QUESTION, CHOSEN).origins
    )


def test_when_means_are_reconciled_then_quantiles_stay_and_the_rows_say_what_moved(found, panel, folds):
    before, after = found.origins[-1].at.forecast, found.origins[-1].ensemble.forecast
    assert after.quantiles.tobytes() == before.quantiles.tobytes()
    assert not np.allclose(after.mean, before.mean)
    assert (after.mean >= 0).all()
    assert after.made_by.tolist() == before.made_by.tolist()
    assert set(after.note) == {
        "reconciled in its mean with family, total (MinT), quantiles are each style's own and do not move"
    }


def test_when_the_table_is_written_then_each_level_is_the_sum_of_what_is_served(found, panel, folds):
    frame = found.to_frame([fold.cutoff for fold in folds[2:]], found.origins[-1].ensemble.forecast)
    family = dict(zip(panel.ids.tolist(), panel.static["family"].tolist(), strict=True))
    for fold in folds[2:]:
        served = found.at(fold.cutoff).ensemble.forecast.to_frame()
        here = frame[frame["cutoff"] == served["cutoff"].iloc[0]]
        sums = served.assign(node=served["unique_id"].map(family)).groupby(["node", "ds"])["mean"].sum()
        told = here[here["level"] == "family"].set_index(["node", "ds"])["mean"]
        assert np.abs(told - sums).max() < 1e-9
        total = here[here["level"] == "total"].set_index("ds")["mean"]
        assert np.abs(total - told.groupby("ds").sum()).max() < 1e-9
    assert not frame[["mean", "bottom_up"]].isna().any(axis=None)


def test_when_another_model_is_served_then_the_table_sums_that_one_at_the_live_origin(found, panel, folds):
    live = replace(found.origins[-1].at.forecast, mean=np.ones((N, H)))
    frame = found.to_frame([panel.end], live)
    assert set(frame.loc[frame["level"] == "total", "mean"]) == {float(N)}


def test_when_cells_are_unknown_then_they_are_not_measured_at_the_style_and_the_run_goes_on(panel, folds):
    y = panel.y.copy()
    y[panel.periods == folds[-2].cutoff + 1] = np.nan
    holes = replace(panel, y=y)
    found = reconcile(holes, ensembles(holes, folds, flat), QUESTION, CHOSEN)
    newest = found.origins[-2]
    assert newest.known.sum() == N * (H - 1)
    assert newest.errors()["bottom_up"][0] == pytest.approx(
        np.nansum(np.abs(folds[-2].actuals(holes, QUESTION.history(holes, folds[-2])) - newest.bottom_up[0]))
    )


def test_when_a_family_is_born_between_origins_then_it_takes_part_from_then_on(folds):
    panel = seasonal_fleet()
    young = panel.static["family"] == "c"
    keep = np.concatenate([np.arange(panel.indptr[i] + (100 if young[i] else 0), panel.indptr[i + 1])
                           for i in range(N)])  # fmt: skip
    lengths = panel.lengths - 100 * young
    born = replace(panel, indptr=np.concatenate([[0], np.cumsum(lengths)]), y=panel.y[keep])
    folds = [*rolling_folds(born, H, 6, H), Fold(born.end, H)]
    found = reconcile(born, ensembles(born, folds, flat), QUESTION, CHOSEN)
    assert [len(one.tree.nodes[0]) for one in found.origins] == [2, 3, 3, 3, 3, 3, 3]
    assert np.isfinite(found.origins[-1].min_trace[0]).all()
    assert found.origins[1].min_trace is None or np.isfinite(found.origins[1].min_trace[0]).all()


def test_when_nothing_was_sold_then_the_effect_is_undefined_and_bottom_up_serves(folds):
    silent = replace(seasonal_fleet(), y=np.zeros(N * 140))
    found = reconcile(silent, ensembles(silent, folds, flat), QUESTION, CHOSEN)
    assert found.origins[-1].served == "bottom_up"
    assert all(row["wape_bottom_up"] is None for row in found.effect())
    assert (found.origins[-1].means[0] == 0).all()
