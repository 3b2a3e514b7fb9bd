"""`GET /api/releases` and `/api/releases/compare`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serve_app.schemas.shared import Answer, Body, Day, NoData, Pagination, Percent, QuantityOrNull, Units


class ReleaseRow(Body):
    """One release; of a damaged one nothing that its files say."""

    release: int
    generated_at: Annotated[str | None, Field(description="null: it is damaged")]
    aliases: Annotated[list[str], Field(description="champion (it serves), challenger, previous")]
    served: Annotated[str | None, Field(description="The model whose forecast it serves; null: it is damaged")]
    total_styles: Annotated[int | None, Field(description="null: it is damaged")]
    wape: Percent
    baseline_wape: Percent
    bias_rel: Percent
    promoted_at: Annotated[str | None, Field(description="When it last became champion; null: never")]
    forced: bool
    reason: Annotated[str | None, Field(description="Why it was promoted or rolled back to")]
    rolled_back_from: Annotated[
        int | None, Field(description="The release that was left for it, which `reason` is about; null: no rollback")
    ]
    evaluation_id: str | None
    damaged: Annotated[str | None, Field(description="Why it cannot be used; absent where it can")] = None


class ReleaseList(Body):
    """`GET /api/releases`, newest first."""

    status: str
    champion: int | None
    units: Units
    releases: list[ReleaseRow]
    pagination: Pagination


class TotalChange(Body):
    """All styles together."""

    days: int
    before: QuantityOrNull
    now: QuantityOrNull
    change: QuantityOrNull
    growth_rate: Annotated[float | None, Field(description="100 x change / before; null if that is 0")]


class StyleChange(Body):
    """One style's forecast of the next 30 days, each from its own release's last day."""

    style: str
    before: QuantityOrNull
    now: QuantityOrNull
    change: QuantityOrNull
    growth_rate: Percent


class Measured(Body):
    """The stored evaluation of one model in one release."""

    wape: Percent
    evaluation_id: str | None


class ModelChange(Body):
    """One model's measured error in both; not on the same origins where the data is of two dates."""

    model: str
    before: Measured | None
    now: Measured | None


class Side(Body):
    """One of the two releases."""

    release: int
    generated_at: str
    served: str
    last_day: Day
    total_styles: int


class Changes(Answer):
    """`GET /api/releases/compare`."""

    now: Side
    before: Side
    totals: list[TotalChange]
    models: list[ModelChange]
    styles_new: list[str]
    styles_gone: list[str]
    styles: Annotated[list[StyleChange], Field(description="Styles in both, largest change first")]
    pagination: Pagination


ReleasesAnswer = ReleaseList | NoData
