"""The company's tables on their way into a release: kept in the run's folder, copied, absent where there are none."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow.parquet as pq

from demand.company.tables import Company
from jobs.company_tables import FILES, copy_tables, read_tables, write_tables
from jobs.run_folder import RunFolder
from tests.serve_app.made import fleet_panel, settings, tables_of


def test_when_tables_are_given_then_the_run_keeps_them_and_a_release_copies_the_same_bytes(tmp_path):
    panel, told = fleet_panel(4), settings("D")
    run, release = RunFolder(tmp_path / "run"), tmp_path / "release"
    for folder in (run.path, release):
        folder.mkdir()
    write_tables(run, tables_of(panel.ids), panel, told)
    copy_tables(run.path, release)
    names = {path.name for path in (release / "company").iterdir()}
    assert names == {*(f"{name}.parquet" for name in FILES), "facts.json", "report.json"}
    for name in names:
        assert (release / "company" / name).read_bytes() == (run.path / "company" / name).read_bytes()
    assert pq.read_table(release / "company" / "stock.parquet")["unique_id"].to_pylist() == panel.ids[:-1].tolist()
    assert json.loads((release / "company" / "facts.json").read_text())["stock"]["rows_matched"] == 3


def test_when_there_are_no_tables_then_nothing_is_written(tmp_path):
    panel, told = fleet_panel(4), settings("D")
    assert read_tables(told) is None
    write_tables(RunFolder(tmp_path), None, panel, told)
    copy_tables(tmp_path, tmp_path / "release")
    assert list(tmp_path.iterdir()) == []


def test_when_a_table_says_nothing_of_this_fleet_then_that_is_told(tmp_path):
    panel, told = fleet_panel(4), settings("D")
    stock = pd.DataFrame({"style": ["Z"], "quantity": [1.0], "unit": ["yds"]})
    write_tables(RunFolder(tmp_path), Company(style_stock=stock), panel, told)
    facts = json.loads((tmp_path / "company" / "facts.json").read_text())
    assert (facts["stock"]["rows"], facts["stock"]["rows_matched"], facts["stock"]["unmatched"]) == (1, 0, ["Z"])
