"""Whatever happens after an origin, nothing that a run said at or before it moves by a byte: the whole backtest job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demand.calendar import Calendar
from models.catalog import BASELINES
from models.forecast_files import read_forecasts
from tests.acceptance.made import Ran, fleet, frame_of, run_job, written

HORIZON = 7
FAST = ("only=[arima,xgboost,ensemble]", "models.prophet.enabled=false",
        "models.lstm.enabled=false", "models.tide.enabled=false",
        "models.xgboost.features=[lag_1,lag_7,rolling_mean_7,dayofweek,price]")  # fmt: skip
ALL = ("only=[arima,prophet,lstm,xgboost,ensemble]", "cross_validation_folds=1", "folds.inner=1")
# Origins by how many weeks before the end they lie: two scored ones, and before them two that only feed weights.
SCORED, INNER = (2, 1), (4, 3)
BATCHES = ("mean", "quantiles", "made_by", "reason", "note")


def sales() -> pd.DataFrame:
    """The fleet with a price beside it that is known up to the origin only."""
    frame = frame_of(fleet())
    return frame.assign(price=np.random.default_rng(0).gamma(20, 0.2, len(frame)).round(2))


def poisoned(frame: pd.DataFrame, cutoff: pd.Timestamp) -> pd.DataFrame:
    """Demand and price after the cutoff times a million."""
    late = frame["ds"] > cutoff
    return frame.assign(
        y=np.where(late, (frame["y"] + 1) * 1e6, frame["y"]), price=np.where(late, frame["price"] * 1e6, frame["price"])
    )


def cutoff_of(frame: pd.DataFrame, weeks_back: int) -> pd.Timestamp:
    return pd.Timestamp(frame["ds"].max()) - pd.Timedelta(days=HORIZON * weeks_back)


def backtest(frame: pd.DataFrame, root: Path, *told: str) -> Ran:
    columns = ("columns.past=[price]", "columns.unit_price=null")
    ran = run_job("backtest", root / "storage", written(frame, root / "sales.parquet"), *columns, *told)
    assert ran.code == 0
    return ran


def said(ran: Ran, until: pd.Timestamp) -> bytes:
    """Every row of the forecasts file up to an origin, as bytes."""
    table = ran.table("forecasts")
    table = table[table["cutoff"] <= until].sort_values(["model", "cutoff", "unique_id", "ds"])
    return table.to_csv(index=False, float_format="%.17g").encode()


def raw_until(ran: Ran, until: pd.Timestamp) -> dict[tuple[str, int], list[bytes]]:
    """What each model itself said at every origin up to one, inner origins too, as the workers wrote it."""
    last = int(Calendar("D").containing(np.array([until], dtype="datetime64[D]"))[0])
    found: dict[tuple[str, int], list[bytes]] = {}
    for path in sorted((ran.folder / "batches").glob("*.parquet")):
        for kind, forecast in read_forecasts(path):
            if forecast.origin <= last:
                values = [getattr(forecast, name) for name in BATCHES]
                found.setdefault((kind, forecast.origin), []).extend(v.tobytes() for v in values)
    return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """(what was sold, how the calm run went)"""
    frame = sales()
    calm = backtest(frame, tmp_path_factory.mktemp("clean"), *FAST)
    notes = {str(note) for path in calm.folder.glob("batches/pooled-xgboost*") for _, f in read_forecasts(path)
             for note in f.note}  # fmt: skip
    assert notes == {""}  # the price is among the features
    return frame, calm


@pytest.fixture(scope="module", params=[*(pytest.param(back, marks=pytest.mark.slow) for back in INNER), *SCORED])
def poisoned_run(request, clean, tmp_path_factory):
    """(weeks between the poisoned origin and the end, how that run went)"""
    frame, _ = clean
    root = tmp_path_factory.mktemp("poisoned")
    return request.param, backtest(poisoned(frame, cutoff_of(frame, request.param)), root, *FAST)


def test_when_the_future_of_an_origin_is_poisoned_then_nothing_said_there_moves(clean, poisoned_run):
    (frame, calm), (weeks_back, ran) = clean, poisoned_run
    cutoff = cutoff_of(frame, weeks_back)
    assert raw_until(ran, cutoff) == raw_until(calm, cutoff)
    assert len({origin for _, origin in raw_until(calm, cutoff)}) == 5 - weeks_back  # 4, 3, 2, 1 weeks back
    if weeks_back in SCORED:
        assert said(ran, cutoff) == said(calm, cutoff)
        models = set(calm.table("forecasts").query("cutoff <= @cutoff")["model"])
        assert models == {*BASELINES, "arima", "xgboost", "ensemble"}
    if weeks_back != SCORED[-1]:  # the control: a later origin does see the poison
        assert said(ran, frame["ds"].max()) != said(calm, frame["ds"].max())
        return
    weights = [name for name in calm.table("outcomes") if name.startswith("weight_")]
    assert len(weights) == 4  # arima, xgboost, exponential smoothing, seasonal naive
    one, two = (r.table("outcomes")[["unique_id", *weights]] for r in (calm, ran))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert set(ran.board.index) == set(calm.board.index)
    assert (ran.board["mae"] > 1000 * calm.board["mae"].reindex(ran.board.index)).all()  # scored against the poison


def test_when_unusual_demand_is_capped_then_the_limits_are_not_learned_from_the_future(tmp_path):
    frame = sales()
    capped = ("enable_ml=false", "cleaning.outlier_action=cap", "cleaning.outlier_threshold=0.5")
    cutoff = cutoff_of(frame, 2)
    calm = backtest(frame, tmp_path / "calm", "enable_ml=false")
    one = backtest(frame, tmp_path / "one", *capped)
    two = backtest(poisoned(frame, cutoff), tmp_path / "two", *capped)
    assert said(one, cutoff) == said(two, cutoff)
    assert raw_until(one, cutoff) == raw_until(two, cutoff)
    assert said(one, cutoff) != said(calm, cutoff)  # capping does act
    board, unchanged = one.board.loc["zero"], calm.board.loc["zero"]
    for measure in ("mae", "mase", "rmsse"):  # what is scored, and what errors are measured in, is never capped
        assert board[measure] == unchanged[measure]


@pytest.mark.slow
@pytest.mark.deep
def test_when_the_future_is_poisoned_then_prophet_lstm_and_their_ensemble_stay_too(tmp_path):
    frame = sales()
    cutoff = cutoff_of(frame, 1)
    calm, ran = (
        backtest(each, tmp_path / name, *ALL) for name, each in (("calm", frame), ("poisoned", poisoned(frame, cutoff)))
    )
    assert raw_until(ran, cutoff) == raw_until(calm, cutoff)
    assert said(ran, cutoff) == said(calm, cutoff)
    made = calm.table("forecasts").query("model == made_by")
    assert set(made["model"]) == {*BASELINES, "arima", "prophet", "lstm", "xgboost", "tide", "ensemble"}
