"""The demo fleet's company: every table as it truly is, seeded. `demo_files` writes them down as exports do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demand.calendar import Dates
from demand.company.demo_supply import (
    cents,
    frame_of,
    known_days,
    partly_known,
    purchase_orders,
    receipts_of,
    yarn_needs_of,
    yarn_weeks_of,
)  # fmt: skip
from demand.company.demo_yarns import FIBRES, NE_DENIER, Yarns, compatible, label_pairs, make_yarns
from demand.company.tables import Company
from demand.fleet import Plan, SyntheticSettings, daily_demand, days_of, plan_of
from demand.panel import Floats, Ints, Strings
from demand.units import UNIT_WORDS

YARNS, LABELS, SUPPLIERS, MACHINES = 400, 4_000, 14, 24
LABEL_NOISE = 0.04
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
    orders, on_time = purchase_orders(rng, made, names, today)
    a, b = label_pairs(rng, made, labels)
    turned = rng.random(len(a)) < LABEL_NOISE
    company = Company(
        yarns=_yarns(rng, made, names),
        stock=_stock(rng, made, names, need, today),
        bom=bom,
        suppliers=suppliers,
        purchase_orders=orders,
        receipts=receipts_of(rng, orders, today),
        yarn_needs=yarn_needs_of(rng, plan.ids, bases, bom, rate * per_yard, today),
        yarn_weeks=yarn_weeks_of(rng, made, need, today),
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


def _suppliers(rng: np.random.Generator) -> pd.DataFrame:
    lead = rng.integers(4, 15, SUPPLIERS).astype(float)
    moq = rng.choice([500.0, 1000.0, 2000.0, 2500.0, 5000.0], SUPPLIERS)
    lead[2] = moq[2] = np.nan  # one that is to be removed
    return frame_of(
        "suppliers",
        supplier=[f"Mill {at + 1:02d}" for at in range(SUPPLIERS)],
        supplier_id=[f"V{100 + at}" for at in range(SUPPLIERS)],
        lead_time=lead,
        moq_lb=moq,
        type=np.where(rng.random(SUPPLIERS) < 0.4, "Import", "Domestic").astype(object),
    )


def _yarns(rng: np.random.Generator, made: Yarns, names: Strings) -> pd.DataFrame:
    return frame_of(
        "yarns", yarn_id=made.yarn_id, supplier=names[made.supplier].astype(object), description=made.description,
        blend=made.blend, type=made.type, color=made.color, cost_per_lb=partly_known(rng, made.price, 0.04),
    )  # fmt: skip


def _style_master(rng: np.random.Generator, ids: Strings) -> pd.DataFrame:
    yards = partly_known(rng, cents(rng.uniform(1.6, 4.2, len(ids))), 0.24)
    return frame_of("style_master", style=ids.astype(object), yds_per_lb=yards)


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
    return frame_of("bom", base=base_of, yarn_id=yarn_of, share=share, unit=["lbs"] * len(rows))


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
    shelf = cents(np.where(need > 0, need * rng.uniform(0, 70, n), idle))
    allocated = 0.0 - cents(np.where(need > 0, need * rng.uniform(15, 60, n), idle * 0.3 * (rng.random(n) < 0.3)))
    on_order = cents(np.where(rng.random(n) < 0.35, np.maximum(need * 30, 500.0) * rng.uniform(0.2, 1.5, n), 0.0))
    known = rng.random(n) < 0.4
    frame = frame_of(
        "stock", yarn_id=made.yarn_id, supplier=names[made.supplier].astype(object), description=made.description,
        color=made.color, theoretical_lb=shelf, on_order_lb=on_order, allocated_lb=allocated,
        planning_lb=shelf + on_order + allocated, consumed_lb=0.0 - cents(need * rng.uniform(20, 40, n)),
        cost_per_lb=partly_known(rng, made.price, 0.04), reconciled=known_days(today - rng.integers(1, 200, n), known),
    )  # fmt: skip
    return frame[rng.random(n) < 0.93].reset_index(drop=True)


def _open_orders(rng: np.random.Generator, ids: Strings, rate: Floats, today: np.datetime64) -> pd.DataFrame:
    style = np.repeat(np.arange(len(ids)), rng.poisson(1.3, len(ids)))
    n = len(style)
    quantity = np.maximum(np.round(rate[style] * rng.uniform(2, 18, n) * 4) / 4, 25.0)
    balance = np.round(quantity * rng.choice([1.0, 1.0, 0.5, 0.25], n) * 4) / 4
    in_pounds = rng.random(n) < 0.02
    return frame_of(
        "open_orders", style=ids[style].astype(object), quantity=quantity, balance=balance,
        unit=np.where(in_pounds, "lbs", _UNIT).astype(object),
        ship_date=known_days(today + rng.integers(-10, 100, n), rng.random(n) < 0.88),
    )  # fmt: skip


def _knit_orders(rng: np.random.Generator, ids: Strings, pounds: Floats, today: np.datetime64) -> pd.DataFrame:
    """Two months of orders; a style is knit on one machine of its own gauge, now and then on another."""
    style = np.repeat(np.arange(len(ids)), rng.choice(4, len(ids), p=(0.1, 0.3, 0.3, 0.3)))
    n = len(style)
    own = rng.integers(0, MACHINES, len(ids))[style]
    machine = np.where(rng.random(n) < 0.9, own, rng.integers(0, MACHINES, n))
    age = rng.integers(0, 61, n)
    ordered = np.maximum(cents(pounds[style] * rng.uniform(20, 50, n)), 50.0)
    shipped = cents(ordered * np.where(age > 35, rng.uniform(0.95, 1.05, n), rng.uniform(0, 0.8, n)))
    start = today - age
    return frame_of(
        "knit_orders", style=ids[style].astype(object), start=start.astype("datetime64[ns]"),
        quoted=(start + rng.integers(18, 40, n)).astype("datetime64[ns]"), ordered_lb=ordered, shipped_lb=shipped,
        balance_lb=cents(ordered - shipped), machine=np.array([f"{150 + m}" for m in machine.tolist()], dtype=object),
    )  # fmt: skip


def _cross_reference(rng: np.random.Generator, ids: Strings, bases: Strings, today: np.datetime64) -> pd.DataFrame:
    """A row a style and version: a few styles are not listed, one in ten had another base before."""
    listed = np.flatnonzero(rng.random(len(ids)) < 0.97)
    created = today - rng.integers(100, 900, len(ids))
    before = listed[rng.random(len(listed)) < 0.1]
    style, base = np.concatenate([ids[listed], ids[before]]), np.concatenate([bases[listed], bases[before[::-1]]])
    version = np.concatenate([created[listed], created[before] - rng.integers(30, 400, len(before))])
    order = rng.permutation(len(style))
    return frame_of("cross_reference", style=style[order].astype(object), base=base[order].astype(object),
                  version=version[order].astype("datetime64[ns]"))  # fmt: skip


def _style_stock(rng: np.random.Generator, ids: Strings, rate: Floats) -> pd.DataFrame:
    counted = rng.random(len(ids)) < 0.85
    quantity = np.round(rate * rng.uniform(0, 100, len(ids)) * 4) / 4
    return frame_of("style_stock", style=ids[counted].astype(object), quantity=quantity[counted],
                  unit=[_UNIT] * int(counted.sum()))  # fmt: skip


def _labels(
    rng: np.random.Generator, made: Yarns, a: Ints, b: Ints, label: np.ndarray[tuple[int], np.dtype[np.bool_]],
    today: np.datetime64,
) -> pd.DataFrame:  # fmt: skip
    n = len(a)
    reason = np.where(label | (rng.random(n) < 0.4), "", rng.choice(_REASONS, n))
    return frame_of(
        "labels", yarn_a=made.yarn_id[a], yarn_b=made.yarn_id[b], is_substitutable=label.astype(np.int64),
        date=known_days(today - rng.integers(1, 700, n), rng.random(n) < 0.8), reason=reason.astype(object),
    )  # fmt: skip
