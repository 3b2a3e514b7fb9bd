"""A thousand styles and more, on Ray and without it: the same bytes from pooled and local models and the ensemble."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from jobs.settings import ClusterSettings
from models.catalog import BASELINES
from tests.acceptance.made import run_job, written
from tests.jobs.conftest import batch_bytes, embedded

STYLES, DAYS = 1_200, 42
TOLD = (
    "only=[arima,xgboost,ensemble]", "models.prophet.enabled=false",
    "models.lstm.enabled=false", "models.tide.enabled=false", "folds.inner=1",
    "models.xgboost.hyperparameters.n_estimators=5", "models.xgboost.features=[lag_1,lag_7]", "batch_seconds=0.5",
    "local_cpu_seconds=2",
)  # fmt: skip


def many() -> pd.DataFrame:
    """Styles from a sale a month to dozens a day, a third of them sparse."""
    rng = np.random.default_rng(3)
    level = np.exp(rng.normal(2, 1.5, STYLES))
    week = 1 + 0.4 * np.sin(2 * np.pi * np.arange(DAYS) / 7)
    y = rng.poisson(level[:, None] * week) * (rng.random((STYLES, DAYS)) < rng.choice([0.3, 1.0, 1.0], (STYLES, 1)))
    names = np.array([f"s{i:05d}" for i in range(STYLES)])
    days = pd.date_range("2025-07-21", periods=DAYS)
    return pd.DataFrame(
        {"unique_id": np.repeat(names, DAYS), "ds": np.tile(days, STYLES), "y": y.ravel().astype(float)}
    )


@pytest.mark.ray
@pytest.mark.slow
def test_when_more_than_a_thousand_styles_run_on_ray_then_every_byte_is_as_without_it(tmp_path):
    source = written(many(), tmp_path / "sales.parquet")
    serial = run_job("backtest", tmp_path / "serial", source, *TOLD)
    with embedded(ClusterSettings(num_cpus=2)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.race.cluster", lambda settings: nullcontext(2))
        parallel = run_job("backtest", tmp_path / "parallel", source, *TOLD, "parallel_training=true")
    assert serial.code == parallel.code == 0
    kinds = {name.split("-")[0] for name in batch_bytes(serial.folder)}
    assert kinds == {"arrays", "local", "pooled"}
    assert batch_bytes(parallel.folder) == batch_bytes(serial.folder)
    for name in ("forecasts", "leaderboard", "outcomes"):
        assert (parallel.folder / f"{name}.parquet").read_bytes() == (serial.folder / f"{name}.parquet").read_bytes()
    table = parallel.table("forecasts")
    assert set(table["model"]) == {*BASELINES, "arima", "xgboost", "ensemble"}
    assert (table.groupby(["model", "cutoff"])["unique_id"].nunique() == STYLES).all()
    assert set(table.loc[table["model"] == "xgboost", "made_by"]) == {"xgboost"}
    assert set(table.loc[table["model"] == "ensemble", "made_by"]) == {"ensemble"}
    assert len(parallel.table("outcomes")) == STYLES
