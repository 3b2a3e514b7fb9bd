"""One fate for every row: units, duplicates, returns, blanks, stock-outs, windows, static values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demand.cleaning import DEFAULT_RULES, CleaningSettings
from demand.errors import CalendarError, DataError, SettingsError
from demand.ledger import Ledger
from demand.settings import build
from tests.demand.files import HEADER, ROWS, TOTAL, ingested


def of(panel: Any, style: str) -> list[float]:
    return [float(value) for value in panel.series(int(np.flatnonzero(panel.ids == style)[0]))]


# ---- the ledger ----------------------------------------------------------------------------------------------------


def test_when_two_reasons_hold_then_a_row_is_counted_under_the_first() -> None:
    ledger = Ledger(4)
    assert ledger.leave_out(np.array([True, True, False, False]), "a") == 2
    assert ledger.leave_out(np.array([False, True, True, False]), "b") == 1
    assert ledger.open.tolist() == [False, False, False, True]
    assert ledger.left_out() == {"a": 2, "b": 1}


def test_when_a_group_has_several_reasons_then_the_most_frequent_is_its_cause() -> None:
    ledger = Ledger(5)
    ledger.leave_out(np.array([True, False, False, True, False]), "a")
    ledger.leave_out(np.array([False, True, True, False, False]), "b")
    assert ledger.main_reason(np.array([0, 0, 0, 1, 2]), np.array([0, 1, 2])) == {0: "b", 1: "a"}


# ---- units ---------------------------------------------------------------------------------------------------------

UNITS = "Order Date,Style,Qty,UOM\n2024-01-01,A,5,YDS\n2024-01-01,A,2,kg\n2024-01-02,A,3,Yard\n2024-01-03,A,1,\n"


def test_when_a_few_rows_have_another_unit_then_they_are_left_out_and_never_summed(tmp_path: Path) -> None:
    found = ingested(tmp_path, UNITS)
    assert of(found.panel, "A") == [5.0, 3.0, 1.0]
    assert found.panel.unit == "yds"
    assert found.report.left_out == {"unit kg is not yds": 1}
    assert found.report.units["counts"] == {"": 1, "kg": 1, "yds": 2}
    assert found.report.units["blank_taken_as_target"] == 1


def test_when_the_unit_table_knows_the_unit_then_rows_are_converted(tmp_path: Path) -> None:
    found = ingested(tmp_path, UNITS, cleaning={"unit_table": {"KG": 3.5}})
    assert of(found.panel, "A") == [12.0, 3.0, 1.0]
    assert found.report.units["converted"] == {"kg": 3.5}
    other = ingested(tmp_path, UNITS, cleaning={"target_unit": "Kilos", "unit_table": {"yds": 0.5}})
    assert other.panel.unit == "kg"
    assert of(other.panel, "A") == [4.5, 1.5, 1.0]


def test_when_few_rows_name_a_unit_then_it_is_not_the_unit_of_those_that_name_none(tmp_path: Path) -> None:
    blank = "".join(f"2024-01-{d % 28 + 1:02d},S{d % 3},5,\n" for d in range(83))
    found = ingested(tmp_path, f"Order Date,Style,Qty,UOM\n{blank}2024-01-05,A,5,kg\n2024-01-05,S0,7,kg\n")
    assert found.panel.unit == ""
    assert found.panel.y.sum() == 83 * 5
    assert found.report.left_out == {"unit kg is not (blank)": 2}
    assert found.report.units["blank_taken_as_target"] == 0
    assert "Demand    415" in found.report.summary_lines()
    assert any("(blank) 83, kg 2" in line for line in found.report.summary_lines())


def test_when_no_unit_has_half_of_the_rows_then_blank_ones_are_not_taken_for_the_largest(tmp_path: Path) -> None:
    cells = ["yds"] * 4 + ["kg"] * 3 + [""] * 3
    content = "Order Date,Style,Qty,UOM\n" + "".join(f"2024-01-{i:02d},A,{i},{u}\n" for i, u in enumerate(cells, 1))
    found = ingested(tmp_path, content)
    assert (found.panel.unit, found.panel.y.sum()) == ("yds", 10.0)
    assert found.report.left_out == {"unit (blank) is not yds": 3, "unit kg is not yds": 3}
    asked = ingested(tmp_path, content, cleaning={"target_unit": "yds"})
    assert np.nansum(asked.panel.y) == 10.0 + 27.0
    # Something sold in the other unit: how much is unknown, and 0 would be untrue.
    assert np.isnan(asked.panel.y[4:7]).all()
    assert any(
        "cleaning.unit_table={kg: FACTOR}" in line for line in " ".join(asked.report.summary_lines()).split("\n")
    )
    assert asked.report.units["blank_taken_as_target"] == 3


def test_when_a_unit_is_asked_for_without_a_unit_column_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cleaning\.target_unit"):
        ingested(tmp_path, HEADER + ROWS, cleaning={"target_unit": "furlong"})


# ---- duplicates, documents, returns --------------------------------------------------------------------------------

DOCUMENTS = (
    "Document,Order Date,Style,Qty\n1,2024-01-01,A,5\n2,2024-01-01,A,5\n2,2024-01-01,A,5\n3,2024-01-02,A,4\n"
    "3,2024-01-02,A,6\n4,2024-01-03,A,-2\n4,2024-01-03,A,9\n"
)


def test_when_rows_are_equal_in_every_column_then_all_but_one_are_removed_and_counted(tmp_path: Path) -> None:
    found = ingested(tmp_path, DOCUMENTS)
    assert of(found.panel, "A") == [10.0, 10.0, 7.0]
    assert found.report.left_out == {"exact duplicate": 1}
    assert found.report.duplicates == {
        "exact": 1,
        "with_document": True,
        "documents": 4,
        "documents_with_several_rows": 2,
    }


def test_when_duplicates_are_kept_or_refused_then_that_happens(tmp_path: Path) -> None:
    assert of(ingested(tmp_path, DOCUMENTS, cleaning={"duplicates": "keep"}).panel, "A") == [15.0, 10.0, 7.0]
    with pytest.raises(DataError, match="rows come twice") as caught:
        ingested(tmp_path, DOCUMENTS, cleaning={"duplicates": "raise"})
    assert caught.value.facts["first_rows"] == [3]


def test_when_equal_rows_have_no_document_then_the_report_warns(tmp_path: Path) -> None:
    found = ingested(tmp_path, HEADER + ROWS + "2024-01-01,A,1\n")
    assert found.report.duplicates["exact"] == 1
    assert "cleaning.duplicates=keep" in found.report.notes[0]


def test_when_returns_come_in_then_they_are_netted_or_dropped(tmp_path: Path) -> None:
    netted = ingested(tmp_path, DOCUMENTS)
    dropped = ingested(tmp_path, DOCUMENTS, cleaning={"returns": "drop"})
    assert netted.report.returns == {"rows": 1, "quantity": 2.0}
    assert of(dropped.panel, "A") == [10.0, 10.0, 9.0]
    assert dropped.report.left_out == {"exact duplicate": 1, "return": 1}


def test_when_rows_share_a_period_and_that_is_forbidden_then_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CalendarError, match="several rows"):
        ingested(tmp_path, DOCUMENTS, cleaning={"same_period": "raise"})


# ---- blanks --------------------------------------------------------------------------------------------------------

BLANKS = HEADER + "2024-01-01,A,5\n2024-01-02,A,Remove\n2024-01-03,A,\n2024-01-03,A,2\n2024-01-05,A,1\n2024-01-05,B,1\n"


def test_when_a_quantity_is_blank_then_it_is_unknown_and_a_missing_row_is_zero(tmp_path: Path) -> None:
    found = ingested(tmp_path, BLANKS)
    assert np.array_equal(of(found.panel, "A"), [5.0, np.nan, 2.0, 0.0, 1.0], equal_nan=True)
    assert found.report.missing == {"blank": 1, "unreadable": 1}
    assert found.report.words_in_numbers == {"Remove": 1}
    assert found.report.unknown_periods == 1
    assert found.report.gaps["by_style"] == {"A": 1}


def test_when_blanks_are_dropped_then_the_gap_rule_decides(tmp_path: Path) -> None:
    found = ingested(tmp_path, BLANKS, cleaning={"handle_missing_data": "drop"})
    assert of(found.panel, "A") == [5.0, 0.0, 2.0, 0.0, 1.0]
    assert found.report.left_out == {"quantity missing": 2}
    unknown = ingested(tmp_path, BLANKS, cleaning={"handle_missing_data": "drop", "gaps": "unknown"})
    assert np.array_equal(of(unknown.panel, "A"), [5.0, np.nan, 2.0, np.nan, 1.0], equal_nan=True)


def test_when_gaps_are_forbidden_then_they_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CalendarError, match="periods without a row"):
        ingested(tmp_path, BLANKS, cleaning={"gaps": "raise"})
    assert ingested(tmp_path, HEADER + ROWS, cleaning={"gaps": "raise"}).panel.n_series == 2


STOCK = "Date,Style,Qty,in_stock\n2024-01-01,A,5,1\n2024-01-02,A,0,0\n2024-01-03,A,0,1\n2024-01-04,A,2,1\n"


def test_when_stockouts_are_masked_then_those_periods_are_unknown(tmp_path: Path) -> None:
    masked = ingested(tmp_path, STOCK, cleaning={"stockouts": "mask", "handle_missing_data": "drop"})
    assert np.array_equal(of(masked.panel, "A"), [5.0, np.nan, 0.0, 2.0], equal_nan=True)
    assert masked.report.masked_stockouts == 1
    kept = ingested(tmp_path, STOCK)
    assert of(kept.panel, "A") == [5.0, 0.0, 0.0, 2.0]
    assert kept.panel.past["in_stock"].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_when_some_rows_were_out_of_stock_then_the_report_says_how_many_and_what_they_count_as(tmp_path: Path) -> None:
    def lines(text: str, **cleaning: str) -> str:
        return " ".join(" ".join(ingested(tmp_path, text, cleaning=cleaning).report.summary_lines()).split())

    assert "Stock 25.0% of rows without stock: what was sold counts as demand (cleaning.stockouts=mask" in lines(STOCK)
    assert "Stock 25.0% of rows without stock: unknown demand" in lines(STOCK, stockouts="mask")
    always = STOCK.replace("0,0", "0,1")
    assert "without stock" not in lines(always)
    assert ingested(tmp_path, always).report.out_of_stock == 0
    assert ingested(tmp_path, HEADER + ROWS).report.out_of_stock is None


# ---- windows and carried columns -----------------------------------------------------------------------------------


def test_when_a_window_is_given_then_rows_outside_it_are_left_out(tmp_path: Path) -> None:
    found = ingested(tmp_path, HEADER + ROWS, cleaning={"first_date": "2024-01-03", "last_date": "2024-01-10"})
    assert found.report.left_out == {"after cleaning.last_date": 36, "before cleaning.first_date": 4}
    assert (found.report.first_period, found.report.last_period) == ("2024-01-03", "2024-01-10")


def test_when_the_last_period_is_incomplete_then_it_is_reported_and_can_be_dropped(tmp_path: Path) -> None:
    kept = ingested(tmp_path, HEADER + ROWS, "W-SUN")
    assert kept.report.incomplete_last_period == ""  # 28 January 2024 is a Sunday
    longer = HEADER + ROWS + "2024-01-30,A,7\n"
    assert ingested(tmp_path, longer, "W-SUN").report.incomplete_last_period == "2024-02-04"
    dropped = ingested(tmp_path, longer, "W-SUN", cleaning={"last_period": "drop"})
    assert dropped.report.last_period == "2024-01-28"
    assert dropped.panel.y.sum() == TOTAL
    assert dropped.report.left_out == {"incomplete last period": 1}


def test_when_columns_are_carried_then_periods_hold_their_mean_and_styles_their_newest_value(tmp_path: Path) -> None:
    content = (
        "Date,Style,Qty,Price,stock,Promo,Colour\n2024-01-01,A,5,$2,10,0,red\n2024-01-01,A,1,$4,20,1,red\n"
        "2024-01-02,A,1,,30,0,blue\n2024-01-03,B,1,$9,,0,\n2024-01-04,B,,,,1,\n"
    )
    found = ingested(tmp_path, content, columns={"past": ("stock",), "future": ("Promo",), "static": ("Colour",)})
    panel = found.panel
    assert panel.past["price"].tolist() == [3.0, 3.0, 3.0, 9.0]  # the last known price is carried on
    assert panel.past["stock"][:3].tolist() == [15.0, 30.0, 30.0]
    assert panel.ahead == 1
    assert panel.future["Promo"][-1] == 1.0
    assert panel.static["Colour"].tolist() == ["blue", ""]
    assert found.report.static_conflicts == {"Colour": 1}


def test_when_a_carried_column_is_words_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not numeric"):
        ingested(tmp_path, "Date,Style,Qty,Colour\n2024-01-01,A,5,red\n", columns={"past": ("Colour",)})


# ---- ids -----------------------------------------------------------------------------------------------------------


def test_when_ids_look_like_numbers_or_nothing_then_they_stay_text(tmp_path: Path) -> None:
    ids = ["00123", "NA", "null", "1e5", "100000", "45301.0", "30/1", "1/300/144", "55/45", "123"]
    rows = "".join(f"2024-01-01,{name},{i}\n" for i, name in enumerate(ids, 1))
    found = ingested(tmp_path, HEADER + rows + "2024-01-02,  NA  ,7\n")
    expected = sorted(["00123", "NA", "null", "1e5", "100000", "45301", "30/1", "1/300/144", "55/45", "123"])
    assert found.panel.ids.tolist() == expected
    assert of(found.panel, "NA") == [2.0, 7.0]


def test_when_joined_ids_would_collide_then_that_is_an_error(tmp_path: Path) -> None:
    content = "Store,Product,Date,Qty\na_b,c,2024-01-01,1\na,b_c,2024-01-01,2\n"
    with pytest.raises(DataError, match="same joined style id"):
        ingested(tmp_path, content, columns={"style": ("Store", "Product")})


# ---- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"gaps": "nothing"},
        {"outlier_threshold": 0},
        {"outlier_threshold": float("nan")},
        {"unit_table": {"kg": 0}},
        {"rules": {"no_such": {"limit": 1}}},
        {"rules": {"stale_days": {"limit": 1, "level": "fatal"}}},
        {"first_date": "2024-02-01", "last_date": "2024-01-01"},
        {"outlier_detect": True},
    ],
)
def test_when_a_cleaning_setting_is_wrong_then_it_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        build(CleaningSettings, values, "cleaning")


def test_when_one_rule_is_set_then_the_others_keep_their_default() -> None:
    settings = build(CleaningSettings, {"rules": {"stale_days": {"limit": 10, "level": "error"}}}, "cleaning")
    assert settings.rule("stale_days").level == "error"
    assert settings.rule("left_out_share") == DEFAULT_RULES["left_out_share"]
