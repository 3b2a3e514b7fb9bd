"""What the leaderboard means in words, in a terminal, and against the targets that were set. Only from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluation.metrics import LEVELS, Measures

if TYPE_CHECKING:
    from rich.table import Table

NOISE = 0.03  # WAPE; smaller differences on sparse files of a few months did not repeat from window to window
LARGE_BIAS = 0.1  # of total demand
COVERAGE_OFF = 0.05
BASELINES = ("zero", "mean", "seasonal_naive", "naive", "moving_average")
LEVEL_WORDS = {
    "style_period": "style per period",
    "style_total": "style, whole horizon",
    "fleet_period": "fleet per period",
    "fleet_total": "fleet, whole horizon",
}


def recommendations(board: pd.DataFrame, paired: Mapping[str, Any] | None = None) -> list[str]:
    """What to do next, in plain words; each sentence follows from a number on the board (`leaderboard`).

    paired: `paired_test` of the best model against the seasonal naive, when it was run.
    """
    said: list[str] = list(board.attrs.get("notes", []))
    candidates = board[board["eligible"] & board["score"].notna()]
    if candidates.empty:
        return [*said, "No model can be recommended: none was scored, or all forecast zero."]
    best = candidates.iloc[0]
    naive = board.loc[board["model"] == "seasonal_naive"].iloc[0]
    said.append(_headline(best, naive, board.attrs.get("ranked_by", "wape")))
    if best["model"] in BASELINES:
        said.append(
            "No model beats the simple baselines on these origins: serve the baseline, and look for more history."
        )
    elif not best["beats_baseline"]:
        said.append(f"{best['model']} does not beat both the seasonal naive and the mean: serve the better baseline.")
    if paired is not None and paired["p"] is not None and paired["p"] > 0.05:
        said.append(
            f"The difference between {paired['a']} and {paired['b']} may be chance (p = {paired['p']:.2f} over "
            f"{paired['n']} series and origins)."
        )
    if len(candidates) > 1 and abs(candidates.iloc[1]["wape"] - best["wape"]) < NOISE:
        said.append(
            f"{best['model']} and {candidates.iloc[1]['model']} differ by less than {NOISE:.2f} WAPE: call it a tie."
        )
    said.extend(_warnings(best))
    said.extend(_below_threshold(board))
    return said


def served_warnings(board: pd.DataFrame, served: str) -> list[str]:
    """What a reader must know before using the forecast of `served`: a large bias, an interval that is off."""
    rows = board[board["model"] == served]
    if rows.empty:
        return []
    row, said = rows.iloc[0], []
    if abs(row["bias_rel"]) > LARGE_BIAS:
        side, effect = ("high", "stock builds up") if row["bias_rel"] > 0 else ("low", "orders run short")
        said.append(
            f"The served forecast ({served}) was too {side} by {abs(row['bias_rel']):.0%} of demand in total: "
            f"{effect} if used as is."
        )
    if abs(row["coverage"] - row["interval"]) > COVERAGE_OFF:
        said.append(
            f"The intervals of the served forecast ({served}) are {_width(row)}: {row['coverage']:.0%} of actual "
            f"values fell inside the {row['interval']:.0%} interval."
        )
    return said


def _width(row: pd.Series) -> str:
    return "too narrow" if row["coverage"] < row["interval"] else "too wide"


def _below_threshold(board: pd.DataFrame) -> list[str]:
    """Which models miss their configured accuracy (1 - WAPE), and which it is; no baselines; the board's order."""
    limits = board.attrs.get("thresholds", {})
    low = [
        f"{row['model']} ({row['accuracy']:.0%}, wanted {limits[row['model']]:.0%})"
        for row in board[board["below_threshold"] & ~board["model"].isin(BASELINES)].to_dict("records")
        if row["model"] in limits and not math.isnan(row["accuracy"])
    ]
    return [f"Accuracy (1 - WAPE) below the configured min_accuracy_threshold: {', '.join(low)}."] if low else []


def _headline(best: pd.Series, naive: pd.Series, ranked_by: str) -> str:
    if math.isnan(best["wape"]):
        return f"{best['model']} ranks first by {ranked_by}; WAPE is undefined because nothing was sold in the window."
    text = f"{best['model']} ranks first by {ranked_by}: WAPE {best['wape']:.3f}"
    if best["model"] != "seasonal_naive" and naive["wape"] > 0:
        change = best["wape"] / naive["wape"] - 1
        text += (
            f", {abs(change):.0%} {'lower' if change < 0 else 'higher'} than the seasonal naive ({naive['wape']:.3f})"
        )
    return text + f", bias {best['bias_rel']:+.0%} of demand."


