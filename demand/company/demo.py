"""The demo fleet's company: every table as it truly is, seeded. `demo_files` writes them down as exports do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demand.calendar import Dates
from demand.company.demo_yarns import FIBRES, NE_DENIER, Yarns, compatible, label_pairs, make_yarns
from demand.company.tables import COLUMNS, Company
from demand.fleet import Plan, SyntheticSettings, daily_demand, days_of, plan_of
from demand.panel import Floats, Ints, Strings
from demand.units import UNIT_WORDS

YARNS, LABELS, SUPPLIERS, MACHINES = 400, 4_000, 14, 24
LABEL_NOISE = 0.04
_FEW_ORDERS = (2, 4)  # of the first suppliers: too few to say how reliable they are
_RECENT = 90  # days whose mean demand the orders follow
_OUNCES_A_YARD = 5.5
_REASONS = ("shade", "hand", "shrinkage", "runs poorly", "too heavy")
_UNIT = next(iter(UNIT_WORDS))  # yds: what the sales are in


@dataclass(frozen=True, eq=False)
class Demo:
    """A generated company and what is known of it.

    label_noise: the chance that a label says the opposite of what the yarns are. accuracy_bound: the best accuracy that
    any classifier can expect, 1 - label_noise: that of one who knows the yarns themselves, not their notation.
    flipped: the share of these labels that were turned. on_time: supplier -> (orders, share of them on time).
    """

    company: Company
    yarns: Yarns
    label_noise: float
    accuracy_bound: float
    flipped: float
    on_time: Mapping[str, tuple[int, float]]
    today: np.datetime64


def make_company(fleet: SyntheticSettings, yarns: int = YARNS, labels: int = LABELS) -> Demo:
    """The tables of the fleet of these settings: same settings, same tables.

    Labels are `demo_yarns.compatible` of what the yarns are, turned with a chance of LABEL_NOISE. Of each supplier a
    stated share of its orders is on time.
    """
    rng = np.random.default_rng([fleet.seed, 2**33])
    days = days_of(fleet)
    plan = plan_of(fleet, days)
    today = days[-1]
    rate = _recent_rate(fleet, plan, days)  # yards a day
    made = make_yarns(rng, yarns, SUPPLIERS)
    suppliers = _suppliers(rng)
    names = suppliers["supplier"].to_numpy(dtype=str)
    bases = np.array([style.partition("/")[0] for style in plan.ids.tolist()])
    master = _style_master(rng, plan.ids)
    per_yard = 1 / master["yds_per_lb"].fillna(16 / _OUNCES_A_YARD).to_numpy()
    bom = _bom(rng, bases, plan, made)
    need = _daily_need(bases, bom, rate * per_yard, made)
    orders, on_time = _purchase_orders(rng, made, names, today)
    a, b = label_pairs(rng, made, labels)
    turned = rng.random(len(a)) < LABEL_NOISE
    company = Company(
        yarns=_yarns(rng, made, names),
        stock=_stock(rng, made, names, need, today),
        bom=bom,
        suppliers=suppliers,
        purchase_orders=orders,
        receipts=_receipts(rng, orders, today),
        yarn_needs=_yarn_needs(rng, plan.ids, bases, bom, rate * per_yard, today),
        yarn_weeks=_yarn_weeks(rng, made, need, today),
        open_orders=_open_orders(rng, plan.ids, rate, today),
        knit_orders=_knit_orders(rng, plan.ids, rate * per_yard, today),
        cross_reference=_cross_reference(rng, plan.ids, bases, today),
        style_master=master,
        style_stock=_style_stock(rng, plan.ids, rate),
        labels=_labels(rng, made, a, b, compatible(made, a, b) ^ turned, today),
    )
    return Demo(company, made, LABEL_NOISE, 1 - LABEL_NOISE, float(turned.mean()), on_time, today)


def _recent_rate(fleet: SyntheticSettings, plan: Plan, days: Dates) -> Floats:
    recent = [daily[:, -_RECENT:].mean(axis=1) for _, daily in daily_demand(fleet, plan, days)]
    return np.concatenate(recent)


def _frame(table: str, **columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)[list(COLUMNS[table])].reset_index(drop=True)


def _cents(values: Floats) -> Floats:
    return np.round(values, 2)


def _some(rng: np.random.Generator, values: Floats, share: float) -> Floats:
    """The values, a share of them not known."""
    return np.where(rng.random(len(values)) < share, np.nan, values)


def _dates(values: Dates, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Dates:
    return np.where(known, values.astype("datetime64[ns]"), np.datetime64("NaT", "ns"))


def _suppliers(rng: np.random.Generator) -> pd.DataFrame:
    lead = rng.integers(4, 15, SUPPLIERS).astype(float)
    moq = rng.choice([500.0, 1000.0, 2000.0, 2500.0, 5000.0], SUPPLIERS)
    lead[2] = moq[2] = np.nan  # one that is to be removed
    return _frame(
        "suppliers",
        supplier=[f"Mill {at + 1:02d}" for at in range(SUPPLIERS)],
        supplier_id=[f"V{100 + at}" for at in range(SUPPLIERS)],
        lead_time=lead,
        moq_lb=moq,
        type=np.where(rng.random(SUPPLIERS) < 0.4, "Import", "Domestic").astype(object),
    )


def _yarns(rng: np.random.Generator, made: Yarns, names: Strings) -> pd.DataFrame:
    return _frame(
        "yarns", yarn_id=made.yarn_id, supplier=names[made.supplier].astype(object), description=made.description,
        blend=made.blend, type=made.type, color=made.color, cost_per_lb=_some(rng, made.price, 0.04),
    )  # fmt: skip


def _style_master(rng: np.random.Generator, ids: Strings) -> pd.DataFrame:
    yards = _some(rng, _cents(rng.uniform(1.6, 4.2, len(ids))), 0.24)
    return _frame("style_master", style=ids.astype(object), yds_per_lb=yards)


def _bom(rng: np.random.Generator, bases: Strings, plan: Plan, made: Yarns) -> pd.DataFrame:
    """One to three yarns a base, the first as the style's notation says; a few bases list a part of their weight."""
    rows: list[tuple[str, str, float]] = []
    for base, text in zip(bases.tolist(), plan.static["yarn"].tolist(), strict=True):
        k = int(rng.choice((1, 2, 3), p=(0.5, 0.35, 0.15)))
        fitting = _like(made, text)
        yarns = dict.fromkeys([int(rng.choice(fitting[:6])), *rng.integers(0, len(made), k - 1).tolist()])
        cuts = np.sort(rng.choice(np.arange(5, 96), len(yarns) - 1, replace=False)) / 100
        shares = -np.sort(-np.diff(np.concatenate([[0.0], cuts, [1.0]])))
        if rng.random() < 0.06:
            shares = shares * 0.26
        rows += [(base, made.yarn_id[y], round(float(s), 4)) for y, s in zip(yarns, shares, strict=True)]
    base_of, yarn_of, share = (list(column) for column in zip(*rows, strict=True))
    return _frame("bom", base=base_of, yarn_id=yarn_of, share=share, unit=["lbs"] * len(rows))


