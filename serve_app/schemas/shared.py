"""What answers have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Trend = Literal["increasing", "stable", "decreasing"]
Action = Literal["increase_stock", "reduce", "hold", "review", "no_action"]
Word = Literal["HIGH", "MEDIUM", "LOW"]

# Types with their unit in words: OpenAPI shows it beside every field.
Quantity = Annotated[float, Field(description="Quantity, in units.quantity")]
QuantityOrNull = Annotated[float | None, Field(description="Quantity, in units.quantity; null: not known")]
Percent = Annotated[float | None, Field(description="Percent; null: undefined or never measured")]
Day = Annotated[str, Field(description="A day, YYYY-MM-DD", pattern=r"^\d{4}-\d\d-\d\d$")]


class Body(BaseModel):
    """Part of an answer: nothing beyond its fields, never NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Units(Body):
    """Which unit the numbers of this answer are in."""

    quantity: Annotated[str | None, Field(description="The unit of all quantities, such as yds; null: not stated")]
    percent: Annotated[list[str], Field(description="Names in this answer that hold percents (0 to 100)")]
    fraction: Annotated[list[str], Field(description="Names in this answer that hold fractions (0 to 1)")]
    confidence_level: Annotated[
        float | None, Field(description="Share of actual totals that lower .. upper should hold (fraction)")
    ] = None


class Answer(Body):
    """What every answer begins with."""

    status: Literal["success"]
    generated_at: Annotated[str, Field(description="When the release was made (UTC), not when it was asked")]
    release: Annotated[int, Field(description="Number of the release that every figure is from")]
    evaluation_id: Annotated[str | None, Field(description="The stored evaluation of the model whose forecast this is")]
    units: Units


class NoData(Body):
    """Nothing to show: why, and what to do about it."""

    status: Literal["no_data"]
    reason: Annotated[str, Field(description="Why there is nothing, and what to do")]
    generated_at: str | None = None
    release: int | None = None
    missing_table: Annotated[str | None, Field(description="The table that would have to be loaded")] = None
    source: str | None = None


class MissingTable(Body):
    """A block that cannot be filled, since a table is missing."""

    status: Literal["no_data"]
    missing_table: Annotated[str, Field(description="The table that would have to be loaded")]
    reason: Annotated[str, Field(description="Why there is nothing, and what to do")]


class Pagination(Body):
    """Which part of all rows this is."""

    total: Annotated[int, Field(description="Rows in all")]
    returned: Annotated[int, Field(description="Rows in this answer")]
    offset: int
    limit: int | None
    next_offset: Annotated[int | None, Field(description="Offset of the next part; null: this is the last")]
