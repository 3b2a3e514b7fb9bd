"""Files, folders, object stores and databases: read once, hashed, limited, and told apart by content."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.errors import SchemaError, SettingsError, StorageError
from demand.formats import recognise
from demand.ingest import Ingested, ingest
from demand.settings import build
from demand.sources import SourceSettings, read_source
from tests.demand.files import HEADER, ROWS, TOTAL, ingested


def from_path(path: str | Path, columns: dict[str, Any] | None = None, **source: Any) -> Ingested:
    return ingest(SourceSettings(path=str(path), **source), ColumnSettings(**columns or {}), CleaningSettings())


def frame() -> pd.DataFrame:
    rows = [line.split(",") for line in (HEADER + ROWS).splitlines()]
    table = pd.DataFrame(rows[1:], columns=rows[0])
    table["Order Date"], table["Qty"] = pd.to_datetime(table["Order Date"]), table["Qty"].astype(float)
    return table


# ---- formats -------------------------------------------------------------------------------------------------------

VARIANTS: dict[str, str | bytes] = {
    "plain": HEADER + ROWS,
    "mark_crlf": "\ufeff" + (HEADER + ROWS).replace("\n", "\r\n"),
    "cr": (HEADER + ROWS).replace("\n", "\r"),
    "semicolon": (HEADER + ROWS).replace(",", ";"),
    "tab": (HEADER + ROWS).replace(",", "\t"),
    "titles": "Sales Activity Report,,\nas of,2024-02-01,\n,,\n" + HEADER + ROWS,
    "one_title": "Sales Activity Report\n" + HEADER + ROWS,
    "padded": "Order Date , Style,Qty,,\n" + ROWS.replace("\n", " ,,\n").replace(",A,", ", A ,"),
    "quoted": HEADER + "".join(",".join(f'"{cell}"' for cell in row.split(",")) + "\n" for row in ROWS.splitlines()),
    "no_end": (HEADER + ROWS).rstrip("\n"),
    "unpadded": HEADER + ROWS.replace("2024-01-0", "2024-1-"),
    "gzip": gzip.compress((HEADER + ROWS).encode(), mtime=0),
    "two_gzips": gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(ROWS.encode(), mtime=0),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_when_the_same_rows_are_written_differently_then_the_panel_is_the_same(tmp_path: Path, variant: str) -> None:
    plain = ingested(tmp_path, VARIANTS["plain"])
    found = ingested(tmp_path, VARIANTS[variant])
    assert found.panel.ids.tolist() == ["A", "B"]
    assert np.array_equal(found.panel.y, plain.panel.y)
    assert found.panel.y.sum() == TOTAL


@pytest.mark.parametrize("kind", ["parquet", "excel", "json", "json_lines", "wrapped_json", "utf-16", "latin-1"])
def test_when_the_same_rows_are_in_another_format_then_the_panel_is_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sales.csv"  # the name says nothing: the content decides
    table = frame()
    settings: dict[str, Any] = {}
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "excel":
        with path.open("wb") as file:
            table.to_excel(file, index=False, engine="openpyxl")
    elif kind == "json":
        table.to_json(path, orient="records", date_format="iso")
    elif kind == "json_lines":
        table.to_json(path, orient="records", date_format="iso", lines=True)
    elif kind == "wrapped_json":
        path.write_text('{"status": "ok", "rows": ' + table.to_json(orient="records", date_format="iso") + "}")
    else:
        path.write_bytes((HEADER + ROWS).encode(kind))
        settings = {"encoding": kind}
    found = from_path(path, **settings)
    assert np.array_equal(found.panel.y, ingested(tmp_path, HEADER + ROWS, name="plain.csv").panel.y)


def test_when_a_workbook_has_several_sheets_then_one_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        frame().to_excel(writer, sheet_name="Sales", index=False)
        frame().head(3).to_excel(writer, sheet_name="Other", index=False)
    with pytest.raises(SchemaError, match=r"source\.sheet"):
        from_path(path)
    with pytest.raises(SchemaError, match="nearest='Sales'"):
        from_path(path, sheet="Sale")
    assert from_path(path, sheet="Sales").panel.y.sum() == TOTAL


def test_when_a_workbook_is_cut_off_then_it_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    frame().to_excel(path, index=False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SchemaError, match="Excel file is damaged"):
        from_path(path)


def test_when_json_ids_look_like_numbers_then_they_stay_as_written(tmp_path: Path) -> None:
    content = '[{"Date": "2024-01-01", "SKU": 1e5, "Qty": 3}, {"Date": "2024-01-01", "SKU": 100000, "Qty": NaN}]'
    assert ingested(tmp_path, content).report.rejected == {"100000": "no known quantity in the style"}


# ---- provenance ----------------------------------------------------------------------------------------------------


def test_when_a_file_is_read_then_its_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = (HEADER + ROWS).encode()
    found = ingested(tmp_path, content)
    assert found.report.data_hash == hashlib.sha256(content).hexdigest()


def test_when_the_file_grows_while_it_is_read_then_what_was_hashed_is_what_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(HEADER + ROWS)

    def growing(data: bytes, name: str) -> Any:
        with path.open("a") as file:
            file.write("2024-01-28,A,1000\n")
        return recognise(data, name)

    monkeypatch.setattr("demand.sources.recognise", growing)
    found = from_path(path)
    assert found.panel.y.sum() == TOTAL
    assert found.report.data_hash == hashlib.sha256((HEADER + ROWS).encode()).hexdigest()
    assert path.read_text() != HEADER + ROWS


# ---- folders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", ["", "ERP Data"])
def test_when_a_folder_holds_many_exports_then_the_sales_are_found_by_content(tmp_path: Path, subfolder: str) -> None:
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text("Desc#,Supplier,Theoretical Balance\nY1,S,3\n")
    (folder / "b.txt").write_text("just words\n")
    (folder / "c.png").write_bytes(b"\x89PNG\r\n")
    (folder / "d.csv").write_text("Style #,Order #,Quoted Date,Qty\nA,1,2024-01-01,3\n")
    (folder / "e.csv").write_text(HEADER + ROWS)
    (folder / ".hidden.csv").write_text(HEADER + ROWS)
    found = from_path(tmp_path)
    assert found.panel.y.sum() == TOTAL
    causes = {file["name"]: file["cause"] for file in found.report.files}
    assert causes["e.csv"] == ""
    assert "yarn stock" in causes["a.csv"]
    assert "knit orders" in causes["d.csv"]
    assert "binary" in causes["c.png"]
    assert ".hidden.csv" not in causes


def test_when_sales_come_in_several_files_then_they_are_joined_and_overlaps_counted_once(tmp_path: Path) -> None:
    lines = ROWS.splitlines(keepends=True)
    (tmp_path / "1.csv").write_text(HEADER + "".join(lines[:30]))
    (tmp_path / "2.csv").write_text(
        "Order Date,Style,Qty,Remark\n" + "".join(x.replace("\n", ",\n") for x in lines[30:])
    )
    found = from_path(tmp_path)
    assert found.panel.y.sum() == TOTAL
    (tmp_path / "3.csv").write_text(HEADER + "".join(lines[:30]))
    again = from_path(tmp_path)
    assert again.panel.y.sum() == TOTAL
    assert again.report.left_out == {"exact duplicate": 30}
    assert again.report.data_hash != found.report.data_hash


def test_when_a_file_beside_the_sales_cannot_be_read_then_the_summary_names_it(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(HEADER + ROWS)
    assert not any("Left out" in line for line in from_path(tmp_path).report.summary_lines())
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "photo.csv").write_bytes(bytes(range(32)) * 9)
    told = " ".join(" ".join(from_path(tmp_path).report.summary_lines()).split())
    assert "Left out 2 files: empty.csv (the file is empty" in told
    assert "photo.csv (the file holds NUL bytes" in told


def test_when_one_file_decides_how_the_dates_of_another_are_read_then_a_note_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "01-02-24,A,1\n03-04-24,A,2\n")
    (tmp_path / "b.csv").write_text(HEADER + "13-02-24,A,3\n14-02-24,A,4\n")
    found = from_path(tmp_path)
    assert found.report.date["format"] == "%d-%m-%y"
    (note,) = [note for note in found.report.notes if "dates are read as" in note]
    assert note.startswith("dates are read as %d-%m-%y because of b.csv; a.csv would fit %m-%d-%y as well")
    assert from_path(tmp_path, {"date_format": "%d-%m-%y"}).report.notes == ()
    (tmp_path / "a.csv").write_text(HEADER + "15-02-24,A,1\n03-04-24,A,2\n")
    assert from_path(tmp_path).report.notes == ()


def test_when_two_files_call_their_columns_differently_then_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(HEADER + ROWS)
    (tmp_path / "2.csv").write_text("Date,SKU,Units\n" + ROWS)
    with pytest.raises(SchemaError, match="do not fit together"):
        from_path(tmp_path)


def test_when_no_file_is_sales_then_each_is_named_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Desc#,Supplier,Theoretical Balance\nY1,S,3\n")
    (tmp_path / "b.csv").write_text("x,y2\n1,2\n")
    with pytest.raises(SchemaError, match="no sales were found") as caught:
        from_path(tmp_path)
    assert len(caught.value.facts["files"]) == 2


def test_when_a_folder_is_empty_then_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no files"):
        from_path(tmp_path)


# ---- other places --------------------------------------------------------------------------------------------------


def test_when_the_source_is_an_object_store_prefix_then_it_reads_like_a_folder() -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/raw/sales.csv", (HEADER + ROWS).encode())
    try:
        assert from_path("memory://bucket/raw").panel.y.sum() == TOTAL
        assert from_path("memory://bucket/raw/sales.csv").panel.y.sum() == TOTAL
        with pytest.raises(StorageError, match="no such file"):
            from_path("memory://bucket/none")
    finally:
        store.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    "path",
    [
        "http://169.254.169.254/x.csv",
        "https://x/y.csv",
        "ftp://x/y.csv",
        "simplecache::http://x/y",
        "zip://a::b",
        "ssh://x/y",
    ],
)
def test_when_the_address_is_not_storage_then_nothing_is_fetched(path: str) -> None:
    with pytest.raises(StorageError):
        read_source(SourceSettings(path=path))


@pytest.mark.parametrize(
    "path", ["../secret.csv", "inside/../../secret.csv", "/etc/passwd", "memory://x", "file:///etc/passwd"]
)
def test_when_a_root_is_set_then_paths_outside_it_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.csv").write_text(HEADER + ROWS)
    given = path if path.startswith(("/", "memory", "file")) else str(tmp_path / "data" / path)
    with pytest.raises(SettingsError, match="outside"):
        read_source(SourceSettings(path=given, root=str(tmp_path / "data")))


def test_when_a_link_leads_out_of_the_root_then_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.csv").write_text(HEADER + ROWS)
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(SettingsError, match="outside"):
        read_source(SourceSettings(path=str(tmp_path / "data" / "link.csv"), root=str(tmp_path / "data")))
    assert from_path(tmp_path / "secret.csv", root=str(tmp_path)).panel.y.sum() == TOTAL


def test_when_an_address_holds_a_password_then_it_is_never_shown() -> None:
    with pytest.raises(StorageError) as caught:
        read_source(SourceSettings(path="https://me:secret@host/x.csv"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("how", [{"table": "sales"}, {"query": "select * from sales where Qty is not null"}])
def test_when_the_source_is_a_database_then_a_table_or_a_query_is_read(tmp_path: Path, how: dict[str, Any]) -> None:
    with sqlite3.connect(tmp_path / "erp.db") as connection:
        frame().to_sql("sales", connection, index=False)
    connection.close()
    found = from_path(f"sqlite:///{tmp_path}/erp.db", **how)
    assert found.panel.y.sum() == TOTAL
    assert found.report.files[0]["format"] == "sql"


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"table": "none"}, StorageError),
        ({"query": "select nothing from nowhere"}, StorageError),
        ({}, SettingsError),
        ({"table": "sales", "query": "select 1"}, SettingsError),
        ({"query": "select * from sales where 1 = 0"}, SchemaError),
        ({"table": "sales", "max_rows": 5}, SchemaError),
    ],
)
def test_when_a_query_cannot_be_answered_then_it_is_one_clear_error(
    tmp_path: Path, settings: dict[str, Any], kind: type[Exception]
) -> None:
    with sqlite3.connect(tmp_path / "erp.db") as connection:
        frame().to_sql("sales", connection, index=False)
    connection.close()
    with pytest.raises(kind):
        from_path(f"sqlite:///{tmp_path}/erp.db", **settings)


def test_when_the_database_file_is_missing_then_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such database file"):
        from_path(f"sqlite:///{tmp_path}/none.db", table="sales")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("kind", ["yarn", "orders"])
def test_when_another_kind_is_asked_for_then_the_setting_is_refused(kind: str) -> None:
    with pytest.raises(SettingsError, match=r"a source holds sales.*company\.folder"):
        build(SourceSettings, {"path": "x", "kind": kind}, "source")


def test_when_a_path_is_blank_then_the_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="no path"):
        read_source(SourceSettings(path=" "))


@pytest.mark.slow
def test_when_the_source_is_s3_then_files_and_prefixes_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for key, value in {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            monkeypatch.setenv(key, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="raw")
        client.put_object(Bucket="raw", Key="erp/sales.csv", Body=(HEADER + ROWS).encode())
        assert from_path("s3://raw/erp/").panel.y.sum() == TOTAL
        assert from_path("s3://raw/erp/sales.csv").panel.y.sum() == TOTAL
        with pytest.raises(StorageError):
            from_path("s3://raw/none.csv")
        with pytest.raises(StorageError):
            from_path("s3://nowhere/none.csv")
    finally:
        server.stop()


def test_when_a_sheet_of_a_text_file_is_asked_for_then_it_is_refused(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(SettingsError, match=r"source\.sheet.*csv"):
        from_path(tmp_path / "s.csv", sheet="Sales")
