"""Small seeded panels and results for the tests of this room."""

from __future__ import annotations

import numpy as np

from demand.panel import Panel
from evaluation.folds import rolling_folds
from evaluation.results import FoldResult, scales
from models.base import Forecast, ForecastSpec

LEVELS = (0.1, 0.5, 0.9)


def panel_of(series, end=0, freq="D", unit="yds"):
    """A panel from {id: values}; all series end at `end`."""
    ids = np.array(sorted(series))
    values = [np.asarray(series[name], dtype=float) for name in ids]
    indptr = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
    return Panel(ids, indptr, np.concatenate(values), end, freq, unit=unit)


def sparse_panel(n=12, length=120, seed=0, end=20_000, freq="D"):
    """Series from smooth to lumpy, of different lengths."""
    rng = np.random.default_rng(seed)
    series = {}
    for i in range(n):
        size = rng.poisson(5 + 3 * i, length - 3 * i).astype(float)
        series[f"S{i:03d}"] = size * (rng.random(length - 3 * i) < 1 - 0.07 * i)
    return panel_of(series, end, freq)


def forecast_of(history, mean, quantiles=None, kind="xgboost", levels=LEVELS, spread=0.5):
    """A valid forecast; without quantiles the mean times (1 - spread, 1, 1 + spread)."""
    mean = np.asarray(mean, dtype=float)
    if quantiles is None:
        factors = 1 + spread * np.linspace(-1, 1, len(levels))
        quantiles = mean[:, :, None] * factors
    return Forecast.build(history, ForecastSpec(mean.shape[1], levels), kind, mean, quantiles)


def result_of(panel, fold, make, model="xgboost", season=7, levels=LEVELS):
    """A result from `make(history, horizon) -> mean [N, H]`, or a Forecast."""
    history = fold.history(panel)
    made = make(history, fold.horizon)
    forecast = made if isinstance(made, Forecast) else forecast_of(history, made, kind=model, levels=levels)
    return FoldResult(model, fold, forecast, fold.actuals(panel, history), *scales(history, season))


def from_arrays(actual, mean, quantiles=None, model="xgboost", scale=1.0, scale_sq=1.0, last=0.0, cutoff=0, ids=None):
    """One result from bare arrays [N, H]."""
    from evaluation.folds import Fold

    actual = np.asarray(actual, dtype=float)
    n, h = actual.shape
    names = np.array(ids if ids is not None else [f"S{i:03d}" for i in range(n)])
    history = panel_of({name: [1.0] for name in names}, cutoff)
    each = lambda value: np.broadcast_to(np.asarray(value, dtype=float), (n,)).copy()  # noqa: E731
    return FoldResult(
        model,
        Fold(cutoff, h),
        forecast_of(history, mean, quantiles, model),
        actual,
        each(scale),
        each(scale_sq),
        each(last),
    )


def level_forecast(history, horizon):
    return np.repeat(np.nanmean(history.tail(28), axis=1)[:, None], horizon, axis=1)


def race(panel=None, horizon=7, n=3, step=7, models=None):
    """{model: results} with the baselines, on the same folds."""
    panel = sparse_panel() if panel is None else panel
    folds = rolling_folds(panel, horizon, n, step)

    def seasonal(history, h):
        return np.resize(np.nan_to_num(history.tail(7)).T, (h, history.n_series)).T

    makers = {
        "zero": lambda history, h: np.zeros((history.n_series, h)),
        "mean": lambda history, h: np.repeat(
            (np.bincount(history.series_of, weights=history.y) / history.lengths)[:, None], h, axis=1
        ),
        "seasonal_naive": seasonal,
        "xgboost": level_forecast,
        **(models or {}),
    }
    return {name: [result_of(panel, fold, make, name) for fold in folds] for name, make in makers.items()}


def report_data(panel=None, horizon=7, names=None, **changes):
    """A full ReportData of a small race, with a live forecast and every part filled."""
    import pandas as pd

    from evaluation.advice import recommendations, targets_table
    from evaluation.leaderboard import leaderboard, measured_levels, paired_test
    from evaluation.metrics import by_step, by_style
    from evaluation.report import ReportData

    panel = sparse_panel() if panel is None else panel
    results = race(panel, horizon=horizon, step=horizon)
    board = leaderboard(results, thresholds={"xgboost": 0.7})
    live = forecast_of(panel, level_forecast(panel, horizon))
    styles = by_style(results["xgboost"])
    outcomes = pd.DataFrame({"unique_id": panel.ids.astype(object)}).merge(styles, how="left", on="unique_id")
    outcomes["status"], outcomes["cause"], outcomes["made_by"], outcomes["note"] = "ok", "", "xgboost", ""
    outcomes["demand_class"] = "smooth"
    outcomes.loc[1, ["status", "cause", "made_by"]] = ["fell_back", "non-finite forecast", "exponential_smoothing"]
    gone = pd.DataFrame({"unique_id": ["GONE-1"], "status": ["rejected"], "cause": ["no demand was ever recorded"]})
    outcomes = pd.concat([outcomes, gone], ignore_index=True)
    shown = {name: results[name] for name in ("xgboost", "seasonal_naive")}
    values = {
        "run_id": "20250901T020000Z-1", "created": "2025-09-01 02:00 UTC", "board": board, "outcomes": outcomes,
        "best": str(board.iloc[0]["model"]), "served": "xgboost", "history": panel, "live": live,
        "members": {"seasonal_naive": forecast_of(panel, np.resize(panel.tail(7).T, (horizon, panel.n_series)).T,
                                                  kind="seasonal_naive")},
        "gate": {"passed": False, "reasons": ["the ensemble does not beat mean beyond chance (p = 0.120)"]},
        "levels": measured_levels(shown), "steps": {name: by_step(of_model) for name, of_model in shown.items()},
        "targets": targets_table({"xgboost": {"mape": 0.11, "rmse": 85, "training_time": 60}, "lstm": {"mape": 0.1}},
                                 measured_levels(results), {"xgboost": 3.2}),
        "weights": pd.DataFrame({"unique_id": panel.ids, "xgboost": 0.7, "seasonal_naive": 0.3}),
        "recommendations": recommendations(board, paired_test(results["xgboost"], results["seasonal_naive"])),
        "cleaning": {"source": "sales.csv", "rows_in": 1540, "used": 1500, "merged": 32, "quality_score": 91.0,
                     "left_out": {"unreadable quantity": 8}, "mapping": {"quantity": "Yds_ordered", "date": "Day"}},
        "failures": {"prophet": "the library is not installed"},
        "timings": {"data": 1.2, "race": 40.5}, "settings": {"horizon": horizon, "season": 7},
        "provenance": {"data hash": "9c1d", "seed": 42, "python": "3.11"},
    }  # fmt: skip
    return ReportData(**(values | changes))
