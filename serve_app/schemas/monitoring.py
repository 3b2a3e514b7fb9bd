"""`GET /api/monitoring` and `/api/monitoring/history`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.shared import Body, Day, NoData, Pagination, Percent, QuantityOrNull, Units

Share = Annotated[float | None, Field(description="Fraction (0 to 1, a change may be more); null: undefined")]
Cause = Literal["degradation", "drift", "new_data", "data_stale"]


class Alert(Body):
    """A finding that asks for something to be done, once for each id."""

    cause: Cause
    id: str
    at: str
    detail: str
    models: Annotated[list[str], Field(description="The models to train anew; none: training is no answer to it")]


class Backtest(Body):
    """What the release's backtest measured."""

    wape: Percent


class Matured(Body):
    """Errors over cells that have matured: known demand of a complete period, forecast before it was over."""

    wape: Percent
    bias_rel: Percent
    baseline_wape: Annotated[float | None, Field(description="The seasonal naive's, over the same cells; percent")]
    mae: QuantityOrNull
    rmsse: float | None
    coverage: Annotated[Share, Field(description="Share of actual values inside the interval")]
    n: Annotated[int, Field(description="Cells: styles x periods")]
    n_styles: int


class ClassRow(Matured):
    """One demand class."""

    demand_class: str


class StepRow(Matured):
    """One step ahead."""

    step: Annotated[int, Field(description="Periods between the last known one and the one forecast")]


class StyleRow(Matured):
    """One style."""

    style: str
    demand_class: str


class ModelRow(Matured):
    """One model; `champion` is what was served, whatever model that was."""

    model: str
    kind: str
    accuracy: Percent
    interval: Annotated[Share, Field(description="What coverage should be")]
    n_fell_back: Annotated[int, Field(description="Cells another model forecast for it")]
    backtest: Backtest
    by_class: list[ClassRow]
    reasons: Annotated[dict[str, str], Field(description="Why a measure is null")]
    evaluation_id: str


class Degradation(Body):
    """Whether it went worse than the backtest promised."""

    degraded: Annotated[bool | None, Field(description="null: not judged, see reason")]
    wape: Percent
    promised: Backtest
    change: Annotated[Share, Field(description="Rise over the promise, relative")]
    lower: Annotated[Share, Field(description="Bound of the rise: above 0, it is beyond chance")]
    threshold: float
    since: Day
    reason: str


class DriftMeasure(Body):
    """One way in which demand could have changed."""

    measure: str
    before: float | None
    now: float | None
    limit: float
    p: Annotated[float | None, Field(description="Chance of so large a change, for the number of measures")]
    drifted: Annotated[bool | None, Field(description="Over its limit and beyond chance; null: not judged")]
    reason: str


class Drift(Body):
    """Whether demand has changed since the models learned from it."""

    drifted: bool | None
    first: Day | None
    last: Day | None
    n_windows: Annotated[int, Field(description="Earlier windows of the same length it is compared with")]
    measures: list[DriftMeasure]
    reason: str


class Freshness(Body):
    """How old the newest data was when it was looked at."""

    newest: Day
    today: Day
    days_old: int
    limit: int | None


class NewData(Body):
    """What has come since the champion's release."""

    periods: int
    cells: int
    share: Annotated[Share, Field(description="Of the cells the release knew")]
    limit: Share


class Trial(Body):
    """Champion against challenger."""

    champion: int
    challenger: int
    outcome: Literal["go on", "promote the challenger", "keep the champion"]
    words: str
    n_periods: int
    gain: Annotated[Share, Field(description="WAPE the challenger saves; null: nothing to compare")]
    evidence_for: Annotated[float, Field(description="Against 'no better'; enough at `needed`, whenever it is looked")]
    evidence_against: float
    needed: float
    same_origin: bool


class Window(Body):
    """The days the errors are of."""

    days: int
    first: Day
    last: Day


class TermRow(Body):
    """Which release answers for which days."""

    release: int
    first: Day
    last: Day


class Monitoring(Body):
    """`GET /api/monitoring`: the newest look."""

    status: Literal["success"]
    generated_at: Annotated[str, Field(description="When it was looked (UTC), not when it was asked")]
    monitor_id: str
    release: Annotated[int, Field(description="The champion at that time")]
    evaluation_id: Annotated[str | None, Field(description="The evaluation of what was served; null: none yet")]
    units: Units
    matured: Annotated[bool, Field(description="false: nothing has matured, see reason")]
    reason: str
    rule: Annotated[str, Field(description="Which forecast counts for which period")]
    served: str
    origin: Day
    data_to: Day
    complete_to: Day
    quality_score: float
    window: Window
    terms: list[TermRow]
    alerts: list[Alert]
    models: list[ModelRow]
    by_step: Annotated[list[StepRow], Field(description="Of what was served")]
    styles: Annotated[list[StyleRow], Field(description="Of what was served, largest total error first")]
    pagination: Pagination
    degradation: Degradation | None
    drift: Drift
    freshness: Freshness
    new_data: NewData
    trial: Trial | None
    notes: list[str]


class HistoryAlert(Body):
    """An alert of an earlier look."""

    cause: Cause
    id: str
    models: list[str]


class HistoryRow(Body):
    """One look; errors are null where nothing had matured."""

    monitor_id: str
    generated_at: str
    release: int
    matured: bool
    reason: str
    origin: Day
    data_to: Day
    complete_to: Day
    quality_score: float
    wape: Percent
    accuracy: Percent
    bias_rel: Percent
    baseline_wape: Percent
    backtest: Backtest
    coverage: Share
    n: int | None
    n_styles: int | None
    degraded: bool | None
    drifted: bool | None
    alerts: list[HistoryAlert]
    evaluation_id: str | None


class MonitoringHistory(Body):
    """`GET /api/monitoring/history`, newest first."""

    status: Literal["success"]
    units: Units
    looks: list[HistoryRow]
    left_out: Annotated[int, Field(description="Lines of the history that hold no whole look")]
    pagination: Pagination


MonitoringAnswer = Monitoring | NoData
HistoryAnswer = MonitoringHistory | NoData