def _like(made: Yarns, text: str) -> Ints:
    """Yarns in order of how near they are to a style's notation: "30/1 combed cotton" or "1/150/48 polyester"."""
    size, *words = text.split()
    numbers = [float(part) for part in size.split("/") if part.isdigit()]
    filament = len(numbers) == 3
    denier = numbers[1] if filament else NE_DENIER / numbers[0]
    fibre = next((FIBRES.index(word) for word in words if word in FIBRES), 0)
    distance = np.abs(np.log(made.denier / denier)) + 3 * (made.filament != filament) - 2 * made.composition[:, fibre]
    return np.argsort(distance, kind="stable")


def _daily_need(bases: Strings, bom: pd.DataFrame, pounds: Floats, made: Yarns) -> Floats:
    """Pounds a day of each yarn [Y] that the fleet's recent demand takes."""
    by_base = pd.Series(pounds).groupby(bases).sum()
    taken = bom["share"] * bom["base"].map(by_base)
    return taken.groupby(bom["yarn_id"]).sum().reindex(made.yarn_id).fillna(0.0).to_numpy()


def _stock(rng: np.random.Generator, made: Yarns, names: Strings, need: Floats, today: np.datetime64) -> pd.DataFrame:
    n = len(made)
    idle = rng.lognormal(6.0, 1.3, n) * (rng.random(n) < 0.9)
    shelf = _cents(np.where(need > 0, need * rng.uniform(0, 70, n), idle))
    allocated = 0.0 - _cents(np.where(need > 0, need * rng.uniform(15, 60, n), idle * 0.3 * (rng.random(n) < 0.3)))
    on_order = _cents(np.where(rng.random(n) < 0.35, np.maximum(need * 30, 500.0) * rng.uniform(0.2, 1.5, n), 0.0))
    known = rng.random(n) < 0.4
    frame = _frame(
        "stock", yarn_id=made.yarn_id, supplier=names[made.supplier].astype(object), description=made.description,
        color=made.color, theoretical_lb=shelf, on_order_lb=on_order, allocated_lb=allocated,
        planning_lb=shelf + on_order + allocated, consumed_lb=0.0 - _cents(need * rng.uniform(20, 40, n)),
        cost_per_lb=_some(rng, made.price, 0.04), reconciled=_dates(today - rng.integers(1, 200, n), known),
    )  # fmt: skip
    return frame[rng.random(n) < 0.93].reset_index(drop=True)


