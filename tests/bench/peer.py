"""mlforecast + LightGBM on the same panel, origin and horizon: the usual recursive recipe, one thread.

With quantiles it does what the pooled booster does: a mean and three quantiles, one LightGBM each.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np

from demand.store import read_panel
from evaluation.folds import Fold


def run(folder: str, horizon: int, quantiles: tuple[float, ...] = ()) -> dict[str, float]:
    """Seconds and WAPE (of the median where there is one); the same lags, windows, calendar columns, 200 trees of
    depth 6."""
    import lightgbm
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd

    panel = read_panel(Path(folder))
    history = Fold(panel.end - horizon, horizon).history(panel)
    frame = history.to_frame()[["unique_id", "ds", "y"]]
    windows = [make(window_size=w, min_samples=1) for w in (7, 14, 30) for make in (RollingMean, RollingStd)]
    trees = {"n_estimators": 200, "max_depth": 6, "learning_rate": 0.1, "n_jobs": 1, "verbose": -1}
    models = {"mean": lightgbm.LGBMRegressor(**trees)}
    models |= {f"q{q:g}": lightgbm.LGBMRegressor(objective="quantile", alpha=q, **trees) for q in quantiles}
    warnings.simplefilter("ignore")  # one a step about young series; this process does nothing else
    started = time.perf_counter()
    forecaster = MLForecast(
        models=models, freq="D", lags=[1, 7, 14, 30], lag_transforms={1: windows},
        date_features=["month", "quarter", "dayofweek", "day", "week"], num_threads=1,
    )  # fmt: skip
    forecaster.fit(frame)
    between = time.perf_counter()
    predicted = forecaster.predict(horizon)
    done = time.perf_counter()
    predicted = predicted.sort_values(["unique_id", "ds"])
    known = np.unique(predicted["unique_id"].to_numpy(dtype=str))
    rows = panel.index_of(known)
    actual = panel.take(np.sort(rows)).window(panel.end - horizon + 1, horizon)
    values = predicted["q0.5" if 0.5 in quantiles else "mean"].to_numpy().reshape(len(known), horizon)
    error = float(np.abs(actual - np.maximum(values, 0)).sum() / np.abs(actual).sum())
    return {"fit_s": round(between - started, 2), "forecast_s": round(done - between, 2), "wape": round(error, 4)}
