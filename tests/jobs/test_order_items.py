"""What is known of the items an order is decided for: units, parts that are not stated, weights that are assumed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS, Company, TableReport
from demand.panel import Panel
from evaluation.serving_company import kept_tables
from features.yarn_catalogue import yarn_catalogue
from features.yarn_settings import SubstitutionSettings
from jobs.order_items import wanted
from models.inventory.known import decidable
from models.inventory.settings import InventorySettings

TOLD = CompanySettings(lead_time_unit="weeks")


def frame(table, *rows):
    return pd.DataFrame([dict(zip(COLUMNS[table], row, strict=True)) for row in rows], columns=list(COLUMNS[table]))


def panel(unit, *ids):
    y = np.tile([3.0, 5.0], len(ids))
    return Panel(np.array(ids), np.arange(len(ids) + 1) * 2, y, 100, "W-MON", unit=unit)


def found(company, unit, *ids, items="auto", told=TOLD):
    return wanted(panel(unit, *ids), company, told, items, None, SubstitutionSettings())


def test_when_stock_has_no_unit_or_another_then_it_is_what_the_release_keeps_to_be_served():
    stock = frame("style_stock", ("A", 10.0, "lbs"), ("A", 5.0, "yds"), ("B", 11.0, "lbs"), ("B", 1.0, "each"),
                  ("C", 7.0, ""))  # fmt: skip
    company = Company(style_stock=stock, style_master=frame("style_master", ("A", 2.0), ("B", np.nan)))
    made = found(company, "yds", "A", "B", "C", "D")
    shelf = made.known.set_index("item")["on_shelf"]
    kept = kept_tables(company, np.array(["A", "B", "C", "D"]), "yds", TOLD).frames["stock"].set_index("unique_id")
    assert shelf.dropna().to_dict() == pytest.approx(kept["quantity"].to_dict())
    assert shelf.dropna().to_dict() == pytest.approx({"A": 25.0, "B": 32.0, "C": 7.0})
    assert made.notes == (
        "finished stock by style: 1 rows not used, their unit does not convert to yds",
        "finished stock by style: of 1 styles converted by an assumed weight, 5.5 ounces a yard",
    )


def test_when_rows_of_the_tables_were_left_out_then_the_proposal_says_which_and_why():
    lost = TableReport(
        "style_stock", "stock.csv", rows_in=5, used=1, merged=0, left_out={"no quantity": 3, "no style": 1}
    )
    company = Company(style_stock=frame("style_stock", ("A", 10.0, "yds")), reports={"style_stock": lost})
    assert found(company, "yds", "A").notes == (
        "finished stock by style: 4 of 5 rows left out (no quantity: 3; no style: 1)",
    )


def test_when_parts_of_a_yarns_position_are_not_stated_then_the_planning_balance_gives_them():
    nan = np.nan
    rows = {"all": (5.0, 4.0, -2.0, 7.0), "order": (5.0, nan, -2.0, 7.0), "shelf": (nan, 4.0, -2.0, 7.0),
            "more": (5.0, nan, nan, 7.0), "less": (5.0, nan, nan, 1.0), "none": (5.0, nan, -2.0, nan)}  # fmt: skip
    stock = frame("stock", *[(name, "", "", "", *parts, 0.0, 3.0, pd.NaT) for name, parts in rows.items()])
    bom = frame("bom", ("B", "all", 1.0, "lbs"))
    cross = frame("cross_reference", ("A", "B", pd.NaT))
    made = found(Company(stock=stock, bom=bom, cross_reference=cross), "lbs", "A")
    parts = made.known.set_index("item")[["on_shelf", "on_order", "allocated"]]
    expected = {"all": [5, 4, -2], "order": [5, 4, -2], "shelf": [5, 4, -2], "more": [5, 2, 0], "less": [5, 0, -4]}
    for name, figures in expected.items():
        assert parts.loc[name].tolist() == figures, name
    assert parts.loc["none"].isna().tolist() == [False, True, False]
    ready = decidable(made.known, InventorySettings())
    assumed = dict(zip(ready.items.ids, ready.assumed, strict=True))
    assert "on_order" in assumed["none"]
    assert "allocated" not in assumed["none"]
    assert all("on_order" not in assumed[name] for name in expected)


def test_when_a_yards_weight_is_assumed_then_the_proposal_says_of_how_much():
    stock = frame("stock", ("y", "", "", "", 5.0, 4.0, 0.0, 9.0, 0.0, 3.0, pd.NaT))
    bom = frame("bom", ("B", "y", 1.0, "lbs"))
    cross = frame("cross_reference", ("A", "B", pd.NaT), ("C", "B", pd.NaT))
    company = Company(stock=stock, bom=bom, cross_reference=cross, style_master=frame("style_master", ("A", 2.0)))
    made = found(company, "yds", "A", "C", "D")
    assert "assumed: 5.5 ounces a yard for 1 of 2 styles made of yarns, 8 of 16 yds" in made.notes
    assert not any("assumed" in note for note in found(company, "lbs", "A", "C", "D").notes)


def test_when_the_day_is_told_then_orders_that_are_late_by_then_count_as_late():
    day, late = pd.Timestamp("2025-01-06"), pd.Timestamp("2025-03-03")
    stock = frame("stock", ("y", "Mill", "", "", 5.0, 4.0, 0.0, 9.0, 0.0, 3.0, pd.NaT))
    bom, cross = frame("bom", ("B", "y", 1.0, "lbs")), frame("cross_reference", ("A", "B", pd.NaT))
    orders = frame("purchase_orders", *[("y", "Mill", day, late, late, 9.0, 9.0, 3.0)] * 20)
    company = Company(stock=stock, bom=bom, cross_reference=cross, purchase_orders=orders)
    shares = [
        found(company, "lbs", "A", told=replace(TOLD, as_of=as_of)).known["supplier_reliability"].tolist()
        for as_of in (None, date(2025, 3, 1), date(2025, 4, 1))
    ]
    assert shares == [[1.0], [1.0], [0.0]]


def test_when_the_unit_sold_is_not_known_then_stock_is_taken_as_it_is():
    made = found(Company(style_stock=frame("style_stock", ("A", 10.0, "lbs"))), "", "A")
    assert made.known["on_shelf"].tolist() == [10.0]


def test_when_master_and_stock_differ_then_the_master_says_what_a_yarn_costs_and_who_sells_it():
    rows = [(name, "Old mill", "", "", 5.0, 4.0, 0.0, 9.0, 0.0, cost, pd.NaT)
            for name, cost in (("both", 3.0), ("free", 3.0), ("shelf", 3.0), ("zero", 0.0))]  # fmt: skip
    master = [("both", "New mill", 7.0), ("free", "", 0.0), ("zero", None, np.nan)]
    yarns = frame("yarns", *[(name, supplier, "", "", "", "", cost) for name, supplier, cost in master])
    ids = ("both", "free", "shelf", "zero")
    bom, cross = frame("bom", *[("B", name, 0.25, "lbs") for name in ids]), frame("cross_reference", ("A", "B", pd.NaT))
    company = Company(stock=frame("stock", *rows), yarns=yarns, bom=bom, cross_reference=cross)
    known = found(company, "lbs", "A").known.set_index("item").loc[list(ids)]
    assert known["unit_cost"].tolist()[:3] == [7.0, 3.0, 3.0]
    assert np.isnan(known["unit_cost"].iloc[3])
    assert known["supplier"].tolist() == ["New mill", "Old mill", "Old mill", "Old mill"]
    catalogue, _ = yarn_catalogue(yarns, company.stock, None, SubstitutionSettings())
    assert (
        dict(zip(catalogue.yarn_id.tolist(), catalogue.supplier.tolist(), strict=True)) == known["supplier"].to_dict()
    )
    costs = dict(zip(catalogue.yarn_id.tolist(), catalogue.cost.tolist(), strict=True))
    assert np.array_equal([costs[name] for name in ids], known["unit_cost"], equal_nan=True)


def test_when_yarns_cannot_be_decided_for_want_of_one_table_then_styles_are_and_a_note_says_why():
    tables = {
        "bom": frame("bom", ("A", "y", 1.0, "lbs")), "cross_reference": frame("cross_reference", ("A", "A", pd.NaT)),
        "style_stock": frame("style_stock", ("A", 10.0, "lbs")),
    }  # fmt: skip
    files = {"bom.csv": "bill of materials", "yarn_stock.csv": "the file is empty"}
    made = found(Company(**tables, files=files), "lbs", "A")
    assert made.kind == "styles"
    assert made.notes == ("styles, not yarns: yarn stock missing; yarn_stock.csv: the file is empty",)
    assert found(Company(style_stock=tables["style_stock"]), "lbs", "A").notes == ()
    assert found(Company(**tables, files=files), "lbs", "A", items="styles").notes == ()