def _purchase_orders(
    rng: np.random.Generator, made: Yarns, names: Strings, today: np.datetime64
) -> tuple[pd.DataFrame, dict[str, tuple[int, float]]]:
    """Orders of the last 300 days. One is on time when the supplier names no later day than was asked for."""
    parts, on_time = [], {}
    for at, name in enumerate(names.tolist()):
        yarns = np.flatnonzero(made.supplier == at)
        if not len(yarns):
            continue
        n = _FEW_ORDERS[at] if at < len(_FEW_ORDERS) else int(rng.integers(10, 41))
        kept = rng.permutation(n) < round(rng.uniform(0.6, 1.0) * n)
        yarn = rng.choice(yarns, n)
        ordered = today - rng.integers(0, 300, n)
        requested = ordered + np.maximum(7, np.round(rng.normal(38, 12, n))).astype(np.int64)
        quoted = requested + np.where(kept, -rng.integers(0, 6, n), rng.integers(3, 31, n))
        quantity = _cents(rng.choice([500, 1000, 1500, 2200, 4400], n) * rng.uniform(0.9, 1.1, n))
        balance = np.where(quoted <= today, 0.0, _cents(quantity * rng.choice([1.0, 0.6], n)))
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


def _receipts(rng: np.random.Generator, orders: pd.DataFrame, today: np.datetime64) -> pd.DataFrame:
    """What is still to come, in the week of the day that the supplier names; a few are past due, one taken back."""
    due = orders[orders["balance_lb"] > 0]
    day = due["quoted"].to_numpy().astype("datetime64[D]")
    monday = day - ((day.astype(np.int64) + 3) % 7).astype("timedelta64[D]")
    late = rng.random(len(due)) < 0.1
    quantity = due["balance_lb"].to_numpy().copy()
    if late.any():
        quantity[np.flatnonzero(late)[0]] *= -1
    return _frame("receipts", yarn_id=due["yarn_id"].to_numpy(), supplier=due["supplier"].to_numpy(),
                  week=_dates(monday, ~late), quantity_lb=quantity)  # fmt: skip


def weeks_ahead(today: np.datetime64, n: int) -> Dates:
    """The Mondays of this week and the n - 1 that follow."""
    monday = today - (int(today.astype(np.int64)) + 3) % 7
    return np.asarray(monday + 7 * np.arange(n), dtype="datetime64[ns]")


def _yarn_needs(
    rng: np.random.Generator, ids: Strings, bases: Strings, bom: pd.DataFrame, pounds: Floats, today: np.datetime64
) -> pd.DataFrame:
    """What the styles' recent rate takes of each yarn in six weeks and after them, week by week."""
    style_of = dict(zip(bases.tolist(), ids.tolist(), strict=True))
    rate_of = dict(zip(bases.tolist(), pounds.tolist(), strict=True))
    weekly = bom["share"].to_numpy() * bom["base"].map(rate_of).to_numpy(dtype=np.float64) * 7
    parts = []
    for day in weeks_ahead(today, 7):
        part = pd.DataFrame({"yarn_id": bom["yarn_id"], "style": bom["base"].map(style_of), "share": bom["share"]})
        part["week"], part["quantity_lb"] = day, _cents(weekly * (rng.random(len(bom)) < 0.6))
        parts.append(part[part["quantity_lb"] > 0])
    whole = pd.concat(parts)
    return whole[list(COLUMNS["yarn_needs"])].reset_index(drop=True)


def _yarn_weeks(rng: np.random.Generator, made: Yarns, need: Floats, today: np.datetime64) -> pd.DataFrame:
    """Past due and six weeks of the yarns that the fleet takes."""
    used = np.flatnonzero(need > 0)
    balance = _cents(need[used] * rng.uniform(0, 40, len(used)))
    parts = []
    for day in (np.datetime64("NaT", "ns"), *weeks_ahead(today, 6)):
        demand = _cents(need[used] * 7 * rng.uniform(0.5, 1.5, len(used)))
        receipts = _some(rng, _cents(need[used] * rng.uniform(5, 30, len(used))), 0.7)
        balance = _cents(balance - demand + np.nan_to_num(receipts))
        parts.append(pd.DataFrame({
            "yarn_id": made.yarn_id[used], "week": day, "demand_lb": demand, "receipts_lb": receipts,
            "balance_lb": balance,
        }))  # fmt: skip
    whole = pd.concat(parts, ignore_index=True)
    whole["week"] = whole["week"].astype("datetime64[ns]")
    return whole


