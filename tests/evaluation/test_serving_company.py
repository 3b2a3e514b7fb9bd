"""What a release keeps of the company's tables: in the unit sold, of its own styles, every row accounted for."""

import numpy as np
import pandas as pd
import pytest

from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS, Company
from evaluation.serving_company import kept_tables

IDS = np.array(["A", "B", "C"])
SETTINGS = CompanySettings()


def frame(table, *rows):
    return pd.DataFrame([dict(zip(COLUMNS[table], row, strict=True)) for row in rows], columns=list(COLUMNS[table]))


def day(text):
    return pd.Timestamp(text) if text else pd.NaT


def orders(*rows):
    return frame("open_orders", *[(s, b, b, u, day(d)) for s, b, u, d in rows])


def knit(*rows):
    return frame("knit_orders", *[(s, day(d), pd.NaT, o, done, o - done, m) for s, d, o, done, m in rows])


MASTER = frame("style_master", ("A", 2.0), ("B", np.nan))


def test_when_stock_is_in_other_units_then_it_is_in_the_unit_sold_and_assumed_weights_are_told():
    stock = frame("style_stock", ("A", 10.0, "lbs"), ("A", 5.0, "yds"), ("B", 11.0, "lbs"), ("B", 1.0, "each"),
                  ("Z", 9.0, "yds"), ("C", 7.0, ""))  # fmt: skip
    kept = kept_tables(Company(style_stock=stock, style_master=MASTER), IDS, "YDS", SETTINGS)
    found = kept.frames["stock"].set_index("unique_id")
    assert found["quantity"].to_dict() == pytest.approx({"A": 25.0, "B": 32.0, "C": 7.0})
    assert found["assumed"].to_dict() == {"A": False, "B": True, "C": False}
    facts = kept.facts["stock"]
    assert (facts["rows"], facts["rows_matched"], facts["unit_not_known"]) == (6, 4, 1)
    assert facts["quantity_matched"] == pytest.approx(64.0)
    assert facts["unmatched"] == ["B", "Z"]


def test_when_orders_are_kept_then_each_day_of_a_style_is_one_row_and_nothing_open_is_left_out():
    table = orders(("A", 10.0, "yds", "2025-09-05"), ("A", 2.5, "yds", "2025-09-05"), ("A", 1.0, "yds", None),
                   ("B", 0.0, "yds", "2025-09-05"), ("Z", 4.0, "yds", None))  # fmt: skip
    kept = kept_tables(Company(open_orders=table), IDS, "yds", SETTINGS)
    found = [(r.unique_id, str(r.due)[:10], r.quantity) for r in kept.frames["orders"].itertuples()]
    assert found == [("A", "2025-09-05", 12.5), ("A", "NaT", 1.0)]
    assert (kept.facts["orders"]["rows"], kept.facts["orders"]["rows_matched"]) == (4, 3)


def test_when_machines_knit_then_their_rate_is_what_they_shipped_a_day():
    table = knit(("A", "2025-07-01", 100.0, 100.0, "1"), ("A", "2025-07-11", 60.0, 20.0, "2"),
                 ("B", "2025-07-30", 50.0, 30.0, "2"), ("Z", "2025-07-15", 9.0, 12.0, "1"))  # fmt: skip
    kept = kept_tables(Company(knit_orders=table, style_master=MASTER), IDS, "yds", SETTINGS)
    machines = kept.frames["machines"].set_index("machine")
    assert machines["pounds_a_day"].to_dict() == pytest.approx({"1": 112 / 30, "2": 50 / 30})
    assert machines["open_pounds"].to_dict() == {"1": 0.0, "2": 60.0}
    found = {(r.unique_id, r.machine): (r.share, r.pounds_a_unit, r.assumed) for r in kept.frames["knit"].itertuples()}
    assert found == {
        ("A", "1"): (0.625, 0.5, False),
        ("A", "2"): (0.375, 0.5, False),
        ("B", "2"): (1.0, 5.5 / 16, True),
    }
    assert kept.facts["capacity"]["days"] == 30


@pytest.mark.parametrize(
    ("rows", "unit", "why"),
    [
        ([("A", "2025-07-01", 100.0, 100.0, "")], "yds", "no knit order states a machine"),
        ([("A", "2025-07-01", 100.0, 100.0, "1"), ("A", "2025-07-27", 1.0, 1.0, "1")], "yds", "span 27 days"),
        (
            [("Z", "2025-07-01", 9.0, 9.0, "1"), ("Z", "2025-08-01", 9.0, 9.0, "1")],
            "yds",
            "of a style that is forecast",
        ),
        ([("A", "2025-07-01", 9.0, 9.0, "1"), ("A", "2025-08-01", 9.0, 9.0, "1")], "each", "weight of a unit sold"),
    ],
)
def test_when_a_rate_cannot_be_told_then_there_is_a_reason_and_no_figure(rows, unit, why):
    kept = kept_tables(Company(knit_orders=knit(*rows)), IDS, unit, SETTINGS)
    assert kept.frames == {}
    assert why in kept.facts["capacity"]["why"]


def test_when_there_are_no_tables_then_nothing_is_kept():
    kept = kept_tables(Company(), IDS, "yds", SETTINGS)
    assert (kept.frames, kept.facts) == ({}, {})
