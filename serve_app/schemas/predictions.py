"""`POST /api/predictions`: one history in, its forecast out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serve_app.problems import Refused
from serve_app.schemas.shared import Answer, Body, Day, Quantity, QuantityOrNull

MOST_ROWS = 20_000  # of a history
MOST_DAYS = 3_650
LARGEST = 1e12  # of a quantity or a planned value, without its sign
_SOURCES = {"style": "string", "data_id": "string", "history": "array"}
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

Value = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Column = Annotated[str, Field(min_length=1, max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=500)]


class HistoryRow(BaseModel):
    """One period of a history."""

    model_config = _STRICT

    date: Annotated[Day, Field(description="The period's day, as the release labels its periods")]
    quantity: Annotated[Value | None, Field(description="Demand; null: unknown, which is not 0")]
    columns: Annotated[
        dict[Column, Value | None], Field(description="Further columns that the release's models read", max_length=50)
    ] = {}


class PredictionRequest(BaseModel):
    """Which history, how far ahead, and what is planned.

    One of: `style` alone (the release's own history), `data_id` (an upload; with `style` when it holds several), or
    `history` (with `style`: a newer history of that style; without: of one the release need not know).
    """

    model_config = ConfigDict(
        **_STRICT,
        json_schema_extra={
            "examples": [
                {"style": "S000", "horizon": 30},
                {"style": "S000", "horizon": 30, "planned": {"price": 7.45}},
                {"history": [{"date": "2025-08-30", "quantity": 12}, {"date": "2025-08-31", "quantity": 0}]},
            ],
            # as `_one_source` judges
            "anyOf": [{"required": [name], "properties": {name: {"type": kind}}} for name, kind in _SOURCES.items()],
            "not": {
                "required": ["data_id", "history"],
                "properties": {"data_id": {"type": "string"}, "history": {"type": "array"}},
            },
        },
    )

    style: Annotated[Name | None, Field(description="A style, as the data spells it")] = None
    data_id: Annotated[str | None, Field(description="An upload, see /api/upload_csv", pattern=r"^[0-9a-f]{64}$")] = (
        None
    )
    history: Annotated[
        list[HistoryRow] | None, Field(description="The history itself, in any order", max_length=MOST_ROWS)
    ] = None
    horizon: Annotated[
        int | None, Field(description="Days ahead; the release's whole horizon when absent", ge=1, le=MOST_DAYS)
    ] = None
    confidence_level: Annotated[
        float | None, Field(description="Of lower_bound .. upper_bound; the release's own when absent", gt=0, lt=1)
    ] = None
    planned: Annotated[
        dict[Column, Value | list[Value]],
        Field(description="Column -> its planned value, or one for each period of the horizon", max_length=50),
    ] = {}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.data_id is not None and self.history is not None:
            raise ValueError("data_id and history are two histories: give one of them")
        if self.style is None and self.data_id is None and self.history is None:
            raise ValueError("name a style, a data_id or a history")
        return self


def request_schema() -> dict[str, Any]:
    """The JSON schema of a request, without references: it stands alone wherever it is put."""
    schema = PredictionRequest.model_json_schema()
    parts = schema.pop("$defs", {})

    def inlined(value: Any) -> Any:
        if isinstance(value, list):
            return [inlined(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inlined(parts[value["$ref"].rpartition("/")[2]])
        return {name: inlined(item) for name, item in value.items()}

    found: dict[str, Any] = inlined(schema)
    return found


def read_request(value: Any) -> PredictionRequest:
    """The request in a JSON body. Raises Refused: 422 for a fault in the history, 400 for any other, naming it."""
    if not isinstance(value, dict):
        raise Refused(400, "bad_body", "the body must be one JSON object", "body")
    try:
        return PredictionRequest.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = faults[0]
    where = [str(part) for part in fault["loc"]]
    name = where[0] if where else "body"
    where = where[:2] if name == "planned" else where  # further parts name our types, not the client's values
    shown = ".".join(where)[:200] or "body"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    detail = f"{shown}: {fault['msg'].removeprefix('Value error, ')}{more}"
    if name == "history":
        raise Refused(422, "bad_history", detail, shown)
    allowed = tuple(PredictionRequest.model_fields) if fault["type"] == "extra_forbidden" else None
    raise Refused(400, "bad_parameter", detail, shown, allowed)


class PredictedStep(Body):
    """One period ahead."""

    date: Day
    predicted_value: Annotated[Quantity, Field(description="The mean forecast, in units.quantity")]
    lower_bound: QuantityOrNull
    upper_bound: QuantityOrNull


class MemberShare(Body):
    """A model that took part."""

    model: str
    weight: Annotated[float, Field(description="Its share of this forecast (fraction)")]


class Unusable(Body):
    """A model that could not take part."""

    model: str
    reason: str


class PredictionHistory(Body):
    """The history that was forecast from."""

    source: Literal["release", "upload", "request"]
    first_date: Day
    last_date: Day
    periods: int
    unknown_periods: Annotated[int, Field(description="Periods without a known quantity: filled for the models")]
    total: Quantity


class PlannedColumn(Body):
    """A what-if that acted."""

    column: str
    read_by: Annotated[list[str], Field(description="The models whose forecast it moved")]
    weight: Annotated[float, Field(description="Their share of this forecast (fraction)")]


class PredictionAnswer(Answer):
    """A forecast made now, by the fitted models of the release; the same request gives the same bytes."""

    style: str | None
    forecast_horizon: Annotated[str, Field(examples=["30 days"])]
    confidence_level: Annotated[
        float | None, Field(description="Of lower_bound .. upper_bound (fraction); null: the release has no bounds")
    ]
    forecast: list[PredictedStep]
    made_by: Annotated[str, Field(description="The model that made this forecast")]
    fallback_level: Annotated[int, Field(description="0: the served model made it; higher: further down the chain")]
    reason: Annotated[str, Field(description="Why the served model did not make it; empty when it did")]
    members: Annotated[list[MemberShare], Field(description="Who took part, when the ensemble made it")]
    weights_of: Annotated[
        Literal["style", "class", "fleet", ""],
        Field(description="Whose weights these are: the style's own, its demand class's, the fleet's"),
    ]
    unusable: Annotated[list[Unusable], Field(description="Models that could not answer for this history, and why")]
    history: PredictionHistory
    planned: list[PlannedColumn]
    notes: list[str]