def _open_orders(rng: np.random.Generator, ids: Strings, rate: Floats, today: np.datetime64) -> pd.DataFrame:
    style = np.repeat(np.arange(len(ids)), rng.poisson(1.3, len(ids)))
    n = len(style)
    quantity = np.maximum(np.round(rate[style] * rng.uniform(2, 18, n) * 4) / 4, 25.0)
    balance = np.round(quantity * rng.choice([1.0, 1.0, 0.5, 0.25], n) * 4) / 4
    in_pounds = rng.random(n) < 0.02
    return _frame(
        "open_orders", style=ids[style].astype(object), quantity=quantity, balance=balance,
        unit=np.where(in_pounds, "lbs", _UNIT).astype(object),
        ship_date=_dates(today + rng.integers(-10, 100, n), rng.random(n) < 0.88),
    )  # fmt: skip


def _knit_orders(rng: np.random.Generator, ids: Strings, pounds: Floats, today: np.datetime64) -> pd.DataFrame:
    """Two months of orders; a style is knit on one machine of its own gauge, now and then on another."""
    style = np.repeat(np.arange(len(ids)), rng.choice(4, len(ids), p=(0.1, 0.3, 0.3, 0.3)))
    n = len(style)
    own = rng.integers(0, MACHINES, len(ids))[style]
    machine = np.where(rng.random(n) < 0.9, own, rng.integers(0, MACHINES, n))
    age = rng.integers(0, 61, n)
    ordered = np.maximum(_cents(pounds[style] * rng.uniform(20, 50, n)), 50.0)
    shipped = _cents(ordered * np.where(age > 35, rng.uniform(0.95, 1.05, n), rng.uniform(0, 0.8, n)))
    start = today - age
    return _frame(
        "knit_orders", style=ids[style].astype(object), start=start.astype("datetime64[ns]"),
        quoted=(start + rng.integers(18, 40, n)).astype("datetime64[ns]"), ordered_lb=ordered, shipped_lb=shipped,
        balance_lb=_cents(ordered - shipped), machine=np.array([f"{150 + m}" for m in machine.tolist()], dtype=object),
    )  # fmt: skip


def _cross_reference(rng: np.random.Generator, ids: Strings, bases: Strings, today: np.datetime64) -> pd.DataFrame:
    """A row a style and version: a few styles are not listed, one in ten had another base before."""
    listed = np.flatnonzero(rng.random(len(ids)) < 0.97)
    created = today - rng.integers(100, 900, len(ids))
    before = listed[rng.random(len(listed)) < 0.1]
    style, base = np.concatenate([ids[listed], ids[before]]), np.concatenate([bases[listed], bases[before[::-1]]])
    version = np.concatenate([created[listed], created[before] - rng.integers(30, 400, len(before))])
    order = rng.permutation(len(style))
    return _frame("cross_reference", style=style[order].astype(object), base=base[order].astype(object),
                  version=version[order].astype("datetime64[ns]"))  # fmt: skip


def _style_stock(rng: np.random.Generator, ids: Strings, rate: Floats) -> pd.DataFrame:
    counted = rng.random(len(ids)) < 0.85
    quantity = np.round(rate * rng.uniform(0, 100, len(ids)) * 4) / 4
    return _frame("style_stock", style=ids[counted].astype(object), quantity=quantity[counted],
                  unit=[_UNIT] * int(counted.sum()))  # fmt: skip


def _labels(
    rng: np.random.Generator, made: Yarns, a: Ints, b: Ints, label: np.ndarray[tuple[int], np.dtype[np.bool_]],
    today: np.datetime64,
) -> pd.DataFrame:  # fmt: skip
    n = len(a)
    reason = np.where(label | (rng.random(n) < 0.4), "", rng.choice(_REASONS, n))
    return _frame(
        "labels", yarn_a=made.yarn_id[a], yarn_b=made.yarn_id[b], is_substitutable=label.astype(np.int64),
        date=_dates(today - rng.integers(1, 700, n), rng.random(n) < 0.8), reason=reason.astype(object),
    )  # fmt: skip
