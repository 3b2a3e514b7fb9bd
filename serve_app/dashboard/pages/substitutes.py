"""Yarns that are short, and which others may stand in for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Field, Form, Note, Section, Table
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import link, no_data, pager
from serve_app.dashboard.shown import moment, number, percent, quantity, ratio

LIMIT = 20
TOP = 10


def build(api: Api, query: Query) -> Sequence[Section]:
    yarn = query.get("yarn", "").strip()
    told: dict[str, str | int] = {"yarn": yarn, "top": TOP} if yarn else {"top": 1, "limit": LIMIT}
    if query.get("offset") and not yarn:
        told["offset"] = query["offset"]
    answer = api.get("/api/yarn-substitutes", **told)
    empty = no_data(answer)
    if empty:
        return [Section("", [empty])]
    form = Form("substitutes", "/substitutes", [Field("yarn", "Yarn", value=yarn, attributes={"maxlength": "200"})],
                "Show", method="GET")  # fmt: skip
    blocks: list[Block] = _one(answer["yarns"][0]) if yarn else _short(answer)
    return [Section("", [form, _signed(answer), *blocks])]


def _signed(answer: Mapping[str, Any]) -> Note:
    model = answer["model"]
    if model is None:
        said = "Ranked by the rule, because no classifier serves: there are no probabilities."
    else:
        met = "met" if model["target_met"] else "missed"
        said = (f"Ranked by a classifier trained on {moment(model['trained_at'])}: {percent(model['accuracy'])} right "
                f"on yarns it had not seen, target {met}.")  # fmt: skip
    return Note(f"{said} Yarns as of release {answer['release']}, {moment(answer['generated_at'])}.", "good")


def _short(answer: Mapping[str, Any]) -> list[Block]:
    columns = (("yarn", False), ("description", False), ("short (lb)", True), ("best substitute", False),
               ("probability", True), ("its stock (lb)", True), ("price difference", True))  # fmt: skip
    table = Table("short", columns, [_short_row(one) for one in answer["yarns"]],
                  "Yarns that are short, the largest shortage first", "No yarn is short.")  # fmt: skip
    return [table, *pager("/substitutes", answer["pagination"])]


def _short_row(one: Mapping[str, Any]) -> list[Cell]:
    best = one["candidates"][0] if one["candidates"] else None
    head = [Cell(one["yarn"], href=link("/substitutes", yarn=one["yarn"])), Cell(one["description"]),
            number(one["shortage_lb"], quantity(one["shortage_lb"]))]  # fmt: skip
    if best is None:
        return [*head, Cell(one["reason"], tone="warn"), Cell(""), Cell(""), Cell("")]
    return [*head, _named(best), *_figures(best)]


def _one(one: Mapping[str, Any]) -> list[Block]:
    short = "its stock is not known" if one["shortage_lb"] is None else (
        f"short by {quantity(one['shortage_lb'])} lb" if one["shortage_lb"] else "not short"
    )  # fmt: skip
    columns = (("substitute", False), ("probability", True), ("stock (lb)", True), ("price difference", True),
               ("colour", True), ("weight", True), ("material", True), ("quality", True), ("why", False))  # fmt: skip
    rows = [
        [_named(each), *_figures(each),
         *[number(each[name], ratio(each[name])) for name in
           ("color_similarity", "weight_similarity", "material_match", "quality_score")],
         Cell(each["why"])]
        for each in one["candidates"]
    ]  # fmt: skip
    table = Table("candidates", columns, rows, f"Candidates for {one['yarn']}", one["reason"] or "None.")
    return [Note(f"{one['yarn']}: {one['description']}. Read as: {one['reading']}. It is {short}."), table]


def _named(candidate: Mapping[str, Any]) -> Cell:
    """Green where it is recommended and there is enough of it; a warning where it is and there is not."""
    enough = (candidate["availability_score"] or 0.0) >= 1
    return Cell(candidate["substitute"], tone="" if not candidate["recommended"] else "good" if enough else "warn")


def _figures(candidate: Mapping[str, Any]) -> list[Cell]:
    said = candidate["probability"]
    probability = number(said, ratio(said)) if said is not None else Cell("by the rule")
    score = candidate["availability_score"]
    low = " (low)" if score is not None and score < 1 else ""
    return [probability, number(candidate["stock_lb"], quantity(candidate["stock_lb"]) + low),
            number(candidate["price_difference"], ratio(candidate["price_difference"]))]  # fmt: skip


PAGE = Page("/substitutes", "Substitutes", 57, build, "Yarns that are short, and which others may stand in for them.")
