"""AP2, AP3 and the insights: the numbers of AP1, in fewer words."""

from __future__ import annotations

import json
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from serve_app.answers.columns import as_bytes
from serve_app.answers.detailed import detailed
from serve_app.answers.insights import STALE_DAYS, insights
from serve_app.answers.summaries import (
    forecast_report,
    quality_word,
    reliability_word,
    savings,
    trust_words,
    validation_summary,
)
from serve_app.routes import route
from serve_app.schemas.parameters import ForecastParameters, NoParameters, ReportParameters, ValidationParameters
from tests.serve_app.conftest import TODAY
from tests.serve_app.stored import Stored, growth, percent, same


def valid(path, answer):
    TypeAdapter(route(path).response).validate_json(as_bytes(answer), strict=True)
    return answer


@pytest.fixture(scope="module")
def stored(ensemble_book):
    return Stored(ensemble_book.path)


@pytest.fixture(scope="module")
def full(ensemble_book):
    return detailed(ensemble_book, ForecastParameters(), TODAY)


@pytest.fixture(scope="module")
def summary(ensemble_book):
    return valid("/api/ml-validation-summary", validation_summary(ensemble_book, ValidationParameters(), TODAY))


def test_when_the_report_is_asked_for_then_its_numbers_are_those_of_the_detailed_answer(ensemble_book, full):
    report = valid("/api/ml-forecast-report", forecast_report(ensemble_book, ReportParameters(), TODAY))
    assert report["generated_at"] == full["generated_at"]
    assert report["forecast_horizon"] == "90 days"
    assert report["models_available"] == list(ensemble_book.models)
    assert report["forecast_summary"] == {
        "total_items": 24, "forecast_period": "2025-09-01 to 2025-11-29", "confidence_level": 0.95,
    }  # fmt: skip
    assert report["top_predictions"] == [
        {"item": row["style"], "predicted_demand": row["forecast_90_days"]} for row in full["forecast_details"][:10]
    ]
    assert report["accuracy_metrics"] == {
        row["model"]: {n: row[n] for n in report["accuracy_metrics"]["ensemble"]} for row in full["models"]
    }


def test_when_the_validation_is_asked_for_then_each_figure_is_a_stored_one(ensemble_book, stored, full, summary):
    rows = {row["model"]: row for row in full["models"]}
    assert summary["last_validation"] == stored.manifest["created"]
    assert set(summary["models"]) == set(rows)
    for model, found in summary["models"].items():
        assert found == {name: rows[model][name] for name in found}
    styles, served = stored.styles("ensemble"), rows["ensemble"]
    assert same(summary["risk_assessment"]["overall_confidence"], percent(styles["confidence"].mean()))
    assert summary["risk_assessment"]["recommended_model"] == full["models"][0]["model"]
    difference = served["baseline_wape"] - served["wape"]  # of two figures that were rounded to six digits
    assert summary["business_impact"]["accuracy_improvement"] == pytest.approx(difference, abs=2e-6)
    assert summary["business_impact"]["potential_savings"] is None
    assert same(summary["monthly_forecast"], stored.totals("ensemble").loc[30, "forecast"])
    weeks = stored.weeks("ensemble")
    assert (weeks["share_of_week"] == 1).all()
    assert same(summary["forecast_volatility"], 100 * np.std(weeks["forecast"]) / np.mean(weeks["forecast"]))
    assert served["accuracy"] >= 75
    assert (summary["risk_level"], summary["confidence"]) == ("LOW", "HIGH")
    assert summary["business_impact"]["decision_confidence"] == "HIGH"
    assert summary["data_quality"] == summary["risk_assessment"]["data_quality"] == "good"  # a score of 91


