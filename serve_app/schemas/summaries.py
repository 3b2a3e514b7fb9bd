"""`GET /api/ml-forecast-report`, `/api/ml-validation-summary` and `/api/insights`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.shared import Answer, Body, NoData, Percent, Quantity, Word

ModelStatus = Literal["best", "active", "primary", "backup"]


class ForecastSummary(Body):
    """What the report covers."""

    total_items: Annotated[int, Field(description="Styles with a forecast")]
    forecast_period: Annotated[str, Field(description="First to last day")]
    confidence_level: Annotated[float | None, Field(description="Fraction of actual values the intervals should hold")]


class Prediction(Body):
    """One of the largest forecasts."""

    item: str
    predicted_demand: Quantity


class ModelAccuracy(Body):
    """One model's measured errors, percent."""

    accuracy: Percent
    mape: Percent
    wape: Percent
    bias_rel: Percent
    baseline_wape: Percent
    evaluation_id: str | None


class ForecastReport(Answer):
    """`GET /api/ml-forecast-report`."""

    forecast_horizon: str
    models_available: Annotated[list[str], Field(description="Models whose forecasts are stored in the release")]
    forecast_summary: ForecastSummary
    top_predictions: Annotated[list[Prediction], Field(max_length=10)]
    accuracy_metrics: dict[str, ModelAccuracy]


class ValidatedModel(Body):
    """One model in the validation summary, percent."""

    accuracy: Percent
    mape: Percent
    wape: Percent
    bias_rel: Percent
    baseline_wape: Percent
    status: ModelStatus
    evaluation_id: str | None


class RiskAssessment(Body):
    """How far the forecast can be trusted."""

    overall_confidence: Annotated[float | None, Field(description="Mean of the styles' confidences, percent")]
    data_quality: Literal["good", "fair", "poor"] | None
    forecast_reliability: Annotated[
        Literal["good", "fair", "poor"] | None,
        Field(description="Measured coverage within .05 of what is stated: good, within .15: fair; null: not measured"),
    ]
    recommended_model: str


class BusinessImpact(Body):
    """What it means for the business; nothing that was not measured."""

    potential_savings: Annotated[
        float | None,
        Field(
            description="Saved by the order policy in use on earlier decisions, percent of the cost of the cheapest "
            "simple policy that serves well enough; null: not measured"
        ),
    ]
    accuracy_improvement: Annotated[
        float | None, Field(description="Points of WAPE below the seasonal naive's on the same origins (percent)")
    ]
    decision_confidence: Word
    optimization_opportunities: list[str]


class ValidationSummary(Answer):
    """`GET /api/ml-validation-summary`."""

    last_validation: str
    models: dict[str, ValidatedModel]
    risk_assessment: RiskAssessment
    business_impact: BusinessImpact
    risk_level: Annotated[Word, Field(description="From the primary's accuracy: >= 75 LOW, >= 50 MEDIUM, below HIGH")]
    confidence: Annotated[Word, Field(description="The same limits the other way round; never measured: LOW")]
    data_quality: Annotated[
        Literal["good", "fair", "poor"] | None,
        Field(description="The quality score of the data: >= 90 good, >= 60 fair, below poor; null: not kept"),
    ]
    recommendations: list[str]
    monthly_forecast: Annotated[float | None, Field(description="All styles, next 30 days; null: beyond the horizon")]
    forecast_volatility: Annotated[
        float | None, Field(description="100 x standard deviation / mean of the whole weekly totals ahead (percent)")
    ]


class Insight(Body):
    """One finding, with the numbers it rests on."""

    id: str
    text: str
    numbers: Annotated[
        dict[str, float | None], Field(description="Named as in `units`; other names are quantities or counts")
    ]
    styles: list[str]
    models: list[str]
    source: Annotated[str, Field(description="The file of the release that the numbers are from")]


class Insights(Answer):
    """`GET /api/insights`."""

    insights: list[Insight]


ReportAnswer = ForecastReport | NoData
ValidationAnswer = ValidationSummary | NoData
InsightsAnswer = Insights | NoData
