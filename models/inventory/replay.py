"""What an order quantity costs, replayed day by day on demand paths.

    day        1 ......... a | a+1 .......................... W = lead time + review period
               the position  | the order is there: what is left of the position + quantity
    shelf      (P - C_t)+    | (B + q - C_t)+          C_t = demand up to the end of day t, P = position above 0
    short      (C_a - P)+    +  (C_W - B - q)+         B = max(P, C_a) - units owed at the start

Demand that finds an empty shelf is lost (and counted short once); units owed at the start are met from the order. An
order is late with probability 1 - reliability, then `a` is half a lead time later; both cases are weighted, not drawn.
Holding is charged for the stock at the end of each day, an order its fixed cost when q > 0. Every term is convex in q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demand.errors import DataError
from demand.panel import Floats, Ints
from models.inventory.items import Items


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one quantity an item [n]: means over its paths.

    cost is ordering + holding + stock-out cost over the window; short and demanded in units (units owed at the start
    are demanded too); fill = 1 - short / demanded, 1 where nothing is demanded.
    """

    cost: Floats
    short: Floats
    demanded: Floats

    @property
    def fill(self) -> Floats:
        """Share of the demanded units that were served [n]; 1 where nothing is demanded."""
        share = np.divide(self.short, self.demanded, out=np.zeros(len(self.short)), where=self.demanded > 0)
        return np.asarray(1.0 - share)


@dataclass(frozen=True, eq=False)
class Window:
    """The part of a replay that no quantity changes, of n items over S paths and W days (items of the same W).

    needs [2, n, S, W]  units that must have been ordered to still have stock at the end of day t, in time and late;
                        -inf on days before that order is there
    weight [2, n]       probability of an order in time, and late
    fixed, short, demanded [n]  holding and stock-out cost, and units, before the order is there
    """

    needs: Floats
    weight: Floats
    fixed: Floats
    short: Floats
    demanded: Floats

    @classmethod
    def of(cls, items: Items, days: Floats) -> Window:
        """days [n, S, W]: demand a day, finite and >= 0. Raises DataError when it does not fit the items."""
        n, n_paths, length = days.shape
        if n != len(items) or not n_paths:
            raise DataError("the paths do not fit the items", items=len(items), found=days.shape)
        if not np.isfinite(days).all() or (days < 0).any():
            raise DataError("demand paths must be finite and not negative",
                            count=int((~np.isfinite(days) | (days < 0)).sum()))  # fmt: skip
        sold = np.cumsum(days, axis=2)
        stock, owed = np.maximum(items.position, 0.0)[:, None], np.maximum(-items.position, 0.0)[:, None]
        left = np.maximum(stock[:, :, None] - sold, 0.0)  # while no order is there
        weight = np.stack([items.reliability, 1.0 - items.reliability])
        needs = np.empty((2, *days.shape))
        fixed, short = np.zeros(n), np.zeros(n)
        for case, arrival in enumerate((items.lead_days, items.late_days)):
            arrival = np.minimum(arrival, length)
            before = np.arange(length)[None, :] < arrival[:, None]  # [n, W]
            at_arrival = _sold_by(sold, arrival)
            base = np.maximum(stock, at_arrival) - owed
            needs[case] = np.where(before[:, None, :], -np.inf, sold - base[:, :, None])
            held = np.where(before[:, None, :], left, 0.0).sum(axis=2).mean(axis=1)
            lost = np.maximum(at_arrival - stock, 0.0).mean(axis=1)
            # An order that comes after the window helps nobody in it.
            absent = arrival >= length
            lost = lost + np.where(absent, owed[:, 0], 0.0)
            fixed += weight[case] * (items.holding_a_day * held + items.stockout * lost)
            short += weight[case] * lost
        return cls(needs, weight, fixed, short, sold[:, :, -1].mean(axis=1) + owed[:, 0])

    def outcome(self, items: Items, quantity: Floats) -> Outcome:
        """What `quantity` [n] costs."""
        over = np.maximum(quantity[:, None, None] - self.needs, 0.0)
        held = np.where(np.isfinite(self.needs), over, 0.0).sum(axis=3).mean(axis=2)  # [2, n]
        last = self.needs[..., -1]
        lost = np.where(np.isfinite(last), np.maximum(last - quantity[:, None], 0.0), 0.0).mean(axis=2)
        short = (self.weight * lost).sum(axis=0)
        cost = self.fixed + items.holding_a_day * (self.weight * held).sum(axis=0) + items.stockout * short
        return Outcome(cost + items.ordering * (quantity > 0), self.short + short, self.demanded)


def _sold_by(sold: Floats, arrival: Ints) -> Floats:
    """[n, S]: demand of the days up to each arrival; 0 where that is day 0."""
    at = np.take_along_axis(sold, np.maximum(arrival - 1, 0)[:, None, None], axis=2)[:, :, 0]
    return np.where(arrival[:, None] > 0, at, 0.0)
