"""`source=pipeline` and `hybrid`: what is ordered by its due date, alone or as the least that a style will sell.

pipeline  the open sales orders that were released with the forecast, in the period of their ship date; what is overdue
          counts in the first period, what has no date or lies beyond the horizon is in no period and told apart
hybrid    in each style and period the larger of the forecast and the orders
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from demand.panel import Floats
from demand.parsing import Bools
from evaluation.totals import DAYS, Ahead
from serve_app.answers.asked import Answer, last_day, no_data
from serve_app.answers.columns import flags, numbers
from serve_app.answers.fleet import Fleet
from serve_app.book import Book
from serve_app.schemas.units import number

NAME = "open sales orders"
ORDERS = "open_orders"  # who made a row that holds orders alone
BLOCK = "orders"


@dataclass(frozen=True, eq=False)
class Placed:
    """Open orders of the N styles of a release, in the unit sold: by [N, H] periods ahead, and what is in none.

    overdue [N] is part of the first period; undated, beyond [N] are in none; assumed [N]: a weight was assumed
    """

    periods: Floats
    overdue: Floats
    undated: Floats
    beyond: Floats
    assumed: Bools

    @property
    def open(self) -> Floats:
        """[N]: everything that is still to ship."""
        total: Floats = self.periods.sum(axis=1) + self.undated + self.beyond
        return total

    def take(self, places: np.ndarray[Any, Any]) -> Placed:
        """The orders of the styles at these places, in this order."""
        return Placed(self.periods[places], self.overdue[places], self.undated[places], self.beyond[places],
                      self.assumed[places])  # fmt: skip


def placed(book: Book) -> Placed | None:
    """The open orders of every style of the release; None where it holds none."""
    table = book.company.table(BLOCK)
    if table is None:
        return None
    n, h = len(book.ids), book.horizon_periods
    row = np.asarray(pa.compute.index_in(table["unique_id"], book.ids).to_numpy(zero_copy_only=False), dtype=np.int64)
    quantity, rough = numbers(table, "quantity"), flags(table, "assumed")
    due = table["due"].to_numpy(zero_copy_only=False).astype("datetime64[D]")
    undated = np.isnat(due)
    step = book.calendar.containing(np.where(undated, np.datetime64(last_day(book)), due)) - origin_of(book) - 1
    late = ~undated & (step < 0)
    inside = ~undated & (step < h)
    periods = np.zeros((n, h))
    np.add.at(periods, (row[inside], np.maximum(step[inside], 0)), quantity[inside])

    def summed(rows: Bools) -> Floats:
        return np.bincount(row[rows], quantity[rows], minlength=n).astype(np.float64)

    return Placed(periods, summed(late), summed(undated), summed(~undated & ~inside), np.isin(np.arange(n), row[rough]))


@dataclass(frozen=True, eq=False)
class Source:
    """The styles as a source other than the forecast sees them, and how an answer tells of it.

    periods [N, H]: of every style of the release, in the order of its ids
    """

    fleet: Fleet
    periods: Floats
    told: dict[str, Any]


def seen_from(fleet: Fleet, source: str) -> Source | None:
    """The fleet with totals from orders (pipeline) or the larger of orders and forecast (hybrid).

    Bounds and confidence were measured for the forecast alone, so they are null here. None without open orders.
    """
    book = fleet.book
    orders = placed(book)
    if orders is None:
        return None
    places = places_of(fleet)
    mine = orders.take(places)
    everyone = orders.periods
    if source == "hybrid":
        everyone = np.maximum(book.means_of(fleet.model), everyone)
    periods = everyone[places]
    table = fleet.table
    ahead = ahead_of(book)
    unknown = pa.nulls(len(fleet), pa.float64())
    changed: dict[str, Any] = {f"{side}_{days}_days": unknown for side in ("lower", "upper") for days in DAYS}
    changed |= {f"forecast_{days}_days": pa.array(periods @ ahead.total(days)) for days in book.days_answered}
    changed |= {"confidence": unknown, "confidence_basis": pa.array([""] * len(fleet)),
                "low_confidence": pa.array([True] * len(fleet))}  # fmt: skip
    if source == "pipeline":
        changed |= {"made_by": pa.array([ORDERS] * len(fleet)), "reason": pa.array([""] * len(fleet)),
                    "fallback_level": pa.array([0] * len(fleet))}  # fmt: skip
    for name, column in changed.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.chunked_array([column.cast(table.schema.field(name).type)]))
    facts = book.company.facts(BLOCK) or {}
    told = {
        "quantity": number(mine.open.sum()),
        "overdue": number(mine.overdue.sum()),
        "without_date": number(mine.undated.sum()),
        "beyond_horizon": number(mine.beyond.sum()),
        "styles": int((mine.open > 0).sum()),
        "styles_of_assumed_weight": int(mine.assumed.sum()),
        "rows_not_used": int(facts["rows"] - facts["rows_matched"]) if facts else 0,
    }
    model = ORDERS if source == "pipeline" else fleet.model
    return Source(replace(fleet, table=table, model=model), everyone, told)


def origin_of(book: Book) -> int:
    """The last known period."""
    return int(book.calendar.containing(np.datetime64(book.origin)))


def ahead_of(book: Book) -> Ahead:
    """The days that the release's periods ahead cover."""
    return Ahead.of(book.calendar, origin_of(book), book.horizon_periods)


def places_of(fleet: Fleet) -> np.ndarray[Any, Any]:
    """[n]: the row in the release of each style of the fleet."""
    found = pa.compute.index_in(fleet.table["unique_id"], fleet.book.ids)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def without_orders(book: Book, source: str) -> Answer:
    """The answer where the release holds no open orders."""
    return no_data(
        book, f"source={source} needs the table of {NAME}, which is not part of release {book.number}. Name it as "
        "company.open_orders and make a release, or ask for source=ml",
        missing_table=NAME, source=source,
    )  # fmt: skip
