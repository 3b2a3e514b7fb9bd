"""AP1: every figure is found in a stored file or worked out anew from stored ones; every variant; every word."""

from __future__ import annotations

import json
from datetime import date

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from serve_app.answers.columns import as_bytes
from serve_app.answers.detailed import detailed
from serve_app.answers.fleet import Fleet
from serve_app.problems import Refused
from serve_app.schemas.forecast import DetailedAnswer
from serve_app.schemas.parameters import ForecastParameters, read
from tests.serve_app.conftest import TODAY
from tests.serve_app.made import make_release, open_book
from tests.serve_app.stored import Stored, growth, leaves, percent, same, trend


def ask(book, today=TODAY, **asked):
    answer = detailed(book, read(ForecastParameters, [(name, str(value)) for name, value in asked.items()]), today)
    TypeAdapter(DetailedAnswer).validate_json(as_bytes(answer), strict=True)
    return answer


@pytest.fixture(scope="module")
def stored(ensemble_book):
    return Stored(ensemble_book.path)


@pytest.fixture(scope="module")
def full(ensemble_book):
    return ask(ensemble_book)


@pytest.mark.parametrize("model", ["auto", "arima"])
@pytest.mark.parametrize("horizon", [7, 30, 60, 90])
def test_when_all_styles_are_asked_for_then_each_figure_is_a_stored_one(ensemble_book, stored, model, horizon):
    answer = ask(ensemble_book, model=model, horizon=horizon)
    kind = "ensemble" if model == "auto" else model
    styles = stored.styles(kind)
    evaluation = stored.card["metrics"][kind]["evaluation_id"]
    assert answer["evaluation_id"] == evaluation
    assert len(answer["forecast_details"]) == len(styles) == stored.manifest["n_series"]
    for row in answer["forecast_details"]:
        kept = styles.loc[row["style"]]
        rate = growth(kept["forecast_30_days"], kept["last_30_days"])
        wanted = {
            "historical_avg": kept["historical_avg"], "historical_total": kept["historical_total"],
            "order_count": kept["n_orders"], "lower": kept[f"lower_{horizon}_days"],
            "upper": kept[f"upper_{horizon}_days"], "confidence": percent(kept["confidence"]), "growth_rate": rate,
            "trend": trend(rate), "low_confidence": bool(kept["low_confidence"]), "made_by": kept["made_by"],
            "fallback_level": kept["fallback_level"], "recommended_action": action(kept, rate),
            **{f"forecast_{days}_days": kept[f"forecast_{days}_days"] for days in (30, 60, 90, 180)},
        }  # fmt: skip
        for name, value in wanted.items():
            assert same(row[name], value), (row["style"], name)
        basis = {"evaluation_id": evaluation, "n": kept["confidence_n"], "of": kept["confidence_basis"]}
        assert row["confidence_basis"] == basis
        assert set(row) - {"reason"} == {"style", "confidence_basis", *wanted}
    ordered = styles.reset_index().sort_values([f"forecast_{horizon}_days", "unique_id"], ascending=[False, True])
    assert [row["style"] for row in answer["forecast_details"]] == ordered["unique_id"].tolist()


def action(kept, rate):
    """The documented rule, one style at a time."""
    ahead, recent = kept["forecast_30_days"], kept["last_30_days"]
    if kept["low_confidence"]:
        return "review"
    if not ahead > 0:
        return "no_action"
    if recent == 0 or (rate is not None and rate > 5):
        return "increase_stock"
    return "reduce" if rate is not None and rate < -5 else "hold"


