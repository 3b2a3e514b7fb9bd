"""`POST /api/order-quantities`, `GET /api/order-proposal` and `/api/order-proposals`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_app.problems import Refused
from serve_app.schemas.shared import Answer, Body, Day, NoData, Pagination, Units

MOST_ITEMS = 100
MOST_DAYS = 365
Amount = Annotated[float, Field(ge=0, le=1e12)]


class OrderItem(BaseModel):
    """A style and what is known of its stock and costs; what is left out has the release's default, and says so."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, strict=True)

    style: Annotated[str, Field(min_length=1, max_length=200)]
    on_shelf: Annotated[float | None, Field(description="Units on the shelf", ge=0, le=1e12)] = None
    on_order: Annotated[Amount, Field(description="Units ordered and not received")] = 0.0
    allocated: Annotated[float, Field(description="Units promised to customers, negative", ge=-1e12, le=0)] = 0.0
    unit_cost: Annotated[float | None, Field(description="What a unit costs", ge=0, le=1e9)] = None
    lead_time_days: Annotated[int | None, Field(description="From order to receipt", ge=0, le=MOST_DAYS)] = None
    service_level: Annotated[float | None, Field(description="Wanted fill (fraction)", gt=0, lt=1)] = None
    ordering_cost: Annotated[float | None, Field(description="Of one order", ge=0, le=1e9)] = None
    stockout_cost: Annotated[float | None, Field(description="Of a unit short", ge=0, le=1e9)] = None
    supplier_reliability: Annotated[float | None, Field(description="Share of orders in time", ge=0, le=1)] = None
    lot: Annotated[float | None, Field(description="An order is a multiple of it", ge=1e-3, le=1e9)] = None
    moq: Annotated[float | None, Field(description="And not below it", ge=0, le=1e9)] = None


class OrderRequest(BaseModel):
    """The items to decide on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MOST_ITEMS)]


def request_schema() -> dict[str, Any]:
    """The JSON schema of a request, without references."""
    schema = OrderRequest.model_json_schema()
    item = schema.pop("$defs")["OrderItem"]
    schema["properties"]["items"]["items"] = item
    schema["example"] = {"items": [{"style": "A/1", "on_shelf": 120, "unit_cost": 4.5, "lead_time_days": 21}]}
    return schema


def read_order_request(value: Any) -> OrderRequest:
    """The request in a JSON body. Raises Refused (400) naming the first fault."""
    if not isinstance(value, dict):
        raise Refused(400, "bad_body", "the body must be one JSON object", "body")
    try:
        return OrderRequest.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(str(part) for part in faults[0]["loc"])[:200] or "body"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    allowed = None
    if faults[0]["type"] == "extra_forbidden":
        allowed = tuple((OrderItem if len(faults[0]["loc"]) > 1 else OrderRequest).model_fields)
    raise Refused(400, "bad_parameter", f"{where}: {faults[0]['msg']}{more}", where, allowed)


Money = Annotated[float | None, Field(description="Expected over the window, in the money of the costs")]
Fraction = Annotated[float | None, Field(description="Fraction")]


class Policy(Body):
    """What a simple policy would order, priced on the same demand paths."""

    policy: Literal["eoq_rop", "newsvendor", "base_stock"]
    quantity: float
    cost: float
    service: float


class Quantity(Body):
    """One item's answer, or why there is none."""

    style: str
    status: Literal["order", "none", "no_data"]
    missing: Annotated[list[str], Field(description="What would have to be known")]
    made_by: Annotated[
        str | None, Field(description="The model that really made this style's forecast; null: the release has none")
    ]
    quantity: Annotated[float | None, Field(description="To order now, in units.quantity")]
    cost: Money
    cost_without_order: Money
    service: Fraction
    service_without_order: Fraction
    reachable: Annotated[bool | None, Field(description="Whether any quantity reaches the wanted service")]
    window_days: Annotated[int | None, Field(description="Lead time and review period: what the costs are over")]
    shelf_empty_on: Annotated[
        Day | None, Field(description="Day on which the shelf alone is empty, in the median path")
    ]
    assumed: Annotated[
        list[str],
        Field(description="Figures that are defaults; demand_beyond_horizon: the window is longer than the forecast, "
              "whose last season stands in for the rest"),
    ]  # fmt: skip
    beside: list[Policy]


