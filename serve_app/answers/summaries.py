"""`GET /api/ml-forecast-report` and `/api/ml-validation-summary`: the same figures in fewer words."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from evaluation.inventory import SURROGATE
from evaluation.leaderboard import best_model
from models.files import read_json
from serve_app.answers.asked import Answer, first_day, head, horizon_of, interval_level, last_day, model_of, no_data
from serve_app.answers.columns import values
from serve_app.answers.detailed import TOP, average_confidence, days_text
from serve_app.answers.fleet import Fleet
from serve_app.answers.insights import findings
from serve_app.answers.model_rows import errors_of, measured, model_statuses
from serve_app.answers.weekly import whole_weeks
from serve_app.book import Book
from serve_app.schemas.parameters import ReportParameters, ValidationParameters
from serve_app.schemas.units import listed, number, percent, volatility

HIGH, MEDIUM = 75.0, 50.0  # percent of accuracy
GOOD, FAIR = 90.0, 60.0  # of the quality score; below 60 a run warns by default (cleaning.rules.quality_score)
HOLDS, NEARLY = 0.05, 0.15  # how far the measured coverage may be from the stated share
_ONLY_TOLD = ("accuracy", "growing", "falling", "largest_change", "concentration")  # findings that ask for nothing
_OPPORTUNITIES = ("fell_back", "low_confidence", "no_demand", "best_not_served")
_ERRORS = ("accuracy", "mape", "wape", "bias_rel", "baseline_wape")


def forecast_report(book: Book, asked: ReportParameters, today: date) -> Answer:
    """The fleet's largest forecasts and every model's errors; the numbers of `ml-forecast-detailed`."""
    model, horizon = model_of(book, asked.model), horizon_of(book, asked.horizon)
    fleet = Fleet.of(book, model, horizon)
    if not len(fleet):
        return no_data(book, "the release holds no style with history. Run python -m jobs.pipeline with other data")
    top = fleet.take(fleet.by_forecast[:TOP])
    predictions = zip(values(top.table, "unique_id"), listed(top.ahead(horizon)), strict=True)
    return {
        **head(book, model, _ERRORS, forecast_horizon=days_text(horizon)),
        "models_available": list(book.models),
        "forecast_summary": {
            "total_items": len(fleet),
            "forecast_period": f"{first_day(book)} to {(last_day(book) + timedelta(days=horizon)).isoformat()}",
            "confidence_level": interval_level(book),
        },
        "top_predictions": [{"item": style, "predicted_demand": total} for style, total in predictions],
        "accuracy_metrics": {name: errors_of(book, name) for name in book.board["model"].astype(str)},
    }


def validation_summary(book: Book, asked: ValidationParameters, today: date) -> Answer:
    """How far the served forecast can be trusted, from its errors at past origins and the quality of the data."""
    served, best = book.served, best_model(book.board)
    fleet = Fleet.of(book, served, 30)
    if not len(fleet):
        return no_data(book, "the release holds no style with history. Run python -m jobs.pipeline with other data")
    statuses, errors = model_statuses(book), errors_of(book, served)
    risk, confidence = trust_words(errors["accuracy"])
    quality = quality_word(book)
    opportunities = [found["text"] for found in findings(book, today) if found["id"] in _OPPORTUNITIES]
    return {
        **head(
            book,
            served,
            (*_ERRORS, "overall_confidence", "potential_savings", "accuracy_improvement", "forecast_volatility"),
        ),
        "last_validation": book.generated_at,
        "models": {name: _validated(errors_of(book, name), status) for name, status in statuses.items()},
        "risk_assessment": {
            "overall_confidence": average_confidence(fleet),
            "data_quality": quality,
            "forecast_reliability": reliability_word(book),
            "recommended_model": best,
        },
        "business_impact": {
            "potential_savings": savings(book),
            "accuracy_improvement": improvement(book),
            "decision_confidence": confidence,
            "optimization_opportunities": opportunities,
        },
        "risk_level": risk,
        "confidence": confidence,
        "data_quality": quality,
        "recommendations": recommendations(book, today),
        "monthly_forecast": number(fleet.ahead(30).sum()),
        "forecast_volatility": volatility(whole_weeks(book.weeks(served))),
    }


def _validated(errors: dict[str, Any], status: str) -> dict[str, Any]:
    evaluation = errors.pop("evaluation_id")
    return {**errors, "status": status, "evaluation_id": evaluation}


def trust_words(accuracy: float | None) -> tuple[str, str]:
    """(risk_level, confidence) of an accuracy in percent; never measured: HIGH risk, LOW confidence."""
    if accuracy is None or accuracy < MEDIUM:
        return "HIGH", "LOW"
    return ("LOW", "HIGH") if accuracy >= HIGH else ("MEDIUM", "MEDIUM")


def quality_word(book: Book) -> str | None:
    """good, fair or poor, from the data's quality score (0 to 100); None where the release kept none."""
    score = number(book.quality.get("quality_score"))
    if score is None:
        return None
    return "good" if score >= GOOD else "fair" if score >= FAIR else "poor"


def reliability_word(book: Book) -> str | None:
    """good, fair or poor: how far the measured coverage of the served model's interval is from what it states."""
    m = measured(book, book.served)
    if m["coverage"] is None or m["interval"] is None:
        return None
    off = abs(m["coverage"] - m["interval"])
    return "good" if off <= HOLDS else "fair" if off <= NEARLY else "poor"


def improvement(book: Book) -> float | None:
    """Points of WAPE by which the served model is below the seasonal naive (percent)."""
    m = measured(book, book.served)
    naive = (m.get("baseline") or {}).get("wape")
    return None if naive is None or m["wape"] is None else percent(naive - m["wape"])


def savings(book: Book) -> float | None:
    """What the order policy in use saved on what followed earlier decisions, as a share (percent) of the cost of the
    cheapest simple one that serves well enough; never an amount: that depends on how many decisions were judged.

    None where it was not measured before the release was made, and where it was measured of the surrogate, which is not
    what orders are decided by.
    """
    path = book.path / "savings.json"
    if not path.is_file():
        return None
    told = read_json(path)
    return None if told["policy"] == SURROGATE else percent(told["share"])


def recommendations(book: Book, today: date) -> list[str]:
    """What to do next: the findings that ask for something, in words; one sentence when none does."""
    said = [found["text"] for found in findings(book, today) if found["id"] not in _ONLY_TOLD]
    return said or ["Nothing stands out: use the forecast as it is, and train again when new orders are in."]
