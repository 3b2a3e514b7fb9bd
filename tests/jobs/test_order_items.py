"""What is known of the items an order is decided for: units, parts that are not stated, weights that are assumed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS, Company
from demand.panel import Panel
from evaluation.serving_company import kept_tables
from features.yarn_settings import SubstitutionSettings
from jobs.order_items import wanted

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


def test_when_the_unit_sold_is_not_known_then_stock_is_taken_as_it_is():
    made = found(Company(style_stock=frame("style_stock", ("A", 10.0, "lbs"))), "", "A")
    assert made.known["on_shelf"].tolist() == [10.0]
