"""Who won, by how much, and whether that is more than luck: every model beside the baselines, on the same origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.errors import DataError, SettingsError
from evaluation.advice import recommendations, targets_table, terminal_table
from evaluation.formulas import wape
from evaluation.metrics import Measures, levels, measure
from evaluation.paired import paired_test, same_race
from evaluation.results import FoldResult
from models.catalog import BASELINES as SIMPLE

__all__ = [
    "best_model", "leaderboard", "measured_levels", "paired_test", "recommendations", "targets_table", "terminal_table",
]  # fmt: skip

Metric = Literal["wape", "mape", "mase", "rmsse", "rmse", "mae", "r2"]
METRICS = ("wape", "mape", "mase", "rmsse", "rmse", "mae", "r2")
BASELINES = ("zero", "mean", "seasonal_naive")
TO_BEAT = ("seasonal_naive", "mean")
ZERO_RULE = "rmsse+quantile_loss"  # what ranks where a zero forecast wins on WAPE
COLUMNS = (
    "model", "wape", "mase", "accuracy", "bias", "bias_rel", "rmsse", "rmse", "mae", "mape", "r2", "wql",
    "quantile_loss", "coverage", "interval", "total_error", "fleet_wape", "n", "n_used", "n_zero", "n_fell_back",
    "n_rows", "beats_baseline", "below_threshold", "eligible", "unstable", "wape_std", "wape_worst", "worst_cutoff",
    "score", "evaluation_id",
)  # fmt: skip


def leaderboard(
    results_by_model: Mapping[str, Sequence[FoldResult]],
    *,
    metric: Metric = "wape",
    thresholds: Mapping[str, float] | None = None,
    unstable_over: float = 0.5,
) -> pd.DataFrame:
    """One row a model, best first, of equals the baseline first: COLUMNS; a measure that is undefined is NaN.

    `score` is what ranked (lower is better) and `attrs["ranked_by"]` its name, `attrs["thresholds"]` are those given;
    `attrs["notes"]` says in plain words where the rule was changed: `mape` that is nowhere defined falls to `wape`;
    where the zero forecast is the best on WAPE, the mean of RMSSE and quantile loss, each relative to the seasonal
    naive, ranks instead.

    fleet_wape     WAPE of the fleet's total per period
    n_fell_back    rows (series x origins, of n_rows) another model made
    beats_baseline better score than the seasonal naive and than the mean, on the same origins, by rows of its own
    below_threshold  accuracy not shown to reach the model's entry in `thresholds`
    eligible       may be called best: made most of its rows, and is not the zero forecast under this or another name
    wape_std, wape_worst, worst_cutoff   over origins (standard deviation with n - 1); unstable: std / mean over a limit

    Raises DataError when a baseline is missing or models were not scored on the same folds, series and truth.
    """
    if metric not in METRICS:
        raise SettingsError("unknown selection metric", found=metric, expected=METRICS)
    _check_same_race(results_by_model)
    board = pd.DataFrame([_row(name, results) for name, results in results_by_model.items()])
    board = board.astype({name: np.float64 for name in COLUMNS if name in board and board[name].dtype == object
                          and name not in ("model", "worst_cutoff", "evaluation_id")})  # fmt: skip
    ranked_by, notes = _rule(board, metric)
    board["score"] = scores(board, ranked_by)
    to_beat = board.set_index("model")["score"].reindex(list(TO_BEAT))
    board["beats_baseline"] = (board["score"] < to_beat.min()) & board["eligible"] & ~board["model"].isin(BASELINES)
    limit = board["model"].map(dict(thresholds or {})).astype(np.float64)
    board["below_threshold"] = limit.notna() & ~(board["accuracy"] >= limit)
    mean_wape = board.pop("_wape_mean")
    board["unstable"] = board["wape_std"] > unstable_over * mean_wape
    board["_learned"] = ~board["model"].isin(list(SIMPLE))
    board = board.sort_values(["score", "_learned", "model"], na_position="last", ignore_index=True)[list(COLUMNS)]
    board.attrs = {
        "ranked_by": ranked_by, "asked_for": metric, "notes": notes, "thresholds": dict(thresholds or {}),
    }  # fmt: skip
    return board


def _check_same_race(results_by_model: Mapping[str, Sequence[FoldResult]]) -> None:
    missing = [name for name in BASELINES if name not in results_by_model]
    if missing:
        raise DataError(
            "the leaderboard needs its baselines", missing=missing, found=list(results_by_model),
            hint="Backtest them together with the models",
        )  # fmt: skip
    reference = results_by_model["seasonal_naive"]
    for name, results in results_by_model.items():
        if not same_race(results, reference):
            raise DataError(
                "models were not scored on the same folds, series and actual values",
                model=name,
                against="seasonal_naive",
            )


def _row(name: str, results: Sequence[FoldResult]) -> dict[str, Any]:
    measured = measure(results)
    over_origins = np.array([wape(r.actuals, r.forecast.median) for r in results])
    known = over_origins[~np.isnan(over_origins)]
    worst = int(np.nanargmax(over_origins)) if len(known) else None
    return {
        **{column: measured[column] for column in COLUMNS if column in measured},
        "model": name,
        "fleet_wape": levels(results)["fleet_period"]["wape"],
        "wape_std": float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        "wape_worst": float(known.max()) if len(known) else np.nan,
        "worst_cutoff": _date(results[worst]) if worst is not None else "",
        # A model most of whose rows another one made has shown how good the other is.
        "eligible": name != "zero" and not _all_zero(results) and 2 * measured["n_fell_back"] < measured["n_rows"],
        "_wape_mean": float(known.mean()) if len(known) else np.nan,
    }


def _date(result: FoldResult) -> str:
    return str(Calendar(result.forecast.freq).dates(np.array([result.fold.cutoff]))[0])[:10]


def _all_zero(results: Sequence[FoldResult]) -> bool:
    """Whether these forecasts say that nothing at all will sell, while something did."""
    return not any(r.forecast.mean.any() for r in results) and any(np.nansum(np.abs(r.actuals)) > 0 for r in results)


def _rule(board: pd.DataFrame, metric: str) -> tuple[str, list[str]]:
    notes = []
    if board[metric].isna().all():
        fallback = "wape" if not board["wape"].isna().all() else "mae"
        if fallback != metric:
            notes.append(
                f"{metric} is undefined on this data (no period with demand was scored): {fallback} ranks instead"
            )
        metric = fallback
    zero = board.loc[board["model"] == "zero", "wape"].iloc[0]
    others = board.loc[board["model"] != "zero", "wape"]
    if metric in ("wape", "mae") and zero <= others.min():
        notes.append(
            f"forecasting zero has the best WAPE here ({zero:.3f}; best of the others {others.min():.3f}): demand is "
            "so sparse that WAPE rewards saying nothing will sell. RMSSE and quantile loss rank instead"
        )
        return ZERO_RULE, notes
    return metric, notes


def scores(board: pd.DataFrame, ranked_by: str) -> pd.Series:
    """What ranks the rows of a board that holds the seasonal naive: lower is better, also for r2, which is negated."""
    if ranked_by != ZERO_RULE:
        return -board[ranked_by] if ranked_by == "r2" else board[ranked_by]
    reference = board.loc[board["model"] == "seasonal_naive"].iloc[0]
    relative = {name: board[name] / reference[name] for name in ("rmsse", "quantile_loss") if reference[name] > 0}
    return pd.DataFrame(relative).mean(axis=1) if relative else board["quantile_loss"]


def best_model(board: pd.DataFrame) -> str:
    """The first row that may be called best; the seasonal naive, the yardstick, where none may: nothing can be told
    apart where all forecast zero or no actual value is known."""
    candidates = board.loc[board["eligible"] & board["score"].notna(), "model"]
    return "seasonal_naive" if candidates.empty else str(candidates.iloc[0])


def measured_levels(results_by_model: Mapping[str, Sequence[FoldResult]]) -> dict[str, dict[str, Measures]]:
    """The four levels of each model, for `targets_table` and the report."""
    return {name: levels(results) for name, results in results_by_model.items()}
