"""What to buy now: the newest purchase proposal, or an earlier one, and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Finding, Findings, Note, Section, Table, Tile, Tiles
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import link, no_data, pager, unit_of, whole
from serve_app.dashboard.shown import moment, number, quantity, share

LIMIT = 50
POLICIES = {"chosen": "as proposed", "without_orders": "without orders", "eoq_rop": "EOQ, reorder point",
            "newsvendor": "newsvendor", "base_stock": "base stock"}  # fmt: skip


def build(api: Api, query: Query) -> Sequence[Section]:
    run = query.get("run") or None
    named = {} if run is None else {"run_id": run}
    answer = api.get("/api/order-proposal", **named, offset=whole(query, "offset", 0), limit=LIMIT)
    kept = api.get("/api/order-proposals")
    empty = no_data(answer)
    if empty:
        return [Section("", [empty]), *_earlier(kept, "")]
    unit = unit_of(answer)
    return [
        Section("", [_tiles(answer), *_file(answer), *_lacking(answer)]),
        Section("By supplier", [_suppliers(answer["suppliers"], unit)]),
        Section("What to order", [_orders(answer["orders"], unit), *pager("/orders", answer["pagination"], run=run),
                                  *_left_out(answer)]),
        Section("Beside simple rules", [_costs(answer["costs"])]),
        *_notes(answer["notes"]),
        *_earlier(kept, answer["run_id"]),
    ]  # fmt: skip


def _tiles(answer: Mapping[str, Any]) -> Tiles:
    items = answer["items"]
    return Tiles([
        Tile("To order", f"{items['ordered']:,} of {items['items_in']:,} {answer['kind']}",
             f"{items['nothing_needed']:,} need nothing"),
        Tile("No data", f"{items['no_data']:,}", "stock, cost or demand is not known",
             "warn" if items["no_data"] else "good"),
        Tile("Decided by", answer["method"].replace("_", " "), answer["method_reason"]),
        Tile("Proposed", moment(answer["generated_at"]), f"release {answer['release']}, data to {answer['origin']}"),
    ])  # fmt: skip


def _file(answer: Mapping[str, Any]) -> list[Block]:
    if answer["csv_url"] is None:
        return []
    return [
        Findings([Finding("All orders, for a spreadsheet or the ERP:", [Cell("CSV file", href=answer["csv_url"])])])
    ]


def _earlier(kept: Mapping[str, Any], shown: str) -> list[Section]:
    """The proposals that are kept; nothing where none is."""
    if kept["status"] != "success":
        return []
    columns = (("proposed", False), ("to order", True), ("no data", True), ("decided by", False), ("release", True),
               ("data to", False), ("file", False))  # fmt: skip
    rows = [
        [Cell(moment(one["generated_at"]), href=link("/orders", run=one["run_id"])),
         number(one["items"]["ordered"], f"{one['items']['ordered']:,} of {one['items']['items_in']:,} {one['kind']}"),
         number(one["items"]["no_data"], f"{one['items']['no_data']:,}"), Cell(one["method"].replace("_", " ")),
         number(one["release"], str(one["release"])), Cell(one["origin"]), Cell("CSV", href=one["csv_url"])]
        for one in kept["proposals"]
    ]  # fmt: skip
    marked = frozenset(i for i, one in enumerate(kept["proposals"]) if one["run_id"] == shown)
    return [Section("Proposals so far", [Table("proposals", columns, rows, "Purchase proposals, the newest first",
                                               "None.", marked)])]  # fmt: skip


def _lacking(answer: Mapping[str, Any]) -> list[Block]:
    notes: list[Block] = []
    for name, words in (("missing", "What is missing"), ("assumed", "Defaults taken")):
        if answer[name]:
            said = "; ".join(f"{one['what'].replace('_', ' ')} ({one['items']:,})" for one in answer[name])
            notes.append(Note(f"{words}: {said}.", "warn" if name == "missing" else ""))
    if answer["unreachable"]:
        notes.append(Note(f"No quantity reaches the wanted service of {answer['unreachable']:,} items.", "warn"))
    return notes


def _notes(notes: Sequence[str]) -> list[Section]:
    """What was found in the data that the proposal rests on; nothing where nothing was."""
    said = [Finding(f"{note[:1].upper()}{note[1:]}.") for note in notes]
    return [Section("What it rests on", [Findings(said)])] if said else []


def _suppliers(suppliers: Sequence[Mapping[str, Any]], unit: str) -> Table:
    columns = (("supplier", False), ("items", True), (f"quantity ({unit})", True), ("value", True),
               (f"smallest order ({unit})", True), ("lead time (days)", True))  # fmt: skip
    rows = [
        [Cell(one["supplier"] or "not stated"), number(one["items"], f"{one['items']:,}"),
         number(one["quantity"], quantity(one["quantity"])), number(one["value"], quantity(one["value"])),
         number(one["moq"], quantity(one["moq"])), number(one["lead_time_days"], quantity(one["lead_time_days"]))]
        for one in suppliers
    ]  # fmt: skip
    return Table("suppliers", columns, rows, "Orders by supplier", "Nothing needs to be ordered.")


def _orders(orders: Sequence[Mapping[str, Any]], unit: str) -> Table:
    columns = (
        ("item", False), ("supplier", False), (f"order ({unit})", True), ("value", True), ("shelf empty", False),
        ("arrives", False), ("served with it", True), ("cost", True), ("without", True), ("why", False),
    )  # fmt: skip
    rows = [
        [Cell(one["item"]), Cell(one["supplier"] or "not stated"), number(one["quantity"], quantity(one["quantity"])),
         number(one["value"], quantity(one["value"])), Cell(one["shelf_empty_on"] or "later"), Cell(one["expected_on"]),
         number(one["service"], share(one["service"])), number(one["cost"], quantity(one["cost"])),
         number(one["cost_without_order"], quantity(one["cost_without_order"])), Cell(one["reason"])]
        for one in orders
    ]  # fmt: skip
    return Table("orders", columns, rows, "The purchase proposal, the dearest orders first",
                 "Nothing needs to be ordered.")  # fmt: skip


def _left_out(answer: Mapping[str, Any]) -> list[Block]:
    more = answer["items"]["ordered"] - answer["kept"]
    return (
        [Note(f"{more:,} smaller orders are in the file only, proposal.csv of run {answer['run_id']}.")]
        if more > 0
        else []
    )


def _costs(costs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [[Cell(POLICIES.get(one["policy"], one["policy"])), number(one["cost"], quantity(one["cost"]))]
            for one in costs]  # fmt: skip
    caption = "Expected cost of all items over lead time and review period"
    return Table("costs", (("orders by", False), ("expected cost", True)), rows, caption, "Nothing could be decided.")


PAGE = Page("/orders", "Orders", 45, build, "What to order now, why, and what it is expected to cost.")
