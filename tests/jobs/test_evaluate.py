"""A stored release is really scored on the days after it was trained, and the figures are kept under an id."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.entry import OK, REFUSED
from models.forecast_files import read_forecasts
from tests.acceptance.made import strict_json, written
from tests.jobs.desk import LIGHT, Desk, sales

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    desk = Desk(tmp_path_factory.mktemp("evaluated"))
    written(sales(100), desk.source)
    written(sales(), desk.whole)
    assert desk.run("train", "run_id=first", "models.xgboost.enabled=false", *LIGHT) == OK
    return desk


def stored(desk):
    return sorted((desk.root / "evaluations").glob("*.json"))


def test_when_newer_data_is_there_then_each_model_is_scored_on_it_and_it_is_kept(desk, capsys):
    before = desk.tree()
    assert desk.run("evaluate", source=desk.whole) == OK
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("Stored"))
    (path,) = stored(desk)
    value = strict_json(path)
    assert path.stem == value["evaluation_id"]
    assert (value["release"], value["periods"], value["n_series"], value["n"]) == (1, 7, 12, 84)
    assert desk.tree() == before
    # By hand: the served median beside what was sold in the first 7 of the 10 newer days.
    ((served, forecast),) = read_forecasts(desk.registry.open(1).file("forecasts.parquet"))
    frame = sales()
    days = sorted(frame["ds"].unique())[100:107]
    actual = frame[frame["ds"].isin(days)].pivot(index="unique_id", columns="ds", values="y").to_numpy()
    wape = np.abs(forecast.median - actual).sum() / actual.sum()
    assert value["models"][served]["wape"] == pytest.approx(wape)
    assert value["models"][served]["baseline"]["name"] == "seasonal_naive"
    assert set(value["models"][served]["levels"]) == {"style_period", "style_total", "fleet_period", "fleet_total"}
    assert {"arima", "mean", "seasonal_naive", "zero"} <= set(value["models"])
    assert f"in its backtest, {wape:.3f} since" in said
    # The same question has the same answer, and the same file.
    again = path.read_bytes()
    assert desk.run("evaluate", "release=1", source=desk.whole) == OK
    assert stored(desk) == [path]
    assert path.read_bytes() == again


def test_when_fewer_days_are_known_then_those_are_scored_under_another_id(desk, capsys):
    fewer = written(sales(103), desk.folder / "fewer.parquet")
    assert desk.run("backtest", "release=champion", source=fewer) == OK  # as earlier systems' evaluate_model
    assert "Scored    3 periods of 12 styles" in capsys.readouterr().out
    assert {strict_json(path)["periods"] for path in stored(desk)} >= {3}


@pytest.mark.parametrize(
    ("told", "source", "says"),
    [
        ([], "sales", "there is nothing to score it on"),
        (["release=7"], "whole", "no such release"),
        (["release=challenger"], "whole", "no release has this alias"),
        (["release=best"], "whole", "must be the number of a release"),
        ([], "shorter", "the data ends before the release was trained"),
        ([], "other", "none of the styles"),
    ],
)
def test_when_there_is_nothing_to_score_then_the_code_is_2_and_nothing_is_stored(desk, capsys, told, source, says):
    written(sales(90), desk.folder / "shorter.parquet")
    written(sales().assign(unique_id=lambda frame: "x" + frame["unique_id"]), desk.folder / "other.parquet")
    before = stored(desk)
    assert desk.run("evaluate", *told, source=desk.folder / f"{source}.parquet") == REFUSED
    shown = capsys.readouterr()
    assert says in " ".join(shown.err.split())
    assert shown.out == ""
    assert stored(desk) == before


def test_when_nothing_was_released_then_the_next_step_is_said(tmp_path, capsys):
    desk = Desk(tmp_path)
    written(sales(60), desk.source)
    for job in ("evaluate", "promote"):
        assert desk.run(job) == REFUSED
        assert "Run python -m jobs.pipeline first" in capsys.readouterr().err
    assert not desk.root.exists()


def test_when_a_style_is_gone_from_the_data_then_the_others_are_scored_and_it_is_said(desk, capsys):
    gone = sales()
    gone = written(gone[gone["unique_id"] != "s03"], desk.folder / "gone.parquet")
    assert desk.run("evaluate", source=gone) == OK
    counts = {strict_json(path)["n_series"] for path in stored(desk)}
    assert 11 in counts
    assert "1 style of the release is not in the data" in " ".join(capsys.readouterr().out.split())
