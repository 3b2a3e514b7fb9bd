"""The fleet at a glance: what is expected, how far it can be trusted, what changed, what needs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import (
    Block,
    Cell,
    Chart,
    Finding,
    Findings,
    Note,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    Tone,
)
from serve_app.dashboard.charts import band, line, over_time
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import changed, dates_ahead, link, no_data, style_link, style_table, unit_of
from serve_app.dashboard.shown import moment, number, percent, quantity

SHOWN = 10
NAMED = 3  # styles a finding links to
RISK_TONES: dict[str, Tone] = {"LOW": "good", "MEDIUM": "warn", "HIGH": "bad"}


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/ml-forecast-detailed", limit=SHOWN)
    empty = no_data(answer)
    if empty:
        return [Section("Forecast", [empty])]
    checked = api.get("/api/ml-validation-summary")
    found = api.get("/api/insights")["insights"]
    unit = unit_of(answer)
    aged = [Note(one["text"], "warn") for one in found if one["id"] == "data_age"]
    return [
        Section("", [*aged, _tiles(answer, checked, unit), _weeks(answer, _sold(api), unit)]),
        Section("What stands out", _insights([one for one in found if one["id"] != "data_age"])),
        Section("Styles to look at", _risky(api, unit)),
        Section("Since the release before", _changes(api, int(answer["release"]), unit)),
        Section("Largest forecasts", [
            style_table("largest", api.get("/api/styles", limit=SHOWN)["styles"], unit, "No style has a forecast."),
            Findings([Finding("", [Cell("All styles", href="/styles")])]),
        ]),
    ]  # fmt: skip


def _tiles(answer: Mapping[str, Any], checked: Mapping[str, Any], unit: str) -> Tiles:
    summary = answer["summary"]
    served = next(row for row in answer["models"] if row["status"] == "primary")
    risk = checked["risk_level"]
    against = f"seasonal naive {percent(served['baseline_wape'])}"
    return Tiles([
        Tile(f"Forecast, next {answer['forecast_horizon']}", quantity(summary["total_forecasted_qty"], unit),
             f"{_when(answer)}{summary['total_styles']:,} styles, {summary['trend'] or 'trend not known'}"),
        Tile("Error (WAPE) per style and period", percent(served["wape"]), against,
             "good" if served["beats_baseline"] else "warn"),
        Tile("Mean confidence in a style's total", percent(summary["average_confidence"], digits=0),
             "100 minus the error of its horizon total"),
        Tile("Risk", str(risk).lower(), f"data quality {checked['data_quality'] or 'not measured'}",
             RISK_TONES.get(risk, "")),
        Tile("Release", f"no. {answer['release']}", f"{answer['model_used']}, made {moment(answer['generated_at'])}"),
    ])  # fmt: skip


def _when(answer: Mapping[str, Any]) -> str:
    weeks = answer["weekly_forecasts"]
    return f"{dates_ahead(weeks[0]['week_start'], _days(answer))}; " if weeks else ""


def _days(answer: Mapping[str, Any]) -> int:
    return int(answer["forecast_horizon"].split()[0])


def _sold(api: Api) -> Sequence[Mapping[str, Any]]:
    """The weeks before; none in a release that does not hold them."""
    answer = api.get("/api/weekly-history")
    return answer["weeks"] if answer["status"] == "success" else ()


def _weeks(answer: Mapping[str, Any], sold: Sequence[Mapping[str, Any]], unit: str) -> Block:
    """Whole weeks only: the last one may end with the horizon, and its part of a week would look like a fall."""
    days = _days(answer)
    whole = [week for week in answer["weekly_forecasts"] if 7 * week["week"] <= days]
    if not whole:
        return Note("This release reaches less than a week ahead: raise default_forecast_horizon and train again.")
    measured = [week for week in whole if week["min_forecast"] is not None]
    bounds = band(
        [week["week_start"] for week in measured], [week["min_forecast"] for week in measured],
        [week["max_forecast"] for week in measured], "interval of the week's total",
    ) if measured else []  # fmt: skip
    x = [week["week_start"] for week in whole]
    before = [week["week_start"] for week in sold]
    past = [line(before, [week["total"] for week in sold], "sold", "@soft")] if sold else []
    figure = over_time(
        [*bounds, *past, line(x, [week["forecast"] for week in whole], "forecast", mode="lines+markers")],
        f"{unit} a week, all styles", xaxis={"title": {"text": "week beginning"}},
    )  # fmt: skip
    first, last = whole[0], whole[-1]
    said = f"All styles together: {quantity(first['forecast'], unit)} in the week of {first['week_start']}, "
    return Chart("weeks", figure, said + f"{quantity(last['forecast'], unit)} in the week of {last['week_start']}.")


def _insights(found: Sequence[Mapping[str, Any]]) -> Sequence[Block]:
    if not found:
        return [Note("Nothing stands out in this release.")]
    return [Findings([
        Finding(one["text"], [Cell(style, href=style_link(style)) for style in one["styles"][:NAMED]]) for one in found
    ])]  # fmt: skip


def _risky(api: Api, unit: str) -> Sequence[Block]:
    answer = api.get("/api/styles", action="review", order="forecast", limit=SHOWN)
    if answer["status"] == "no_data":
        return [Note("No style needs a review: each has enough measured confidence.")]
    total = answer["pagination"]["total"]
    table = style_table("risk", answer["styles"], unit, "No style needs a review.")
    return [Text([f"{total:,} styles are forecast with little measured confidence; the largest are here."]), table]


def _changes(api: Api, release: int, unit: str) -> Sequence[Block]:
    listed = api.get("/api/releases", limit=50)["releases"]
    earlier = [row for row in listed if row["release"] != release and "damaged" not in row]
    before = next((row for row in earlier if "previous" in row["aliases"]), earlier[0] if earlier else None)
    if before is None:
        return [Note("This is the only release: after the next training this part shows what changed.")]
    other = int(before["release"])
    answer = api.get("/api/releases/compare", release=release, against=other, limit=SHOWN)
    both = link("/releases", release=release, against=other)
    new, gone = len(answer["styles_new"]), len(answer["styles_gone"])
    moved = changed(answer["styles"])
    if not (moved or new or gone):
        return [Note(f"Nothing changed: every style is forecast as in release {other}."),
                Findings([Finding("", [Cell("compare both", href=both)])])]  # fmt: skip
    rows = [
        [Cell(row["style"], href=style_link(row["style"])), number(row["before"], quantity(row["before"])),
         number(row["now"], quantity(row["now"])), number(row["change"], quantity(row["change"])),
         number(row["growth_rate"], percent(row["growth_rate"], signed=True, digits=0))]
        for row in moved
    ]  # fmt: skip
    columns = (
        ("style", False), (f"release {other}, 30 days ({unit})", True), (f"release {release}, 30 days ({unit})", True),
        (f"change ({unit})", True), ("change", True),
    )  # fmt: skip
    return [
        Text([f"Against release {other}: {new:,} styles are new, {gone:,} are gone. The largest changes:"]),
        Table("changes", columns, rows, "Largest changes", "No style that is in both releases is forecast otherwise."),
        Findings([Finding("All of it:", [Cell("compare both", href=both)])]),
    ]


PAGE = Page("/", "Overview", 10, build, "What the company will sell, and how far that can be trusted.")
