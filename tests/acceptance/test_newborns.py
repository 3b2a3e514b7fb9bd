"""newborns.* acts in whole jobs: young styles take their siblings' course, say so, and are accounted for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.acceptance.made import frame_of, refused, run_job, written

pytestmark = pytest.mark.slow
TOLD = (
    "only=[xgboost]",
    "columns.static=[family]",
    "newborns.siblings_by=[family]",
    "selection.auto_model_selection=false",
)
YOUNG = {"y0": 3, "y1": 1, "y2": 4, "y3": 2}


def sales(**statics) -> pd.DataFrame:
    """Ten styles with one strong week, four newborn today and two that were newborn at each scored origin."""
    rng = np.random.default_rng(7)
    week = 1 + 0.9 * np.sin(2 * np.pi * np.arange(84) / 7)
    rows = {f"s{i:02d}": rng.poisson(30 * (1 + i / 5) * week).astype(float) for i in range(10)}
    rows |= {name: rng.poisson(60 * week[-n:]).astype(float) for name, n in YOUNG.items()}
    rows |= {f"z{k}{j}": rng.poisson(50 * week[-7 * k - 2 :]).astype(float) for k in (1, 2, 3, 4) for j in range(2)}
    frame = frame_of(rows)
    return frame.assign(**{"family": "knit", **statics})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return written(sales(), tmp_path_factory.mktemp("source") / "sales.parquet")


@pytest.fixture(scope="module")
def ran(source, tmp_path_factory):
    done = run_job("pipeline", tmp_path_factory.mktemp("run"), source, *TOLD)
    assert done.code == 0
    return done


def test_when_siblings_serve_then_outcomes_forecast_backtest_and_report_say_so(ran):
    outcomes = ran.table("outcomes").set_index("unique_id")
    young = outcomes.loc[list(YOUNG)]
    assert set(young["made_by"]) == {"siblings"}
    assert set(young["status"]) == {"fell_back"}
    assert set(young["fallback_level"]) == {1}
    assert young["cause"].str.fullmatch(r"a newborn style: \d+ siblings of family=knit").all()
    assert "siblings" not in set(outcomes.drop(index=list(YOUNG))["made_by"])
    styles = ran.json("summary")["styles"]
    assert styles["in"] == styles["ok"] + styles["fell_back"] + styles["rejected"] == len(outcomes)
    told = ran.json("backtest")["newborns"]
    assert (told["served"], told["newborn_styles"], told["with_siblings"]) == (True, 4, 4)
    assert told["effect"]["wape_siblings"] < told["effect"]["wape_ensemble"]
    page = (ran.folder / "report.html").read_text(encoding="utf-8")
    assert "4 of 4 newborn styles have siblings" in page
    assert set(young["note"]) == {"made at the course of its siblings"}
    assert set(ran.table("forecast").query("unique_id in @YOUNG")["made_by"]) == {"siblings"}


def test_when_no_column_is_named_then_the_ensemble_makes_all_rows(source, tmp_path):
    plain = run_job("backtest", tmp_path, source, *TOLD[:2])
    assert "newborns" not in plain.json("backtest")
    assert "siblings" not in set(plain.table("outcomes")["made_by"])


@pytest.mark.parametrize(
    ("key", "acts"), [("newborns.periods=2", {"y1", "y3"}), ("newborns.periods=3", {"y0", "y1", "y3"}),
                      ("newborns.least=30", set())],
)  # fmt: skip
def test_when_a_key_changes_then_other_styles_are_newborn(key, acts, source, tmp_path):
    other = run_job("pipeline", tmp_path, source, *TOLD, key)
    outcomes = other.table("outcomes")
    assert set(outcomes.loc[outcomes["made_by"] == "siblings", "unique_id"]) == acts


def test_when_the_release_forecasts_again_then_the_rows_are_the_same_and_a_style_born_since_has_siblings(
    ran, source, tmp_path
):
    root = ran.folder.parents[1]
    again = run_job("forecast", root, source, TOLD[1], "run_id=again")
    assert again.code == 0
    told, then = (table.query("unique_id in @YOUNG")["mean"].to_numpy() for table in (
        pd.read_parquet(root / "runs" / "again" / "forecast.parquet"), ran.table("forecast")))  # fmt: skip
    assert np.allclose(told, then)
    newest = sales()
    born = newest[newest["unique_id"] == "y1"].assign(unique_id="born")
    later = written(pd.concat([newest, born]), tmp_path / "later.parquet")
    assert run_job("forecast", root, later, TOLD[1], "run_id=later").code == 0
    outcomes = pd.read_parquet(root / "runs" / "later" / "outcomes.parquet").set_index("unique_id")
    assert outcomes.loc["born", "made_by"] == "siblings"


@pytest.mark.parametrize(
    ("statics", "told", "said"),
    [
        ({}, "newborns.siblings_by=[gauge]", "does not have"),
        ({"family": ""}, "newborns.siblings_by=[family]", "no two styles are siblings"),
        ({}, "newborns.siblings_by=[family,family]", "twice"),
        ({}, "newborns.periods=0", "newborns.periods"),
        ({}, "newborns.least=1", "newborns.least"),
    ],
)
def test_when_siblings_cannot_be_known_then_it_is_refused_with_2_and_nothing_is_written(
    statics, told, said, tmp_path, capsys
):
    odd = written(sales(**statics), tmp_path / "odd.parquet")
    refused(tmp_path, capsys, said, "pipeline", tmp_path / "s", odd, *TOLD[:2], told)
    refused(tmp_path, capsys, said, "pipeline", tmp_path / "s", odd, *TOLD[:2], told, "validate=true")
