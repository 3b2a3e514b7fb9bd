"""Text cells to numbers: one cell at a time in the slow twin, whole columns in the product."""

from __future__ import annotations

import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.parsing import as_text, codes_of, distinct, parse_numbers, read_numbers


def column(*cells: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


def number(cell: str, decimal: str = ".") -> float:
    return float(parse_numbers(column(cell), decimal).values[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (" $7.45 ", 7.45),
        (" $4.07 ", 4.07),
        (" $6,215.19 ", 6215.19),
        ("($2,183.40)", -2183.40),
        ("-428.96", -428.96),
        ("-$3", -3.0),
        ("$-3", -3.0),
        ("−4", -4.0),
        ("12-", -12.0),
        ("+3", 3.0),
        ("21,673.00", 21673.0),
        ("5   ", 5.0),
        ("\u00a05\u00a0", 5.0),
        ("$7.35 (yds)", 7.35),
        ("12 yds", 12.0),
        ("1e5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("€9", 9.0),
        (" $-   ", 0.0),
        ("<b>7</b>", 7.0),
        ('<input type="checkbox" checked>', 1.0),
        ('<input type="checkbox">', 0.0),
    ],
)
def test_when_a_cell_is_a_number_in_disguise_then_it_is_read(cell: str, expected: float) -> None:
    assert number(cell) == expected


@pytest.mark.parametrize(
    "cell",
    [
        *("Remove", "inf", "-Infinity", "1e300", "1e15", "(5", "5)", "-5-", "(-5)"),
        *("12%", "1,50", "1,2345", "1.2.3", "30/1", "0x1F", "1_000"),
    ],
)
def test_when_a_cell_is_no_finite_number_then_it_is_unreadable_and_counted(cell: str) -> None:
    found = parse_numbers(column(cell, "3"))
    assert math.isnan(found.values[0])
    assert found.values[1] == 3
    assert found.unreadable.tolist() == [True, False]
    assert found.words == {cell: 1}


@pytest.mark.parametrize("cell", ["", "   ", None, "-", "NA", "n/a", "NaN", "null", "#N/A", "None"])
def test_when_a_cell_says_nothing_then_it_is_blank_and_not_unreadable(cell: str | None) -> None:
    found = parse_numbers(column(cell))
    assert found.blank.tolist() == [True]
    assert found.unreadable.tolist() == [False]
    assert math.isnan(found.values[0])


def test_when_the_decimal_sign_is_a_comma_then_dots_group_thousands() -> None:
    assert number("1.234,50", ",") == 1234.5
    assert number("-0,5", ",") == -0.5
    assert math.isnan(number("1,234.50", ","))
    assert math.isnan(number("1.5", ","))


def test_when_words_repeat_then_they_are_counted_most_frequent_first() -> None:
    found = parse_numbers(column("Remove", "x", "Remove", "1"))
    assert list(found.words.items()) == [("Remove", 2), ("x", 1)]


def test_when_a_typed_column_holds_infinity_then_it_is_missing_and_counted() -> None:
    found = parse_numbers(pa.chunked_array([pa.array([1.0, np.inf, np.nan, 1e300, -2.0])]))
    assert found.values[[0, 4]].tolist() == [1.0, -2.0]
    assert np.isnan(found.values[1:4]).all()
    assert found.unreadable.tolist() == [False, True, False, True, False]
    assert found.blank.tolist() == [False, False, True, False, False]


def slow_number(cell: str) -> float:
    """The same rules, one cell, without a column."""
    text = cell.strip()
    negative = (text.startswith("(") and text.endswith(")")) or text.startswith("-")
    text = text.strip("()").lstrip("-").replace("$", "").strip()
    if not re.fullmatch(r"(\d{1,3}(,\d{3})+|\d+)(\.\d*)?", text):
        return math.nan
    value = float(text.replace(",", ""))
    return -value if negative else value


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e9, allow_nan=False).map(lambda v: round(v, 2)),
            st.sampled_from(["{:.2f}", "{:,.2f}", " ${:,.2f} ", "(${:,.2f})", "-{:.2f}", "{:.0f}", "$ {:,.0f}"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_when_amounts_are_written_in_any_style_then_the_column_reads_like_the_slow_twin(
    cells: list[tuple[float, str]],
) -> None:
    texts = [pattern.format(value) for value, pattern in cells]
    expected = [slow_number(text) for text in texts]
    assert not any(math.isnan(value) for value in expected)
    assert parse_numbers(column(*texts)).values.tolist() == expected


@given(st.lists(st.text(alphabet="0123456789,.-()$ eE+%xN", max_size=12), min_size=1, max_size=30))
def test_when_cells_are_garbage_then_every_cell_is_a_number_or_blank_or_unreadable(texts: list[str]) -> None:
    found = parse_numbers(column(*texts))
    missing = np.isnan(found.values)
    assert (missing == (found.blank | found.unreadable)).all()
    assert not (found.blank & found.unreadable).any()
    assert (np.abs(found.values[~missing]) < 1e15).all()


def test_when_ids_are_floats_then_their_text_has_no_fraction() -> None:
    assert as_text(pa.chunked_array([pa.array([45301.0, 1.5, None])])).to_pylist() == ["45301", "1.5", None]


@pytest.mark.parametrize("chunks", [[["a", " b", None]], [["a"], [" b", None]], [[], ["a", " b", None]]])
def test_when_a_column_has_chunks_and_nulls_then_distinct_texts_are_found_once(chunks: list[list[str | None]]) -> None:
    plain = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks])
    for given_column in (plain, plain.dictionary_encode(), plain.cast(pa.large_string())):
        codes, texts = distinct(given_column)
        assert [texts[int(code)].as_py() for code in codes] == ["a", "b", ""]


def test_when_there_are_no_rows_then_there_are_no_numbers() -> None:
    values, nothing = read_numbers(pa.array([], pa.string()))
    assert len(values) == len(nothing) == 0
    codes, texts = distinct(pa.chunked_array([], pa.string()))
    assert len(codes) == len(texts) == 0


# ---- columns in many chunks ----------------------------------------------------------------------------------------


def in_chunks(cells: list[str | None], size: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells[at : at + size], pa.string()) for at in range(0, len(cells), size)])


@given(st.lists(st.sampled_from(["a", " a", "b", "", None]), min_size=1, max_size=30), st.integers(1, 7))
def test_when_a_column_comes_in_chunks_then_its_codes_are_those_of_one_piece(
    cells: list[str | None], size: int
) -> None:
    codes, texts = distinct(in_chunks(cells, size))
    assert [texts[int(code)].as_py() for code in codes] == [(cell or "").strip() for cell in cells]
    numbers = codes_of(in_chunks(cells, size)).tolist()
    assert [[a == b for b in numbers] for a in numbers] == [[a == b for b in cells] for a in cells]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([pa.array([1.5, None, 1.5, float("nan"), float("nan"), None])]),
        pa.chunked_array([pa.array([[1], [2], [1], None, None, [3]])]),
        pa.chunked_array([pa.array(["x", "y"]).dictionary_encode(), pa.array(["y", "x"]).dictionary_encode()]),
    ],
)
def test_when_a_column_is_typed_then_equal_cells_have_equal_codes(column: pa.ChunkedArray) -> None:
    cells = [repr(cell) for cell in column.to_pylist()]
    numbers = codes_of(column).tolist()
    assert [[a == b for b in numbers] for a in numbers] == [[a == b for b in cells] for a in cells]
