"""Which release serves, which ones did, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Field, Finding, Findings, Form, Section, Table, Text
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import changed, choice, no_data, style_link, unit_of
from serve_app.dashboard.shown import moment, number, percent, quantity

SHOWN = 50
CHANGES = 20


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/releases", limit=SHOWN)
    empty = no_data(answer)
    if empty:
        return [Section("", [empty])]
    listed = answer["releases"]
    whole = [str(row["release"]) for row in listed if "damaged" not in row]
    sections = [Section("Releases", [_table(answer)], name="list", live_seconds=5)]
    if len(whole) > 1:
        sections.append(Section("Compare", _compared(api, query, whole)))
    return [*sections, Section("Promote or roll back", _desk(answer))]


def _table(answer: Mapping[str, Any]) -> Table:
    columns = (("no.", False), ("made", False), ("alias", False), ("serves", False), ("styles", True), ("WAPE", True),
               ("seasonal naive", True), ("bias", True), ("last promoted", False), ("why", False))  # fmt: skip
    rows = []
    for row in answer["releases"]:
        if "damaged" in row:
            rows.append([Cell(str(row["release"])), Cell("damaged", tone="bad"), *[Cell("")] * 7, Cell(row["damaged"])])
            continue
        promoted = moment(row["promoted_at"]) + (", forced" if row["forced"] else "")
        rows.append([
            Cell(str(row["release"])), Cell(moment(row["generated_at"])), Cell(", ".join(row["aliases"])),
            Cell(row["served"]), number(row["total_styles"], f"{row['total_styles']:,}"),
            number(row["wape"], percent(row["wape"])), number(row["baseline_wape"], percent(row["baseline_wape"])),
            number(row["bias_rel"], percent(row["bias_rel"], signed=True)), Cell(promoted), Cell(_why(row)),
        ])  # fmt: skip
    marked = frozenset(i for i, row in enumerate(answer["releases"]) if row["release"] == answer["champion"])
    return Table("releases", columns, rows, "Releases, newest first", "Nothing was released yet.", marked)


def _why(row: Mapping[str, Any]) -> str:
    """Why a release was promoted; the reason of a rollback is about the release that was left."""
    reason, left = row["reason"] or "", row["rolled_back_from"]
    return reason if left is None else f"rolled back to, from {left}" + (f": {reason}" if reason else "")


def _compared(api: Api, query: Query, whole: Sequence[str]) -> Sequence[Block]:
    now, before = query.get("release") or whole[0], query.get("against") or whole[1]
    options = [(number_, number_) for number_ in whole]
    form = Form(
        "compare",
        "/releases",
        (choice("release", "Release", options, now), choice("against", "against", options, before)),
        "Compare",
        method="GET",
    )
    answer = api.get("/api/releases/compare", release=now, against=before, limit=CHANGES)
    unit = unit_of(answer)
    totals = [
        [Cell(f"next {row['days']} days"), number(row["before"], quantity(row["before"])),
         number(row["now"], quantity(row["now"])), number(row["growth_rate"], percent(row["growth_rate"], signed=True))]
        for row in answer["totals"]
    ]  # fmt: skip
    models = [
        [Cell(row["model"]), *(number(side["wape"], percent(side["wape"])) if side else Cell("not in it")
                               for side in (row["before"], row["now"]))]
        for row in answer["models"]
    ]  # fmt: skip
    styles = [
        [Cell(row["style"], href=style_link(row["style"])), number(row["before"], quantity(row["before"])),
         number(row["now"], quantity(row["now"])), number(row["change"], quantity(row["change"]))]
        for row in changed(answer["styles"])
    ]  # fmt: skip
    heads = ((f"release {before}", True), (f"release {now}", True))
    said = f"{len(answer['styles_new']):,} styles are new in release {now}, {len(answer['styles_gone']):,} are gone."
    return [
        form,
        Table("totals", ((f"all styles ({unit})", False), *heads, ("change", True)), totals, "Totals of both",
              "No totals."),
        Table("models", (("WAPE of", False), *heads), models, "Measured errors of both", "Nothing was measured."),
        Text(["Errors are each release's own, over its own origins.", said]),
        Table("styles", ((f"style, next 30 days ({unit})", False), *heads, ("change", True)), styles,
              "Styles with the largest change", "No style that is in both is forecast otherwise."),
    ]  # fmt: skip


def _desk(answer: Mapping[str, Any]) -> Sequence[Block]:
    champion = answer["champion"]
    others = [row for row in answer["releases"] if row["release"] != champion and "damaged" not in row]
    if not others:
        return [Findings([Finding("There is one release.", [Cell("Train again to make another", href="/jobs")])])]
    reason = Field("reason", "Reason", attributes={"maxlength": "200"}, hint="Kept in the history.")
    options = [(str(row["release"]), f"{row['release']}, made {moment(row['generated_at'])}") for row in others]
    once = [(str(row["release"]), f"{row['release']}, made {moment(row['generated_at'])}")
            for row in others if row["promoted_at"]]  # fmt: skip
    forms: list[Block] = [
        Text(["A promotion passes the gate: not worse than the champion, better than the baselines, on the same "
              "origins. A forced one is recorded as forced."]),
        Form("promote", "/api/releases/promote", (
            _numbered("release", "Release", options), reason, Field("force", "although the gate holds it back",
                                                                   "checkbox"),
        ), "Promote", confirm="Promote this release?"),
    ]  # fmt: skip
    if once:
        forms.append(Form("rollback", "/api/releases/rollback", (_numbered("release", "Back to", once), reason),
                          "Roll back", confirm="Roll back to this release?"))  # fmt: skip
    return forms


def _numbered(name: str, label: str, options: Sequence[tuple[str, str]]) -> Field:
    return Field(name, label, "select", options[0][0], options, {"data-number": "true"})


PAGE = Page("/releases", "Releases", 40, build, "A release is one immutable version of the whole fleet.")
