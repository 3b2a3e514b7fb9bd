"""Files added to kept rows: against a slow twin, in any split of the files, through the disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.append import append
from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.errors import SchemaError, SettingsError, StorageError
from demand.ingest import Ingested, ingest, judged
from demand.kept import Kept, as_kept, held, new_key, read_kept, seal_of, settings_of, write_kept
from demand.sources import SourceSettings
from demand.store import panel_hash

NUMBERED = "Document,Order Date,Style,Qty,Customer\n"
PLAIN = "Order Date,Style,Qty\n"
FIRST = NUMBERED + "D1,2024-01-13,A,5,Acme\nD2,2024-01-14,B,7,Acme\nD3,2024-01-15,A,1,Best\n"


def added(
    folder: Path,
    source: Path,
    columns: dict[str, Any] | None = None,
    cleaning: dict[str, Any] | None = None,
    **more: Any,
) -> Ingested:
    """Adds what is new in `source` to the rows kept in `folder`, through the disk."""
    told = SourceSettings(path=str(source), append=True, **more)
    asked = ColumnSettings(**columns or {}), CleaningSettings(**cleaning or {})
    before = read_kept(folder) if seal_of(folder) else None
    settings_now = as_kept(before, *asked) if before else asked
    reading, taken, key = (before.reading, before.taken, before.key) if before else (None, {}, new_key())
    found = append(reading, taken, told, *settings_now, key)
    kept = Kept(found.reading, key, found.taken, before.settings if before else settings_of(*asked))
    with held(folder, seal_of(folder)):
        write_kept(kept, folder)
    return judged(found.reading, told, settings_now[1])


def in_files(folder: Path, *contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for content in contents:
        (folder / f"{len(list(folder.iterdir())):03d}.csv").write_text(content, encoding="utf-8")
    return folder


def brought(found: Ingested, *names: str) -> list[Any]:
    assert found.report.appended is not None
    return [found.report.appended[name] for name in names]


def demand(found: Ingested) -> dict[str, list[float]]:
    return {str(style): found.panel.series(i).tolist() for i, style in enumerate(found.panel.ids)}


# ---- what replaces what --------------------------------------------------------------------------------------------


def test_when_a_document_is_restated_then_its_rows_are_replaced_and_counted(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", FIRST)
    assert brought(added(tmp_path / "rows", source), "files", "added", "known", "replaced") == [1, 3, 0, 0]
    # D2 was of another style, on another day; D3 comes again as it was; D4 is new
    in_files(source, NUMBERED + "D2,2024-01-15,A,70,Acme\nD3,2024-01-15,A,1,Best\nD4,2024-01-16,A,2,Best\n")
    found = added(tmp_path / "rows", source)
    assert demand(found) == {"A": [5.0, 0.0, 71.0, 2.0]}
    names = ("files", "files_known", "rows_in", "added", "known", "correcting", "replaced", "corrections", "corrects")
    assert brought(found, *names) == [1, 1, 3, 1, 1, 1, 1, 1, ["document"]]
    assert brought(found, "quantity_before", "quantity_after", "kept_before") == [7.0, 70.0, 3]
    assert found.report.rows_in == 4
    assert {f.rule: f.found for f in found.report.findings}["corrected_share"] == pytest.approx(1 / 3)
    assert any(line.startswith("Corrected 1 kept rows") for line in found.report.summary_lines())


def test_when_documents_have_several_rows_then_only_the_same_line_is_replaced(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", NUMBERED + "D1,2024-01-13,A,5,x\nD1,2024-01-14,A,3,x\n")
    added(tmp_path / "rows", source)
    in_files(source, NUMBERED + "D1,2024-01-14,A,4,x\nD1,2024-01-15,A,2,x\n")
    found = added(tmp_path / "rows", source)
    assert demand(found) == {"A": [5.0, 4.0, 2.0]}
    assert brought(found, "added", "replaced", "corrects") == [1, 1, ["line"]]


def test_when_there_are_no_documents_then_a_style_and_date_stated_anew_replaces_their_sum(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", PLAIN + "2024-01-13,A,5\n2024-01-13,A,6\n2024-01-14,A,1\n2024-01-20,A,1\n")
    assert demand(added(tmp_path / "rows", source))["A"][:2] == [11.0, 1.0]
    in_files(source, PLAIN + "2024-01-13,A,6\n2024-01-13,A,5\n2024-01-14,A,2\n2024-01-15,A,9\n")
    found = added(tmp_path / "rows", source)
    assert demand(found)["A"][:3] == [11.0, 2.0, 9.0]
    assert brought(found, "added", "known", "correcting", "replaced", "corrects") == [1, 2, 1, 1, ["date"]]


def test_when_nothing_may_be_corrected_then_rows_are_added_and_known_documents_are_not(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", PLAIN + "2024-01-13,A,5\n2024-01-20,A,1\n")
    added(tmp_path / "rows", source)
    in_files(source, PLAIN + "2024-01-13,A,5\n2024-01-14,A,3\n")
    assert demand(added(tmp_path / "rows", source, corrects="nothing"))["A"][:2] == [10.0, 3.0]
    numbered = in_files(tmp_path / "numbered", FIRST)
    added(tmp_path / "more", numbered)
    in_files(numbered, NUMBERED + "D1,2024-01-13,A,5,Acme\nD1,2024-01-13,A,6,Acme\n")
    found = added(tmp_path / "more", numbered, corrects="nothing")
    assert demand(found)["A"][0] == 11.0
    assert brought(found, "added", "known", "replaced") == [1, 1, 0]


# ---- in any split --------------------------------------------------------------------------------------------------

CELL = st.tuples(st.sampled_from(["", "1", "2", "3"]), st.integers(13, 16), st.sampled_from("AB"), st.integers(-3, 9))
FILES = st.lists(st.lists(CELL, min_size=1, max_size=6), min_size=1, max_size=4)


def slow_twin(files: list[list[tuple[str, int, str, int]]], documents: bool) -> dict[tuple[str, int], float]:
    """Demand of style and day when a later file's group of rows takes the place of the earlier one's."""
    kept: list[tuple[str, int, str, int]] = []
    several = False

    def key(row: tuple[str, int, str, int]) -> tuple[object, ...]:
        number, day, style, _ = row
        if not documents or not number:
            return (style, day)
        return (number, style, day) if several else (number,)

    for file in files:
        rows = list(dict.fromkeys(file))  # equal rows of one file are one
        for held_rows in (kept, rows):
            numbers = [row[0] for row in held_rows if row[0]]
            several |= documents and len(numbers) > len(set(numbers))
        if kept:
            restated = {key(row) for row in rows}
            kept = [row for row in kept if key(row) not in restated] + rows
        else:
            kept = rows
    total: dict[tuple[str, int], float] = {}
    for _, day, style, quantity in kept:
        total[style, day] = total.get((style, day), 0.0) + quantity
    return total


@settings(max_examples=40, deadline=None)
@given(files=FILES, documents=st.booleans())
def test_when_files_are_added_then_the_demand_is_that_of_the_slow_twin_in_any_split(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, int, str, int]]], documents: bool
) -> None:
    folder = tmp_path_factory.mktemp("x")
    # two styles that never change, so that every file is a table and the panel's ends are fixed
    files = [[*rows, (f"{90 + 2 * i}", 13, "Z", i + 1), (f"{91 + 2 * i}", 28, "Z", 1)] for i, rows in enumerate(files)]
    contents = [
        NUMBERED + "".join(f"{number},2024-01-{day},{style},{quantity},x\n" for number, day, style, quantity in rows)
        for rows in files
    ]
    if not documents:
        contents = [content.replace("Document", "Remark") for content in contents]
        files = [[*{(row[0], *row[1:]): row for row in rows}] for rows in files]
    together = added(folder / "a", in_files(folder / "all", *contents))
    one_by_one = [added(folder / "b", in_files(folder / "each", content)) for content in contents][-1]
    assert panel_hash(one_by_one.panel) == panel_hash(together.panel)
    assert one_by_one.lines is not None
    assert together.lines is not None
    assert one_by_one.lines.tolist() == together.lines.tolist()
    assert together.lines.sum() == together.report.used + together.report.merged
    expected = slow_twin(files, documents)
    for i, style in enumerate(together.panel.ids):
        series = together.panel.series(i)
        first = min(day for name, day in expected if name == style)
        assert series.tolist() == [expected.get((style, day), 0.0) for day in range(first, 29)]
    assert {name for name, _ in expected} == set(together.panel.ids.tolist())
    report = one_by_one.report
    assert report.rows_in == report.used + report.merged + sum(report.left_out.values())
    again = added(folder / "b", folder / "each")
    assert brought(again, "files", "files_known", "rows_in", "replaced") == [0, len(files), 0, 0]
    assert panel_hash(again.panel) == panel_hash(together.panel)


def test_when_one_file_is_added_to_nothing_then_panel_and_report_are_those_of_an_ingest(tmp_path: Path) -> None:
    content = (
        "Document,Order Date,Style,Qty,UOM,Unit Price,Colour,In Stock\n"
        "1,2024-01-01,A,5,yds,$2.00,red,1\n1,2024-01-01,A,5,yds,$2.00,red,1\n2,never,A,5,yds,,red,1\n"
        "3,2024-01-02,A,Remove,yds,,blue,0\n4,2024-01-03,B,-2,kg,,,1\n5,2024-01-04,C,(3),yds,$1,x,1\n"
    )
    settled = {"static": ("Colour",)}
    source = in_files(tmp_path / "in", content)
    found = added(tmp_path / "rows", source, settled)
    plain = ingest(SourceSettings(path=str(source)), ColumnSettings(**settled), CleaningSettings())  # type: ignore[arg-type]
    stored = ingest(SourceSettings(path=str(tmp_path / "rows")), ColumnSettings(), CleaningSettings())
    assert panel_hash(found.panel) == panel_hash(plain.panel) == panel_hash(stored.panel)
    for one in (found, plain, stored):
        assert one.lines is not None
        assert dict(zip(one.panel.ids.tolist(), one.lines.tolist(), strict=True)) == {"A": 1, "C": 1}
    told, expected = stored.report.as_json(), plain.report.as_json()
    assert {name for name in expected if told[name] != expected[name]} == {"source"}
    assert plain.report.rejected == {"B": "unit kg is not yds"}


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_when_rows_are_kept_then_no_document_or_partner_is_in_the_folder(tmp_path: Path) -> None:
    content = NUMBERED + "".join(f"DOC-{i},2024-01-{13 + i},A,{i},Acme Mills\n" for i in range(9))
    added(tmp_path / "rows", in_files(tmp_path / "in", content))
    for path in (tmp_path / "rows").iterdir():
        data = path.read_bytes()
        assert b"DOC-" not in data
        assert b"Acme" not in data
    assert len(list((tmp_path / "rows").glob("rows-*.parquet"))) == 1


def test_when_kept_rows_are_read_in_months_then_they_are_summed_again(tmp_path: Path) -> None:
    added(tmp_path / "rows", in_files(tmp_path / "in", FIRST))
    found = ingest(SourceSettings(path=str(tmp_path / "rows")), ColumnSettings(), CleaningSettings(), "MS")
    assert demand(found) == {"A": [6.0], "B": [7.0]}


@pytest.mark.parametrize(
    ("columns", "cleaning", "named"),
    [({"quantity": "Other"}, {}, "columns.quantity"), ({}, {"returns": "drop"}, "cleaning.returns")],
)
def test_when_kept_rows_are_asked_for_otherwise_than_they_were_read_then_it_is_refused(
    tmp_path: Path, columns: dict[str, Any], cleaning: dict[str, Any], named: str
) -> None:
    added(tmp_path / "rows", in_files(tmp_path / "in", FIRST))
    with pytest.raises(SettingsError, match=named):
        ingest(SourceSettings(path=str(tmp_path / "rows")), ColumnSettings(**columns), CleaningSettings(**cleaning))


def test_when_the_first_file_settled_something_then_a_later_one_that_cannot_tell_follows_it(tmp_path: Path) -> None:
    header = "When,Style,Qty,Ordered,UOM\n"
    source = in_files(tmp_path / "in", header + "01-25-24,A,5,6,yds\n01-26-24,A,5,6,yds\n")
    chosen = {"date": "When", "style": "Style", "quantity": "Ordered"}
    added(tmp_path / "rows", source, chosen, {"returns": "drop"})
    in_files(source, header + "02-03-24,A,1,2,kg\n02-03-24,A,1,3,yds\n02-04-24,A,1,-3,yds\n02-05-24,A,1,4,yds\n")
    found = added(tmp_path / "rows", source)
    assert found.panel.y[-3:].tolist() == [3.0, 0.0, 4.0]  # 3 February, not 2 March; yards; returns dropped
    assert found.report.left_out == {"unit kg is not yds": 1, "return": 1}


def test_when_a_column_appears_or_vanishes_then_it_is_missing_in_the_other_rows(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", "Order Date,Style,Qty,Price\n2024-01-13,A,5,2.5\n2024-01-14,A,5,\n")
    added(tmp_path / "rows", source)
    in_files(source, PLAIN + "2024-01-15,A,5\n2024-01-16,A,5\n")
    assert np.nanmax(added(tmp_path / "rows", source).panel.past["price"]) == 2.5


def test_when_a_new_file_has_no_document_column_then_it_does_not_fit(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", FIRST)
    added(tmp_path / "rows", source)
    before = seal_of(tmp_path / "rows")
    in_files(source, PLAIN + "2024-01-13,A,5\n")
    with pytest.raises(SchemaError, match="does not fit the rows that are kept"):
        added(tmp_path / "rows", source)
    assert seal_of(tmp_path / "rows") == before


def test_when_kept_rows_are_damaged_or_changed_meanwhile_then_it_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    added(folder, in_files(tmp_path / "in", FIRST))
    with pytest.raises(StorageError, match="changed meanwhile"), held(folder, "another"):
        pass
    with held(folder, seal_of(folder)), pytest.raises(StorageError, match="another process"):  # noqa: SIM117
        with held(folder, seal_of(folder)):
            pass
    rows = next(folder.glob("rows-*.parquet"))
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match="damaged"):
        read_kept(folder)
    (folder / "rows.json").write_text((folder / "rows.json").read_text().replace('"parts": 1', '"parts": 2'))
    with pytest.raises(StorageError, match="damaged"):
        read_kept(folder)


def test_when_a_new_file_is_no_sales_then_it_is_named_and_looked_at_again(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", FIRST, "Name,Colour\nx,red\ny,blue\n")
    for new in (1, 0):
        found = added(tmp_path / "rows", source)
        expected = [new, {"001.csv": "no date, style and quantity columns"}]
        assert brought(found, "files", "files_not_used") == expected
        assert any("not used 001.csv" in line for line in found.report.summary_lines())


def test_when_append_is_asked_for_outside_the_ingest_job_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"jobs\.ingest"):
        ingest(SourceSettings(path=str(tmp_path), append=True), ColumnSettings(), CleaningSettings())
    with pytest.raises(SettingsError, match="appended files only"):
        SourceSettings(path="x", corrects="date")


def test_when_a_wide_snapshot_moves_on_then_old_weeks_are_known_and_new_ones_added(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", "Style,2024-01-01,2024-01-08,2024-01-15\nA,1,2,3\nB,,4,5\n")
    added(tmp_path / "rows", source)
    in_files(source, "Style,2024-01-08,2024-01-15,2024-01-22\nA,2,9,4\nB,4,5,6\n")
    found = added(tmp_path / "rows", source)
    assert found.panel.freq == "W-MON"
    assert demand(found) == {"A": [1.0, 2.0, 9.0, 4.0], "B": [4.0, 5.0, 6.0]}
    assert brought(found, "added", "known", "correcting", "replaced") == [2, 3, 1, 1]


def test_when_a_series_is_added_to_a_series_then_its_calendar_stays(tmp_path: Path) -> None:
    rows = "unique_id,ds,y\nA,2024-01-01,1\nA,2024-02-01,2\nA,2024-03-01,\n"
    source = in_files(tmp_path / "in", rows)
    added(tmp_path / "rows", source)
    in_files(source, "unique_id,ds,y\nA,2024-03-01,3\nA,2024-05-01,5\n")
    found = added(tmp_path / "rows", source)
    assert (found.panel.freq, found.panel.y.tolist()) == ("MS", [1.0, 2.0, 3.0, 0.0, 5.0])


def test_when_a_later_file_holds_one_far_date_then_it_does_not_stretch_the_panel(tmp_path: Path) -> None:
    days = "".join(f"2024-01-{day},A,{number}\n" for day in range(13, 29) for number in range(10))
    source = in_files(tmp_path / "in", PLAIN + days)
    added(tmp_path / "rows", source)
    in_files(source, PLAIN + "2024-01-29,A,1\n2052-01-29,A,1\n")
    found = added(tmp_path / "rows", source)
    assert len(found.panel.y) == 17
    assert found.report.left_out == {"dated in the future": 1}


def test_when_a_later_file_names_units_that_the_kept_rows_lack_then_it_is_refused(tmp_path: Path) -> None:
    source = in_files(tmp_path / "in", PLAIN + "2024-01-13,A,5\n2024-01-14,A,5\n")
    added(tmp_path / "rows", source)
    in_files(source, "Order Date,Style,Qty,UOM\n2024-01-15,A,5,kg\n2024-01-16,A,5,kg\n")
    with pytest.raises(SchemaError, match="names a unit") as caught:
        added(tmp_path / "rows", source)
    assert caught.value.facts["unit"] == "kg"
    named = in_files(tmp_path / "named", "Order Date,Style,Qty,UOM\n2024-01-13,A,5,kg\n2024-01-14,A,5,kg\n")
    added(tmp_path / "more", named)
    in_files(named, PLAIN + "2024-01-15,A,1\n", "Order Date,Style,Qty,UOM\n2024-01-16,A,2,\n")
    assert demand(added(tmp_path / "more", named)) == {"A": [5.0, 5.0, 1.0, 2.0]}


def test_when_the_static_columns_of_a_style_change_then_the_newest_value_is_kept(tmp_path: Path) -> None:
    header = "Document,Order Date,Style,Qty,Colour,Gauge\n"
    source = in_files(tmp_path / "in", header + "1,2024-01-13,A,5,red,7\n2,2024-01-14,B,5,blue,8\n")
    added(tmp_path / "rows", source, {"static": ("Colour", "Gauge")})
    in_files(source, header + "3,2024-01-15,A,5,green,9\n4,2024-01-16,B,5,,8\n")
    found = added(tmp_path / "rows", source)
    assert {name: values.tolist() for name, values in found.panel.static.items()} == {
        "Colour": ["green", "blue"],
        "Gauge": ["9", "8"],
    }
    assert found.report.static_conflicts == {"Colour": 1, "Gauge": 1}


@pytest.mark.parametrize("values", [[1, 2, 3], [1.5, None, 2.0], [True, False, None], ["a", None, "b"]])
def test_when_static_columns_are_typed_then_kept_rows_give_the_same_panel(tmp_path: Path, values: list[Any]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    dates = pd.date_range("2024-01-13", periods=3)
    frame = pd.DataFrame({"unique_id": ["A", "B", "C"], "ds": dates, "y": [1.0, 2.0, 3.0], "kind": values})
    frame.to_parquet(source / "series.parquet", index=False)
    asked = {"static": ("kind",)}
    found = added(tmp_path / "rows", source, asked)
    stored = ingest(SourceSettings(path=str(tmp_path / "rows")), ColumnSettings(), CleaningSettings())
    assert panel_hash(stored.panel) == panel_hash(found.panel)


def test_when_a_static_column_holds_dates_then_it_can_be_kept_too(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    dates = pd.date_range("2024-01-13", periods=3)
    frame = pd.DataFrame({"unique_id": ["A", "B", "C"], "ds": dates, "y": [1.0, 2.0, 3.0], "launch": dates})
    frame.to_parquet(source / "series.parquet", index=False)
    added(tmp_path / "rows", source, {"static": ("launch",)})
    (source / "more.csv").write_text("unique_id,ds,y,launch\nA,2024-01-16,1,soon\n", encoding="utf-8")
    added(tmp_path / "rows", source)
    kept = [str(cell)[:10] for cell in read_kept(tmp_path / "rows").reading.rows.labels["launch"].to_pylist()]
    assert kept == ["2024-01-13", "2024-01-14", "2024-01-15", "soon"]  # two types meet as text


def test_when_the_path_is_no_name_a_file_can_have_then_it_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        ingest(SourceSettings(path="x" * 5000), ColumnSettings(), CleaningSettings())