@pytest.mark.parametrize(
    ("policy", "share", "found"), [("exact", 0.0625, 6.25), ("newsvendor", -0.5, -50.0), ("surrogate", 0.4, None),
                                   ("exact", None, None)],
)  # fmt: skip
def test_when_savings_were_measured_then_only_the_share_is_told(tmp_path, policy, share, found):
    told = {"judged_by": 3, "policy": policy, "amount": 81234.5, "share": share, "against": "eoq_rop", "n": 12}
    (tmp_path / "savings.json").write_text(json.dumps(told), encoding="utf-8")
    assert savings(SimpleNamespace(path=tmp_path)) == found
    assert savings(SimpleNamespace(path=tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [(100.0, ("LOW", "HIGH")), (75.0, ("LOW", "HIGH")), (74.999, ("MEDIUM", "MEDIUM")), (50.0, ("MEDIUM", "MEDIUM")),
     (49.999, ("HIGH", "LOW")), (0.0, ("HIGH", "LOW")), (None, ("HIGH", "LOW"))],
)  # fmt: skip
def test_when_accuracy_is_known_then_the_words_follow_its_limits(accuracy, words):
    assert trust_words(accuracy) == words


@pytest.mark.parametrize(
    ("score", "word"), [(100, "good"), (90, "good"), (89.9, "fair"), (60, "fair"), (59.9, "poor"), (None, None)]
)
def test_when_the_quality_score_is_known_then_the_word_follows(ensemble_book, monkeypatch, score, word):
    monkeypatch.setattr(type(ensemble_book), "quality", property(lambda self: {"quality_score": score}))
    assert quality_word(ensemble_book) == word


@pytest.mark.parametrize(
    ("coverage", "word"), [(0.95, "good"), (0.91, "good"), (0.85, "fair"), (0.7, "poor"), (None, None)]
)
def test_when_coverage_was_measured_then_reliability_follows(ensemble_book, monkeypatch, coverage, word):
    card = ensemble_book.card
    metrics = {**card["metrics"], "ensemble": {**card["metrics"]["ensemble"], "coverage": coverage}}
    monkeypatch.setitem(card, "metrics", metrics)
    assert reliability_word(ensemble_book) == word


def test_when_insights_are_asked_for_then_each_number_is_found_again(ensemble_book, stored, full):
    answer = valid("/api/insights", insights(ensemble_book, NoParameters(), TODAY))
    found = {one["id"]: one for one in answer["insights"]}
    styles = stored.styles("ensemble")
    rates = {i: growth(row["forecast_30_days"], row["last_30_days"]) for i, row in styles.iterrows()}
    rates = {style: rate for style, rate in rates.items() if rate is not None}
    rising = sorted((s for s, rate in rates.items() if rate > 5), key=lambda s: (-rates[s], s))
    assert found["growing"]["styles"] == rising[:5]
    assert found["growing"]["numbers"]["count"] == len(rising)
    assert same(found["growing"]["numbers"]["growth_rate"], rates[rising[0]])
    change = (styles["forecast_30_days"] - styles["last_30_days"]).abs().sort_values(ascending=False, kind="stable")
    assert found["largest_change"]["styles"] == change.index[:5].tolist()
    told = found["largest_change"]["numbers"]
    assert told["forecast_30_days"] == styles.loc[change.index[0], "forecast_30_days"]
    assert told["last_30_days"] == styles.loc[change.index[0], "last_30_days"]
    served = next(row for row in full["models"] if row["model"] == "ensemble")
    assert found["accuracy"]["numbers"]["wape"] == served["wape"]
    assert found["accuracy"]["numbers"]["baseline_wape"] == served["baseline_wape"]
    assert found["best_not_served"]["models"] == [full["models"][0]["model"], "ensemble"]
    assert found["rejected"]["styles"] == ["GONE"]
    ahead = styles["forecast_30_days"].sort_values(ascending=False, kind="stable")
    few = found["concentration"]["numbers"]
    assert same(few["share"], ahead.iloc[: few["count"]].sum() / ahead.sum())
    assert few["share"] >= 0.5 > ahead.iloc[: few["count"] - 1].sum() / ahead.sum()
    low = int(styles["low_confidence"].sum())
    assert ("low_confidence" in found) == (low > 0)
    for one in found.values():
        assert one["text"].endswith(".")
        assert one["source"] in ("card.json", "styles.parquet", "metrics.parquet", "outcomes.parquet")


def test_when_the_data_is_old_then_an_insight_says_by_how_much(ensemble_book):
    last = date(2025, 8, 31)
    until = str(ensemble_book.forecast_of("ensemble", "A/1")[0][-1])[:10]
    for days, told in ((STALE_DAYS, False), (STALE_DAYS + 1, True)):
        answer = insights(ensemble_book, NoParameters(), last + timedelta(days=days))
        found = [one for one in answer["insights"] if one["id"] == "data_age"]
        assert bool(found) == told
        assert all(one["numbers"] == {"days": days} for one in found)
        assert [one["text"].split(":")[0] for one in found] == [
            f"The data ends on 2025-08-31, {days:g} days ago, and the forecast is for 2025-09-01 to {until}"
        ] * told


def test_when_styles_fell_back_or_sell_nothing_then_insights_name_them(ensemble_book, monkeypatch):
    table = ensemble_book.styles("ensemble")
    n = table.num_rows

    def put(name, values, table):
        return table.set_column(table.column_names.index(name), name, values)

    changed = put("fallback_level", pa.array([2] + [0] * (n - 1)), table)
    changed = put("reason", pa.array(["exploding forecast"] + [""] * (n - 1)), changed)
    changed = put("low_confidence", pa.array([True] + [False] * (n - 1)), changed)
    for name in ("last_30_days", "forecast_30_days"):
        changed = put(name, pa.array([0.0, *table[name].to_pylist()[1:]]), changed)
    monkeypatch.setattr(type(ensemble_book), "styles", lambda self, model: changed)
    found = {one["id"]: one for one in insights(ensemble_book, NoParameters(), TODAY)["insights"]}
    first = table["unique_id"][0].as_py()
    for name in ("fell_back", "no_demand", "low_confidence"):
        assert found[name]["styles"] == [first], name
        assert found[name]["numbers"] == {"count": 1, "share": 1 / n}
    assert "exploding forecast" in found["fell_back"]["text"]
    summary = validation_summary(ensemble_book, ValidationParameters(), TODAY)
    assert found["fell_back"]["text"] in summary["recommendations"]
    assert found["no_demand"]["text"] in summary["business_impact"]["optimization_opportunities"]


def test_when_nothing_stands_out_then_recommendations_say_so(ensemble_book, monkeypatch):
    monkeypatch.setattr("serve_app.answers.summaries.findings", lambda book, today: [])
    said = validation_summary(ensemble_book, ValidationParameters(), TODAY)["recommendations"]
    assert said == ["Nothing stands out: use the forecast as it is, and train again when new orders are in."]
