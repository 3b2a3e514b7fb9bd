"""`jobs.pipeline decisions=true`: the proposal and the substitutes lie in the run's folder and in its report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from demand.company.demo import make_company
from demand.company.demo_files import write_company
from demand.synthetic import SyntheticSettings, fleet_panel
from tests.acceptance.made import run_job, strict_json

pytestmark = pytest.mark.slow
MADE = SyntheticSettings(styles=6, years=0.5, seed=3, end=date(2025, 8, 31))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    panel = replace(fleet_panel(MADE), unit="yds")
    rows = panel.to_frame().astype({"unique_id": str})[["unique_id", "ds", "y"]].assign(uom="yds")
    rows.to_parquet(folder / "sales.parquet")
    write_company(folder / "company", make_company(MADE, yarns=40, labels=60))
    return folder


def test_when_decisions_are_asked_for_then_they_are_in_the_folder_and_the_report(source, tmp_path, capsys):
    ran = run_job("pipeline", tmp_path, source / "sales.parquet", "only=[exponential_smoothing]", "decisions=true",
                  f"company.folder={source / 'company'}", "company.lead_time_unit=weeks", "inventory.paths=8",
                  "columns.unit=uom", "folds.inner=1")  # fmt: skip
    assert ran.code == 0
    said = strict_json(ran.folder / "replenish.json")
    n = said["items"]
    assert n["in"] == n["ordered"] + n["nothing_needed"] + n["no_data"]
    orders = pd.read_csv(ran.folder / "proposal.csv")
    assert len(orders) == n["ordered"]
    substitutes = pd.read_parquet(ran.folder / "substitutes.parquet")
    assert set(substitutes["made_by"]) == {"rule"}  # no classifier was trained here
    page = (ran.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="decisions"' in page
    assert "Purchase proposal" in page
    assert "Substitutes for yarns that are short" in page
    assert strict_json(tmp_path / "orders" / "latest.json")["run_id"] == ran.folder.name
    assert "yarns in" in capsys.readouterr().out


def test_when_nothing_says_what_is_in_stock_then_it_is_refused_before_anything_is_trained(source, tmp_path, capsys):
    ran = run_job("pipeline", tmp_path, source / "sales.parquet", "decisions=true")
    assert ran.code == 2
    assert "company.folder" in capsys.readouterr().err
    assert not ran.folder.exists()
    unit = run_job("pipeline", tmp_path, source / "sales.parquet", "decisions=true",
                   f"company.folder={source / 'company'}")  # fmt: skip
    assert unit.code == 2
    assert "company.lead_time_unit" in capsys.readouterr().err
    assert not unit.folder.exists()
