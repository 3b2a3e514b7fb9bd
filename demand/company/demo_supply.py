"""What the demo's company buys: purchase orders, what is still to come, and what its yarns are needed for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demand.calendar import Dates
from demand.company.demo_yarns import Yarns
from demand.company.tables import COLUMNS
from demand.panel import Floats, Strings

FEW_ORDERS = (2, 4)  # of the first suppliers: too few to say how reliable they are


def frame_of(table: str, **columns: object) -> pd.DataFrame:
    """A frame with the columns of the table, in their order."""
    return pd.DataFrame(columns)[list(COLUMNS[table])].reset_index(drop=True)


def cents(values: Floats) -> Floats:
    """Rounded as files write them."""
    return np.round(values, 2)


def partly_known(rng: np.random.Generator, values: Floats, share: float) -> Floats:
    """The values, a share of them not known."""
    return np.where(rng.random(len(values)) < share, np.nan, values)


def known_days(values: Dates, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Dates:
    """Days, NaT where they are not known."""
    return np.where(known, values.astype("datetime64[ns]"), np.datetime64("NaT", "ns"))


def purchase_orders(
    rng: np.random.Generator, made: Yarns, names: Strings, today: np.datetime64
) -> tuple[pd.DataFrame, dict[str, tuple[int, float]]]:
    """Orders of the last 300 days. One is on time when the supplier names no later day than was asked for."""
    parts, on_time = [], {}
    for at, name in enumerate(names.tolist()):
        yarns = np.flatnonzero(made.supplier == at)
        if not len(yarns):
            continue
        n = FEW_ORDERS[at] if at < len(FEW_ORDERS) else int(rng.integers(10, 41))
        kept = rng.permutation(n) < round(rng.uniform(0.6, 1.0) * n)
        yarn = rng.choice(yarns, n)
        ordered = today - rng.integers(0, 300, n)
        requested = ordered + np.maximum(7, np.round(rng.normal(38, 12, n))).astype(np.int64)
        quoted = requested + np.where(kept, -rng.integers(0, 6, n), rng.integers(3, 31, n))
        quantity = cents(rng.choice([500, 1000, 1500, 2200, 4400], n) * rng.uniform(0.9, 1.1, n))
        balance = np.where(quoted <= today, 0.0, cents(quantity * rng.choice([1.0, 0.6], n)))
        parts.append(pd.DataFrame({
            "yarn_id": made.yarn_id[yarn], "supplier": name, "ordered": ordered, "requested": requested,
            "quoted": quoted, "quantity_lb": quantity, "balance_lb": balance, "cost_per_lb": made.price[yarn],
        }))  # fmt: skip
        on_time[name] = (n, float(kept.mean()))
    orders = pd.concat(parts, ignore_index=True)
    orders = orders.iloc[rng.permutation(len(orders))]
    for column in ("ordered", "requested", "quoted"):
        orders[column] = orders[column].astype("datetime64[ns]")
    return orders[list(COLUMNS["purchase_orders"])].reset_index(drop=True), on_time


def receipts_of(rng: np.random.Generator, orders: pd.DataFrame, today: np.datetime64) -> pd.DataFrame:
    """What is still to come, in the week of the day that the supplier names; a few are past due, one taken back."""
    due = orders[orders["balance_lb"] > 0]
    day = due["quoted"].to_numpy().astype("datetime64[D]")
    monday = day - ((day.astype(np.int64) + 3) % 7).astype("timedelta64[D]")
    late = rng.random(len(due)) < 0.1
    quantity = due["balance_lb"].to_numpy().copy()
    if late.any():
        quantity[np.flatnonzero(late)[0]] *= -1
    return frame_of("receipts", yarn_id=due["yarn_id"].to_numpy(), supplier=due["supplier"].to_numpy(),
                  week=known_days(monday, ~late), quantity_lb=quantity)  # fmt: skip


def weeks_ahead(today: np.datetime64, n: int) -> Dates:
    """The Mondays of this week and the n - 1 that follow."""
    monday = today - (int(today.astype(np.int64)) + 3) % 7
    return np.asarray(monday + 7 * np.arange(n), dtype="datetime64[ns]")


def yarn_needs_of(
    rng: np.random.Generator, ids: Strings, bases: Strings, bom: pd.DataFrame, pounds: Floats, today: np.datetime64
) -> pd.DataFrame:
    """What the styles' recent rate takes of each yarn in six weeks and after them, week by week."""
    style_of = dict(zip(bases.tolist(), ids.tolist(), strict=True))
    rate_of = dict(zip(bases.tolist(), pounds.tolist(), strict=True))
    weekly = bom["share"].to_numpy() * bom["base"].map(rate_of).to_numpy(dtype=np.float64) * 7
    parts = []
    for day in weeks_ahead(today, 7):
        part = pd.DataFrame({"yarn_id": bom["yarn_id"], "style": bom["base"].map(style_of), "share": bom["share"]})
        part["week"], part["quantity_lb"] = day, cents(weekly * (rng.random(len(bom)) < 0.6))
        parts.append(part[part["quantity_lb"] > 0])
    whole = pd.concat(parts)
    return whole[list(COLUMNS["yarn_needs"])].reset_index(drop=True)


def yarn_weeks_of(rng: np.random.Generator, made: Yarns, need: Floats, today: np.datetime64) -> pd.DataFrame:
    """Past due and six weeks of the yarns that the fleet takes."""
    used = np.flatnonzero(need > 0)
    balance = cents(need[used] * rng.uniform(0, 40, len(used)))
    parts = []
    for day in (np.datetime64("NaT", "ns"), *weeks_ahead(today, 6)):
        demand = cents(need[used] * 7 * rng.uniform(0.5, 1.5, len(used)))
        receipts = partly_known(rng, cents(need[used] * rng.uniform(5, 30, len(used))), 0.7)
        balance = cents(balance - demand + np.nan_to_num(receipts))
        parts.append(pd.DataFrame({
            "yarn_id": made.yarn_id[used], "week": day, "demand_lb": demand, "receipts_lb": receipts,
            "balance_lb": balance,
        }))  # fmt: skip
    whole = pd.concat(parts, ignore_index=True)
    whole["week"] = whole["week"].astype("datetime64[ns]")
    return whole
