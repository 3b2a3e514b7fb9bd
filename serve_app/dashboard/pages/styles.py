"""Every style, searchable."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.dashboard.blocks import Field, Form, Section
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import ACTIONS, DAYS, MEMBERS, choice, no_data, pager, style_table, unit_of
from serve_app.problems import Refused

LIMIT = 50
ORDERS = (("forecast", "largest forecast"), ("name", "name"), ("growth", "fastest growth"),
          ("confidence", "least confidence"), ("sold", "most sold"))  # fmt: skip
CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "none")
HORIZONS = (30, 60, 90, 180)
ASKED = ("search", "demand_class", "action", "order", "model", "horizon")


def build(api: Api, query: Query) -> Sequence[Section]:
    told = {name: query[name] for name in ASKED if query.get(name)}
    offset = {"offset": query["offset"]} if query.get("offset") else {}
    answered = _answered(api)
    shown = max((days for days in answered if days <= DAYS), default=DAYS)
    asked = {"horizon": str(shown), **told}
    answer = api.get("/api/styles", **asked, **offset, limit=LIMIT)
    days = int(asked["horizon"])
    days = days if days in HORIZONS else DAYS  # the list has no other totals
    empty = no_data(answer)
    blocks = [
        style_table("styles", answer["styles"], unit_of(answer), "No style matches.", days),
        *pager("/styles", answer["pagination"], **told),
    ] if empty is None else [empty]  # fmt: skip
    return [Section("", [_form(asked, answered), *blocks])]


def _answered(api: Api) -> tuple[int, ...]:
    """The horizons of the list that this release answers."""
    try:
        api.get("/api/styles", horizon=HORIZONS[-1], limit=1)
    except Refused as refused:
        if refused.parameter != "horizon":
            raise
        return tuple(days for days in HORIZONS if days in (refused.allowed or ()))
    return HORIZONS


def _form(told: Query, answered: Sequence[int]) -> Form:
    fields = (
        Field("search", "Name contains", value=told.get("search", ""), attributes={"maxlength": "100"}),
        choice("demand_class", "Class", [("", "all"), *((name, name) for name in CLASSES)],
               told.get("demand_class", "")),
        choice("action", "Action", [("", "all"), *((name, ACTIONS.get(name, name)) for name in
                                                   ("increase_stock", "reduce", "hold", "review", "no_action"))],
               told.get("action", "")),
        choice("model", "Model", [("auto", "what is served"), *((name, name) for name in MEMBERS)],
               told.get("model", "auto")),
        choice("horizon", "Days ahead", [(str(days), str(days)) for days in answered], told["horizon"]),
        choice("order", "Order", ORDERS, told.get("order", "forecast")),
    )  # fmt: skip
    return Form("styles", "/styles", fields, "Show", method="GET")


PAGE = Page("/styles", "Styles", 20, build, "Each style with what it sold, what it will sell and what to do.")
