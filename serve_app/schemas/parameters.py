"""Query parameters, declared once: read strictly, described for OpenAPI, refused with what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from demand.settings import nearest_name
from serve_app.problems import Refused

HORIZONS = (90, 30, 60, 180, 7)  # days, the default first
DEFAULT_HORIZON = HORIZONS[0]
MOST = 1_000_000  # rows, periods, releases
MAX_WAIT_S = 100  # less than a request may take in the view of the ingress
_LONGEST_NAME = 500
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?", re.IGNORECASE)


def _whole(value: object) -> object:
    """A query string is text; nothing but plain digits is a number (no sign, blank, point or other alphabet)."""
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError("must be a whole number")
        return int(value)
    return value


def _decimal(value: object) -> object:
    """The same for a number with decimals: no sign, no nan."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError("must be a number")
        return float(value)
    return value


def _one_horizon(value: int) -> int:
    if value not in HORIZONS:
        raise ValueError("is not a horizon")
    return value


# The range stands first, so that it is part of the schema; the text is read before it is judged.
Count = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(_whole)]
Offset = Annotated[int, Field(ge=0, le=MOST), BeforeValidator(_whole)]
Horizon = Annotated[
    int, Field(json_schema_extra={"enum": sorted(HORIZONS)}), AfterValidator(_one_horizon), BeforeValidator(_whole)
]
Model = Literal["auto", "ensemble", "arima", "prophet", "lstm", "xgboost", "tide"]
Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class Parameters(BaseModel):
    """The parameters of one request: immutable, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Parameters)


class NoParameters(Parameters):
    """A path that takes none."""


class _Paged(Parameters):
    limit: Annotated[Count | None, Field(description="At most this many rows; all of them when absent")] = None
    offset: Annotated[Offset, Field(description="Rows to leave out first, in the answer's order")] = 0


class _Asked(Parameters):
    horizon: Annotated[
        Horizon | None,
        Field(description="Days ahead. Default 90, or the longest that the release answers if that is shorter"),
    ] = None
    model: Annotated[Model, Field(description="auto: what is served; another name: that member's stored forecast")] = (
        "auto"
    )


class ForecastParameters(_Paged, _Asked):
    """`GET /api/ml-forecast-detailed`."""

    detail: Annotated[Literal["full", "summary", "metrics"], Field(description="How much is told")] = "full"
    format: Annotated[Literal["json", "report", "chart"], Field(description="The form of the answer")] = "json"
    compare: Annotated[
        Literal["stock", "orders", "capacity"] | None, Field(description="Adds one block beside the forecast")
    ] = None
    source: Annotated[
        Literal["ml", "pipeline", "hybrid"],
        Field(description="ml: the forecast; pipeline: open orders by due date; hybrid: the larger of both"),
    ] = "ml"
    style: Annotated[Name | None, Field(description="One style alone, as the data spells it")] = None


class ReportParameters(_Asked):
    """`GET /api/ml-forecast-report`."""


class ValidationParameters(NoParameters):
    """`GET /api/ml-validation-summary`."""


class StylesParameters(_Paged, _Asked):
    """`GET /api/styles`."""

    search: Annotated[
        Name | None, Field(description="Styles whose name contains this text, in upper or lower case")
    ] = None
    demand_class: Annotated[
        Literal["smooth", "erratic", "intermittent", "lumpy", "none"] | None, Field(description="Styles of one class")
    ] = None
    action: Annotated[
        Literal["increase_stock", "reduce", "hold", "review", "no_action"] | None,
        Field(description="Styles with one recommended action"),
    ] = None
    order: Annotated[
        Literal["forecast", "name", "growth", "confidence", "sold"],
        Field(description="forecast, growth, sold: largest first; confidence: lowest first; then by name"),
    ] = "forecast"


class StyleParameters(Parameters):
    """`GET /api/styles/{style}`; the style itself is part of the path."""

    style: Annotated[Name, Field(description="The style, as the data spells it")]
    model: Annotated[Model, Field(description="auto: what is served; another name: that member's forecast")] = "auto"
    history: Annotated[
        Count | None, Field(description="At most this many of the newest periods of history; all when absent")
    ] = None


class FeaturesParameters(Parameters):
    """`GET /api/features`."""

    model: Annotated[Name | None, Field(description="One model alone")] = None


class AccuracyParameters(Parameters):
    """`GET /api/accuracy`."""

    model: Annotated[Model, Field(description="auto: what is served")] = "auto"


class ChangesParameters(_Paged):
    """`GET /api/releases/compare`."""

    release: Annotated[Count, Field(description="The newer release")]
    against: Annotated[Count, Field(description="The release it is compared with")]


class RetrainParameters(Parameters):
    """`POST /api/retrain-ml`; what is to be trained is in the body."""

    wait: Annotated[
        float | None,
        Field(ge=0, le=MAX_WAIT_S, description="Seconds the answer may wait for the end"),
        BeforeValidator(_decimal),
    ] = None


class JobsParameters(Parameters):
    """`GET /api/jobs`."""

    limit: Annotated[int, Field(ge=1, le=100, description="At most this many jobs"), BeforeValidator(_whole)] = 20
    offset: Annotated[Offset, Field(description="Jobs to leave out first, the newest ones")] = 0


class ReleasesParameters(_Paged):
    """`GET /api/releases`."""


class MonitoringParameters(_Paged):
    """`GET /api/monitoring`; limit and offset are of its styles."""


class ProposalParameters(_Paged):
    """`GET /api/order-proposal`; limit and offset are of its orders."""

    run_id: Annotated[
        Name | None, Field(description="The run that made the proposal, see /api/order-proposals; default the newest")
    ] = None


class ProposalsParameters(_Paged):
    """`GET /api/order-proposals`."""


class MonitoringHistoryParameters(_Paged):
    """`GET /api/monitoring/history`."""


def read(kind: type[P], pairs: Iterable[tuple[str, str]]) -> P:
    """The parameters of a request, from (name, value) pairs as they came.

    Raises Refused (400) naming the parameter and what is allowed: unknown (with the nearest known name), given twice,
    missing, or of a value that is not allowed.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in kind.model_fields:
            near = nearest_name(name, kind.model_fields)
            hint = f"Did you mean {near!r}?" if near else "Leave it out."
            raise bad(_cut(name), f"unknown parameter {_cut(name)!r}. {hint}", tuple(kind.model_fields))
        if name in values:
            raise bad(name, f"the parameter {name!r} is given twice. Give it once.")
        if not value.isascii() and value != value.encode("utf-8", "replace").decode("utf-8"):
            raise bad(name, f"{name} holds half a character. Send UTF-8.")
        values[name] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]) if fault["loc"] else ""
        allowed = allowed_values(kind, name)
        if fault["type"] == "missing":
            raise bad(name, f"the parameter {name!r} is missing.", allowed) from None
        told = ", ".join(map(str, allowed))
        raise bad(name, f"{name} cannot be {_cut(values.get(name, ''))!r}. Allowed: {told}.", allowed) from None


