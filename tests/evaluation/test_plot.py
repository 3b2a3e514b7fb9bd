import numpy as np
import pytest

from evaluation import plot
from evaluation.leaderboard import leaderboard
from tests.evaluation.made import from_arrays, race

PNG = b"\x89PNG\r\n\x1a\n"


def size_of(path):
    head = path.read_bytes()[:24]
    assert head[:8] == PNG
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


@pytest.mark.slow
def test_when_a_backtest_is_plotted_then_one_png_is_written_without_a_display(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    results = race()
    path = tmp_path / "backtest.png"
    said = plot.plot_backtest(path, leaderboard(results), results, {f"lag_{k}": 1 / 12 for k in range(12)}, "yds")
    assert said == ""
    width, height = size_of(path)
    assert width > 1000
    assert height > 800


def test_when_matplotlib_is_missing_then_the_plot_is_a_named_skip_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    results = race()
    path = tmp_path / "backtest.png"
    assert "matplotlib" in plot.plot_backtest(path, leaderboard(results), results)
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("actual", [np.zeros((2, 3)), np.full((2, 3), np.nan)], ids=["all-zero", "unknown"])
def test_when_nothing_can_be_measured_then_the_plot_is_still_written(tmp_path, actual):
    results = {n: [from_arrays(actual, np.ones((2, 3)), model=n)] for n in ("zero", "mean", "seasonal_naive")}
    board = leaderboard(results)
    if np.isnan(actual).all():
        board.loc[1:, "score"] = 1.0  # nothing ranks; the plot needs a model to draw
    plot.plot_backtest(tmp_path / "backtest.png", board, results)
    size_of(tmp_path / "backtest.png")


def test_when_there_are_many_windows_then_the_newest_and_those_two_horizons_back_are_drawn():
    results = race(n=6, horizon=7, step=7)["mean"]
    cutoffs = sorted(r.fold.cutoff for r in results)
    assert [r.fold.cutoff for r in plot.newest_windows(results[::-1])] == cutoffs[-3:]
    assert plot.newest_windows(results[:1]) == results[:1]


@pytest.mark.slow
def test_when_a_backtest_kept_no_fit_then_the_importance_panel_says_so_and_the_axis_has_a_unit():
    from matplotlib.figure import Figure

    figure = Figure()
    importance, totals = figure.subplots(1, 2)
    plot._importance(importance, {})
    assert "not kept in a backtest" in importance.texts[0].get_text()
    plot._against_actuals(totals, race(n=6, horizon=7, step=7)["mean"], "mean", "yds")
    assert totals.get_ylabel() == "yds"
    assert "newest 3 of 6 windows" in totals.get_title(loc="left")