def test_when_models_are_told_then_each_figure_is_a_stored_one(ensemble_book, stored, full):
    config = ensemble_book.config
    assert [row["model"] for row in full["models"]] == stored.board["model"].tolist()
    for row in full["models"]:
        model = row["model"]
        m, board = stored.card["metrics"][model], stored.board.set_index("model").loc[model]
        mape = config["benchmarks"].get(model, {}).get("mape")
        wanted = {
            **{name: percent(m[name]) for name in ("accuracy", "mape", "wape", "bias_rel")},
            **{name: m[name] for name in ("n_used", "rmse", "mae", "evaluation_id")},
            "baseline_wape": percent(stored.card["metrics"]["seasonal_naive"]["wape"]),
            "beats_baseline": bool(board["beats_baseline"]), "below_threshold": bool(board["below_threshold"]),
            "target_mape": percent(mape), "target_met": None if mape is None else m["mape"] <= mape,
            "last_trained": stored.manifest["models"].get(model, {}).get("trained_at"),
            "training_samples": stored.manifest["models"].get(model, {}).get("training_samples"),
            "forecast_30_days": None, "confidence": None, "growth_rate": None, "trend": None,
        }  # fmt: skip
        if model in ensemble_book.models:
            styles = stored.styles(model)
            rate = growth(styles["forecast_30_days"].sum(), styles["last_30_days"].sum())
            wanted |= {"forecast_30_days": stored.totals(model).loc[30, "forecast"], "growth_rate": rate,
                       "confidence": percent(styles["confidence"].mean()), "trend": trend(rate)}  # fmt: skip
        for name, value in wanted.items():
            assert same(row[name], value), (model, name)
        off = {"style_period": m["wape"], "style_total": m["total_error_by_style"],
               "fleet_period": board["fleet_wape"], "fleet_total": m["total_error"]}  # fmt: skip
        for level, wape in off.items():
            assert same(row["accuracy_by_level"][level], 100 * max(0.0, 1 - wape)), (model, level)


def test_when_models_are_told_then_one_is_primary_and_the_best_is_named(ensemble_book, book, full):
    statuses = {row["model"]: row["status"] for row in full["models"]}
    assert [m for m, s in statuses.items() if s == "primary"] == [ensemble_book.served] == ["ensemble"]
    assert [m for m, s in statuses.items() if s == "best"] == [full["models"][0]["model"]]
    assert statuses["arima"] == "active"
    assert statuses["mean"] == statuses["zero"] == "backup"
    for asked in ("auto", "arima"):  # whichever forecast is shown, what is served is one
        rows = ask(book, model=asked)["models"]
        assert [row["model"] for row in rows if row["status"] == "primary"] == [book.served]
    assert not [row for row in ask(book)["models"] if row["status"] == "best"]  # here the best is what is served


def test_when_weeks_are_told_then_they_are_the_stored_ones(ensemble_book, stored, full):
    weeks, styles = stored.weeks("ensemble"), stored.styles("ensemble")
    assert [row["week"] for row in full["weekly_forecasts"]] == list(range(1, 13))
    for row in full["weekly_forecasts"]:
        kept = weeks.loc[row["week"]]
        for name, column in (("forecast", "forecast"), ("min_forecast", "lower"), ("max_forecast", "upper")):
            assert same(row[name], kept[column])
        assert (row["week_start"], row["week_end"]) == (kept["week_start"], kept["week_end"])
        assert same(row["confidence"], percent(stored.totals("ensemble").loc[7, "confidence"]))
        assert row["trend"] == trend(growth(kept["forecast"], styles["last_30_days"].sum() * 7 / 30))


def test_when_the_fleet_is_summed_then_the_sum_is_the_stored_total(ensemble_book, stored, full):
    styles, summary = stored.styles("ensemble"), full["summary"]
    assert summary["total_styles"] == len(styles)
    assert summary["total_fabric_styles"] == (styles["historical_total"] > 0).sum()
    assert same(summary["total_forecasted_qty"], stored.totals("ensemble").loc[90, "forecast"])
    assert same(summary["average_confidence"], percent(styles["confidence"].mean()))
    assert summary["trend"] == trend(growth(styles["forecast_30_days"].sum(), styles["last_30_days"].sum()))
    top = styles.reset_index().sort_values(["historical_total", "unique_id"], ascending=[False, True]).head(10)
    assert [row["style"] for row in summary["top_selling_fabrics"]] == top["unique_id"].tolist()
    for row in summary["top_selling_fabrics"]:
        kept = styles.loc[row["style"]]
        assert same(row["total_sold"], kept["historical_total"])
        assert same(row["forecast_30_days"], kept["forecast_30_days"])
        assert same(row["confidence"], percent(kept["confidence"]))
        assert row["order_count"] == kept["n_orders"]


