"""One style: history, forecast, members with weights and measured errors, the company's tables, and what-if."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from serve_app.dashboard.blocks import Block, Cell, Chart, Field, Form, Note, Section, Table, Text, Tile, Tiles
from serve_app.dashboard.charts import band, line, over_time
from serve_app.dashboard.compared import compared
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import ACTION_TONES, ACTIONS, MEMBERS, choice, dates_ahead, no_data, unit_of
from serve_app.dashboard.shown import number, percent, quantity, share

PERIODS = 365
LEAST_WEIGHT = 0.01  # in the ensemble, of a member that the chart can show


def build(api: Api, query: Query) -> Sequence[Section]:
    style = query.get("id", "")
    if not style:
        return [Section("", [Note("Choose a style on the page Styles.")])]
    model = query.get("model", "auto")
    answer = api.get(f"/api/styles/{quote(style, safe='')}", model=model, history=PERIODS)
    empty = no_data(answer)
    if empty:
        return [Section("", [empty])]
    unit = unit_of(answer)
    aged = [Note(answer["old_data"], "warn")] if answer["old_data"] else []
    return [
        Section("", [*aged, _tiles(answer, unit), _chart(answer, unit), _chooser(style, model)]),
        Section("What is expected", _totals(answer, unit)),
        Section("Who says so", _members(answer, unit)),
        Section("Why", _why(answer, unit)),
        Section("Stock, orders, machines", compared(api, style, model, unit)),
        Section("What if", _what_if(style, answer)),
    ]


def _tiles(answer: Mapping[str, Any], unit: str) -> Tiles:
    details = answer["details"]
    basis = details["confidence_basis"]
    action = details["recommended_action"]
    measured = "never scored" if basis is None else _basis(basis)
    own = next((member["wape"] for member in answer["members"] if member["model"] == answer["model_used"]), None)
    stored = answer["evaluation_id"]
    return Tiles([
        Tile("Forecast, next 30 days", quantity(details["forecast_30_days"], unit),
             f"{dates_ahead(answer['forecast_from'], 30)}; last 30 days {quantity(answer['last_30_days'], unit)}"),
        Tile("Growth", percent(details["growth_rate"], signed=True, digits=0), details["trend"] or "not known"),
        Tile("Confidence in its total", percent(details["confidence"], digits=0), measured,
             "warn" if details["low_confidence"] else "good"),
        Tile("Error (WAPE) per period", percent(own),
             "never scored" if own is None else f"this style's own, of evaluation {stored}"),
        Tile("What to do", ACTIONS.get(action, action), f"{answer['demand_class']} demand",
             ACTION_TONES.get(action, "")),
        Tile("Sold a day", quantity(details["historical_avg"], unit),
             f"{answer['periods']:,} periods since {answer['first_day']}"),
    ])  # fmt: skip


def _basis(basis: Mapping[str, Any]) -> str:
    count = f"from {basis['n']} scored origins"
    return count if basis["of"] == "style" else f"{count}, shrunk to its class"


def _chart(answer: Mapping[str, Any], unit: str) -> Chart:
    past, ahead = answer["history"], answer["forecast"]
    levels = sorted(ahead["quantiles"], key=lambda name: float(name[1:]))
    traces = [line(past["dates"], past["values"], "sold", "@soft", line={"width": 1})]
    if len(levels) > 1:
        low, high = levels[0], levels[-1]
        stated = float(high[1:]) - float(low[1:])
        traces += band(ahead["dates"], ahead["quantiles"][low], ahead["quantiles"][high], f"{stated:.0%} interval")
    traces.append(line(ahead["dates"], ahead["mean"], f"forecast ({answer['details']['made_by']})"))
    colors = ("@good", "@warn", "@bad", "@ink")
    weighed = [member for member in answer["members"] if (member["weight"] or 0.0) >= LEAST_WEIGHT]
    for member, color in zip(weighed, (*colors, *colors), strict=False):
        if member["model"] != answer["model_used"] and member["mean"]:
            traces.append(line(ahead["dates"], member["mean"], member["model"], color, line={"width": 1},
                               visible="legendonly"))  # fmt: skip
    said = f"Sold until {answer['last_day']} and the forecast after it; members can be switched on in the legend."
    return Chart("style", over_time(traces, f"{unit} a period"), said)


def _chooser(style: str, model: str) -> Form:
    options = [("auto", "what is served"), *((name, name) for name in MEMBERS)]
    return Form("model", "/style", (Field("id", "", "hidden", style), choice("model", "Forecast of", options, model)),
                "Show", method="GET")  # fmt: skip


def _totals(answer: Mapping[str, Any], unit: str) -> Sequence[Block]:
    first = answer["forecast_from"]
    rows = [
        [Cell(f"next {row['days']} days, {dates_ahead(first, row['days'])}"),
         *(number(row[name], quantity(row[name])) for name in ("forecast", "lower", "upper"))]
        for row in answer["totals"]
    ]  # fmt: skip
    columns = (("", False), (f"forecast ({unit})", True), (f"lower ({unit})", True), (f"upper ({unit})", True))
    basis = answer["bounds_basis"]
    said = (
        "Too few errors of totals were measured for bounds." if basis is None else
        f"Bounds of the total come from {answer['bounds_n']:,} measured errors of totals of its {basis}."
    )  # fmt: skip
    reason = answer["details"].get("reason")
    blocks: list[Block] = [Table("totals", columns, rows, "Totals ahead", "No total is known."), Text([said])]
    return [Note(f"Another model made this forecast: {reason}", "warn"), *blocks] if reason else blocks


def _members(answer: Mapping[str, Any], unit: str) -> Sequence[Block]:
    rows = []
    for member in answer["members"]:
        ahead = next((total["forecast"] for total in member["totals"] if total["days"] == 30), None)
        rows.append([
            Cell(member["model"]), number(member["weight"], share(member["weight"])),
            number(member["wape"], percent(member["wape"])), number(ahead, quantity(ahead)),
            Cell(member["reason"] or "by itself"),
        ])  # fmt: skip
    columns = (("model", False), ("weight", True), ("error (WAPE)", True), (f"30 days ({unit})", True),
               ("made", False))  # fmt: skip
    marked = frozenset(i for i, one in enumerate(answer["members"]) if one["model"] == answer["model_used"])
    weighted = any(member["weight"] is not None for member in answer["members"])
    scored = any(member["wape"] is not None for member in answer["members"])
    said = "No member has a weight in this style's forecast."
    if weighted:
        said = (
            "Weights come from errors at earlier origins of this style, shrunk towards the fleet's." if scored else
            "This style was never scored: its weights are those of its demand class and of the fleet."
        )  # fmt: skip
    return [Table("members", columns, rows, "Members", "No member has a stored forecast.", marked), Text([said])]


def _why(answer: Mapping[str, Any], unit: str) -> Sequence[Block]:
    told = answer["explanation"]
    if told is None:
        return [Note("This release was made before explanations were kept: python -m jobs.pipeline makes one.")]
    drivers, blocks = told["drivers"], [Text(told["words"])]
    if drivers is None:
        return blocks
    product = drivers["link"] == "product"
    neutral = 1.0 if product else 0.0
    effects = {name: value for name, value in drivers["effects"].items() if value not in (None, neutral)}
    size = {name: abs(math.log(value)) if product else abs(value) for name, value in effects.items()}
    rows = [
        [Cell(name), number(effects[name], f"x {effects[name]:.2f}" if product else _signed(effects[name]))]
        for name in sorted(effects, key=lambda name: (-size[name], name))
    ]  # fmt: skip
    columns = (("", False), ("factor" if product else f"effect ({unit} a period)", True))
    title = (
        f"{drivers['model']}: from {quantity(drivers['base'], unit)} to {quantity(drivers['forecast'], unit)} a period"
    )
    return [*blocks, Table("drivers", columns, rows, title, "Nothing moves it from its own level.")]


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{quantity(value)}"


def _what_if(style: str, answer: Mapping[str, Any]) -> Sequence[Block]:
    horizons = [str(row["days"]) for row in answer["totals"] if row["forecast"] is not None]
    if not horizons:
        return [Note("This release answers no whole horizon: raise default_forecast_horizon and train again.")]
    plannable = [name for name in answer["known_ahead"] if "." not in name]  # a dot is how forms write {planned: {..}}
    number_field = {"min": "0", "step": "any"}
    fields = (
        Field("style", "", "hidden", style),
        Field("horizon", "Days ahead", "select", horizons[-1], [(days, days) for days in horizons],
              {"data-number": "true"}),
        *(Field(f"planned.{name}", f"Planned {name}", "number", "", attributes=number_field) for name in plannable),
    )  # fmt: skip
    said = "The released models forecast anew, from this style's history, under your plan."
    if not plannable:
        said = ("The released models forecast anew, from this style's history. No price or other value can be planned: "
                "none was known ahead in training (columns.future).")  # fmt: skip
    return [
        Text([said]),
        Form("what-if", "/api/predictions", fields, "Forecast", shows="forecast"),
    ]


def _heading(query: Query) -> str:
    return query.get("id") or "A style"


PAGE = Page("/style", "Style", 0, build, heading=_heading)
