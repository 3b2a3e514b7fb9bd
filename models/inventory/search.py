"""The cheapest quantity that can be ordered, found exactly, for many items at once.

The cost of ordering q > 0 is ordering cost + a convex function of q (see `replay`), and the fill only rises with q. So
on the grid of what can be ordered - multiples of the lot from the minimum order on - the cheapest quantity is where the
difference between neighbours turns from negative to not negative, the smallest that reaches the service level is where
the fill does, and the answer is the larger of the two or nothing at all: two bisections instead of a walk over all
quantities, each step of which is a count in sorted numbers. The walk is the tests' twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints
from models.inventory.items import Items
from models.inventory.replay import Outcome, Window

MEMORY_MB = 256  # of one chunk's arrays
_ARRAYS = 14  # of the size of one chunk's daily demand that are alive at once
_CLOSE = 1e-9  # relative: what arithmetic alone may move


@dataclass(frozen=True, eq=False)
class Optimum:
    """The exact answer for n items: what to order, what that costs, and whether the service level can be reached.

    reached [n]: False where no quantity does; then the answer is the cheapest of those with the best fill. idle: what
    ordering nothing would cost. binding [n]: the wanted service alone makes the order as large as it is; where it is
    reached and not binding, the costs, the smallest order or the stock buy at least as much.
    """

    quantity: Floats
    outcome: Outcome
    idle: Outcome
    reached: NDArray[np.bool_]
    binding: NDArray[np.bool_]


Sample = Callable[[Ints, int], Floats]  # (rows, days W) -> demand a day of these items [n, S, W]


def window_days(items: Items, review_days: int) -> Ints:
    """Days of each item's replay [n]: lead time + review period."""
    return items.lead_days + review_days


def search(items: Items, sample: Sample, review_days: int, n_paths: int, memory_mb: float = MEMORY_MB) -> Optimum:
    """The optimum of each item, chunk by chunk: no chunk's arrays take more than `memory_mb` (one item always fits)."""
    parts: list[tuple[Ints, Optimum]] = []
    for rows, length in chunks(window_days(items, review_days), n_paths, memory_mb):
        some = items.take(rows)
        parts.append((rows, optimum(some, Window.of(some, sample(rows, length)))))
    return _joined(len(items), parts)


def price(items: Items, quantity: Floats, sample: Sample, review_days: int, n_paths: int,
          memory_mb: float = MEMORY_MB) -> Outcome:  # fmt: skip
    """What given quantities [n] cost on the same paths that `search` uses."""
    cost, short, demanded = np.empty(len(items)), np.empty(len(items)), np.empty(len(items))
    for rows, length in chunks(window_days(items, review_days), n_paths, memory_mb):
        some = items.take(rows)
        of = Window.of(some, sample(rows, length)).outcome(some, quantity[rows])
        cost[rows], short[rows], demanded[rows] = of.cost, of.short, of.demanded
    return Outcome(cost, short, demanded)


def chunks(lengths: Ints, n_paths: int, memory_mb: float = MEMORY_MB) -> list[tuple[Ints, int]]:
    """(rows, days) of items with the same window, so many at once as fit the memory."""
    out = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        size = max(1, int(memory_mb * 2**20 / (8 * _ARRAYS * max(int(length), 1) * n_paths)))
        out += [(rows[a : a + size], int(length)) for a in range(0, len(rows), size)]
    return out


def optimum(items: Items, window: Window) -> Optimum:
    """The exact answer for items of one window."""
    zero = np.zeros(len(items))
    idle = window.outcome(items, zero)
    curve = _Curve.of(items, window)
    least = np.maximum(np.ceil(items.moq / items.lot - _CLOSE), 1.0)  # lots of the smallest order
    most = np.maximum(np.ceil(curve.need / items.lot - _CLOSE), least)  # from here on nobody is short
    wanted = (1.0 - items.service) * window.demanded - window.short  # units that may be short after the order is there
    slack = _CLOSE * np.maximum(window.demanded, 1.0)
    fills = _first(least, most, lambda k: curve.short(k * items.lot) <= wanted + slack)
    # The last lot of all is where the cost can only rise: the search ends there.
    cheap = _first(least, most, lambda k: curve.step(k, items.lot) >= -_CLOSE * curve.scale)
    reached = curve.short(most * items.lot) <= wanted + slack
    lots = np.where(reached, np.maximum(fills, cheap), most)
    quantity = lots * items.lot
    ordered = window.outcome(items, quantity)
    enough = np.where(reached, idle.fill >= items.service - _CLOSE, curve.need <= 0)
    nothing = enough & (idle.cost <= ordered.cost)
    chosen = np.where(nothing, 0.0, quantity)
    outcome = Outcome(
        *(np.where(nothing, getattr(idle, n), getattr(ordered, n)) for n in ("cost", "short", "demanded"))
    )
    return Optimum(chosen, outcome, idle, reached, reached & ~nothing & (fills > cheap))


