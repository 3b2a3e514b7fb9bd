"""The report's part about decisions: what to order, and what may stand in for yarns that are short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evaluation import report_tables as tables

SHOWN = 50  # orders and substitutes; the files of the run have all


@dataclass(frozen=True, eq=False)
class Decisions:
    """summary: of the proposal (replenish.json), None where there is none. orders: its rows as in proposal.parquet.
    substitutes: a row a yarn that is short and its best candidate, None where nobody looked. sentences: what could not
    be decided, and why."""

    summary: Mapping[str, Any] | None
    orders: pd.DataFrame | None
    substitutes: pd.DataFrame | None
    sentences: Sequence[str] = ()


def decisions_part(decisions: Decisions | None) -> dict[str, Any] | None:
    """{sentences, tables} for the template; None where nothing was asked."""
    if decisions is None:
        return None
    sentences, shown = list(decisions.sentences), []
    if decisions.summary is not None and decisions.orders is not None:
        n, kind = decisions.summary["items"], decisions.summary["kind"]
        sentences.insert(0, f"{n['in']:,} {kind}: {n['ordered']:,} to order, {n['nothing_needed']:,} need nothing, "
                            f"{n['no_data']:,} without data. Decided by {decisions.summary['method']}: "
                            f"{decisions.summary['method_reason']}.")  # fmt: skip
        shown.append(_orders(decisions.orders, decisions.summary["unit"]))
    if decisions.substitutes is not None:
        shown.append(_substitutes(decisions.substitutes))
    return {"sentences": sentences, "tables": shown}


def _orders(orders: pd.DataFrame, unit: str) -> tables.Table:
    """The dearest orders."""
    top = orders.sort_values("order_value", ascending=False).head(SHOWN)
    rows = [
        [tables.words(row["item"]), tables.words(row["supplier"]), tables.quantity(row["order_quantity"]),
         tables.quantity(row["order_value"]), tables.words(row["shelf_empty_on"]), tables.words(row["expected_on"]),
         tables.quantity(row["expected_cost"]), tables.quantity(row["cost_without_order"]), tables.words(row["reason"])]
        for row in top.to_dict("records")
    ]  # fmt: skip
    columns = [
        ("Item", "", False), ("Supplier", "", False),
        (f"Order, {unit}" if unit else "Order", "what to order now", True),
        ("Value", "quantity x unit cost", True), ("Shelf empty", "in the median path", False), ("Arrives", "", False),
        ("Expected cost", "over lead time and review period", True), ("Without an order", "the same", True),
        ("Why", "", False),
    ]  # fmt: skip
    more = f"{len(orders) - len(top):,} more are in proposal.csv." if len(orders) > len(top) else ""
    return tables.Table("Purchase proposal", columns, rows, note=more)


def _substitutes(frame: pd.DataFrame) -> tables.Table:
    """The best candidate of each yarn that is short."""
    best = frame[frame["rank"] == 1].head(SHOWN)
    rows = [
        [tables.words(row["yarn"]), tables.words(row["substitute"]), tables.number(row["probability"]),
         tables.quantity(row["stock_lb"]), tables.words(row["made_by"]), tables.words(row["why"])]
        for row in best.to_dict("records")
    ]  # fmt: skip
    columns = [("Yarn", "", False), ("Best candidate", "", False), ("Probability", "that it may replace it", True),
               ("Stock, lb", "", True), ("Signed", "a model or the rule", False), ("Why", "", False)]  # fmt: skip
    more = int((frame["rank"] == 1).sum()) - len(best)
    return tables.Table("Substitutes for yarns that are short", columns, rows,
                        note=f"{more:,} more are in substitutes.csv." if more > 0 else "")  # fmt: skip
