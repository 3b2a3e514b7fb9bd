"""Where nothing can be learned nothing is: pure noise, a random walk and the control fleet through the whole job.

MASE measures against a seasonal naive, whose error on independent noise is about 1.4 times the mean's: there .95 is
held to the mean's MASE. On a random walk nothing beats the last value, and .95 is held to MASE itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demand.company.demo import make_company
from demand.fleet import SyntheticSettings
from features.yarn_catalogue import yarn_catalogue
from features.yarn_pairs import Pairs, pair_features
from features.yarn_settings import SubstitutionSettings
from jobs import demo
from models.catalog import BASELINES, LEARNED
from models.yarn_labels import Labelled
from models.yarn_substitution import FitLimits, YarnSubstitution
from tests.acceptance.made import Ran, frame_of, run_job, written

FAST = (
    "only=[arima,xgboost,ensemble]",
    "models.prophet.enabled=false",
    "models.lstm.enabled=false",
    "models.tide.enabled=false",
)
FIVE = "only=[arima,prophet,lstm,xgboost,ensemble]"
CHANCE = 3.0  # standard errors; ten models and two losses are looked at


@pytest.mark.slow
def test_when_labels_are_permuted_then_the_classifier_falls_to_the_majority_rate():
    company = make_company(SyntheticSettings(styles=20, years=1.0), yarns=200, labels=2_000).company
    yarns, _ = yarn_catalogue(company.yarns, company.stock, company.purchase_orders, SubstitutionSettings())
    a, b = (yarns.find(company.labels[name].to_numpy(dtype=str)) for name in ("yarn_a", "yarn_b"))
    y = company.labels["is_substitutable"].to_numpy(dtype=np.int64)
    features = pair_features(yarns, Pairs(a, b), SubstitutionSettings())

    def accuracy(labels):
        unseen = YarnSubstitution().fit(Labelled(features, labels, a, b, np.arange(len(y))), FitLimits()).out_of_fold
        return np.mean((unseen.probability >= 0.5) == labels)

    majority = max(y.mean(), 1 - y.mean())
    assert accuracy(y) >= 0.9 > majority + 0.1
    assert abs(accuracy(np.random.default_rng(0).permutation(y)) - majority) < CHANCE * np.sqrt(0.25 / len(y))


def noise(days: int = 120, n: int = 20) -> pd.DataFrame:
    """Independent draws of one distribution, the same for all series and days."""
    rng = np.random.default_rng(1)
    return frame_of({f"s{i:02d}": rng.gamma(4, 5, days) for i in range(n)})


def walks(days: int = 120, n: int = 20) -> pd.DataFrame:
    """Random walks far above zero."""
    rng = np.random.default_rng(2)
    return frame_of({f"s{i:02d}": 1000 + np.cumsum(rng.normal(0, 5, days)) for i in range(n)})


def gains(ran: Ran, truth: pd.DataFrame) -> pd.DataFrame:
    """How much better than the mean each model is, in standard errors over series: columns absolute, squared."""
    scored = ran.table("forecasts").merge(truth, on=["unique_id", "ds"])  # the live rows have no truth
    scored["absolute"] = (scored["q0.5"] - scored["y"]).abs()
    scored["squared"] = (scored["mean"] - scored["y"]) ** 2
    losses = scored.groupby(["model", "unique_id"])[["absolute", "squared"]].sum()
    difference = losses.loc["mean"] - losses.drop(index="mean", level="model")
    by_model = difference.groupby("model")
    error = by_model.sem()
    found: pd.DataFrame = by_model.mean() / error.where(error > 0, 1.0)
    return found


def holds_the_baseline(ran: Ran, printed: str) -> None:
    """The gate stayed shut, a baseline is served in every file, and the reason is said."""
    summary = ran.json("summary")
    assert summary["gate"]["passed"] is False
    assert any(
        reason.startswith("the ensemble does not beat mean beyond chance") for reason in summary["gate"]["reasons"]
    )
    served = summary["served"]
    assert served in BASELINES
    assert f"Served    {served}: the ensemble does not beat" in " ".join(printed.split("\n"))
    assert set(ran.table("forecast")["served"]) == {served}
    assert set(ran.table("outcomes")["made_by"]) == {served}
    assert (ran.folder / "report.html").read_text(encoding="utf-8").count("does not beat mean beyond chance") > 0


def same_race(ran: Ran, models: set[str]) -> None:
    """Every model has a row for the same series, origins and dates; the baselines are among them."""
    table = ran.table("forecasts")
    windows = {model: set(zip(part["unique_id"], part["cutoff"], part["ds"], strict=True))
               for model, part in table.groupby("model")}  # fmt: skip
    assert set(windows) == set(ran.board.index) == models
    assert set(BASELINES) < models
    assert len(set(map(frozenset, windows.values()))) == 1
    assert ran.board["n"].nunique() == 1


def test_when_demand_is_noise_then_no_model_claims_more_than_the_mean_and_a_baseline_is_served(tmp_path, capsys):
    truth = noise(n=12)
    ran = run_job("pipeline", tmp_path, written(truth, tmp_path / "sales.parquet"), *FAST)
    assert ran.code == 0
    holds_the_baseline(ran, capsys.readouterr().out)
    same_race(ran, {*BASELINES, "arima", "xgboost", "ensemble"})
    assert (ran.board["r2"] <= 0.05).all()
    assert (ran.board["mase"] >= 0.95 * ran.board.loc["mean", "mase"]).all()
    assert (gains(ran, truth) < CHANCE).all(axis=None)


@pytest.mark.slow
def test_when_demand_is_a_random_walk_then_no_mase_is_below_95_hundredths(tmp_path):
    told = ("horizon=1", "season=1", "cross_validation_folds=4")
    ran = run_job("backtest", tmp_path, written(walks(), tmp_path / "sales.parquet"), *FAST, *told)
    assert ran.code == 0
    assert ran.board["mase"].min() >= 0.95
    assert ran.board["mase"].min() == pytest.approx(1.0, abs=0.15)  # the control: it can be done as well as that


@pytest.mark.slow
@pytest.mark.deep
def test_when_demand_is_noise_then_prophet_and_lstm_claim_nothing_either(tmp_path, capsys):
    truth = noise(n=12)
    ran = run_job("pipeline", tmp_path, written(truth, tmp_path / "sales.parquet"), FIVE, "folds.inner=1")
    assert ran.code == 0
    holds_the_baseline(ran, capsys.readouterr().out)
    same_race(ran, {*BASELINES, *LEARNED, "ensemble"})
    assert (ran.board["r2"] <= 0.05).all()
    assert (ran.board["mase"] >= 0.95 * ran.board.loc["mean", "mase"]).all()
    assert (gains(ran, truth) < CHANCE).all(axis=None)


@pytest.mark.slow
def test_when_the_control_fleet_is_forecast_then_nothing_beats_the_mean_and_a_baseline_is_served(
    tmp_path, capsys, monkeypatch
):
    """The export of `jobs.demo --kind control`, with every automatic feature on."""
    raw = tmp_path / "raw"
    told = ["jobs.demo", str(raw), "--styles", "40", "--years", "0.6", "--kind", "control", "--seed", "3"]
    monkeypatch.setattr(sys, "argv", told)
    demo.main()
    automatic = ("features.auto_feature_engineering=true", "models.xgboost.hyperparameters.n_estimators=40")
    ran = run_job("pipeline", tmp_path, raw, *FAST, *automatic)
    assert ran.code == 0
    holds_the_baseline(ran, capsys.readouterr().out)
    same_race(ran, {*BASELINES, "arima", "xgboost", "ensemble"})
    assert (gains(ran, panel_of(ran.folder)) < CHANCE).all(axis=None)


def panel_of(folder: Path) -> pd.DataFrame:
    """The demand the run scored against."""
    from demand.store import read_panel

    return read_panel(folder / "panel").to_frame()
