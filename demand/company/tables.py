"""The nouns: the company's tables as frames of fixed columns, and what was found when they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

# Table -> its columns, in order. Texts are str ("" = not stated), numbers float64 (NaN = not known), dates
# datetime64[ns] (NaT = not known), whole numbers int64. Weights are pounds, costs are per pound.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "yarns": ("yarn_id", "supplier", "description", "blend", "type", "color", "cost_per_lb"),
    "stock": ("yarn_id", "supplier", "description", "color", "theoretical_lb", "on_order_lb", "allocated_lb",
              "planning_lb", "consumed_lb", "cost_per_lb", "reconciled"),
    "bom": ("base", "yarn_id", "share", "unit"),
    "suppliers": ("supplier", "supplier_id", "lead_time", "moq_lb", "type"),
    "purchase_orders": ("yarn_id", "supplier", "ordered", "requested", "quoted", "quantity_lb", "balance_lb",
                        "cost_per_lb"),
    "receipts": ("yarn_id", "supplier", "week", "quantity_lb"),
    "yarn_needs": ("yarn_id", "style", "share", "week", "quantity_lb"),
    "yarn_weeks": ("yarn_id", "week", "demand_lb", "receipts_lb", "balance_lb"),
    "open_orders": ("style", "quantity", "balance", "unit", "ship_date"),
    "knit_orders": ("style", "start", "quoted", "ordered_lb", "shipped_lb", "balance_lb", "machine"),
    "cross_reference": ("style", "base", "version"),
    "style_master": ("style", "yds_per_lb"),
    "style_stock": ("style", "quantity", "unit"),
    "labels": ("yarn_a", "yarn_b", "is_substitutable", "date", "reason"),
}  # fmt: skip
# How a message calls them: the same words as `demand.exports` uses for the files.
NAMES: Mapping[str, str] = {
    "yarns": "yarn master",
    "stock": "yarn stock",
    "bom": "bill of materials",
    "suppliers": "suppliers",
    "purchase_orders": "yarn purchase orders",
    "receipts": "expected yarn receipts",
    "yarn_needs": "yarn demand by style",
    "yarn_weeks": "yarn demand by week",
    "open_orders": "open sales orders",
    "knit_orders": "knit orders",
    "cross_reference": "style cross-reference",
    "style_master": "style master",
    "style_stock": "finished stock by style",
    "labels": "substitution labels",
}


@dataclass(frozen=True)
class TableReport:
    """What became of the rows of one table.

    rows_in = used + merged + sum(left_out): used rows each gave a row of the frame, merged ones were added to one of
    them, left_out names why the others were not used. A table with a column per week counts one row per cell. facts:
    what was found, counted (odd cells over all rows of the file, odd rows over the used ones), with the first few; no
    value of a column that names people.
    """

    table: str
    file: str
    rows_in: int
    used: int
    merged: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)  # of the frame -> header in the file
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        accounted = self.used + self.merged + sum(self.left_out.values())
        if accounted != self.rows_in:
            raise AssertionError(f"{self.table}: rows in {self.rows_in} are not the rows accounted for {accounted}")


REASONS = 3  # of rows that were left out, in a sentence; the run's company.json has all


@dataclass(frozen=True, eq=False)
class Company:
    """The tables that were given; None where a table was not. Columns and types are those of `COLUMNS`.

    yarns            a row a yarn; cost NaN = not known (a cost of 0 is not one)
    stock            a row a yarn. allocated and consumed are negative by design; planning = theoretical + on order +
                     allocated, computed; reconciled NaT = never
    bom              a row a base (the style before its "/") and yarn: share 0..1 of the base's weight
    suppliers        a row a supplier; lead_time in the unit that `company.lead_time_unit` names
    purchase_orders  balance_lb: still to come
    receipts         quantity expected in the week that begins on `week`; NaT = past due, may be negative
    yarn_needs       pounds of a yarn that a style needs in the week; share 0..1 of the style's weight
    yarn_weeks       a yarn's demand, receipts and balance in the week, as the planning system sees them
    open_orders      balance: still to ship, in `unit`; ship_date NaT = none stated
    knit_orders      balance = ordered and not shipped, may be negative
    cross_reference  a row a style and version of its base
    style_master     yards of a style that weigh a pound
    style_stock      finished goods of a style, in `unit`
    labels           is_substitutable 1 or 0: may yarn_b replace yarn_a?
    reports          table -> what became of its rows
    files            name -> what it was taken for, or why it was not used
    """

    yarns: pd.DataFrame | None = None
    stock: pd.DataFrame | None = None
    bom: pd.DataFrame | None = None
    suppliers: pd.DataFrame | None = None
    purchase_orders: pd.DataFrame | None = None
    receipts: pd.DataFrame | None = None
    yarn_needs: pd.DataFrame | None = None
    yarn_weeks: pd.DataFrame | None = None
    open_orders: pd.DataFrame | None = None
    knit_orders: pd.DataFrame | None = None
    cross_reference: pd.DataFrame | None = None
    style_master: pd.DataFrame | None = None
    style_stock: pd.DataFrame | None = None
    labels: pd.DataFrame | None = None
    reports: Mapping[str, TableReport] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table, frame in self.given():
            if tuple(frame.columns) != COLUMNS[table]:
                raise AssertionError(f"{table} has columns {list(frame.columns)}, not {list(COLUMNS[table])}")

    def given(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """(table, frame) of the tables that are there."""
        for one in fields(self):
            frame = getattr(self, one.name)
            if one.name in COLUMNS and frame is not None:
                yield one.name, frame

    def missing(self, tables: Sequence[str]) -> tuple[str, ...]:
        """Which of these tables are not there, in the words of `NAMES`."""
        return tuple(NAMES[table] for table in tables if getattr(self, table) is None)

    def unused(self) -> tuple[str, ...]:
        """The files that are no table of ours and why, as in "stock.csv: the file is empty", by name."""
        known = set(NAMES.values())
        return tuple(f"{name}: {why}" for name, why in sorted(self.files.items()) if why not in known)

    def lost(self, *tables: str) -> tuple[str, ...]:
        """Of these tables those of which rows were left out, and the first reasons, as in
        "purchase orders: 3 of 90 rows left out (no date: 3)"."""
        said = []
        for table in tables:
            report = self.reports.get(table)
            if report is not None and report.left_out:
                why = "; ".join(f"{name}: {count:,}" for name, count in list(report.left_out.items())[:REASONS])
                n = sum(report.left_out.values())
                said.append(f"{NAMES[table]}: {n:,} of {report.rows_in:,} rows left out ({why})")
        return tuple(said)
