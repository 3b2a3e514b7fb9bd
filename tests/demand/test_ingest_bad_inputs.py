"""What is not fit to use ends in one clear error; what is bad in one place harms nothing else."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demand.errors import CalendarError, DataError, DemandError, SchemaError, SettingsError, StorageError
from tests.demand.files import HEADER, ROWS, TOTAL, ingested


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", SchemaError, "the file is empty"),
        (b"\n \n", SchemaError, "the file is empty"),
        (HEADER, SchemaError, "a header and no rows"),
        ("When,Style,Qty\n" + ROWS, SchemaError, "no date column was found"),
        ("Order Date,Which,Qty\n" + ROWS, SchemaError, "no style column was found"),
        ("Order Date,Style,Price\n" + ROWS, SchemaError, "a price or an amount is not a quantity"),
        (ROWS, SchemaError, "no date column"),
        ("Order Date,Style,Qty,Quantity\n" + ROWS.replace("\n", ",1\n"), SchemaError, "columns.quantity='Qty'"),
        (
            "Order Date,Style,SKU,Qty\n" + ROWS.replace(",A,", ",A,a,").replace(",B,", ",B,b,"),
            SchemaError,
            "columns.style",
        ),
        ("Order Date,Style,Qty,Qty\n" + ROWS.replace("\n", ",1\n"), SchemaError, "the same header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), SchemaError, "binary file"),
        (bytes(range(1, 32)) * 50, SchemaError, "binary file"),
        (HEADER + ROWS + "2024-01-01,A\0,3\n", SchemaError, "NUL bytes"),
        ((HEADER + ROWS + "2024-01-01,Caf\xe9,3\n").encode("latin-1"), SchemaError, "source.encoding"),
        ((HEADER + ROWS * 40_000 + "2024-01-01,Caf\xe9,3,4,5\n").encode("latin-1"), SchemaError, "source.encoding"),
        ((HEADER + ROWS).encode("utf-16"), SchemaError, "source.encoding=utf-16"),
        ((HEADER + ROWS).encode("utf-16-le"), SchemaError, "NUL bytes"),
        (HEADER + "2024-01-05,A,1,9,9\n" * 30, SchemaError, "as many fields as the header"),
        (HEADER + ROWS + '2024-01-05,"A,1\n' + ROWS, SchemaError, "a quote is not closed"),
        (HEADER + ROWS + '2024-01-05,A,"1', SchemaError, "a quote is not closed"),
        (HEADER + "20240105,A,1\n20240106,A,2\n", CalendarError, "columns.date_format='%Y%m%d'"),
        (HEADER + "45301,A,1\n45302,A,2\n", CalendarError, "columns.date_format='excel'"),
        (HEADER + "2024-01-05,A,1\n" * 9 + "05/13/2024,A,1\n" * 9, CalendarError, "mixes formats"),
        (HEADER + "01-02-24,A,1\n03-04-24,A,1\n", CalendarError, "columns.date_format"),
        (HEADER + "2024-01-01,A,x\n2024-01-02,A,y\n", SchemaError, "no quantity column"),
        (HEADER + "2024-01-01,,1\n2024-01-02,,2\n", DataError, "both a date and a style"),
        (HEADER + '2024-01-01,"a\tb",1\n', SchemaError, "control characters"),
        (HEADER + "2024-01-01," + "A" * 30_000 + ",1\n", SchemaError, "a cell is too long"),
        (",".join(f"c{i}" for i in range(6000)) + "\n1\n", SchemaError, "too many columns"),
        ('[{"Order Date": "2024-01-01",', SchemaError, "the JSON cannot be read"),
        ("[" * 100_000, SchemaError, "nested too deep"),
        ("[1, 2]", SchemaError, "not a list of records"),
        ("<html><table></table></html>", SchemaError, "HTML"),
        (b"PK\x03\x04 nothing else", SchemaError, "zip archive"),
        (b"\xd0\xcf\x11\xe0 old", SchemaError, ".xls"),
        (b"PAR1 nothing else", SchemaError, "Parquet file is damaged"),
        (gzip.compress((HEADER + ROWS).encode(), mtime=0)[:60], StorageError, "ends too early"),
        ("Desc#,Supplier,Theoretical Balance\nY1,S,3\n", SchemaError, "yarn stock export"),
        ("Style,Week 37,Week 38,Week 39\nA,1,2,3\n", SchemaError, "source.as_of"),
        ("Store,Product,2024-01-01,2024-01-08,2024-01-15\n1,A,1,2,3\n2,A,1,2,4\n", SchemaError, "columns.style"),
    ],
)
def test_when_a_file_cannot_be_used_then_one_error_says_what_and_what_to_do(
    tmp_path: Path, content: str | bytes, kind: type[DemandError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        ingested(tmp_path, content)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"columns": {"quantity": "Quantty"}}, SettingsError, "nearest='Qty'"),
        ({"columns": {"past": ("stock",)}}, SettingsError, "columns.past"),
        ({"columns": {"date_format": "%Q"}}, SettingsError, "date format"),
        ({"freq": "Q"}, SettingsError, "unknown frequency"),
        ({"encoding": "klingon"}, SchemaError, "encoding"),
        ({"format": "parquet"}, SchemaError, "not in this format"),
        ({"max_rows": 10}, SchemaError, "source.max_rows"),
        ({"max_bytes": 100}, StorageError, "source.max_bytes"),
        ({"root": "/somewhere/else"}, SettingsError, "outside the data folder"),
        ({"cleaning": {"first_date": "2027-01-01"}}, SettingsError, "key='cleaning.first_date'"),
        ({"cleaning": {"last_date": "2020-01-01"}}, SettingsError, "dates_from='2024-01-01', dates_to='2024-01-28'"),
        (
            {"cleaning": {"first_date": "2025-01-01", "last_date": "2025-02-01"}},
            SettingsError,
            "cleaning.first_date and cleaning.last_date",
        ),
        ({"cleaning": {"stockouts": "mask"}}, SchemaError, "in_stock"),
    ],
)
def test_when_a_setting_cannot_be_met_then_the_error_names_it(
    tmp_path: Path, settings: dict[str, Any], kind: type[DemandError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        ingested(tmp_path, HEADER + ROWS, **settings)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        ("", {}, "another file"),
        (HEADER, {}, "another file"),
        ("{}", {}, "not a list of records"),
        ("[{}, {}]", {}, "one object a row"),
        ("Order Date,Style,Qty,Qty\n" + ROWS.replace("\n", ",1\n"), {}, "Rename or remove"),
        (HEADER + ROWS + '2024-01-05,"A,1\n' + ROWS, {}, "Close the quote"),
        (HEADER + ROWS + '2024-01-05,A,"1', {}, "Close the quote"),
        (HEADER + "2024-01-05,A,1,9,9\n" * 30, {}, "as many fields"),
        (HEADER + ROWS + "2024-01-05,B,7\n", {"cleaning": {"same_period": "raise"}}, "first=['B 2024-01-05']"),
        (HEADER + ROWS + "2024-01-05,B,7\n", {"cleaning": {"same_period": "raise"}}, "cleaning.same_period=sum"),
        (HEADER + ROWS.replace("2024-01-03,B,6\n", ""), {"cleaning": {"gaps": "raise"}}, "first=['B 2024-01-03']"),
        (HEADER + ROWS.replace("2024-01-03,B,6\n", ""), {"cleaning": {"gaps": "raise"}}, "cleaning.gaps=zero"),
        (
            "Style,This Week,Week 37,Week 38,Week 39\nA,1,2,3,4\n",
            {"as_of": "2025-09-10"},
            "the file calls This Week",
        ),
    ],
)
def test_when_something_is_refused_then_the_error_says_what_to_do(
    tmp_path: Path, content: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, content, **settings)
    assert said in str(caught.value)
    assert caught.value.hint


PEOPLE = [f"P{i} Smith <p{i}@acme.com>" for i in range(9)]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("".join(f"{who},2024-01-0{i + 1},{i}\n" for i, who in enumerate(PEOPLE)), {}),
        ("".join(f"{who},2024-01-0{i + 1},{i}\n" for i, who in enumerate(PEOPLE)), {"date": "Joe"}),
        ("".join(f"P{i} Smith:x:0:0:acme.com\n" for i in range(9)), {}),
        ("".join(f"P{i} Smith:x:0:0:acme.com\n" for i in range(9)), {"quantity": "Smith"}),
        ("".join(f"P{i} Smith,acme.com\n" for i in range(9)), {}),
        (f"{PEOPLE[0]}\n", {}),
        *(
            (
                "Order Date,Style,Qty,Customer\n"
                + "".join(f"2024-01-0{i + 1},A,{i},{who}\n" for i, who in enumerate(PEOPLE)),
                {role: "Customer"},
            )
            for role in ("quantity", "date", "past")
        ),
        *(
            (
                "Order Date,Style,Qty,Who\n"
                + "".join(f"2024-01-0{i + 1},A,{i},{who}\n" for i, who in enumerate(PEOPLE)),
                {role: "Who"},
            )
            for role in ("quantity", "date")
        ),
    ],
)
def test_when_cells_may_be_people_then_no_error_shows_them(
    tmp_path: Path, content: str, columns: dict[str, Any]
) -> None:
    if "past" in columns:
        columns = {"past": ("Customer",)}
    with pytest.raises(DemandError) as caught:
        ingested(tmp_path, content, columns=columns)
    assert "Smith" not in str(caught.value).replace("found='Smith'", "")
    assert "acme" not in str(caught.value)


def test_when_headers_are_unknown_words_above_numbers_then_they_are_shown(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        ingested(tmp_path, "Tag,Artikel,Menge\n" + ROWS)
    assert caught.value.facts["columns"] == "Tag, Artikel, Menge"
    with pytest.raises(SchemaError) as caught:
        ingested(tmp_path, ROWS)
    assert "3; none is a known header" in caught.value.facts["columns"]


def test_when_a_quantity_is_a_word_of_a_personal_column_then_the_report_holds_none(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{d:02d},A,{d}\n" for d in range(1, 20)) + "2024-01-20,A,Joe Smith\n"
    report = ingested(tmp_path, "Order Date,Style,Customer\n" + rows, columns={"quantity": "Customer"}).report
    assert report.words_in_numbers == {}
    assert report.missing["unreadable"] == 1


def test_when_a_gzip_bomb_is_unpacked_then_it_stops_at_the_limit(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unpacked file is too large"):
        ingested(tmp_path, gzip.compress(b"0" * 20_000_000), max_bytes=1_000_000)


def test_when_a_workbook_is_a_bomb_then_it_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", "x")
        book.writestr("xl/worksheets/sheet1.xml", "0" * 20_000_000)
    with pytest.raises(SchemaError, match="too many bytes"):
        ingested(tmp_path, path.read_bytes(), max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ("".join(f"2024-01-{d:02d},BAD,??\n" for d in range(1, 20)), "no known quantity in the style"),
        ("2024-01-05,BAD,inf\n2024-01-06,BAD,1e300\n2024-01-07,BAD,NaN\n", "no known quantity in the style"),
        ("31/31/2024,BAD,3\n" * 5, "date unreadable"),
        ("today,BAD,3\nnow,BAD,4\n", "date is a word"),
        ("0001-01-01,BAD,3\n9999-12-31,BAD,4\n", "date unreadable"),
    ],
)
def test_when_one_style_is_unusable_then_it_is_rejected_by_name_and_the_others_are_whole(
    tmp_path: Path, rows: str, cause: str
) -> None:
    found = ingested(tmp_path, HEADER + ROWS + rows)
    assert found.report.rejected == {"BAD": cause}
    assert found.panel.ids.tolist() == ["A", "B"]
    assert found.panel.y.sum() == TOTAL
    assert found.report.left_out == {cause: rows.count("\n")}
    assert found.report.styles_in == 3
    alone = ingested(tmp_path, HEADER + ROWS)
    assert np.array_equal(alone.panel.y, found.panel.y)


def test_when_a_row_has_too_many_fields_then_only_it_is_left_out(tmp_path: Path) -> None:
    found = ingested(tmp_path, HEADER + ROWS + "2024-01-05,A,1,9,9\n2024-01-05,A\n")
    assert found.report.left_out == {"wrong number of fields": 2}
    assert found.panel.y.sum() == TOTAL


@pytest.mark.parametrize(
    ("before", "wrong", "said"),
    [
        (HEADER + ROWS, 1, "1 row (line 58)"),
        ("Sales\n" + HEADER + ROWS, 2, "2 rows (lines 59, 60)"),
        ((HEADER + ROWS).replace("\n", "\r\n"), 1, "1 row (line 58)"),
        (HEADER + "\n" + ROWS, 1, "1 row (row 57 below the header)"),
        (
            "Order Date,Style,Qty,Note\n" + ROWS.replace("\n", ",\n") + '2024-01-05,A,1,"C\nD"\n',
            1,
            "1 row (row 58 below the header)",
        ),
        (HEADER + ROWS * 4, 7, "7 rows (lines 226, 227, 228, 229, 230, ..)"),
    ],
)
def test_when_a_row_has_too_many_fields_then_the_note_says_where_it_is(
    tmp_path: Path, before: str, wrong: int, said: str
) -> None:
    found = ingested(tmp_path, before + "2024-01-05,A,1,9,9\n" * wrong)
    assert f"{said} of another number of fields than the header" in found.report.layout


def test_when_a_row_is_dated_decades_ahead_then_it_does_not_stretch_every_series(tmp_path: Path) -> None:
    rows = "".join(f"2024-{m:02d}-{d:02d},A,1\n" for m in range(1, 7) for d in range(1, 21))
    found = ingested(tmp_path, HEADER + rows + "2050-01-01,A,1\n")
    assert found.report.left_out == {"dated in the future": 1}
    assert found.report.last_period == "2024-06-20"
    asked = ingested(tmp_path, HEADER + rows + "2050-01-01,A,1\n", cleaning={"last_date": "2050-12-31"})
    assert asked.report.last_period == "2050-01-01"


def test_when_the_file_is_missing_then_the_error_says_so(tmp_path: Path) -> None:
    from demand.cleaning import CleaningSettings
    from demand.columns import ColumnSettings
    from demand.ingest import ingest
    from demand.sources import SourceSettings

    with pytest.raises(StorageError, match="no such file or folder"):
        ingest(SourceSettings(path=str(tmp_path / "none.csv")), ColumnSettings(), CleaningSettings())
