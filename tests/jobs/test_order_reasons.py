"""Why an order is proposed, in words: what is said of a service that cannot be had, or that a policy leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from demand.company.joins import bom_remarks
from demand.company.tables import Company
from demand.errors import DataError
from jobs.order_files import reasons
from models.inventory.decide import cover, decide
from models.inventory.known import decidable
from models.inventory.paths import Days
from models.inventory.settings import InventorySettings
from tests.models.inventory.made import items_of

ROW = {"status": "order", "missing": "", "used_position": 0.0, "daily_mean": 2.0, "window_days": 10,
       "shelf_empty_on": "", "cost": 5.0, "idle_cost": 9.0, "idle_service": 0.1, "used_service": 0.95,
       "assumed": "", "quantity": 20.0}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "reachable", "service", "said"),
    [("exact", False, 0.7, "no quantity reaches 95%, this is the best"), ("exact", True, 0.95, None),
     ("surrogate", True, 0.9, "serves 90.0%, 95.0% is wanted"), ("newsvendor", False, 0.5, "no quantity reaches 95%")],
)  # fmt: skip
def test_when_the_service_is_missed_then_it_is_said_why(method, reachable, service, said):
    frame = pd.DataFrame([ROW | {"method": method, "reachable": reachable, "service": service}])
    (words,) = reasons(frame, "lbs")
    assert words.endswith(f"without an order 9; {said}" if said else "without an order 9")


def test_when_a_simple_policy_orders_too_little_then_more_can_still_reach_the_service():
    # Nothing is on the shelf for the lead time of the first item: whatever it orders, those days are lost.
    items = items_of(2, position=[0.0, 30.0], lead_days=[9, 2], reliability=1.0, service=0.9)
    days = Days(np.arange(14), np.ones(14))
    paths = np.random.default_rng(0).poisson(5.0, (2, 8, 14)).astype(float)
    settings = InventorySettings(review_days=5, paths=8)
    exact, simple = (
        decide(items, items.position, paths, days, np.full(2, np.nan), settings, method).columns
        for method in ("exact", "newsvendor")
    )
    assert exact["reachable"].tolist() == simple["reachable"].tolist() == [False, True]


def test_when_an_order_costs_more_than_none_then_it_is_said_what_it_is_for():
    row = ROW | {"method": "exact", "reachable": True, "service": 0.95, "cost": 9.0, "idle_cost": 5.0}
    (words,) = reasons(pd.DataFrame([row]), "lbs")
    assert words.endswith("costs 9, without an order 5; ordered for the service, 10% without an order")


def test_when_stock_is_promised_then_the_shelf_lasts_as_long_as_what_is_left():
    known = pd.DataFrame({
        "item": ["a", "b"], "on_shelf": [100.0, 100.0], "allocated": [0.0, -80.0], "on_order": 0.0, "unit_cost": 1.0,
        "holding_cost": np.nan, "lead_time_days": 5.0, "service_level": 0.9, "ordering_cost": 1.0, "stockout_cost": 1.0,
        "supplier_reliability": 1.0, "lot": 1.0, "moq": 0.0, "supplier": "",
    })  # fmt: skip
    ready = decidable(known, InventorySettings())
    assert ready.on_shelf.tolist() == [100.0, 20.0]
    assert cover(ready.on_shelf, np.full((2, 3, 20), 10.0)).tolist() == [11.0, 3.0]


def test_when_the_least_order_is_far_more_than_is_expected_then_it_is_said():
    row = ROW | {"method": "exact", "reachable": True, "service": 0.95, "quantity": 2e6}
    assert reasons(pd.DataFrame([row]), "lbs")[0].endswith("that is 100,000 times what is expected")


def test_when_a_lead_time_is_a_slip_of_the_pen_then_it_is_refused_with_what_may_be():
    with pytest.raises(DataError, match="lead_days is out of its range") as refused:
        items_of(2, position=[0.0, 1.0], lead_days=[9, 99_999], reliability=1.0, service=0.9)
    assert refused.value.facts["expected"] == "0 to 730 days"
    assert refused.value.facts["found"] == [99_999]


def test_when_a_bill_of_materials_does_not_add_up_or_is_in_odd_units_then_it_is_said():
    bom = pd.DataFrame({
        "base": ["A", "A", "B", "C"], "yarn_id": ["1", "2", "1", "3"], "share": [0.6, 0.4, 0.0, 2.85],
        "unit": ["lbs", "LB", "", "furlongs"],
    })  # fmt: skip
    said = bom_remarks(replace(Company(), bom=bom))
    assert said == [
        "bill of materials: the shares of 2 of 3 bases do not sum to 100 %: B 0%, C 285%",
        "bill of materials: 1 rows are in 'furlongs'; a share is of the style's pounds, whatever stands there",
    ]
    assert bom_remarks(replace(Company(), bom=bom.head(2))) == []
