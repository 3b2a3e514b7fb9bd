"""Every question that is answered from what was released, in one table: path, parameters, answer, example.

The HTTP service mounts the table as it stands, the dashboard calls the same functions. A new one is a function in
`answers/`, its parameters and form in `schemas/`, a line here, and an example (`python -m tests.serve_app.examples`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from models.files import read_json
from serve_app.answers.asked import Answer
from serve_app.answers.detailed import detailed
from serve_app.answers.finetune import finetune
from serve_app.answers.insights import insights
from serve_app.answers.measures import accuracy, data_quality, features, leaderboard
from serve_app.answers.monitoring import monitoring, monitoring_history
from serve_app.answers.orders import order_proposal, order_proposals
from serve_app.answers.releases import changes, releases
from serve_app.answers.styles import style, styles
from serve_app.answers.summaries import forecast_report, validation_summary
from serve_app.answers.weekly import weekly_history
from serve_app.schemas import finetune as of_finetune
from serve_app.schemas import forecast, pages, summaries
from serve_app.schemas import monitoring as of_monitoring
from serve_app.schemas import orders as of_orders
from serve_app.schemas import releases as of_releases
from serve_app.schemas.parameters import (
    AccuracyParameters,
    ChangesParameters,
    FeaturesParameters,
    ForecastParameters,
    MonitoringHistoryParameters,
    MonitoringParameters,
    NoParameters,
    Parameters,
    ProposalParameters,
    ProposalsParameters,
    ReleasesParameters,
    ReportParameters,
    StyleParameters,
    StylesParameters,
    ValidationParameters,
    openapi_parameters,
    read,
)

P = TypeVar("P", bound=Parameters)
EXAMPLES = Path(__file__).parent / "schemas" / "examples"


@dataclass(frozen=True)
class Route(Generic[P]):
    """One question.

    parameters: read strictly with `read`, from query and path alike. answer: (book, parameters, today) -> a mapping
    that is strict JSON; of a route that asks `releases`, the first argument is an `answers.releases.Desk` and an
    `answers.monitoring.Watched`. It raises Refused. The bytes of an answer depend on these arguments alone: `today`
    (UTC) is part of the key they are kept under, and only decides what is stale. What asks `releases` changes with
    every release, promotion and look of the monitor: it is not kept. response: the forms of the answer. example: a file
    in `schemas/examples`.
    """

    method: Literal["GET"]
    path: str
    parameters: type[P]
    answer: Callable[[Any, P, date], Answer]
    response: Any
    summary: str
    example: str
    asks: Literal["book", "releases"] = "book"

    @property
    def in_path(self) -> tuple[str, ...]:
        """Names of parameters that are part of the path."""
        return ("style",) if "{style" in self.path else ()

    def read(self, pairs: Iterable[tuple[str, str]]) -> P:
        """The parameters of a request, from its (name, value) pairs. Raises Refused (400)."""
        return read(self.parameters, pairs)

    def openapi(self) -> dict[str, Any]:
        """Parameters and the answer's schema with its example, as an OpenAPI operation says them; no references."""
        schema = answer_schema(self.path)
        content = {"application/json": {"schema": schema, "example": read_json(EXAMPLES / self.example)}}
        return {
            "parameters": openapi_parameters(self.parameters, self.in_path),
            "responses": {"200": {"description": self.summary, "content": content}},
        }


ROUTES: tuple[Route[Any], ...] = (
    Route("GET", "/api/ml-forecast-detailed", ForecastParameters, detailed, forecast.DetailedAnswer,
          "The forecast of every style, in the amount and form asked for", "ml-forecast-detailed.json"),
    Route("GET", "/api/ml-forecast-report", ReportParameters, forecast_report, summaries.ReportAnswer,
          "The largest forecasts and every model's measured errors", "ml-forecast-report.json"),
    Route("GET", "/api/ml-validation-summary", ValidationParameters, validation_summary, summaries.ValidationAnswer,
          "How far the forecast can be trusted", "ml-validation-summary.json"),
    Route("GET", "/api/insights", NoParameters, insights, summaries.InsightsAnswer,
          "What stands out, with the numbers it rests on", "insights.json"),
    Route("GET", "/api/weekly-history", NoParameters, weekly_history, pages.WeeklyHistoryAnswer,
          "What was sold in the weeks before the forecast, all styles together", "weekly-history.json"),
    Route("GET", "/api/styles", StylesParameters, styles, pages.StylesAnswer,
          "Find styles: search, filter, order, page", "styles.json"),
    Route("GET", "/api/styles/{style:path}", StyleParameters, style, pages.StyleAnswer,
          "One style: history, forecast with bounds, members, weights, measured errors", "style.json"),
    Route("GET", "/api/leaderboard", NoParameters, leaderboard, pages.Leaderboard,
          "Every model beside the baselines, on the same origins", "leaderboard.json"),
    Route("GET", "/api/accuracy", AccuracyParameters, accuracy, pages.AccuracyAnswer,
          "Errors by step ahead and demand class, intervals, targets met or missed", "accuracy.json"),
    Route("GET", "/api/features", FeaturesParameters, features, pages.FeaturesAnswer,
          "Which features the models rest on", "features.json"),
    Route("GET", "/api/data-quality", NoParameters, data_quality, pages.DataQuality,
          "What cleaning found in the data", "data-quality.json"),
    Route("GET", "/api/releases", ReleasesParameters, releases, of_releases.ReleasesAnswer,
          "All releases, newest first", "releases.json", asks="releases"),
    Route("GET", "/api/releases/compare", ChangesParameters, changes, of_releases.Changes,
          "What changed from one release to another", "releases-compare.json", asks="releases"),
    Route("GET", "/api/monitoring", MonitoringParameters, monitoring, of_monitoring.MonitoringAnswer,
          "How the released forecasts turned out, what changed, what should be done", "monitoring.json",
          asks="releases"),
    Route("GET", "/api/monitoring/history", MonitoringHistoryParameters, monitoring_history,
          of_monitoring.HistoryAnswer, "Accuracy, quality and alerts over time", "monitoring-history.json",
          asks="releases"),
    Route("GET", "/api/order-proposal", ProposalParameters, order_proposal, of_orders.ProposalAnswers,
          "A purchase proposal, the newest or that of a run: what to order, by supplier, and why",
          "order-proposal.json", asks="releases"),
    Route("GET", "/api/order-proposals", ProposalsParameters, order_proposals, of_orders.ProposalsAnswers,
          "The purchase proposals that are kept, newest first", "order-proposals.json", asks="releases"),
    Route("GET", "/api/finetune", NoParameters, finetune, of_finetune.FinetuneOrNone,
          "What was last learned from a table of the company's own", "finetune.json", asks="releases"),
)  # fmt: skip


def route(path: str) -> Route[Any]:
    """The route of a path. KeyError: none."""
    return {one.path: one for one in ROUTES}[path]


@cache
def answer_schema(path: str) -> dict[str, Any]:
    """The JSON schema of a path's answers, with every reference written out."""
    whole = TypeAdapter(route(path).response).json_schema(mode="serialization")
    parts = whole.pop("$defs", {})
    written: dict[str, Any] = _without_references(whole, parts)
    return written


def _without_references(value: Any, parts: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _without_references(parts[value["$ref"].rpartition("/")[2]], parts)
        return {key: _without_references(inner, parts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_references(inner, parts) for inner in value]
    return value
