"""What the pages are made from: styles, the leaderboard, accuracy, features, data quality."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from serve_app.schemas.forecast import AccuracyByLevel, StyleForecast
from serve_app.schemas.shared import Answer, Body, Day, NoData, Pagination, Percent, QuantityOrNull

DemandClass = Literal["smooth", "erratic", "intermittent", "lumpy", "none"]
Fraction = Annotated[float | None, Field(description="Fraction (0 to 1); null: not measured")]


class StyleRow(StyleForecast):
    """One style of the list."""

    demand_class: DemandClass
    last_30_days: QuantityOrNull
    wape: Annotated[float | None, Field(description="WAPE of this style over scored origins, percent")]


class Styles(Answer):
    """`GET /api/styles`."""

    forecast_horizon: str
    styles: list[StyleRow]
    model_used: str
    pagination: Pagination


class Total(Body):
    """A total ahead, with its bounds."""

    days: int
    forecast: QuantityOrNull
    lower: QuantityOrNull
    upper: QuantityOrNull


class PastWeek(Body):
    """A week before the forecast's first day, counted back from it."""

    week_start: Day
    week_end: Day
    total: QuantityOrNull


class WeeklyHistory(Answer):
    """`GET /api/weekly-history`."""

    weeks: Annotated[list[PastWeek], Field(max_length=26)]


class History(Body):
    """What was sold, oldest first; dates and values belong together."""

    dates: list[Day]
    values: Annotated[list[float | None], Field(description="Sold in each period, in units.quantity; null: unknown")]


class Path(Body):
    """A forecast period by period; all lists are of the same length."""

    dates: list[Day]
    mean: list[float | None]
    quantiles: Annotated[dict[str, list[float | None]], Field(description="By level, such as q0.5 (the median)")]


class Member(Body):
    """What one model said of this style, and how good it was."""

    model: str
    weight: Annotated[float | None, Field(description="Its weight in the ensemble (fraction); null: no member")]
    wape: Annotated[float | None, Field(description="Of this style over scored origins, percent")]
    confidence: Percent
    made_by: str
    reason: str | None
    totals: list[Total]
    mean: Annotated[list[float | None], Field(description="Its mean forecast by period, on the dates of `forecast`")]


class Drivers(Body):
    """One model's forecast of this style taken apart, mean of the steps ahead that were looked at."""

    model: str
    link: Annotated[Literal["sum", "product"], Field(description="How base and effects make the forecast")]
    base: Annotated[float | None, Field(description="The style's own level, in units.quantity a period")]
    forecast: Annotated[
        float | None, Field(description="base + effects, or base x effects; in units.quantity a period")
    ]
    effects: Annotated[dict[str, float | None], Field(
        description="By group of features: in units.quantity a period, or as a factor (link product)"
    )]  # fmt: skip


class Explanation(Body):
    """Why the served forecast is what it is."""

    words: Annotated[list[str], Field(description="Members with weights and errors, then what drives it, in sentences")]
    drivers: Annotated[Drivers | None, Field(description="null: no model of this style was taken apart")]


class Style(Answer):
    """`GET /api/styles/{style}`."""

    style: str
    model_used: str
    demand_class: DemandClass
    first_day: Day
    last_day: Day
    forecast_from: Annotated[Day, Field(description="First day of every total ahead")]
    old_data: Annotated[str | None, Field(description="How old the data is and what to do; null: fresh enough")]
    known_ahead: Annotated[list[str], Field(description="Columns the models were trained with as known ahead")]
    periods: Annotated[int, Field(description="Periods of history")]
    freq: str
    last_30_days: QuantityOrNull
    wape: Percent
    details: StyleForecast
    totals: list[Total]
    bounds_basis: Annotated[
        str | None, Field(description="Whose errors the bounds are from: class or fleet; null: none")
    ]
    bounds_n: Annotated[int, Field(description="Errors of totals that the bounds are counted from")]
    history: History
    forecast: Path
    members: list[Member]
    explanation: Annotated[
        Explanation | None, Field(description="null: the release was made before explanations were kept")
    ]


