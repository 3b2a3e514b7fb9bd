"""The forms of `GET /api/ml-forecast-detailed`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.comparisons import CapacityComparison, OrderComparison, OrdersUsed, StockComparison
from serve_app.schemas.shared import (
    Action,
    Answer,
    Body,
    Day,
    MissingTable,
    NoData,
    Pagination,
    Percent,
    Quantity,
    QuantityOrNull,
    Trend,
)

Growth = Annotated[
    float | None,
    Field(description="Forecast of the next 30 days against the last 30 days of history, percent; null if those are 0"),
]
GrowthTrend = Annotated[
    Trend | None, Field(description="increasing: growth_rate above +5; decreasing: below -5; null: no growth_rate")
]
Lower = Annotated[
    float | None,
    Field(description="Lower bound of the horizon's total, from errors of totals; null: too few to measure"),
]
Upper = Annotated[float | None, Field(description="Upper bound of the horizon's total; null as lower")]


class Basis(Body):
    """What a confidence rests on."""

    evaluation_id: str | None
    n: Annotated[int, Field(description="Scored origins of this style")]
    of: Annotated[Literal["style", "class"], Field(description="class: shrunk to its demand class, below 5 origins")]


class StyleForecast(Body):
    """One style: what it sold, what it is expected to sell, and how far that can be trusted."""

    style: str
    historical_avg: Annotated[
        float | None, Field(description="Mean per day of its history, days without sales included; null: unknown")
    ]
    historical_total: Annotated[float | None, Field(description="Sum of its history; null: no period is known")]
    order_count: Annotated[int | None, Field(description="Order lines; null: the source had none")]
    forecast_30_days: QuantityOrNull
    forecast_60_days: QuantityOrNull
    forecast_90_days: QuantityOrNull
    forecast_180_days: QuantityOrNull
    lower: Lower
    upper: Upper
    confidence: Annotated[
        float | None,
        Field(description="100 x (1 - WAPE of this style's horizon total over scored origins); null: never scored"),
    ]
    confidence_basis: Basis | None
    trend: GrowthTrend
    growth_rate: Growth
    recommended_action: Action
    low_confidence: Annotated[
        bool, Field(description="confidence is below confidence_threshold, or was never measured")
    ]
    fallback_level: Annotated[int, Field(description="0: the model asked for made it; higher: further down the chain")]
    made_by: Annotated[str, Field(description="The model that really made this forecast")]
    reason: Annotated[str | None, Field(description="Why another model made it; absent where none did")] = None


class AccuracyByLevel(Body):
    """Accuracy (100 x (1 - WAPE), at least 0) at four levels of adding up, percent."""

    style_period: Percent
    style_total: Percent
    fleet_period: Percent
    fleet_total: Percent


class ModelRow(Body):
    """One model, as it was measured on the same past origins as all others."""

    model: str
    accuracy: Percent
    mape: Percent
    n_used: Annotated[int, Field(description="Scored cells with demand, those that mape rests on")]
    wape: Percent
    bias_rel: Annotated[float | None, Field(description="Too high (+) or too low (-) in total, percent of demand")]
    rmse: QuantityOrNull
    mae: QuantityOrNull
    baseline_wape: Annotated[float | None, Field(description="WAPE of the seasonal naive on the same origins, percent")]
    beats_baseline: Annotated[
        bool, Field(description="Better than the seasonal naive and the mean, by rows of its own")
    ]
    target_mape: Annotated[
        float | None, Field(description="The configured target (benchmarks), percent; null: none set")
    ]
    target_met: Annotated[bool | None, Field(description="mape <= target_mape, per style and period; null: unknown")]
    below_threshold: Annotated[bool, Field(description="accuracy does not reach the model's min_accuracy_threshold")]
    status: Annotated[
        Literal["best", "active", "primary", "backup"],
        Field(description="primary: served; best: best measured, if not served; active: a member of the ensemble; "
                          "backup: none of these"),
    ]  # fmt: skip
    last_trained: Annotated[str | None, Field(description="When it was fitted (UTC); null: not kept in the release")]
    training_samples: Annotated[int | None, Field(description="Cells of history it was fitted on; null: not kept")]
    confidence: Annotated[float | None, Field(description="Mean confidence of its styles, percent")]
    trend: GrowthTrend
    training_status: Annotated[
        Literal["ready", "stale", "failed", "insufficient_data"],
        Field(description="stale: older than it should be today; failed, insufficient_data: another made its rows. "
                          "That it is being trained at this moment is no property of the release, whose answers are "
                          "the same bytes at every time: GET /api/jobs says it"),
    ]  # fmt: skip
    forecast_30_days: Annotated[float | None, Field(description="All styles; null: no stored forecast of this model")]
    growth_rate: Growth
    insights: Annotated[list[str], Field(description="What the figures say, in words")]
    accuracy_by_level: AccuracyByLevel
    evaluation_id: str | None


class Week(Body):
    """The total of all styles asked for in one of the next 12 weeks."""

    week: Annotated[int, Field(ge=1, le=12)]
    week_start: Day
    week_end: Day
    forecast: Quantity
    min_forecast: Lower
    max_forecast: Upper
    confidence: Annotated[
        float | None,
        Field(description="100 x (1 - WAPE of the fleet's 7-day total over scored origins); null: not measured"),
    ]
    trend: Annotated[Trend | None, Field(description="The week against the weekly rate of the last 30 days of history")]


class TopFabric(Body):
    """One of the styles that sold most."""

    style: str
    order_count: int | None
    total_sold: QuantityOrNull
    forecast_30_days: QuantityOrNull
    confidence: Percent


class Summary(Body):
    """All styles asked for, in a few numbers."""

    total_styles: Annotated[int, Field(description="Styles with a forecast")]
    total_forecasted_qty: Annotated[float, Field(description="Sum of their mean forecasts over the horizon")]
    average_confidence: Annotated[float | None, Field(description="Mean of the known confidences, percent")]
    trend: GrowthTrend
    total_fabric_styles: Annotated[int, Field(description="Styles that ever sold")]
    top_selling_fabrics: Annotated[list[TopFabric], Field(max_length=10)]


class _Compared(Answer):
    stock_comparison: StockComparison | MissingTable | None = None
    order_comparison: OrderComparison | MissingTable | None = None
    capacity_comparison: CapacityComparison | MissingTable | None = None
    orders_used: OrdersUsed | None = None


class FullForecast(_Compared):
    """detail=full: every style."""

    forecast_horizon: Annotated[str, Field(description="Such as 90 days")]
    forecast_details: list[StyleForecast]
    models: list[ModelRow]
    weekly_forecasts: Annotated[list[Week], Field(max_length=12)]
    summary: Summary
    source: Literal["ml", "pipeline", "hybrid"]
    model_used: str
    models_used: Annotated[
        list[str], Field(description="The models whose forecasts are in it, also those that made rows in its place")
    ]
    pagination: Pagination


class SummaryForecast(_Compared):
    """detail=summary."""

    forecast_horizon: str
    summary: Summary
    models: list[ModelRow]
    model_used: str


class FewMetrics(Body):
    """The fleet in four numbers."""

    total_styles: int
    total_forecasted_qty: Quantity
    average_confidence: Percent
    horizon_days: int


class MetricsForecast(_Compared):
    """detail=metrics."""

    metrics: FewMetrics
    model_used: str


class ReportSections(Body):
    """The parts of the report."""

    summary: Summary
    top_items: Annotated[list[StyleForecast], Field(max_length=10)]
    models: list[ModelRow]


class Report(Body):
    """format=report: the same figures, arranged to be read."""

    title: str
    generated: str
    sections: ReportSections


class ForecastPoint(Body):
    """One style in the form that earlier screens read."""

    style: str
    predicted_quantity: Quantity
    confidence: Annotated[float | None, Field(ge=0, le=1, description="Fraction (0 to 1): these screens multiply it")]


class ReportForecast(FullForecast):
    """format=report."""

    report: Report
    timestamp: str
    training_records: Annotated[int | None, Field(description="Cells of history the served model was fitted on")]
    best_model: str
    best_accuracy: Percent
    forecast_data: list[ForecastPoint] | None = None


class ChartSeries(Body):
    """One line of the chart."""

    label: str
    values: Annotated[list[float | None], Field(min_length=3, max_length=3, description="Totals of 30, 60, 90 days")]


class ChartForecast(_Compared):
    """format=chart."""

    chart_type: Literal["line"]
    data: Annotated[list[ChartSeries], Field(max_length=20)]
    labels: list[str]
    total_styles: Annotated[int, Field(description="Styles with a forecast; the chart shows the first 20 of them")]
    model_used: str


DetailedAnswer = ReportForecast | FullForecast | SummaryForecast | MetricsForecast | ChartForecast | NoData