async def takes_none(request: Request) -> None:
    """A dependency of a route without query parameters. Raises Refused (400) when there is one."""
    read(NoParameters, request.query_params.multi_items())


def bad(parameter: str, detail: str, allowed: tuple[str | int, ...] | None = None) -> Refused:
    """The 400 of a parameter."""
    return Refused(400, "bad_parameter", detail, parameter, allowed)


def allowed_values(kind: type[Parameters], name: str) -> tuple[str | int, ...]:
    """What a parameter may be: its values, or its range in words."""
    shown = _schema(kind, name)
    if "enum" in shown:
        return tuple(shown["enum"])
    if shown.get("type") in ("integer", "number"):
        return (f"{shown['minimum']} to {shown['maximum']}",)
    return (f"a text of {shown['minLength']} to {shown['maxLength']} characters",)


def openapi_parameters(kind: type[BaseModel], in_path: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The parameters as OpenAPI describes them, in the order they are declared."""
    found = []
    for name, field in kind.model_fields.items():
        schema = _schema(kind, name)
        if field.default is not None and not field.is_required():
            schema["default"] = field.default
        found.append(
            {
                "name": name,
                "in": "path" if name in in_path else "query",
                "required": field.is_required(),
                "description": field.description or "",
                "schema": schema,
            }
        )
    return found


def _schema(kind: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON schema of one parameter, without null: a query string cannot say it."""
    whole = kind.model_json_schema()["properties"][name]
    parts = [part for part in whole.get("anyOf", [whole]) if part.get("type") != "null"]
    kept = ("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength")
    merged = {key: value for key, value in {**whole, **parts[0]}.items() if key in kept}
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    return merged


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


MODELS: tuple[str, ...] = get_args(Model)