class BoardRow(Body):
    """One model on the leaderboard."""

    model: str
    status: Literal["best", "active", "primary", "backup"]
    wape: Percent
    accuracy: Percent
    mape: Percent
    bias_rel: Percent
    baseline_wape: Percent
    bias: QuantityOrNull
    mae: QuantityOrNull
    rmse: QuantityOrNull
    mase: Annotated[
        float | None, Field(description="Error over the seasonal naive's in-sample error; below 1 is better")
    ]
    rmsse: float | None
    r2: float | None
    coverage: Fraction
    interval: Annotated[float | None, Field(description="What the widest interval states (fraction)")]
    wape_std: Annotated[float | None, Field(description="Standard deviation of WAPE over origins (fraction)")]
    wape_worst: Annotated[float | None, Field(description="WAPE at the worst origin (fraction)")]
    worst_cutoff: str
    unstable: bool
    beats_baseline: bool
    below_threshold: bool
    eligible: bool
    n: Annotated[int, Field(description="Scored cells")]
    n_zero: Annotated[int, Field(description="Scored cells without demand")]
    n_fell_back: Annotated[int, Field(description="Rows that another model made")]
    n_rows: int
    target_mape: Percent
    target_met: bool | None
    accuracy_by_level: AccuracyByLevel
    evaluation_id: str | None


class GateAnswer(Body):
    """Whether the ensemble may be served, and why not."""

    passed: bool
    reasons: list[str]
    tests: Annotated[list[dict[str, Any]], Field(description="The paired tests as they were stored")]


class Leaderboard(Answer):
    """`GET /api/leaderboard`."""

    served: str
    best_model: str
    gate: GateAnswer
    leaderboard: list[BoardRow]


class StepRow(Body):
    """Errors of one step ahead."""

    step: int
    wape: Percent
    accuracy: Percent
    bias_rel: Percent
    mae: QuantityOrNull
    coverage: Fraction
    n: int


class ClassRow(Body):
    """Errors of the styles of one demand class."""

    demand_class: DemandClass
    styles: Annotated[int, Field(description="Styles of this class with a forecast")]
    confidence: Annotated[float | None, Field(description="Mean confidence of its styles, percent")]
    scored: Annotated[int, Field(description="Those of them that were scored")]
    wape: Percent
    accuracy: Percent
    bias_rel: Percent
    mae: QuantityOrNull
    coverage: Fraction
    n: int


class IntervalRow(Body):
    """What an interval states, and what it held."""

    stated: float
    coverage: Fraction
    width: QuantityOrNull


class TargetRow(Body):
    """A configured target beside the measured value."""

    model: str
    target_mape: Percent
    mape: Percent
    target_met: bool | None
    accuracy_by_level: AccuracyByLevel


class AccuracyAnswer(Answer):
    """`GET /api/accuracy`."""

    model_used: str
    accuracy: Percent
    wape: Percent
    baseline_wape: Percent
    accuracy_by_level: AccuracyByLevel
    by_step: list[StepRow]
    by_class: list[ClassRow]
    intervals: list[IntervalRow]
    targets: list[TargetRow]


class Feature(Body):
    """One feature of a model."""

    feature: str
    importance: Annotated[float, Field(description="Share of the model's total gain (fraction)")]


class ModelFeatures(Body):
    """A model's features, most important first."""

    model: str
    last_trained: str | None
    features: list[Feature]


class Features(Answer):
    """`GET /api/features`."""

    models: list[ModelFeatures]


class DataQuality(Answer):
    """`GET /api/data-quality`."""

    data_quality: Literal["good", "fair", "poor"] | None
    quality_score: Annotated[float | None, Field(description="0 to 100")]
    report: Annotated[dict[str, Any], Field(description="The cleaning report as it was stored; shares are fractions")]


StylesAnswer = Styles | NoData
StyleAnswer = Style | NoData
FeaturesAnswer = Features | NoData
WeeklyHistoryAnswer = WeeklyHistory | NoData
