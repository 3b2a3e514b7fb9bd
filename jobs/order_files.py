"""The files of a purchase proposal, and what is printed of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from jobs.outputs import where, wrapped, write_csv, write_parquet
from models.inventory.policies import POLICIES
from models.proposals import Proposals

MUCH = 10.0  # times what is expected until the next order: such a quantity is a least order's, and is told
_CLOSE = 1e-9  # of a service: what arithmetic alone may move
SERVED_ROWS = 2_000  # of a proposal, the dearest first: what is kept for those who serve it
_PROPOSAL = {
    "supplier": "supplier", "item": "item", "quantity": "order_quantity", "unit": "unit", "order_on": "order_on",
    "expected_on": "expected_on", "used_lead_days": "lead_time_days", "used_moq": "moq", "used_lot": "lot",
    "unit_cost": "unit_cost", "value": "order_value", "on_shelf": "on_shelf", "on_order": "on_order",
    "allocated": "allocated", "used_position": "position", "shelf_empty_on": "shelf_empty_on",
    "cost": "expected_cost", "idle_cost": "cost_without_order", "service": "expected_service",
    "used_service": "wanted_service", "reachable": "service_reachable", "method": "method", "assumed": "assumed",
    **{f"{figure}_{policy}": f"{policy}_{figure}" for policy in POLICIES for figure in ("quantity", "cost")},
    "reason": "reason",
}  # fmt: skip


def proposal_of(made: Mapping[str, Any]) -> pd.DataFrame:
    """The orders alone, by supplier, the dearest first: the columns an ERP takes."""
    frame: pd.DataFrame = made["decisions"]
    orders = frame[frame["status"] == "order"].copy()
    orders["unit"] = made["summary"]["unit"]
    for name in _PROPOSAL:
        if name not in orders:
            orders[name] = pd.Series(dtype=float)
    orders = orders.sort_values(["supplier", "value", "item"], ascending=[True, False, True], kind="stable")
    return orders[list(_PROPOSAL)].rename(columns=_PROPOSAL).reset_index(drop=True)


def write_proposal(folder: Path, made: Mapping[str, Any]) -> None:
    """proposal.csv, proposal.parquet and decisions.parquet."""
    orders = proposal_of(made)
    write_parquet(orders, folder / "proposal.parquet")
    write_parquet(made["decisions"], folder / "decisions.parquet")
    write_csv(orders, folder / "proposal.csv")


def file_served(storage_root: Path, made: Mapping[str, Any], run_id: str, at: str) -> list[str]:
    """Keeps the proposal in `<storage root>/orders` for those who serve it, as the newest; see `models.proposals`.
    Returns what is to be said of it: nothing, or that an earlier one stays in its place."""
    orders, kept = proposal_of(made), Proposals(storage_root / "orders")
    if kept.add(_served(made, orders, run_id, at), partial(write_csv, orders)):
        return []
    stays = (kept.latest() or {}).get("run_id")
    return wrapped([f"Served    the proposal of run {stays} stays in its place: no item could be decided here"])


def _served(made: Mapping[str, Any], orders: pd.DataFrame, run_id: str, at: str) -> dict[str, Any]:
    """The summary and the dearest orders, strict JSON; `left_out` says how many more."""
    kept = orders.sort_values(["order_value", "item"], ascending=[False, True], kind="stable").head(SERVED_ROWS)
    rows = [{name: _plain(value) for name, value in row.items()} for row in kept.to_dict("records")]
    return {"run_id": run_id, "at": at, **made["summary"], "orders": rows, "left_out": len(orders) - len(rows)}


def headline(summary: Mapping[str, Any]) -> list[str]:
    """Items in = to order + nothing needed + no data, and by what it was decided."""
    n = summary["items"]
    lines = [
        f"Items     {n['in']} {summary['kind']} in = {n['ordered']} to order + {n['nothing_needed']} nothing needed + "
        f"{n['no_data']} no data",
        f"Method    {summary['method']}: {summary['method_reason']}",
    ]
    return wrapped(lines)


def told(made: Mapping[str, Any], folder: Path) -> list[str]:
    """What the proposal comes to, at 80 columns."""
    summary = made["summary"]
    lines = headline(summary)
    if summary["missing"]:
        lines.append("Missing   " + "; ".join(f"{name}: {count}" for name, count in summary["missing"].items()))
    if summary["assumed"]:
        lines.append("Assumed   " + "; ".join(f"{name}: {count}" for name, count in summary["assumed"].items()))
    if summary["cost"]:
        cost = summary["cost"]
        beside = ", ".join(f"{policy} {cost[policy]:,.0f}" for policy in POLICIES)
        lines.append(
            f"Cost      {cost['chosen']:,.0f} expected, {cost['without_orders']:,.0f} without orders; {beside}"
        )
    if summary["unreachable"]:
        lines.append(
            f"Service   {summary['unreachable']} items cannot reach the wanted service with any quantity: what is sold "
            "before an order can arrive is more than there is. Shorter lead times help, or an earlier order next time"
        )
    for match in summary["matches"]:
        share = match["matched_volume"] / match["volume"] if match["volume"] else 0.0
        lines.append(
            f"Join      {match['join']}: {match['matched_rows']} of {match['rows']} rows, {share:.0%} of volume"
        )
    lines += [f"Note      {note}" for note in summary["notes"]]
    table = _suppliers(summary) if summary["suppliers"] else []
    return [
        *wrapped(lines),
        *table,
        *where([("Proposal", folder / "proposal.csv"), ("Decisions", folder / "decisions.parquet")]),
    ]


def reasons(frame: pd.DataFrame, unit: str) -> list[str]:
    """Why, in words, a sentence a row of decisions.parquet."""
    out = []
    columns = ("status", "missing", "used_position", "daily_mean", "window_days", "shelf_empty_on", "cost", "idle_cost",
               "idle_service", "service", "used_service", "reachable", "method", "assumed", "quantity")  # fmt: skip
    for status, lacks, position, daily, window, empty, cost, idle, fill, served, wish, able, by, assumed, much in zip(
        *(frame[name] for name in columns), strict=True
    ):
        if status == "no_data":
            out.append(f"no data: {lacks}")
            continue
        here = f"{position:,.0f} at hand or coming beyond what is promised"
        need = f"{daily * window:,.0f} {unit} expected in {window:.0f} days, {here}"
        dry = f"; the shelf alone lasts until about {empty}" if empty else ""
        if status == "none":
            alone = f"; {fill:.0%} served without an order" if idle == idle else ""
            out.append(f"{need}{dry}{alone}")
        else:
            if not able:
                hard = f"; no quantity reaches {wish:.0%}" + (", this is the best" if by == "exact" else "")
            else:  # only a surrogate or a simple policy orders less than is wanted where more would do
                hard = f"; serves {served:.1%}, {wish:.1%} is wanted" if served < wish - _CLOSE else ""
            expected = daily * window
            least = f"; that is {much / expected:,.0f} times what is expected" if much > MUCH * expected > 0 else ""
            why = f"; ordered for the service, {fill:.0%} without an order" if cost > idle else ""
            out.append(f"{need}{dry}; costs {cost:,.0f}, without an order {idle:,.0f}{why}{hard}{least}"
                       + (f"; assumed: {assumed}" if assumed else ""))  # fmt: skip
    return out


def _suppliers(summary: Mapping[str, Any]) -> list[str]:
    """One line a supplier."""
    lines = [f"{'Supplier':<24}{'items':>7}{'quantity':>14}{'value':>14}{'MOQ':>10}{'lead':>8}"]
    for one in summary["suppliers"]:
        lead = "differs" if one["lead_time_days"] is None else f"{one['lead_time_days']:.0f} d"
        moq = "differs" if one["moq"] is None else f"{one['moq']:,.0f}"
        value = "not known" if one["value"] is None else f"{one['value']:,.0f}"
        name = one["supplier"] or "(none stated)"
        lines.append(f"{name[:23]:<24}{one['items']:>7}{one['quantity']:>14,.0f}{value:>14}{moq:>10}{lead:>8}")
    return lines


def _plain(value: Any) -> Any:
    """A cell as strict JSON has it: what is not known is null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
