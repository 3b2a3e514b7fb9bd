"""From what is known of items, with holes, to items that can be decided on; every default taken is named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demand.errors import DataError
from demand.panel import Floats, Ints
from models.inventory.items import Items
from models.inventory.settings import InventorySettings

# Column -> what it is; numbers, NaN = not known. `item` and `supplier` are texts.
NUMBERS = {
    "on_shelf": "units on the shelf",
    "on_order": "units ordered and not yet received",
    "allocated": "units promised to customers, negative",
    "unit_cost": "cost of a unit",
    "lead_time_days": "days from order to receipt",
    "service_level": "wanted fill, a fraction",
    "holding_cost": "of a unit for a year",
    "ordering_cost": "of one order",
    "stockout_cost": "of a unit short",
    "supplier_reliability": "share of orders in time",
    "lot": "an order is a multiple of it",
    "moq": "and not below it",
}
COLUMNS = ("item", "supplier", *NUMBERS)
_ZERO = ("on_order", "allocated")  # not stated: taken for none, flagged


@dataclass(frozen=True, eq=False)
class Decidable:
    """The items that can be decided on, and why the others cannot.

    rows [n]: their places in the frame of what is known. on_shelf [n]: what is there and promised to
    nobody yet. assumed [n]: names of the figures that are defaults, "lead_time_days, ..", "" for none. missing: place
    -> what is missing, for each of the others.
    """

    rows: Ints
    items: Items
    on_shelf: Floats
    assumed: np.ndarray
    missing: dict[int, tuple[str, ...]]


def blank(n: int) -> pd.DataFrame:
    """n rows of which nothing is known: the columns of COLUMNS."""
    frame = pd.DataFrame({name: np.full(n, np.nan) for name in NUMBERS})
    frame.insert(0, "supplier", "")
    frame.insert(0, "item", "")
    return frame


def decidable(known: pd.DataFrame, settings: InventorySettings) -> Decidable:
    """known: a row an item with COLUMNS. Stock must be known, and what a unit costs (or to hold); everything else has a
    default of `inventory`, flagged. Raises DataError when a figure is out of its range or an item is there twice."""
    absent = [name for name in COLUMNS if name not in known]
    if absent:
        raise DataError("columns of the items are missing", missing=absent, found=list(known.columns))
    twice = known["item"].duplicated()
    if twice.any():
        raise DataError("items are there twice", count=int(twice.sum()), first=known.loc[twice, "item"].tolist()[:5])
    value = {name: known[name].to_numpy(dtype=np.float64, copy=True) for name in NUMBERS}
    no_stock = np.isnan(value["on_shelf"])
    no_cost = np.isnan(value["unit_cost"]) & np.isnan(value["holding_cost"])
    defaults = {
        "lead_time_days": float(settings.lead_time_days), "service_level": settings.service_level,
        "ordering_cost": settings.ordering_cost, "stockout_cost": settings.stockout_cost,
        "supplier_reliability": settings.supplier_reliability, "lot": settings.lot, "moq": settings.moq,
    }  # fmt: skip
    taken = {name: np.isnan(value[name]) for name in defaults}
    for name, default in defaults.items():
        value[name] = np.where(taken[name], default, value[name])
    taken["holding_cost"] = np.isnan(value["holding_cost"])
    value["holding_cost"] = np.where(
        taken["holding_cost"], settings.holding_rate * value["unit_cost"], value["holding_cost"]
    )
    for name in _ZERO:
        taken[name] = np.isnan(value[name])
        value[name] = np.nan_to_num(value[name])
    rows = np.flatnonzero(~no_stock & ~no_cost)
    position = value["on_shelf"] + value["on_order"] + value["allocated"]
    items = Items(
        known["item"].to_numpy(dtype=str)[rows], position[rows],
        np.ceil(value["lead_time_days"][rows]).astype(np.int64), value["service_level"][rows],
        value["holding_cost"][rows], value["ordering_cost"][rows], value["stockout_cost"][rows],
        value["supplier_reliability"][rows], value["lot"][rows], value["moq"][rows],
    )  # fmt: skip
    names = np.array([*taken])
    flags = np.column_stack([taken[name] for name in names])[rows]
    assumed = np.array([", ".join(names[flag]) for flag in flags], dtype=object)
    reasons = {"stock": no_stock, "unit cost": no_cost}
    missing = {
        int(at): tuple(name for name, lacks in reasons.items() if lacks[at])
        for at in np.flatnonzero(no_stock | no_cost)
    }
    return Decidable(rows, items, (value["on_shelf"] + value["allocated"])[rows], assumed, missing)
