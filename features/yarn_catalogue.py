"""All yarns of a company as arrays: what their texts say, their costs and stock, how reliably they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.company.notation import PROCESSES, read_yarns
from features.yarn_settings import SubstitutionSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class YarnCatalogue:
    """N yarns, ascending by yarn_id; every field is an array [N] that can be stored as it is.

    yarn_id, supplier, description, reading, family, color: text, "" = not stated or not readable. construction: 0
    unknown, 1 filament, 2 spun. total: denier or resultant count, NaN = not readable. share: percentage of the main
    fibre, NaN = not stated. processes: a bit each, in the order of `notation.PROCESSES`. cost: per pound, NaN = not
    known. theoretical, planning: pounds on the shelf, and with orders and allocations; NaN = no stock row.
    reliability: on-time share of the supplier; imputed: that share is the prior.
    """

    yarn_id: NDArray[np.str_]
    supplier: NDArray[np.str_]
    description: NDArray[np.str_]
    reading: NDArray[np.str_]
    family: NDArray[np.str_]
    color: NDArray[np.str_]
    construction: NDArray[np.int8]
    total: Floats
    share: Floats
    processes: NDArray[np.uint8]
    cost: Floats
    theoretical: Floats
    planning: Floats
    reliability: Floats
    imputed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.yarn_id)

    @property
    def shortage(self) -> Floats:
        """Pounds [N] by which the planning balance is below zero; NaN = not known."""
        return np.maximum(0.0, -self.planning)

    @cached_property
    def family_code(self) -> Ints:
        """[N] a number for each main fibre, -1 = not readable."""
        return _codes(self.family)

    @cached_property
    def color_code(self) -> Ints:
        """[N] a number for each colour, -1 = not stated."""
        return _codes(self.color)

    def find(self, ids: NDArray[Any]) -> Ints:
        """Places of these yarn ids, -1 for those that are not there."""
        if not len(self):
            return np.full(len(ids), -1, dtype=np.int64)
        wanted = np.asarray(ids, dtype=str)
        place = np.minimum(np.searchsorted(self.yarn_id, wanted), len(self) - 1)
        return np.where(self.yarn_id[place] == wanted, place, -1).astype(np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields by name, as `from_arrays` takes them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> YarnCatalogue:
        """Raises KeyError when a field is missing, ValueError when they differ in length or are out of order."""
        made = cls(**{one.name: arrays[one.name] for one in fields(cls)})
        if any(getattr(made, one.name).shape != (len(made),) for one in fields(cls)):
            raise ValueError("the arrays of a yarn catalogue differ in length")
        if (made.yarn_id[1:] <= made.yarn_id[:-1]).any():
            raise ValueError("the yarns of a catalogue are not in order")
        return made


def yarn_catalogue(
    yarns: pd.DataFrame | None,
    stock: pd.DataFrame | None,
    orders: pd.DataFrame | None,
    settings: SubstitutionSettings,
    as_of: pd.Timestamp | None = None,
) -> tuple[YarnCatalogue, dict[str, int]]:
    """The catalogue and how much of it could be read; the tables are those of `demand.company.tables`.

    A yarn is in it when the master or the stock has it; the master's texts and costs come first. as_of: the day that
    decides which open orders are late (None = the newest day on which one was placed).
    """
    master = _by_id(yarns, ("supplier", "description", "blend", "type", "color", "cost_per_lb"))
    shelf = _by_id(stock, ("supplier", "description", "color", "theoretical_lb", "planning_lb", "cost_per_lb"))
    ids = master.index.union(shelf.index).sort_values()
    master, shelf = master.reindex(ids), shelf.reindex(ids)
    bought = terms_of(yarns, stock, ids)
    text = {
        name: _first_stated(master.get(name), shelf.get(name), len(ids))
        for name in ("description", "blend", "type", "color")
    }
    said, blend, kind, color = (pd.Series(text[name]) for name in ("description", "blend", "type", "color"))
    read = read_yarns(said, blend, kind, color, settings.colors, settings.fibers)
    shares = on_time_shares(orders, settings, as_of)
    known = bought["supplier"].map(shares)
    catalogue = YarnCatalogue(
        yarn_id=_as_text(ids.to_numpy()), supplier=_as_text(bought["supplier"].to_numpy()),
        description=_as_text(text["description"]), reading=_as_text(np.array(read.words(), dtype=object)),
        family=_as_text(read.family), color=_as_text(read.color), construction=read.construction, total=read.total,
        share=read.share,
        processes=(read.processes @ (1 << np.arange(len(PROCESSES), dtype=np.int64))).astype(np.uint8),
        cost=bought["cost_per_lb"].to_numpy(np.float64), theoretical=shelf["theoretical_lb"].to_numpy(np.float64),
        planning=shelf["planning_lb"].to_numpy(np.float64),
        reliability=known.fillna(settings.on_time_prior).to_numpy(np.float64), imputed=known.isna().to_numpy(bool),
    )  # fmt: skip
    return catalogue, read.counts()


def terms_of(yarns: pd.DataFrame | None, stock: pd.DataFrame | None, ids: pd.Index) -> pd.DataFrame:
    """What buying each of these yarns is like, a row an id: supplier ("" = not stated), cost_per_lb (NaN = unknown).

    The master says what holds now; what lies on the shelf may have been bought from another at another price, so the
    stock speaks only where the master is silent. A cost of 0 is not known.
    """
    master, shelf = (_by_id(table, ("supplier", "cost_per_lb")).reindex(ids) for table in (yarns, stock))
    costs = [table["cost_per_lb"].astype(np.float64) for table in (master, shelf)]
    now, then = (cost.where(cost > 0) for cost in costs)
    supplier = _first_stated(master["supplier"], shelf["supplier"], len(ids))
    return pd.DataFrame({"supplier": supplier, "cost_per_lb": now.fillna(then).to_numpy()}, index=ids)


def on_time_shares(
    orders: pd.DataFrame | None, settings: SubstitutionSettings, as_of: pd.Timestamp | None = None
) -> pd.Series:
    """Supplier -> share of its purchase orders that are on time; only suppliers with `min_orders` of them or more.

    An order counts when it has the day that was asked for and the day the supplier names. It is on time when the
    supplier names no later day than was asked for, and that day has not passed while a balance is still to come.
    """
    if orders is None or not len(orders):
        return pd.Series(dtype=np.float64)
    counted = orders[orders["requested"].notna() & orders["quoted"].notna()]
    today = orders["ordered"].max() if as_of is None else as_of
    overdue = (counted["balance_lb"] > 0) & (counted["quoted"] < today)
    kept = (counted["quoted"] <= counted["requested"]) & ~overdue
    by_supplier = kept.groupby(counted["supplier"].astype(str))
    shares = by_supplier.mean()[by_supplier.size() >= settings.min_orders]
    return shares[shares.index != ""].astype(np.float64)


def _codes(texts: NDArray[np.str_]) -> Ints:
    """[N] equal numbers for equal texts, -1 for blank ones: quicker to compare than texts, many times over."""
    _, found = np.unique(texts, return_inverse=True)
    return np.where(texts == "", -1, found).astype(np.int64)


def _by_id(table: pd.DataFrame | None, columns: tuple[str, ...]) -> pd.DataFrame:
    """The table by yarn id, the first row of each; without a table no rows."""
    if table is None:
        numbers = {name: pd.Series(dtype=np.float64) for name in columns}
        return pd.DataFrame(numbers, index=pd.Index([], dtype=object))
    first = table.drop_duplicates("yarn_id")
    return first.set_index(first["yarn_id"].astype(str))[list(columns)]


def _first_stated(master: pd.Series | None, shelf: pd.Series | None, n: int) -> NDArray[np.object_]:
    """[n] the master's text, where it is blank that of the stock."""
    blank = pd.Series([""] * n, dtype=object)
    found = blank if master is None else master.reset_index(drop=True).fillna("").astype(str).str.strip()
    other = blank if shelf is None else shelf.reset_index(drop=True).fillna("").astype(str).str.strip()
    said: NDArray[np.object_] = found.where(found != "", other).to_numpy(dtype=object)
    return said


def _as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.array(values, dtype=str) if len(values) else np.array([], dtype="<U1")
