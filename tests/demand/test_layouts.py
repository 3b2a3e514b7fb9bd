"""Title lines, empty and repeated blocks, one column per date."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SchemaError
from demand.layouts import CELL, PERIOD, Table, find_header, period_columns, tidy, to_long

TITLES = [["Sales Activity Report", "", ""], ["as of", "2024-02-01", ""], ["", "", ""]]
HEADER = ["Date", "Style", "Qty"]
BODY = [["2024-01-01", "A", "1"]] * 5


def text(*cells: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


@pytest.mark.parametrize("titles", [0, 1, 2, 3])
def test_when_title_lines_stand_above_then_the_header_is_found_below_them(titles: int) -> None:
    assert find_header([*TITLES[:titles], HEADER, *BODY], "f") == titles


def test_when_rows_are_wider_than_the_header_then_the_words_are_still_the_header() -> None:
    assert find_header([HEADER] + [["2024-01-01", "A", "1", "9", "9"]] * 5, "f") == 0


def test_when_every_row_is_numbers_then_no_header_is_found() -> None:
    with pytest.raises(SchemaError, match="no header line"):
        find_header([["1", "2"], ["3", "4"]], "f")


def test_when_columns_are_empty_or_repeated_then_they_go_and_are_noted() -> None:
    table = tidy("f", ["\ufeffA", "", "B ", " B", ""], [text("1"), text(" "), text("2"), text("2"), text("3")], ["t"])
    assert table.columns.to_pydict() == {"A": ["1"], "B": ["2"], "column 5": ["3"]}
    assert len(table.notes) == 3


def test_when_a_header_comes_twice_with_other_content_then_it_is_refused() -> None:
    with pytest.raises(SchemaError, match="same header") as caught:
        tidy("f", ["A", "A"], [text("1"), text("2")])
    assert caught.value.facts["places"] == [1, 2]


def test_when_the_header_and_blank_rows_come_again_then_they_are_counted() -> None:
    table = tidy("f", ["A", "B"], [text("1", "A", "", " ", "2"), text("x", "B", "", "", "B")])
    assert table.columns.to_pydict() == {"A": ["1", "2"], "B": ["x", "B"]}
    assert table.left_out == {"repeated header line": 1, "blank row": 2}


def test_when_headings_are_dates_then_each_names_its_period() -> None:
    days, read_as = period_columns(["Store", "Product", "2024-01-01", "2024-01-08", "2024-01-15"], None)
    assert [str(day) for day in days] == ["NaT", "NaT", "2024-01-01", "2024-01-08", "2024-01-15"]
    assert read_as == "%Y-%m-%d"


def test_when_fewer_than_three_headings_are_dates_then_the_table_is_not_wide() -> None:
    days, _ = period_columns(["Style", "2024-01-01", "2024-01-08"], None)
    assert np.isnat(days).all()


def test_when_date_headings_fit_two_formats_then_the_key_is_named() -> None:
    names = ["Style", "01-02-24", "02-02-24", "03-02-24"]
    with pytest.raises(SchemaError, match=r"columns\.date_format"):
        period_columns(names, None)
    assert str(period_columns(names, None, (), "%d-%m-%y")[0][1]) == "2024-02-01"


@pytest.mark.parametrize(
    ("as_of", "week", "monday"),
    [
        ("2025-09-12", "Week 37", "2025-09-08"),
        ("2025-12-20", "Week 2", "2026-01-05"),
        ("2026-01-10", "Week 50", "2025-12-08"),
        ("2020-12-30", "Week 53", "2020-12-28"),
    ],
)
def test_when_a_week_number_has_no_year_then_it_is_the_nearest_to_the_snapshot(
    as_of: str, week: str, monday: str
) -> None:
    names = ["Style", week, "Week 20", "wk 21", "Later"]
    days, _ = period_columns(names, datetime.date.fromisoformat(as_of))
    assert str(days[1]) == monday
    assert np.isnat(days).tolist() == [True, False, False, False, True]


def test_when_the_snapshot_is_only_in_the_title_then_it_is_found_there() -> None:
    names = ["Style", "This Week", "Week 38", "Week 39", "Week 40"]
    days, read_as = period_columns(names, None, ["Demand as of 2025-09-13"])
    assert str(days[1]) == "2025-09-08"
    assert "2025-09-13" in read_as


@pytest.mark.parametrize("titles", [[], ["Demand as of 09/12/2025"], ["from 2025-09-13 to 2025-10-01"]])
def test_when_the_snapshot_is_unknown_or_unclear_then_it_must_be_given(titles: list[str]) -> None:
    with pytest.raises(SchemaError, match=r"source\.as_of"):
        period_columns(["Style", "Week 37", "Week 38", "Week 39"], None, titles)


@given(st.integers(1, 5), st.integers(3, 6))
def test_when_a_wide_table_becomes_long_then_every_cell_is_there_once(n: int, k: int) -> None:
    days = np.datetime64("2024-01-01", "D") + 7 * np.arange(k)
    cells = {str(day): [str(10 * i + j) for i in range(n)] for j, day in enumerate(days)}
    table = Table("f", pa.table({"Style": [f"s{i}" for i in range(n)], **cells}), left_out={"blank row": 2})
    periods, read_as = period_columns(table.columns.column_names, None)
    long = to_long(table, periods, read_as)
    found = {(row["Style"], str(row[PERIOD])): row[CELL] for row in long.columns.to_pylist()}
    slow = {(f"s{i}", str(day)): cells[str(day)][i] for i in range(n) for day in days}
    assert found == slow
    assert long.n_rows == n * k
    assert long.left_out == {"blank row": 2 * k}


def test_when_two_headings_mean_the_same_period_then_the_table_is_refused() -> None:
    table = Table("f", pa.table({"S": ["a"], "2024-01-01": ["1"], "2024-1-1": ["2"], "2024-01-08": ["3"]}))
    with pytest.raises(SchemaError, match="same period"):
        to_long(table, *period_columns(table.columns.column_names, None))


def test_when_blocks_of_columns_share_their_headers_then_the_line_above_tells_them_apart():
    cells = [pa.chunked_array([pa.array(texts)]) for texts in (["x", "y"], ["1", "2"], ["", ""], ["3", "4"])]
    table = tidy("t", ["Desc#", "Week 37", "", "Week 37"], cells, (), ["", "Demand", "", "Receipts"])
    assert table.columns.column_names == ["Desc#", "Demand Week 37", "Receipts Week 37"]
    with pytest.raises(SchemaError, match="same header"):  # a title above all of them names no block
        tidy("t", ["Desc#", "Week 37", "", "Week 37"], cells, (), ["Demand of 2025", "", "", ""])
