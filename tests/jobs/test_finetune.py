"""`python -m jobs.finetune`: one folder or one message."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from evaluation.finetune_report import shown
from jobs import compose
from jobs.entry import exit_code
from jobs.finetune import body
from models.tabular import FittedTable
from models.tabular.results import newest
from tests.acceptance.made import strict_json
from tests.models.tabular.made import business

pytestmark = pytest.mark.slow


def run(root, frame, *told):
    path = root / "table.csv"
    frame.to_csv(path, index=False)
    return exit_code("finetune", body, [f"source.path={path}", f"storage={root / 's'}", "rows_per_tree=100", *told])


def test_when_a_table_is_learned_from_then_the_report_tells_what_the_numbers_say(tmp_path, capsys):
    frame = business().assign(**{"<b>x</b>": np.arange(240) % 7, "Customer": "Ann Somebody"})
    frame.loc[3:200, "last_purchase_days_ago"] = np.nan
    frame = pd.concat([frame, frame.iloc[:3]])
    assert run(tmp_path, frame, "target=revenue", "cross_validation=2", "tuning=true", "tuning_iterations=2",
               "features=custom", "run_id=one", "overfit_gap=0.0001") == 0  # fmt: skip
    folder = tmp_path / "s" / "finetune" / "one"
    result = strict_json(folder / "result.json")
    assert newest(tmp_path / "s") == result
    metrics = result["metrics"]
    assert metrics["rows"]["rows_in"] == 243 == metrics["rows"]["used"] + sum(metrics["rows"]["left_out"].values())
    assert len(metrics["tuning"]["trials"]) == metrics["cross_validation"]["folds"] == 2
    assert {"overfitting", "unknown_features"} <= {one["cause"] for one in metrics["problems"]}
    assert "revenue_percentile" not in {name for name, _ in metrics["importance"]}  # made from the target
    assert {"engagement_score", "churn_risk", "month"} <= {name for name, _ in metrics["importance"]}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{metrics['regression']['r2_score']:.4g}" in page
    assert shown(metrics["baseline"]["rmse"]) in page
    assert page.count("<rect") == min(25, len(metrics["importance"]))
    for one in metrics["problems"]:
        assert one["remedy"] in page
    assert "<b>x</b>" not in page
    assert re.findall(r"(?:src|href)=", page) == []
    said = capsys.readouterr().out
    assert f"Folds     R2 {shown(metrics['cross_validation']['mean'])}" in said
    assert "Tuned     2 trials; " in said
    assert max(map(len, said.split("Report")[0].splitlines())) <= 80
    for text in (page, said, str(result)):
        assert "Ann" not in text
    assert len(FittedTable.load(folder / "model").predict(business().assign(**{"<b>x</b>": 1}))) == 240
    assert run(tmp_path, frame, "target=revenue", "run_id=one") == 2
    assert "of this name exists" in capsys.readouterr().err
    assert run(tmp_path, frame, "target=category", "validate=true") == 0
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


BAD = {
    "99 rows": (business(99), "needed_rows: 100"),
    "one row": (business(1), "found_rows: 1"),
    "header only": (business(1).iloc[:0], "a header and no rows"),
    "a column without values": (business().assign(nothing=np.nan), "nothing"),
    "constant target": (business().assign(revenue=5.0), "Name a column that differs between rows"),
    "a target without values": (business().assign(revenue=np.nan), "the target holds no value at all"),
    "no such target": (business().rename(columns={"revenue": "revenues"}), "nearest: 'revenues'"),
    "many categories": (business(10_000).assign(name=[f"n{i}" for i in range(10_000)]), "name: 10000"),
    "three formats": (business().assign(date=["2024-01-05", "05.02.2024", "March 3, 2024"] * 80), "mixes formats"),
    "a leak": (business().assign(revenue_percentile=0.5), "give the answer away"),
}


def test_when_a_table_is_unfit_then_one_message_says_why_and_nothing_is_written(tmp_path, capsys, monkeypatch):
    settings = compose.load("finetune", ["target=revenue", f"source.path={tmp_path / 'table.csv'}",
                                         f"storage={tmp_path / 's'}"])  # fmt: skip
    monkeypatch.setattr(compose, "load", lambda job, argv: settings)  # composing is another test's
    for what, (frame, words) in BAD.items():
        assert run(tmp_path, frame) == 2, what
        said = capsys.readouterr()
        assert (said.out, words in said.err) == ("", True), (what, said.err)
        assert said.err.count("Error: ") == 1
        assert len(said.err) < 1200
        assert not (tmp_path / "s").exists()


def test_when_cells_and_rows_cannot_be_used_then_the_terminal_says_how_many_and_why(tmp_path, capsys):
    frame = business().astype({"engagement": object, "revenue": object})
    frame.loc[:2, "engagement"], frame.loc[5:6, "revenue"] = "inf", "Infinity"
    assert run(tmp_path, frame, "target=revenue") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "240 in, 2 left out (unknown target: 2);" in said
    assert "cells taken as missing: engagement: 3; revenue: 2" in said
    assert run(tmp_path, frame, "target=revenue", "date=category") == 2
    assert "Name a column of dates, or leave date out" in capsys.readouterr().err


def test_when_keys_are_said_without_their_section_then_they_are_those_of_the_section():
    told = ["target=t", "task=regression", "date=d", "features=custom", "exclude=[a,b]", "test_size=0.3",
            "cross_validation=3", "tuning=true", "tuning_iterations=7", "remove_outliers=false", "outlier_factor=2.0",
            "max_categories=9", "overfit_gap=0.5", "rows_per_tree=500", "min_training_samples=50",
            "seed=7"]  # fmt: skip
    found = compose.load("finetune", told).finetune
    assert (found.target, found.task, found.date, found.features) == ("t", "regression", "d", "custom")
    assert (found.exclude, found.test_size, found.cross_validation) == (("a", "b"), 0.3, 3)
    assert (found.tuning, found.tuning_iterations, found.remove_outliers, found.outlier_factor) == (True, 7, False, 2.0)
    assert (found.max_categories, found.overfit_gap, found.rows_per_tree) == (9, 0.5, 500)
    assert (found.min_training_samples, found.random_state) == (50, 7)