class QuantitiesAnswer(Answer):
    """How much to order now, by exact search over the released forecast's demand paths, at most 256 of an item."""

    made_by: Annotated[str, Field(description="The served model; a style that fell back says its own")]
    method: Literal["exact"]
    review_days: int
    paths: Annotated[int, Field(description="Paths of demand a decision is priced on; at most 256 here")]
    quantities: list[Quantity]


class Order(Body):
    """One line of the purchase proposal."""

    supplier: str
    item: str
    quantity: float
    order_on: Day
    expected_on: Day
    lead_time_days: float
    moq: float
    value: Annotated[float | None, Field(description="Quantity x unit cost; null: the cost is not known")]
    position: Annotated[float, Field(description="On the shelf + on order + allocated")]
    shelf_empty_on: Day | None
    cost: float
    cost_without_order: float
    service: float
    wanted_service: float
    reachable: bool
    method: str
    assumed: list[str]
    reason: str


class Supplier(Body):
    """What is to be ordered of one supplier; null: differs between its items."""

    supplier: str
    items: int
    quantity: float
    value: float | None
    moq: float | None
    lead_time_days: float | None


class ItemCounts(Body):
    """ordered + nothing_needed + no_data = in."""

    items_in: int
    ordered: int
    nothing_needed: int
    no_data: int


class Missing(Body):
    """How many items lack what."""

    what: str
    items: int


class PolicyCost(Body):
    """Expected cost of all items under one policy."""

    policy: str
    cost: float


class JoinCounts(Body):
    """How much of a join between the company's tables found its partner."""

    join: str
    rows: int
    matched_rows: int
    volume: float
    matched_volume: float
    unit: str
    unmatched: Annotated[list[str], Field(description="The first few without a partner")]


class ProposalAnswer(Body):
    """A purchase proposal of `jobs.replenish`, as it was filed."""

    status: Literal["success"]
    generated_at: Annotated[str, Field(description="When the proposal was made (UTC)")]
    run_id: str
    release: int
    origin: Annotated[str, Field(description="The newest period the forecast knew")]
    units: Units
    kind: Literal["styles", "yarns"]
    method: str
    method_reason: str
    items: ItemCounts
    missing: list[Missing]
    assumed: list[Missing]
    unreachable: Annotated[int, Field(description="Items whose wanted service no quantity reaches")]
    notes: Annotated[list[str], Field(description="What was found in the tables that it rests on")]
    matches: Annotated[list[JoinCounts], Field(description="Of the joins from styles to yarns; of styles none")]
    costs: list[PolicyCost]
    suppliers: list[Supplier]
    orders: list[Order]
    kept: Annotated[int, Field(description="Orders kept to be shown, the dearest first; the file of csv_url has all")]
    csv_url: Annotated[str | None, Field(description="All orders as CSV; null: that file is not kept any more")]
    pagination: Pagination


ProposalAnswers = ProposalAnswer | NoData


class ProposalHead(Body):
    """One purchase proposal that is kept."""

    run_id: str
    generated_at: Annotated[str, Field(description="When the proposal was made (UTC)")]
    release: int
    origin: Annotated[str, Field(description="The newest period the forecast knew")]
    kind: Literal["styles", "yarns"]
    unit: Annotated[str, Field(description="Of quantities; empty: the data does not say one")]
    method: str
    items: ItemCounts
    csv_url: Annotated[str, Field(description="All orders as CSV")]


class ProposalsAnswer(Body):
    """The purchase proposals that are kept, the newest first."""

    status: Literal["success"]
    proposals: list[ProposalHead]
    pagination: Pagination


ProposalsAnswers = ProposalsAnswer | NoData
