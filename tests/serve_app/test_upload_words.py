"""What an upload's answer says of a file's cells: never a text that may be a person's."""

from __future__ import annotations

import json

import pytest

from demand.errors import DemandError, SchemaError
from models.files import read_json
from serve_app import upload_child

DAYS = [f"2025-01-{day:02d}" for day in range(1, 29)]


def outcome(tmp_path, text, **columns):
    """The report or the refusal of this file, as a client gets it."""
    (tmp_path / "upload").write_text(text)
    asked = {"columns": columns, "cleaning": {}, "freq": "auto", "encoding": None, "max_bytes": 10**7,
             "max_rows": 10**5, "max_columns": 100}  # fmt: skip
    try:
        upload_child.answer(tmp_path, asked)
    except DemandError as error:
        return upload_child.refusal(error)
    return read_json(tmp_path / "kept" / "report.json")


def lines(header, row):
    return "\n".join([header, *(row.format(day=day) for day in DAYS)]) + "\n"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('Date,Style,Qty,Customer Name\n2025-01-01,S,1,"Jane Q Doe\n2025-01-02,S,0,Jane Q Doe\n', {}),
        ("Date,Style,Qty\n2025-01-01,S,1\n" + "2025-01-02,S,Jane Q Doe\n" * 20, {}),
        ("Date,Style,Qty,Who\nJane Q Doe,S,1,x\nJane Q Doe,S,2,x\n", {"date": "Date"}),
        ("Date,Style,Qty\nJane Q Doe,S\n" + "Jane Q Doe,S,1,Jane Q Doe\n" * 5, {}),
        ('Date,Style,Qty\n2025-01-01,"Jane Q\x07Doe",1\n', {}),
        (lines("Date,Style,Qty,Unit", "{day},S,1,yds") + "2025-01-29,S,5,Jane Q Doe\n", {}),
        (lines("Date,Style,Qty,Unit", "{day},S,1,Jane Q Doe"), {}),
    ],
    ids=["open quote", "quantity", "date", "width", "style", "unit of a row", "unit"],
)
def test_when_a_cell_is_at_fault_then_its_shape_is_said_and_never_the_text(tmp_path, text, columns):
    said = json.dumps(outcome(tmp_path, text, **columns))
    assert "Jane" not in said
    assert "jane" not in said.lower()
    assert "doe" not in said.lower()


@pytest.mark.parametrize(("role", "header"), [("style", "Customer"), ("style", "customer"), ("date", "Phone"),
                                              ("quantity", "P.O.")])  # fmt: skip
def test_when_a_column_about_people_is_named_for_a_role_then_it_is_refused(tmp_path, role, header):
    said = outcome(tmp_path, lines("Date,Style,Qty,Customer,Phone,PO", "{day},S,1,Jane Q Doe,555,7"), **{role: header})
    assert said["status_code"] == 422
    assert "names people" in said["detail"]
    assert role in said["detail"]
    assert not (tmp_path / "kept").exists()


def test_when_a_unit_is_a_short_word_then_it_is_said_and_rows_still_add_up(tmp_path):
    text = lines("Date,Style,Qty,Unit", "{day},S,1,yds") + "".join(
        f"2025-01-29,S,5,{unit}\n" for unit in ("rolls", "Jane Q Doe", "Alan R Poe")
    )
    report = outcome(tmp_path, text)
    assert report["rows"]["left_out"] == {"unit rolls is not yds": 1, "unit aaaa a aaa is not yds": 2}
    assert report["demand"]["unit"] == "yds"


def test_when_facts_are_our_own_words_then_they_are_said_as_they_are():
    said = upload_child.refusal(
        SchemaError("no", columns="Date, Style", first=["row 3: 2 fields", "13.13.2024", "Jane-7"], rows=4, line=9)
    )
    assert said["detail"] == (
        "no (columns='Date, Style', first=['row 3: 2 fields', '99.99.9999', 'Aaaa-9'], rows=4, line=9)"
    )


def test_when_a_header_names_the_unit_then_the_report_says_that_header(tmp_path):
    report = outcome(tmp_path, lines("Date,Style,Qty,UOM", "{day},S,1,yds"))
    assert report["columns"]["chosen"]["unit"] == "UOM (alias)"
    assert report["demand"]["unit"] == "yds"
