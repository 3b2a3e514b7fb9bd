"""The blocks of `compare=` and what `source=pipeline, hybrid` tell of the orders they rest on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.shared import Body, Quantity, QuantityOrNull

Horizon = Annotated[int, Field(description="Days that every figure is of")]
Source = Annotated[str, Field(description="The table that was released with the forecast")]


class NotKnown(Body):
    """Styles of the answer that the table does not hold; they are not compared, and not taken for 0."""

    styles: int
    first: Annotated[list[str], Field(max_length=5)]


class StockOfStyle(Body):
    """One style's forecast and finished stock."""

    forecast: QuantityOrNull
    stock: Quantity
    gap: Annotated[float | None, Field(description="stock - forecast: below 0 the stock does not cover the horizon")]


class ShortageRisk(Body):
    """A style whose stock may not last."""

    style: str
    probability: Annotated[
        float | None,
        Field(ge=0, le=1, description="Fraction: chance that the horizon's demand is larger than the stock, from the "
                                      "stated bounds; null: no bounds are stated"),
    ]  # fmt: skip
    days_of_cover: Annotated[int | None, Field(description="Whole days the stock lasts; null: longer than forecast")]


class StockComparison(Body):
    """compare=stock: the forecast beside finished stock by style, as it was released."""

    status: Literal["success"]
    table: Source
    horizon_days: Horizon
    current_stock: Annotated[dict[str, float], Field(description="Style -> quantity in stock")]
    forecast_vs_stock: dict[str, StockOfStyle]
    shortage_risk: Annotated[
        list[ShortageRisk],
        Field(description="Styles with a probability above 0.05 or stock below the forecast, most likely first"),
    ]
    not_known: NotKnown


class OrdersOfStyle(Body):
    """One style's forecast and the orders due in the horizon."""

    forecast: QuantityOrNull
    due: Annotated[float, Field(description="Open orders due in the horizon, overdue ones among them")]
    gap: Annotated[float | None, Field(description="forecast - due: below 0 more is ordered than was forecast")]


class FulfillmentRisk(Body):
    """A style with overdue orders, or with more due than there is in stock (than forecast, where no stock is known)."""

    style: str
    due: Quantity
    overdue: Annotated[float, Field(description="Of it, the part whose ship date has passed")]
    stock: QuantityOrNull
    short: Annotated[float | None, Field(description="due - stock, at least 0; null: the stock is not known")]


class OrderComparison(Body):
    """compare=orders: the forecast beside open sales orders, as they were released."""

    status: Literal["success"]
    table: Source
    horizon_days: Horizon
    open_orders: Annotated[dict[str, float], Field(description="Style -> everything that is still to ship")]
    forecast_vs_orders: dict[str, OrdersOfStyle]
    fulfillment_risk: Annotated[list[FulfillmentRisk], Field(description="Most short first, then most overdue")]
    without_date: Annotated[float, Field(description="Open orders without a ship date: in no horizon")]
    beyond_horizon: Annotated[float, Field(description="Open orders due after the last day that is forecast")]


class CapacityOfStyle(Body):
    """One style's forecast, and what its machines can knit of it if they knit nothing else."""

    forecast: QuantityOrNull
    capacity: Quantity
    gap: Annotated[float | None, Field(description="capacity - forecast")]


class Bottleneck(Body):
    """A machine with more to knit in the horizon than it has shown it can."""

    machine: str
    capacity_pounds: Annotated[float, Field(description="What it knits in the horizon at its rate so far")]
    load_pounds: Annotated[float, Field(description="Open knit orders and the forecast of the styles it knits")]
    styles: Annotated[int, Field(description="Styles it knits")]


class CapacityComparison(Body):
    """compare=capacity: the forecast beside what the machines have knit, from the knit orders as they were released."""

    status: Literal["success"]
    table: Source
    horizon_days: Horizon
    basis: Annotated[str, Field(description="Where the rate of a machine comes from")]
    production_capacity: Annotated[dict[str, float], Field(description="Style -> what its machines can knit of it")]
    forecast_vs_capacity: dict[str, CapacityOfStyle]
    bottlenecks: Annotated[list[Bottleneck], Field(description="Machines of all styles, the most overloaded first")]
    not_known: NotKnown


class OrdersUsed(Body):
    """The open orders that source=pipeline and hybrid rest on; bounds and confidence are null: never measured."""

    quantity: Annotated[float, Field(description="Everything that is still to ship")]
    overdue: Annotated[float, Field(description="Of it, what should have shipped; counted in the first period")]
    without_date: Annotated[float, Field(description="Of it, what has no ship date; in no period")]
    beyond_horizon: Annotated[float, Field(description="Of it, what is due after the horizon; in no period")]
    styles: Annotated[int, Field(description="Styles with open orders")]
    styles_of_assumed_weight: Annotated[
        int, Field(description="Styles whose orders were converted by an assumed weight")
    ]
    rows_not_used: Annotated[int, Field(description="Rows of the table of unknown styles or units")]
