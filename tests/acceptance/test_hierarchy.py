"""hierarchy.levels acts in whole jobs: one truth in every table, refused before anything is written."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from models.registry import Registry
from serve_app.computing import Computing
from tests.acceptance.made import frame_of, refused, run_job, written

pytestmark = pytest.mark.slow
TOLD = (
    "only=[arima]",
    "models.arima.enabled=true",
    "columns.static=[family,department]",
    "hierarchy.levels=[family,department]",
    "cross_validation_folds=4",
    "selection.auto_model_selection=false",
)


def sales(**statics) -> pd.DataFrame:
    """Twelve noisy styles of four families in two departments whose common week and growth only sums show."""
    rng = np.random.default_rng(11)
    course = (1 + 0.7 * np.sin(2 * np.pi * np.arange(112) / 7)) * np.linspace(1, 2, 112)
    frame = frame_of({f"s{i:02d}": rng.poisson(4 * course).astype(float) for i in range(12)})
    number = frame["unique_id"].str[1:].astype(int)
    return frame.assign(
        **{"family": "f" + (number % 4).astype(str), "department": "d" + (number % 2).astype(str), **statics}
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return written(sales(), tmp_path_factory.mktemp("source") / "sales.parquet")


def checked(frame: pd.DataFrame, styles: pd.DataFrame) -> None:
    """Every group of `frame` is the sum of its styles' served means, to 1e-9 of the unit sold."""
    groups = sales().drop_duplicates("unique_id").set_index("unique_id")
    for level in ("family", "department", "total"):
        node = styles["unique_id"].map(groups[level]) if level != "total" else "total"
        sums = styles.assign(node=node).groupby(["node", "cutoff", "ds"])["mean"].sum()
        told = frame[frame["level"] == level].set_index(["node", "cutoff", "ds"])["mean"]
        told = told[told.index.get_level_values("cutoff").isin(styles["cutoff"].unique())]
        assert len(told) == len(sums)
        assert np.abs(told.sort_index() - sums.sort_index()).max() < 1e-9


@pytest.fixture(scope="module")
def ran(source, tmp_path_factory):
    done = run_job("pipeline", tmp_path_factory.mktemp("run"), source, *TOLD)
    assert done.code == 0
    return done


def test_when_levels_are_set_then_every_table_says_the_same_sums_and_the_effect_is_shown(ran):
    table, scored = ran.table("hierarchy"), ran.table("forecasts")
    checked(table, ran.table("forecast"))
    live = ran.table("forecast")["cutoff"].iloc[0]
    checked(table, scored[(scored["model"] == "ensemble") & (scored["cutoff"] != live)])
    told = ran.json("backtest")["hierarchy"]
    assert told["levels"] == ["family", "department", "total"]
    assert [row["level"] for row in told["effect"]] == ["style", "family", "department", "total"]
    assert len(told["origins"]) == 2 + 4 + 1
    page = (ran.folder / "report.html").read_text(encoding="utf-8")
    assert "Styles, groups and the total" in page
    assert told["reason"] in page


def test_when_mint_serves_then_style_means_differ_from_a_run_without_levels_and_quantiles_do_not(ran, source, tmp_path):
    assert ran.json("backtest")["hierarchy"]["served"] == "min_trace"
    without = run_job("pipeline", tmp_path, source, *(one for one in TOLD if not one.startswith("hierarchy")))
    assert without.code == 0
    assert "hierarchy" not in without.json("backtest")
    assert not (without.folder / "hierarchy.parquet").exists()
    one, two = ran.table("forecast"), without.table("forecast")
    assert not np.allclose(one["mean"], two["mean"])
    levels = [name for name in one if name.startswith("q")]
    assert one[levels].equals(two[levels])
    assert ran.table("outcomes")["note"].str.contains("MinT").all()


def test_when_a_forecast_is_made_on_demand_then_it_says_that_the_served_one_was_reconciled(ran):
    release = Registry(ran.folder.parents[1] / "registry").open("champion")
    answer = json.loads(Computing.open(release.path, release.number).predict({"style": "s00"}))
    (told,) = [note for note in answer["notes"] if "reconciled" in note]
    assert told == (
        "The forecast that is served for this style was reconciled in its mean with family, department, total (MinT), "
        "quantiles are each style's own and do not move; this one is made by the models alone"
    )


def test_when_the_release_forecasts_again_then_its_means_are_the_same_and_other_levels_are_refused(
    ran, source, tmp_path, capsys
):
    root = ran.folder.parents[1]
    again = run_job("forecast", root, source, "columns.static=[family,department]", "run_id=again")
    assert again.code == 0
    table = pd.read_parquet(root / "runs" / "again" / "forecast.parquet")
    assert np.allclose(table["mean"], ran.table("forecast")["mean"])
    capsys.readouterr()
    assert (
        run_job("forecast", root, source, "columns.static=[family]", "hierarchy.levels=[family]", "run_id=x").code == 2
    )
    assert "hierarchy.levels" in capsys.readouterr().err
    assert not (root / "runs" / "x").exists()


@pytest.mark.parametrize(
    ("statics", "told", "said"),
    [
        ({}, "hierarchy.levels=[gauge]", "does not have"),
        ({"family": ""}, "hierarchy.levels=[family]", "without a value"),
        ({"family": "one"}, "hierarchy.levels=[family]", "the same group"),
        ({}, "hierarchy.levels=[department,family]", "several groups of family"),
        ({}, "hierarchy.levels=[family,family]", "twice"),
        ({}, "hierarchy.levels=['']", "hierarchy.levels"),
    ],
)
def test_when_the_columns_make_no_tree_then_it_is_refused_with_2_and_nothing_is_written(
    statics, told, said, tmp_path, capsys
):
    odd = written(sales(**statics), tmp_path / "odd.parquet")
    refused(tmp_path, capsys, said, "pipeline", tmp_path / "s", odd, *TOLD[:3], told)
    refused(tmp_path, capsys, said, "pipeline", tmp_path / "s", odd, *TOLD[:3], told, "validate=true")
