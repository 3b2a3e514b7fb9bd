"""What an order decision knows of its items: stock, costs, lead time, lots. One row an item, a few arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np

from demand.errors import DataError
from demand.panel import Floats, Ints, Strings

DAYS_A_YEAR = 365.0
LONGEST_LEAD = 730  # days: beyond two years no forecast reaches, and a figure is a slip of the pen


@dataclass(frozen=True, eq=False)
class Items:
    """n items at the moment of the decision; money in one currency, quantities in one unit an item.

    ids          [n]
    position     [n]  on the shelf + on order + allocated (negative); below 0: units owed to customers
    lead_days    [n]  whole days from order to receipt; an order of today is on the shelf after them
    service      [n]  wanted fill: share of the demanded units that are delivered at once, in (0, 1)
    holding      [n]  cost of a unit on the shelf for a year (holding rate x unit cost)
    ordering     [n]  cost of one order, whatever its size
    stockout     [n]  cost of a unit short
    reliability  [n]  share of orders that arrive in time; a late one slips by half its lead time
    lot, moq     [n]  an order is a multiple of `lot` (> 0) and at least `moq` (>= 0)
    """

    ids: Strings
    position: Floats
    lead_days: Ints
    service: Floats
    holding: Floats
    ordering: Floats
    stockout: Floats
    reliability: Floats
    lot: Floats
    moq: Floats

    def __post_init__(self) -> None:
        limits: dict[str, tuple[Callable[[Any], Any], str]] = {
            "position": (np.isfinite, "a number"),
            "lead_days": (lambda v: (v >= 0) & (v <= LONGEST_LEAD), f"0 to {LONGEST_LEAD} days"),
            "service": (lambda v: (v > 0) & (v < 1), "between 0 and 1"),
            "holding": (lambda v: (v >= 0) & np.isfinite(v), "0 or more"),
            "ordering": (lambda v: (v >= 0) & np.isfinite(v), "0 or more"),
            "stockout": (lambda v: (v >= 0) & np.isfinite(v), "0 or more"),
            "reliability": (lambda v: (v >= 0) & (v <= 1), "0 to 1"),
            "lot": (lambda v: (v > 0) & np.isfinite(v), "above 0"),
            "moq": (lambda v: (v >= 0) & np.isfinite(v), "0 or more"),
        }
        for name, (holds, expected) in limits.items():
            values = getattr(self, name)
            if len(values) != len(self.ids):
                raise DataError("a column does not fit the items", name=name, items=len(self.ids), found=len(values))
            odd = ~holds(values)
            if odd.any():
                raise DataError(
                    f"{name} is out of its range", expected=expected, count=int(odd.sum()),
                    first=self.ids[odd][:5].tolist(), found=values[odd][:5].tolist(),
                    hint="Correct these items or leave them out",
                )  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Any) -> Items:
        """These items only, by position or mask."""
        return Items(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def late_days(self) -> Ints:
        """Days until a late order is there [n]: half the lead time more, rounded up."""
        return self.lead_days + (self.lead_days + 1) // 2

    @property
    def holding_a_day(self) -> Floats:
        """[n]"""
        return self.holding / DAYS_A_YEAR

    @property
    def z(self) -> Floats:
        """The normal quantile of each wanted service level [n]."""
        levels, at = np.unique(self.service, return_inverse=True)
        return np.array([NormalDist().inv_cdf(float(level)) for level in levels])[at].reshape(len(self))

    def orderable(self, quantity: Floats) -> Floats:
        """The smallest quantity that can be ordered and is not below `quantity` [n]; 0 where that is not above 0."""
        wanted = np.maximum(quantity, self.moq)
        # A multiple that misses by rounding alone is not a lot short.
        lots = np.ceil(wanted / self.lot - 1e-9)
        return np.where(quantity > 0, np.maximum(lots, 1.0) * self.lot, 0.0)
