"""Whole jobs in this process: small fleets written as files, a job run on them as a user would, its files read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from demand.panel import Floats
from jobs.entry import exit_code
from tests.jobs.stand_in import golden_here

END = "2025-08-31"  # a Sunday, and the last day of a month
XGBOOST = (
    "models.xgboost.hyperparameters.n_estimators=12",
    "models.xgboost.hyperparameters.max_depth=3",
    "models.xgboost.features=[lag_1,lag_7,rolling_mean_7,dayofweek]",
    "features.auto_feature_engineering=false",
    "min_training_samples=20",
)
ARIMA = (
    "models.arima.hyperparameters.p=1",
    "models.arima.hyperparameters.q=0",
    "models.arima.hyperparameters.seasonal=false",
    "models.arima.training_params.maxiter=15",
)
PROPHET = (
    "models.prophet.hyperparameters.n_changepoints=3",
    "models.prophet.training_params.uncertainty_samples=30",
)
LSTM = (
    "models.lstm.hyperparameters.units=[4]",
    "models.lstm.hyperparameters.return_sequences=[false]",
    "models.lstm.hyperparameters.recurrent_dropout=0.0",
    "models.lstm.hyperparameters.time_steps=8",
    "models.lstm.training_params.epochs=2",
    "models.lstm.training_params.batch_size=8",
)
TIDE = (
    "models.tide.hyperparameters.encoder=[8]",
    "models.tide.hyperparameters.decoder=8",
    "models.tide.hyperparameters.time_steps=8",
    "models.tide.training_params.steps=4",
    "models.tide.training_params.batch_size=16",
)
# Two scored and two inner origins of a week; every model as small as it can be.
SMALL = (
    "freq=D", "horizon=7", "cross_validation_folds=2", "folds.inner=2", "parallel_training=false", "progress=false",
    "log_level=WARNING", *XGBOOST, *ARIMA, *PROPHET, *LSTM, *TIDE,
)  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """How a job ended and where its files are."""

    code: int
    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = strict_json(self.folder / f"{name}.json")
        return found

    @property
    def board(self) -> pd.DataFrame:
        return self.table("leaderboard").set_index("model")


def run_job(job: str, root: Path, source: Path, *told: str) -> Ran:
    """Runs `job` with SMALL and `told` (which wins) as its entry point does, but for `golden_here`; its run is "r"."""
    module = import_module(f"jobs.{job}")
    body = module.report if job == "config" else module.body
    argv = [*SMALL, f"source.path={source}", f"storage.root={root}", "run_id=r", *told]
    last = {text.partition("=")[0]: text for text in argv}  # a job takes each key once
    with golden_here():
        return Ran(exit_code(job, body, list(last.values())), root / "runs" / "r")


def fleet(days: int = 90, seed: int = 5) -> dict[str, Floats]:
    """Ten daily series: smooth, seasonal, trending, erratic, sparse, dying, new, constant, with returns, all zero."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    week = 1 + 0.4 * np.sin(2 * np.pi * day / 7)
    return {
        "constant": np.full(days, 5.0),
        "dying": np.where(day < days // 2, np.round(40 * rng.gamma(4, 0.25, days)), 0.0),
        "erratic": 40 * week * rng.gamma(0.8, 1 / 0.8, days),
        "intermittent": np.round(rng.gamma(16, 1.0, days)) * (rng.random(days) < 0.3),
        "late": 30 * week[days // 2 :] * rng.gamma(16, 1 / 16, days - days // 2),
        "lumpy": np.round(rng.gamma(0.7, 90.0, days)) * (rng.random(days) < 0.15),
        "returns": np.where(rng.random(days) < 0.1, -10.0, 20 * rng.gamma(4, 0.25, days)),
        "smooth": 100 * week * rng.gamma(25, 1 / 25, days),
        "trend": (20 + 0.5 * day) * week * rng.gamma(25, 1 / 25, days),
        "zero": np.zeros(days),
    }


def frame_of(rows: Mapping[str, Floats], end: str = END) -> pd.DataFrame:
    """The series as a long table of days that ends with `end`: unique_id, ds, y."""
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(end=end, periods=len(y), freq="D"), "y": y})
        for name, y in rows.items()
    ]
    return pd.concat(parts, ignore_index=True)


def written(frame: pd.DataFrame, path: Path) -> Path:
    """`path`, with the frame in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path


def strict_json(path: Path) -> Any:
    """The content of a JSON file; NaN and Infinity, which JSON does not have, are a ValueError."""

    def refuse(token: str) -> Any:
        raise ValueError(f"{path.name} holds {token}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def refused(
    root: Path, capsys: pytest.CaptureFixture[str], said: str, job: str, storage: Path, source: Path, *told: str
) -> str:
    """Runs a job that must be refused: exit code 2, one message with these words, no trace, nothing written below
    `root`. storage, source, told: as in `run_job`. Returns what stood on stdout."""
    before = sorted(root.rglob("*"))
    assert run_job(job, storage, source, *told).code == 2
    shown = capsys.readouterr()
    assert said in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert sorted(root.rglob("*")) == before
    return shown.out
