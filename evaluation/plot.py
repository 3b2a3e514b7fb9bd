"""The backtest as one picture: 2 x 2, made without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluation.backtest_json import fleet_totals
from evaluation.leaderboard import best_model
from evaluation.results import FoldResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_MODELS = 14  # rows of a bar chart that can still be read
NO_IMPORTANCE = "No feature importances: no live fit states any\n(fits are not kept in a backtest)"
INK, MUTED, ACCENT, SECOND = "#1f2933", "#8a94a3", "#2f6fb0", "#d98a2b"


def plot_backtest(
    path: Path,
    board: pd.DataFrame,
    results: Mapping[str, Sequence[FoldResult]],
    importance: Mapping[str, float] | None = None,
    unit: str = "",
) -> str:
    """Writes the PNG and returns ""; without matplotlib writes nothing and returns why it was skipped.

    Top left: WAPE and, where it is defined, MAPE by model. Top right: the best model against the actual fleet total,
    the newest windows. Bottom left: RMSE and MAE (unit sold) with R2. Bottom right: the ten largest `importance`
    shares, or a line that says why there are none.
    """
    if find_spec("matplotlib") is None:
        return "skipped: plotting needs matplotlib, which is not installed"
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    best = best_model(board)
    shown = board.head(MAX_MODELS).iloc[::-1]
    figure = Figure(figsize=(14, 10), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _errors(axes[0, 0], shown, best)
    _against_actuals(axes[0, 1], results[best], best, unit)
    _sizes(axes[1, 0], shown, unit)
    _importance(axes[1, 1], importance or {})
    hidden = len(board) - len(shown)
    note = f" ({hidden} more models in leaderboard.parquet)" if hidden else ""
    figure.suptitle(f"Backtest: {len(results[best])} origins, best model {best}{note}", fontsize=15, color=INK)
    figure.savefig(path, dpi=110, format="png")
    return ""


def _errors(axis: Axes, board: pd.DataFrame, best: str) -> None:
    place = np.arange(len(board))
    axis.barh(place + 0.2, board["wape"].fillna(0), 0.4, color=ACCENT, label="WAPE")
    axis.barh(place - 0.2, board["mape"].fillna(0), 0.4, color=SECOND, label="MAPE (periods with demand)")
    axis.errorbar(
        board["wape"].fillna(0), place + 0.2, xerr=board["wape_std"].fillna(0), fmt="none", ecolor=INK, elinewidth=1,
        capsize=2, label="WAPE ± standard deviation over origins",
    )  # fmt: skip
    for y, (wape, mape) in zip(place, board[["wape", "mape"]].to_numpy(), strict=True):
        for value, offset in ((wape, 0.2), (mape, -0.2)):
            text = f" {value:.2f}" if np.isfinite(value) else " undefined"
            axis.text(0, y + offset, text, va="center", fontsize=8, color="white" if np.isfinite(value) else MUTED)
    axis.set_yticks(place, [f"{name} (best)" if name == best else name for name in board["model"]])
    _legend_below(axis)
    _dress(axis, "Error by model (fraction, lower is better)")


def newest_windows(results: Sequence[FoldResult]) -> list[FoldResult]:
    """The newest window and those that begin at most two horizons before it, oldest first: more cannot be read."""
    ordered = sorted(results, key=lambda r: r.fold.cutoff)
    newest = ordered[-1].fold
    return [r for r in ordered if r.fold.cutoff >= newest.cutoff - 2 * newest.horizon]


def _against_actuals(axis: Axes, all_results: Sequence[FoldResult], best: str, unit: str) -> None:
    results = newest_windows(all_results)
    dates, predicted, actual = fleet_totals(results)
    start = 0
    for k, result in enumerate(results):
        window = slice(start, start + result.fold.horizon)
        start = window.stop
        axis.plot(dates[window], actual[window], color=INK, lw=1.6, label="actual" if k == 0 else None)
        axis.plot(dates[window], predicted[window], color=ACCENT, lw=1.6, ls="--", label=best if k == 0 else None)
    axis.legend(fontsize=8)
    axis.tick_params(axis="x", rotation=30)
    axis.set_ylim(bottom=min(0.0, float(np.nanmin(actual, initial=0.0))))
    shown = "" if len(results) == len(all_results) else f"\n(the newest {len(results)} of {len(all_results)} windows)"
    _dress(axis, f"Fleet total per period: {best} against actuals{shown}", grid="y")
    axis.set_ylabel(unit or "unit sold")


def _sizes(axis: Axes, board: pd.DataFrame, unit: str) -> None:
    place = np.arange(len(board))
    axis.barh(place + 0.2, board["rmse"].fillna(0), 0.4, color=ACCENT, label="RMSE")
    axis.barh(place - 0.2, board["mae"].fillna(0), 0.4, color=SECOND, label="MAE")
    for y, (rmse, r2) in zip(place, board[["rmse", "r2"]].to_numpy(), strict=True):
        text = f"  R² {r2:.2f}" if np.isfinite(r2) else "  R² undefined"
        axis.text(0 if np.isnan(rmse) else rmse, y + 0.2, text, va="center", fontsize=8, color=INK)
    axis.set_yticks(place, list(board["model"]))
    axis.margins(x=0.18)
    _legend_below(axis)
    _dress(axis, "RMSE, MAE" + (f" ({unit})" if unit else " (unit sold)") + " and R²")


def _importance(axis: Axes, importance: Mapping[str, float]) -> None:
    top = sorted(importance.items(), key=lambda item: item[1], reverse=True)[:10][::-1]
    if not top:
        axis.text(0.5, 0.5, NO_IMPORTANCE, ha="center", va="center", color=MUTED)
        axis.set_axis_off()
        axis.set_title("Feature importance", loc="left", fontsize=11, color=INK)
        return
    axis.barh([name for name, _ in top], [share for _, share in top], color=ACCENT)
    _dress(axis, f"Feature importance: top {len(top)} of {len(importance)} (share)")


def _legend_below(axis: Axes) -> None:
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, -0.06), ncols=3, frameon=False)


def _dress(axis: Axes, title: str, grid: str = "x") -> None:
    axis.set_title(title, loc="left", fontsize=11, color=INK)
    axis.grid(axis=grid, color="#e3e7ec", lw=0.8)  # type: ignore[arg-type]
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
