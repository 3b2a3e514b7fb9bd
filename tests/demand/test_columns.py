"""Roles by alias: equal headers only, fitting values only, and never one of two."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.columns import ALIASES, ColumnSettings, Mapped, map_columns
from demand.errors import SchemaError, SettingsError
from demand.exports import normalised, recognise_export
from demand.layouts import Table
from demand.settings import build

VALUES = {"date": "2024-01-05", "style": "CF1", "quantity": "12", "unit_price": "$4.07", "unit": "YDS"}


def mapped(columns: dict[str, Any], **settings: Any) -> Mapped:
    table = pa.table({name: [cell] if isinstance(cell, str) else cell for name, cell in columns.items()})
    return map_columns(Table("t.csv", table), build(ColumnSettings, settings, "columns"), recognise_export(columns))


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Yds_ordered", "ydsordered"), ("fStyle#", "fstyle"), ("$/lb", "usdlb"), ("Style #", "style"), ("  Qty ", "qty")],
)
def test_when_headers_differ_in_case_and_punctuation_then_they_are_one_name(header: str, expected: str) -> None:
    assert normalised(header) == expected


@given(st.sampled_from([(role, alias) for role in ("date", "style", "quantity") for alias in ALIASES[role]]))
def test_when_a_header_is_an_alias_then_it_takes_that_role(pair: tuple[str, str]) -> None:
    role, alias = pair
    columns = {"date": "Order Date", "style": "Style", "quantity": "Qty"}
    columns[role] = alias.upper()
    found = mapped({header: VALUES[r] for r, header in columns.items()})
    assert {"date": found.date, "style": found.style[0], "quantity": found.quantity}[role] == alias.upper()


def test_when_other_columns_look_similar_then_only_equal_aliases_count() -> None:
    found = mapped(
        {
            "order_date": "2015/9/2",
            "sales_region_code": "104",
            "item_code": "20028",
            "first_cate_code": "301",
            "second_cate_code": "405",
            "item_price": "1005",
            "ord_qty": "11",
        }
    )
    assert (found.date, found.style, found.quantity) == ("order_date", ("item_code",), "ord_qty")
    assert found.optional == {"unit_price": "item_price"}
    assert found.chosen()["quantity"] == "ord_qty (alias)"


def test_when_a_known_export_has_several_candidates_then_its_own_map_decides() -> None:
    columns = {"Document": "1", "Invoice Date": "01-31-24", "Order Date": "01-30-24", "fStyle#": "A", "Style": "B",
               "Yds_ordered": "5", "Ordered": "6", "UOM": "YDS", "Unit Price": "$1"}  # fmt: skip
    found = mapped(columns)
    assert (found.date, found.style, found.quantity) == ("Invoice Date", ("fStyle#",), "Yds_ordered")
    assert found.why["date"] == "export"


def test_when_two_columns_fit_a_role_then_the_error_names_both_and_the_key() -> None:
    with pytest.raises(SchemaError) as caught:
        mapped({"Date": "2024-01-05", "Order Date": "2024-01-05", "Style": "A", "Qty": "1"})
    assert caught.value.facts["candidates"] == ["Date", "Order Date"]
    assert "columns.date='Date'" in caught.value.hint
    chosen = mapped({"Date": "2024-01-05", "Order Date": "2024-01-05", "Style": "A", "Qty": "1"}, date="order date")
    assert (chosen.date, chosen.why["date"]) == ("Order Date", "setting")


def test_when_one_of_two_candidates_has_unfitting_values_then_the_other_is_taken() -> None:
    found = mapped({"Ordered": "2024-01-05", "Qty": "7", "Date": "2024-01-05", "Style": "A", "Week": "37"})
    assert (found.quantity, found.date) == ("Qty", "Date")


def test_when_only_a_price_exists_then_no_quantity_is_found() -> None:
    with pytest.raises(SchemaError, match="no quantity column") as caught:
        mapped({"Date": "2024-01-05", "Style": "A", "Unit Price": "$3", "Amount": "$5", "Revenue": "5"})
    assert "a price or an amount is not a quantity" in caught.value.hint


def test_when_no_column_is_found_then_the_error_lists_what_was_looked_for_and_what_exists() -> None:
    with pytest.raises(SchemaError) as caught:
        mapped({"When": "2024-01-05", "Style": "A", "Qty": "1"})
    assert "invoicedate" in caught.value.facts["looked_for"]
    assert caught.value.facts["columns"] == "When, Style, Qty"


def test_when_a_table_is_a_series_already_then_other_aliases_do_not_disturb() -> None:
    columns = {"unique_id": ["A"], "ds": ["2024-01-05"], "y": [1.0], "item": ["x"], "Qty": [3], "Date": ["2024-01-01"]}
    found = mapped(columns)
    assert (found.date, found.style, found.quantity, found.regular) == ("ds", ("unique_id",), "y", True)


def test_when_the_style_is_several_columns_then_they_are_joined_in_that_order() -> None:
    found = mapped({"Store": "1", "Product": "2", "Date": "2024-01-05", "Qty": "1"}, style=["Store", "Product"])
    assert found.style == ("Store", "Product")
    assert found.chosen()["style"] == "Store + Product (setting)"


def test_when_columns_are_personal_then_they_are_dropped_unless_named() -> None:
    columns = {"Date": "2024-01-05", "Style": "A", "Qty": "1", "Customer": "x", "Sales Rep": "y", "PO#": "z"}
    assert mapped(columns).personal == ("Customer", "Sales Rep", "PO#")
    kept = mapped(columns, keep=["customer"])
    assert (kept.personal, kept.keep) == (("Sales Rep", "PO#"), ("Customer",))


def test_when_two_optional_columns_fit_then_none_is_used_and_the_report_says_so() -> None:
    found = mapped({"Date": "2024-01-05", "Style": "A", "Qty": "1", "Amount": "1", "Revenue": "2"})
    assert "line_amount" not in found.optional
    assert "Amount, Revenue" in found.notes[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"quantity": "Quantty"},
        {"past": ["nothing"]},
        {"past": ["Qty"], "static": ["Qty"]},
        {"style": []},
        {"dates": "x"},
    ],
)
def test_when_a_setting_names_what_is_not_there_then_it_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        mapped({"Date": "2024-01-05", "Style": "A", "Qty": "1"}, **settings)


@pytest.mark.parametrize(
    ("headers", "name", "kind"),
    [
        (["Desc#", "Supplier", "Theoretical Balance", "Planning Balance"], "yarn stock", "yarn"),
        (["Style#", "Desc#", "BOM_Percent", "unit"], "bill of materials", "yarn"),
        (["Style #", "Order #", "Start Date", "Quoted Date"], "knit orders", "orders"),
        (["Status", "SO #", "CSR", "Ordered", "Balance", "Ship Date"], "open sales orders", "orders"),
        (["Document", "Invoice Date", "fStyle#", "Yds_ordered"], "sales activity report", "sales"),
    ],
)
def test_when_headers_are_those_of_a_known_export_then_it_is_named(headers: list[str], name: str, kind: str) -> None:
    found = recognise_export(headers)
    assert found is not None
    assert (found.name, found.kind) == (name, kind)


def test_when_headers_are_unknown_then_no_export_is_named() -> None:
    assert recognise_export(["a", "b"]) is None