def reachable(items: Items, window: Window) -> NDArray[np.bool_]:
    """Whether any quantity reaches the wanted service [n]: whether the largest useful one does, after which nobody is
    short. `Optimum.reached` without a search."""
    slack = _CLOSE * np.maximum(window.demanded, 1.0)
    return np.asarray(window.short <= (1.0 - items.service) * window.demanded + slack)


@dataclass(frozen=True, eq=False)
class _Curve:
    """What depends on the quantity, as sorted numbers: needs [2, n, S * W] and the last day's needs [2, n, S].

    need [n]: the quantity from which nobody is short on any path (of a case that can happen).
    """

    needs: Floats
    before: Floats  # needs summed up to each place
    absent: Ints  # places of days without the order, which sort first
    last: Floats
    after: Floats  # last needs above 0 summed from each place on
    rate: Floats
    penalty: Floats
    weight: Floats
    n_paths: int
    need: Floats
    scale: Floats

    @classmethod
    def of(cls, items: Items, window: Window) -> _Curve:
        cases, n, n_paths, length = window.needs.shape
        needs = np.sort(window.needs.reshape(cases, n, n_paths * length), axis=2)
        absent = (needs == -np.inf).sum(axis=2)
        sums = np.cumsum(np.where(np.isfinite(needs), needs, 0.0), axis=2)
        last = np.sort(window.needs[..., -1], axis=2)
        upper = np.where(np.isfinite(last), last, 0.0)
        after = np.cumsum(upper[..., ::-1], axis=2)[..., ::-1]
        can = window.weight > 0
        need = np.where(can & np.isfinite(last[..., -1]), last[..., -1], 0.0).max(axis=0)
        scale = np.maximum(items.stockout, items.holding_a_day) * np.maximum(items.lot, 1.0)
        return cls(needs, sums, absent, last, after, items.holding_a_day, items.stockout, window.weight, n_paths,
                   np.maximum(need, 0.0), scale)  # fmt: skip

    def short(self, quantity: Floats) -> Floats:
        """Mean units short after the order is there [n]."""
        below = _count_below(self.last, quantity)
        total = _at(self.after, below) - (self.n_paths - below) * quantity
        return np.asarray((self.weight * total).sum(axis=0) / self.n_paths)

    def held(self, quantity: Floats) -> Floats:
        """Mean unit-days on the shelf after the order is there [n]."""
        below = _count_below(self.needs, quantity)
        total = (below - self.absent) * quantity - _at(self.before, below - 1)
        return np.asarray((self.weight * total).sum(axis=0) / self.n_paths)

    def step(self, lots: Floats, lot: Floats) -> Floats:
        """How much one lot more than `lots` [n] adds to holding and stock-out cost [n]."""
        here, there = lots * lot, (lots + 1) * lot
        held, short = self.held(there) - self.held(here), self.short(there) - self.short(here)
        return self.rate * held + self.penalty * short


def _first(low: Floats, high: Floats, holds: Callable[[Floats], NDArray[np.bool_]]) -> Floats:
    """The first whole number of low .. high where `holds` (False, then True) does; high where it never does [n]."""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        there = holds(middle)
        open_ = low < high
        high = np.where(open_ & there, middle, high)
        low = np.where(open_ & ~there, middle + 1, low)
    return low


def _count_below(rows: Floats, value: Floats) -> Ints:
    """How many of each sorted row [2, n, m] are below the item's value [n]: [2, n]."""
    length = rows.shape[2]
    low = np.zeros(rows.shape[:2], dtype=np.int64)
    high = np.full(rows.shape[:2], length, dtype=np.int64)
    for _ in range(int(length).bit_length()):
        middle = (low + high) // 2
        less = np.take_along_axis(rows, np.minimum(middle, length - 1)[..., None], axis=2)[..., 0] < value
        go = (low < high) & less
        high = np.where((low < high) & ~less, middle, high)
        low = np.where(go, middle + 1, low)
    return low


def _at(rows: Floats, place: Ints) -> Floats:
    """Each row's value at a place [2, n]; 0 before and behind the row."""
    length = rows.shape[2]
    inside = np.take_along_axis(rows, np.clip(place, 0, length - 1)[..., None], axis=2)[..., 0]
    return np.where((place < 0) | (place >= length), 0.0, inside)


def _joined(n: int, parts: list[tuple[Ints, Optimum]]) -> Optimum:
    quantity, reached, binding = np.empty(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    figures = {name: (np.empty(n), np.empty(n), np.empty(n)) for name in ("outcome", "idle")}
    for rows, part in parts:
        quantity[rows], reached[rows], binding[rows] = part.quantity, part.reached, part.binding
        for name, arrays in figures.items():
            one = getattr(part, name)
            for array, values in zip(arrays, (one.cost, one.short, one.demanded), strict=True):
                array[rows] = values
    return Optimum(quantity, Outcome(*figures["outcome"]), Outcome(*figures["idle"]), reached, binding)
