"""`jobs.ingest` as a command: what it leaves behind, files added one day after the other, and crash points."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demand.errors import StorageError
from demand.kept import read_kept
from demand.store import read_panel, stored_panel
from jobs import ingest as job
from jobs.entry import FAILED, OK, REFUSED, exit_code
from jobs.forecast import body as forecast
from jobs.train import body as train

pytestmark = pytest.mark.slow

HEADER = "Document,Order Date,Style,Qty,Customer\n"


def day(number: int, quantity: int = 5) -> str:
    return f"D{number},2024-01-{number:02d},A,{quantity},Acme\nE{number},2024-01-{number:02d},B,1,Acme\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "001.csv").write_text(HEADER + "".join(day(i) for i in range(13, 29)), encoding="utf-8")
    return folder


def ingest(tmp_path: Path, *told: str) -> int:
    given = [f"source.path={tmp_path / 'in'}", f"storage.root={tmp_path / 'storage'}", *told]
    return exit_code("ingest", job.body, given)


def state(tmp_path: Path) -> dict[str, bytes]:
    """Every kept file but the reports, which say when."""
    files = sorted((tmp_path / "storage").rglob("*"))
    return {str(path): path.read_bytes() for path in files if path.is_file() and path.parent.name != "quality"}


def newest_report(tmp_path: Path) -> dict[str, object]:
    reports = [json.loads(path.read_text()) for path in (tmp_path / "storage" / "quality").glob("*.json")]
    found: dict[str, object] = max(reports, key=lambda report: (report["at"], report["appended"] is not None))
    return found


def test_when_the_same_files_are_added_again_then_not_a_byte_changes(tmp_path: Path, source: Path) -> None:
    assert ingest(tmp_path) == OK  # reads everything
    before = state(tmp_path)
    assert any(name.endswith("panel/panel.json") for name in before)
    for copy in (False, True):
        if copy:
            (source / "002.csv").write_bytes((source / "001.csv").read_bytes())
        assert ingest(tmp_path, "source.append=true") == OK
        assert state(tmp_path) == before


def test_when_a_day_and_a_correction_are_added_then_the_panel_follows(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(tmp_path, "source.append=true") == OK
    (source / "002.csv").write_text(HEADER + day(28, 50) + day(29), encoding="utf-8")
    capsys.readouterr()
    assert ingest(tmp_path, "source.append=true") == OK
    printed = capsys.readouterr().out
    assert "1 new of 2 files, 4 rows = 2 added + 1 known + 1 correcting" in " ".join(printed.split())
    assert "1 kept rows replaced by 1" in " ".join(printed.split())
    panel = read_panel(tmp_path / "storage" / "panel")
    assert panel.series(0).tolist() == [5.0] * 15 + [50.0, 5.0]


def test_when_the_kept_rows_are_the_source_then_other_jobs_read_them(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(tmp_path) == OK
    storage = tmp_path / "storage"
    told = [f"source.path={storage / 'rows'}", f"storage.root={storage}"]
    assert exit_code("train", train, [*told, "validate=true"]) == OK
    assert "32 in = 32 used" in capsys.readouterr().out
    for wrong in (["source.append=true"], []):
        assert exit_code("ingest", job.body, [*told, *wrong]) == REFUSED
    assert exit_code("train", train, [*told, "validate=true", "source.append=true"]) == REFUSED
    assert exit_code("train", train, [f"source.path={storage / 'panel'}", "validate=true"]) == REFUSED
    assert "folder rows beside it" in " ".join(capsys.readouterr().err.split())
    assert exit_code("forecast", forecast, told) == REFUSED  # nothing was released yet


def test_when_a_rule_at_level_error_fails_then_nothing_is_added(tmp_path: Path, source: Path) -> None:
    assert ingest(tmp_path) == OK
    before = state(tmp_path)
    (source / "002.csv").write_text(HEADER + day(27, 50) + day(28, 50), encoding="utf-8")
    rule = "cleaning.rules={corrected_share:{limit:0.01,level:error}}"
    for _ in (1, 2):  # still wrong when it is tried again
        assert ingest(tmp_path, "source.append=true", rule) == FAILED
        assert state(tmp_path) == before
    assert ingest(tmp_path, "source.append=true") == OK
    assert state(tmp_path) != before


def test_when_new_data_is_bad_then_it_is_refused_and_nothing_changes(tmp_path: Path, source: Path) -> None:
    assert ingest(tmp_path) == OK
    before = state(tmp_path)
    (source / "002.csv").write_text(HEADER + "D1,soon,A,1,x\nD2,later,A,1,x\n", encoding="utf-8")
    assert ingest(tmp_path, "source.append=true") == REFUSED
    assert state(tmp_path) == before


@pytest.mark.parametrize("place", ["rows", "panel"])
def test_when_the_job_dies_between_two_files_then_the_next_run_ends_where_an_undisturbed_one_does(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    assert ingest(tmp_path) == OK
    hash_before = stored_panel(tmp_path / "storage" / "panel").data_hash
    (source / "002.csv").write_text(HEADER + day(29), encoding="utf-8")

    def dies(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(job, {"rows": "write_kept", "panel": "write_panel"}[place], dies)
        assert ingest(tmp_path, "source.append=true") == REFUSED
    assert stored_panel(tmp_path / "storage" / "panel").data_hash == hash_before
    assert read_kept(tmp_path / "storage" / "rows").reading.parts == (1 if place == "rows" else 2)
    assert ingest(tmp_path, "source.append=true") == OK
    assert read_panel(tmp_path / "storage" / "panel").series(0).tolist() == [5.0] * 17
    assert newest_report(tmp_path)["rows_in"] == 34


def test_when_the_source_is_a_database_then_the_same_answer_is_taken_once(tmp_path: Path) -> None:
    database = tmp_path / "erp.db"
    told = [f"source.path=sqlite:///{database}", "source.table=sales", f"storage.root={tmp_path / 'storage'}"]
    rows = [("D1", "2024-01-13", "A", 5), ("D2", "2024-01-14", "A", 6)]
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("create table sales (Document, Date, Style, Qty)")
        connection.executemany("insert into sales values (?, ?, ?, ?)", rows)
        connection.commit()
        for _ in (1, 2):
            assert exit_code("ingest", job.body, [*told, "source.append=true"]) == OK
            assert read_kept(tmp_path / "storage" / "rows").reading.parts == 1
        connection.execute("insert into sales values ('D3', '2024-01-15', 'A', 7)")
        connection.commit()
    assert exit_code("ingest", job.body, [*told, "source.append=true"]) == OK
    assert read_panel(tmp_path / "storage" / "panel").y.tolist() == [5.0, 6.0, 7.0]


def test_when_the_list_of_the_kept_rows_is_lost_then_nothing_is_added_until_all_is_read_again(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(tmp_path) == OK
    rows = tmp_path / "storage" / "rows"
    (rows / "rows.json").unlink()
    before = state(tmp_path)
    (source / "001.csv").unlink()
    (source / "002.csv").write_text(HEADER + day(29), encoding="utf-8")
    capsys.readouterr()
    assert ingest(tmp_path, "source.append=true") == REFUSED
    assert "without source.append" in " ".join(capsys.readouterr().err.split())
    assert exit_code("train", train, [f"source.path={rows}", "validate=true"]) == REFUSED
    assert state(tmp_path) == before
    assert ingest(tmp_path) == OK
    assert ingest(tmp_path, "source.append=true") == OK
    assert len(list(rows.glob("*.parquet"))) == 1


def test_when_the_companys_tables_are_named_then_each_is_reported(tmp_path: Path, source: Path, capsys) -> None:
    company = tmp_path / "company"
    company.mkdir()
    (company / "a.csv").write_text("Style#,Desc#,BOM_Percent\nA/1,,\nA/1,18884,0.6\nA/1,18884,0.4\n", encoding="utf-8")
    (company / "b.csv").write_text("Supplier_ID,Supplier,Lead_time\n1,Acme,4\n2,Best,Remove\n", encoding="utf-8")
    assert ingest(tmp_path, f"company.folder={company}") == OK
    told = capsys.readouterr().out
    assert "bill of materials        3 in = 1 used + 1 merged + 1 left out" in told
    assert "company.lead_time_unit says it" in told
    assert max(map(len, told.splitlines())) <= 80 or str(tmp_path) in told
    report: Any = newest_report(tmp_path)["company"]
    assert report["tables"]["bom"]["left_out"] == {"header row without yarn": 1}
    assert report["files"] == {"a.csv": "bill of materials", "b.csv": "suppliers"}
    assert "yarn stock" in report["missing"]


def test_when_a_table_cannot_be_used_then_nothing_is_written(tmp_path: Path, source: Path, capsys) -> None:
    (tmp_path / "b.csv").write_text("Style#,Desc#,BOM_Percent\nA/1,1,1.5\nA/1,2,0.5\n", encoding="utf-8")
    assert ingest(tmp_path, f"company.bom={tmp_path / 'b.csv'}") == REFUSED
    assert "company.shares=fraction" in capsys.readouterr().err
    assert not (tmp_path / "storage").exists()