def _warnings(best: pd.Series) -> list[str]:
    said = []
    if abs(best["bias_rel"]) > LARGE_BIAS:
        side, effect = ("high", "stock builds up") if best["bias_rel"] > 0 else ("low", "orders run short")
        said.append(
            f"Forecasts are too {side} by {abs(best['bias_rel']):.0%} of demand in total: {effect} if used as is."
        )
    if abs(best["coverage"] - best["interval"]) > COVERAGE_OFF:
        said.append(f"{best['coverage']:.0%} of actual values fell inside the {best['interval']:.0%} interval.")
    if best["n_fell_back"]:
        said.append(
            f"{best['n_fell_back']} of {best['n_rows']} forecasts were made by another model: see the outcomes."
        )
    if best["unstable"]:
        said.append(f"Its WAPE {how_unstable(best)}: look at that window before relying on it.")
    if best["n"] and best["n_zero"] / best["n"] > 0.5:
        said.append(
            f"{best['n_zero'] / best['n']:.0%} of the scored periods had no demand: plan with totals over the horizon, "
            "not single periods."
        )
    return said


def how_unstable(row: pd.Series) -> str:
    """How the WAPE of a row of the board varies over the scored origins, as words to follow "its WAPE"."""
    return (
        f"varies a lot between origins (standard deviation {row['wape_std']:.2f}, worst "
        f"{row['wape_worst']:.2f} at {row['worst_cutoff']})"
    )


def targets_table(
    targets: Mapping[str, Mapping[str, float]],
    measured: Mapping[str, Mapping[str, Measures]],
    seconds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The set targets beside the measured values at every level: never gates, never redefined.

    targets: {model: {"mape", "rmse", "training_time"}}. measured: {model: `levels` of it}. seconds: training time
    of each model. One row a model, target and level: model, target, level, target_value, measured (NaN = not
    measurable), result (met, missed, not measurable), remark. Lower is better for all of them.
    """
    rows = []
    for model, wanted in targets.items():
        for name, value in wanted.items():
            if name == "training_time":
                taken = (seconds or {}).get(model)
                rows.append(
                    _target(model, name, "-", value, taken, "this run, this machine", "not trained in this run")
                )
                continue
            for level in LEVELS:
                found = measured.get(model, {}).get(level)
                missing = "not backtested in this run" if found is None else found["reasons"].get(name, "")
                remark = _target_remark(name, found)
                rows.append(
                    _target(model, name, LEVEL_WORDS[level], value, found[name] if found else None, remark, missing)
                )
    columns = ["model", "target", "level", "target_value", "measured", "result", "remark"]
    return pd.DataFrame(rows, columns=columns).astype({"target_value": np.float64, "measured": np.float64})


def _target_remark(name: str, found: Measures | None) -> str:
    if name == "rmse":
        return "in the unit sold: the target depends on it"
    return f"over {found['n_used']} with demand, {found['n_zero']} without left out" if found else ""


def _target(
    model: str, name: str, level: str, value: float, found: float | None, remark: str, missing: str
) -> dict[str, Any]:
    if found is None:
        result, remark = "not measurable", missing
    else:
        result = "met" if found <= value else "missed"
    return {"model": model, "target": name, "level": level, "target_value": value, "measured": found,
            "result": result, "remark": remark}  # fmt: skip


def terminal_table(board: pd.DataFrame) -> Table:
    """The board for a terminal of 80 columns: errors as fractions, bias as a share of demand, baselines dimmed.

    ± is the standard deviation of WAPE over origins, fleet the WAPE of the fleet's total per period, fell the rows made
    by another model, beats whether both the seasonal naive and the mean are beaten.
    """
    from rich.table import Table

    title = f"Models by {board.attrs.get('ranked_by', 'wape')}, best first"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True, max_width=23)
    for name in ("wape", "±", "mase", "rmsse", "bias", "fleet", "cover", "fell", "beats"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.to_dict("records"):
        base = row["model"] in BASELINES
        cells: Sequence[str] = (
            f"{row['wape']:.3f}", f"{row['wape_std']:.3f}", f"{row['mase']:.3f}", f"{row['rmsse']:.3f}",
            f"{row['bias_rel']:+.2f}", f"{row['fleet_wape']:.3f}", f"{row['coverage']:.2f}", str(row["n_fell_back"]),
            "-" if base else "yes" if row["beats_baseline"] else "no",
        )  # fmt: skip
        shown = ("-" if cell in ("nan", "+nan") else cell for cell in cells)
        table.add_row(str(row["model"]), *shown, style="dim" if base else None)
    return table