def test_when_the_full_answer_is_walked_then_no_number_is_untold_of(full):
    """The tests above cover every numeric field: a new one fails here until its source is tested too."""
    known = {
        "release", "units.confidence_level", "models_used[]", "pagination",
        *(f"forecast_details[].{n}" for n in ("historical_avg", "historical_total", "order_count", "forecast_30_days",
          "forecast_60_days", "forecast_90_days", "lower", "upper", "confidence", "growth_rate", "fallback_level",
          "confidence_basis.n")),
        *(f"models[].{n}" for n in ("accuracy", "mape", "n_used", "wape", "bias_rel", "rmse", "mae", "baseline_wape",
          "target_mape", "training_samples", "confidence", "forecast_30_days", "growth_rate")),
        *(f"models[].accuracy_by_level.{n}" for n in ("style_period", "style_total", "fleet_period", "fleet_total")),
        *(f"weekly_forecasts[].{n}" for n in ("week", "forecast", "min_forecast", "max_forecast", "confidence")),
        *(f"summary.{n}" for n in ("total_styles", "total_forecasted_qty", "average_confidence",
          "total_fabric_styles")),
        *(f"summary.top_selling_fabrics[].{n}" for n in ("order_count", "total_sold", "forecast_30_days",
          "confidence")),
        *(f"pagination.{n}" for n in ("total", "returned", "offset")),
    }  # fmt: skip
    found = {
        "".join("[]" if part.isdigit() else part for part in path.replace("[", "|").replace("]", "|").split("|"))
        for path, value in leaves(full)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert found <= known


def test_when_the_summary_or_the_metrics_are_asked_for_then_they_are_those_of_the_full_answer(ensemble_book, full):
    short = ask(ensemble_book, detail="summary")
    assert {name: short[name] for name in ("summary", "models", "forecast_horizon")} == {
        name: full[name] for name in ("summary", "models", "forecast_horizon")
    }
    assert "forecast_details" not in short
    few = ask(ensemble_book, detail="metrics")
    assert few["metrics"] == {
        **{n: full["summary"][n] for n in ("total_styles", "total_forecasted_qty", "average_confidence")},
        "horizon_days": 90,
    }
    assert {"status", "generated_at", "metrics"} <= set(few)


def test_when_a_report_is_asked_for_then_details_are_kept(ensemble_book, full):
    report = ask(ensemble_book, format="report")
    assert {name: report[name] for name in full if name != "units"} == {n: v for n, v in full.items() if n != "units"}
    sections = report["report"]["sections"]
    assert sections["top_items"] == full["forecast_details"][:10]
    assert (sections["summary"], sections["models"]) == (full["summary"], full["models"])
    assert report["best_model"] == full["models"][0]["model"]
    assert report["best_accuracy"] == full["models"][0]["accuracy"]
    primary = next(row for row in full["models"] if row["status"] == "primary")
    assert report["training_records"] == primary["training_samples"]
    for old, row in zip(report["forecast_data"], full["forecast_details"], strict=True):
        assert old["style"] == row["style"]
        assert old["predicted_quantity"] == row["forecast_90_days"]
        assert same(100 * old["confidence"], row["confidence"])  # a fraction here, percent there
    assert report["units"]["fraction"] == ["confidence_level", "forecast_data[].confidence"]
    assert "forecast_data" not in ask(ensemble_book, format="report", detail="summary")


def test_when_a_chart_is_asked_for_then_it_has_twenty_lines_of_three_points(ensemble_book, full):
    chart = ask(ensemble_book, format="chart")
    assert (chart["chart_type"], chart["labels"]) == ("line", ["30 days", "60 days", "90 days"])
    assert chart["data"] == [
        {"label": row["style"], "values": [row[f"forecast_{days}_days"] for days in (30, 60, 90)]}
        for row in full["forecast_details"][:20]
    ]
    assert chart["total_styles"] == 24  # cut to 20, and it says so


@pytest.mark.parametrize(
    ("compare", "block"),
    [("stock", "stock_comparison"), ("orders", "order_comparison"), ("capacity", "capacity_comparison")],
)
@pytest.mark.parametrize("form", [{}, {"detail": "summary"}, {"detail": "metrics"}, {"format": "chart"}])
def test_when_a_table_is_missing_then_the_block_names_it(ensemble_book, compare, block, form):
    found = ask(ensemble_book, compare=compare, **form)[block]
    assert found["status"] == "no_data"
    assert found["missing_table"] in found["reason"]


@pytest.mark.parametrize("source", ["pipeline", "hybrid"])
def test_when_open_orders_are_missing_then_the_source_says_no_data(ensemble_book, source):
    found = ask(ensemble_book, source=source)
    assert (found["status"], found["missing_table"]) == ("no_data", "open sales orders")
    assert "source=ml" in found["reason"]


def test_when_pages_are_asked_for_then_they_join_into_the_whole(ensemble_book, full):
    joined, offset = [], 0
    while offset is not None:
        part = ask(ensemble_book, limit=7, offset=offset)
        joined += part["forecast_details"]
        assert part["summary"] == full["summary"]
        offset = part["pagination"]["next_offset"]
    assert joined == full["forecast_details"]
    assert ask(ensemble_book, offset=24)["status"] == "no_data"


@pytest.mark.parametrize("style", ["A/1", "=1+1", "Größe 4", "S011"])
def test_when_one_style_is_asked_for_then_it_is_that_of_the_full_answer(ensemble_book, full, style):
    one = ask(ensemble_book, style=style)
    assert one["forecast_details"] == [row for row in full["forecast_details"] if row["style"] == style]
    assert one["summary"]["total_styles"] == 1
    _, mean, _, _ = ensemble_book.forecast_of("ensemble", style)
    weeks = one["weekly_forecasts"]
    assert all(same(row["forecast"], mean[7 * k : 7 * k + 7].sum()) for k, row in enumerate(weeks))
    assert {row["min_forecast"] for row in weeks} == {None}  # the bounds of one style's weeks were not measured


def test_when_no_horizon_is_said_then_it_is_90_days_or_what_the_release_reaches(book, ensemble_book, full):
    assert as_bytes(ask(ensemble_book, horizon=90)) == as_bytes(full)
    assert ask(book)["forecast_horizon"] == "30 days"


@pytest.mark.parametrize("key", ["trend_analysis", "seasonal_decomposition"])
def test_when_trends_are_switched_off_then_trend_and_growth_are_null(ensemble_book, full, monkeypatch, key):
    config = {**ensemble_book.config, "report": {**ensemble_book.config["report"], key: False}}
    monkeypatch.setattr(type(ensemble_book), "config", property(lambda self: config))
    off = ask(ensemble_book)
    told = [off["summary"], *off["forecast_details"], *off["models"], *off["weekly_forecasts"]]
    assert {row["trend"] for row in told} == {None}
    assert {row.get("growth_rate") for row in told} == {None}
    actions = [[row["recommended_action"] for row in answer["forecast_details"]] for answer in (off, full)]
    assert actions[0] == actions[1]


def test_when_a_run_was_told_so_then_its_release_tells_no_trend(tmp_path):
    book = open_book(make_release(tmp_path, n_styles=3, overrides=("report.trend_analysis=false",)))
    assert {(row["trend"], row["growth_rate"]) for row in ask(book)["forecast_details"]} == {(None, None)}


def test_when_a_model_is_old_then_it_is_stale_from_the_day_it_is(ensemble_book):
    trained = date.fromisoformat(ensemble_book.entry("arima")["trained_at"][:10])
    days = ensemble_book.config["models"]["arima"]["retrain_frequency_days"]
    grace = ensemble_book.config["schedule"]["grace_days"]
    for age, word in ((days + grace, "ready"), (days + grace + 1, "stale")):
        today = date.fromordinal(trained.toordinal() + age)
        rows = {row["model"]: row for row in ask(ensemble_book, today)["models"]}
        assert rows["arima"]["training_status"] == word


@pytest.mark.parametrize(
    ("reason", "word"),
    [("5 periods are too few for arima: needs 20", "insufficient_data"), ("the fit failed: singular", "failed")],
)
def test_when_a_model_made_no_row_itself_then_its_training_status_says_why(ensemble_book, monkeypatch, reason, word):
    table = ensemble_book.styles("arima")
    n = table.num_rows
    changed = table.set_column(table.column_names.index("made_by"), "made_by", pa.array(["mean"] * n))
    changed = changed.set_column(table.column_names.index("reason"), "reason", pa.array([reason] * n))
    real = type(ensemble_book).styles
    monkeypatch.setattr(type(ensemble_book), "styles", lambda self, m: changed if m == "arima" else real(self, m))
    found = {row["model"]: row["training_status"] for row in ask(ensemble_book)["models"]}
    assert found["arima"] == word
    assert found["ensemble"] == "ready"


@pytest.mark.parametrize(
    ("last", "ahead", "low", "action"),
    [
        (100.0, 120.0, False, "increase_stock"), (100.0, 80.0, False, "reduce"), (100.0, 104.0, False, "hold"),
        (0.0, 10.0, False, "increase_stock"), (0.0, 0.0, False, "no_action"), (50.0, 0.0, False, "no_action"),
        (None, 10.0, False, "hold"), (100.0, 120.0, True, "review"), (-40.0, 10.0, False, "increase_stock"),
        (100.0, None, False, "no_action"),
    ],
)  # fmt: skip
def test_when_recent_and_coming_demand_are_known_then_the_action_follows_the_rule(book, last, ahead, low, action):
    table = pa.table({"last_30_days": pa.array([last], pa.float64()), "low_confidence": [low],
                      "forecast_30_days": pa.array([ahead], pa.float64())})  # fmt: skip
    assert Fleet(book, "mean", 30, table).actions.tolist() == [action]


def test_when_a_style_fell_back_then_its_row_says_why(book, monkeypatch):
    table = book.styles(book.served)
    reasons = pa.array(["exploding forecast"] + [""] * (table.num_rows - 1))
    changed = table.set_column(table.column_names.index("reason"), "reason", reasons)
    monkeypatch.setattr(type(book), "styles", lambda self, model: changed)
    rows = {row["style"]: row for row in ask(book)["forecast_details"]}
    assert rows.pop("S000")["reason"] == "exploding forecast"
    assert not [row for row in rows.values() if "reason" in row]


def test_when_a_style_was_rejected_then_the_answer_says_why(ensemble_book):
    found = ask(ensemble_book, style="GONE")
    assert (found["status"], found["reason"]) == ("no_data", "GONE has no forecast: no usable date.")


@pytest.mark.parametrize(
    ("asked", "status", "parameter", "words"),
    [
        ({"horizon": 180}, 409, "horizon", "default_forecast_horizon=180"),
        ({"model": "prophet"}, 409, "model", "prophet"),
        ({"style": "nobody"}, 404, "style", "nobody"),
        ({"style": "a\x00b"}, 404, "style", "no style"),
        ({"style": "../etc/passwd"}, 404, "style", "no style"),
    ],
)
def test_when_the_release_does_not_hold_it_then_it_is_refused(ensemble_book, asked, status, parameter, words):
    with pytest.raises(Refused) as refused:
        ask(ensemble_book, **asked)
    assert (refused.value.status_code, refused.value.parameter) == (status, parameter)
    assert words in refused.value.detail
    if status == 409:
        assert {"horizon": (7, 30, 60, 90), "model": ("auto", *ensemble_book.models)}[parameter] == tuple(
            refused.value.allowed
        )


def test_when_the_ensemble_is_not_served_then_asking_for_it_says_why(book):
    with pytest.raises(Refused, match="does not beat") as refused:
        ask(book, model="ensemble")
    assert refused.value.status_code == 409


def test_when_units_are_read_then_every_percent_and_fraction_is_named(ensemble_book):
    for form in ({}, {"detail": "summary"}, {"detail": "metrics"}, {"format": "report"}, {"format": "chart"}):
        answer = ask(ensemble_book, **form)
        units = answer.pop("units")
        named = {path.rpartition(".")[2].split("[")[0] for path, _ in leaves(answer)}
        percents = {"accuracy", "mape", "wape", "bias_rel", "baseline_wape", "target_mape", "average_confidence",
                    "best_accuracy", "growth_rate", "confidence"}  # fmt: skip
        assert set(units["percent"]) - {"accuracy_by_level"} == named & percents, form
        assert units["quantity"] == "yds"
        assert ("accuracy_by_level" in units["percent"]) == ("models" in answer)


def test_when_asked_twice_of_two_openings_then_the_bytes_are_the_same(ensemble_root, ensemble_book):
    again = open_book(ensemble_root)
    for form in ({}, {"format": "report"}, {"format": "chart"}, {"detail": "summary"}, {"model": "arima", "limit": 3}):
        first, *rest = (as_bytes(ask(one, **form)) for one in (ensemble_book, again, ensemble_book))
        assert rest == [first, first]
        json.loads(first, parse_constant=lambda word: pytest.fail(word))
