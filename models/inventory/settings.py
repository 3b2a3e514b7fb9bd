"""What an order decision supposes where nothing better is known, and how it is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT

Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Whole = Annotated[int, Field(ge=1)]
Within = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Method = Literal["auto", "exact", "surrogate"]


@dataclass(frozen=True, config=STRICT)
class InventorySettings:
    """Settings of order quantities; a figure that an item has itself takes the place of the one here.

    lead_time_days: days from order to receipt. demand_variability: std / mean of demand over the lead time where it
    cannot be computed. service_level: wanted fill. holding_rate: of the unit cost, a year. ordering_cost: an order.
    stockout_cost: a unit short. supplier_reliability: share of orders in time. seasonality_index: where the history has
    less than two seasons. review_days: until the next decision. lot, moq: what can be ordered. paths: demand paths an
    item. method: auto = exact, or the surrogate for more than `exact_items` items when one is stored and nothing
    simpler was cheaper. items: which ones are decided on, auto = yarns when the company's yarn stock, bill of materials
    and cross-reference are there.
    demand: where paths come from. table: a file of one row an item, see jobs/README.md. memory_mb: of one chunk.
    """

    lead_time_days: Annotated[int, Field(ge=0, le=730)] = 14
    demand_variability: Amount = 0.5
    service_level: Within = 0.95
    holding_rate: Amount = 0.25
    ordering_cost: Amount = 100.0
    stockout_cost: Amount = 5.0
    supplier_reliability: Share = 0.95
    seasonality_index: Positive = 1.0
    review_days: Annotated[int, Field(ge=1, le=365)] = 30
    lot: Positive = 1.0
    moq: Amount = 0.0
    paths: Annotated[int, Field(ge=1, le=2000)] = 64
    method: Method = "auto"
    exact_items: Whole = 100_000
    items: Literal["auto", "styles", "yarns"] = "auto"
    demand: Literal["forecast", "history"] = "forecast"
    table: str | None = None
    memory_mb: Annotated[float, Field(ge=1)] = 256.0

    def __post_init__(self) -> None:
        if self.table is not None and not self.table.strip():
            raise SettingsError("a table is a file", key="inventory.table", found=self.table)
