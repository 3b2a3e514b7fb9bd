"""The leaderboard of a small seeded fleet, as numbers of six digits."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.acceptance.made import fleet, frame_of, run_job, written

STORED = Path(__file__).with_name("leaderboard.json")
MEASURES = ("wape", "mase", "rmsse", "bias_rel", "wql", "coverage", "total_error", "score", "n_fell_back")
TOLD = (
    "only=[arima,xgboost,ensemble]", "models.prophet.enabled=false",
    "models.lstm.enabled=false", "models.tide.enabled=false",
    "features.auto_feature_engineering=true", "models.arima.hyperparameters.seasonal=true",
    "models.arima.hyperparameters.seasonal_order=[0,1,1,7]",
)  # fmt: skip


def board(folder: Path) -> dict[str, dict[str, float]]:
    """{model: {measure: value}} of a backtest in `folder`, best model first."""
    ran = run_job("backtest", folder, written(frame_of(fleet(120, seed=2)), folder / "sales.parquet"), *TOLD)
    if ran.code:
        raise RuntimeError(f"the backtest ended with exit code {ran.code}")
    rows: pd.DataFrame = ran.board[list(MEASURES)].astype(float)
    return {str(model): {name: float(f"{row[name]:.6g}") for name in MEASURES} for model, row in rows.iterrows()}
