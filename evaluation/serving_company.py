"""What a release keeps of the company's tables: stock and open orders of its styles, and what its machines have knit.

Computed once, when the release is made; every quantity in the unit sold. Serving reads these files and nothing else, so
that the same request to the same release has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demand.company.joins import Match, pounds_per_unit
from demand.company.settings import CompanySettings
from demand.company.tables import NAMES, Company
from demand.panel import Floats, Strings
from demand.parsing import Bools
from demand.units import unit_word

FEWEST_DAYS = 28  # of knit orders, from which a rate a day is told
STOCK, ORDERS, CAPACITY = "stock", "orders", "capacity"


@dataclass(frozen=True, eq=False)
class Kept:
    """The frames of a release, each with what is to be said of it; a table that was not given is in neither.

    stock     unique_id, quantity, assumed: finished goods; a style that is not in it was not counted
    orders    unique_id, due (NaT: no day stated), quantity, assumed: open sales orders by style and day
    machines  machine, pounds_a_day, open_pounds: what it knit a day, and what it still has to knit
    knit      unique_id, machine, share, pounds_a_unit, assumed: on which machines a style was knit (shares add up to 1)
    facts     of stock, orders, capacity: source, rows and quantity matched; of what cannot be told: why
    """

    frames: dict[str, pd.DataFrame]
    facts: dict[str, dict[str, Any]]


def kept_tables(company: Company, ids: Strings, unit: str, settings: CompanySettings) -> Kept:
    """What is kept of the tables for the styles `ids` [N], sold in `unit`.

    assumed: the quantity went through an assumed weight of a yard (`demand.company.joins.pounds_per_unit`). Rows of
    styles that the release does not know, and of units that cannot be converted, are counted and left out.
    """
    frames: dict[str, pd.DataFrame] = {}
    facts: dict[str, dict[str, Any]] = {}
    sold = unit_word(unit)
    if company.style_stock is not None:
        rows = company.style_stock.rename(columns={"style": "unique_id"})
        rows, facts[STOCK] = _matched(rows, ["quantity"], "style_stock", ids, sold, company, settings)
        frames[STOCK] = _sum(rows, ["unique_id"])
    if company.open_orders is not None:
        rows = company.open_orders.rename(columns={"style": "unique_id", "ship_date": "due"})
        rows = rows.drop(columns="quantity").rename(columns={"balance": "quantity"})
        rows = rows[rows["quantity"] > 0]
        rows, facts[ORDERS] = _matched(rows, ["quantity"], "open_orders", ids, sold, company, settings)
        frames[ORDERS] = _sum(rows, ["unique_id", "due"])
    if company.knit_orders is not None:
        found, facts[CAPACITY] = _capacity(company, ids, sold, settings)
        frames |= found
    return Kept(frames, facts)


def unit_factors(
    styles: Strings, units: str | Sequence[str], sold: str, company: Company, settings: CompanySettings
) -> tuple[Floats, Bools]:
    """(units sold that one unit of a row is [N], whether that is assumed [N]); NaN where neither has a weight.

    The same unit is 1, whether it has a weight or not. A row without a unit is in the unit sold.
    """
    given = np.full(len(styles), units) if isinstance(units, str) else np.asarray(units, dtype=str)
    given = np.where(given == "", sold, given)
    pounds, rough = pounds_per_unit(styles, given.tolist(), company, settings)
    own, own_rough = pounds_per_unit(styles, sold, company, settings)
    same = given == sold
    return np.where(same, 1.0, pounds / own), np.where(same, False, rough | own_rough)


def _matched(
    rows: pd.DataFrame, quantities: list[str], table: str, ids: Strings, sold: str, company: Company,
    settings: CompanySettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:  # fmt: skip
    """The rows of known styles with their quantities in the unit sold, and how many of all these are."""
    styles = rows["unique_id"].to_numpy(dtype=str)
    factor, assumed = unit_factors(styles, rows["unit"].tolist(), sold, company, settings)
    volume = rows[quantities[0]].to_numpy(dtype=np.float64) * factor
    known, measured = np.isin(styles, ids), ~np.isnan(factor)
    joined = Match.of("style", styles, known & measured, volume, sold)
    kept = rows[known & measured].copy()
    kept[quantities] = kept[quantities].mul(factor[known & measured], axis=0)
    kept["assumed"] = assumed[known & measured]
    facts = {
        "table": NAMES[table], "unit": sold, "rows": joined.rows, "rows_matched": joined.matched_rows,
        "quantity": joined.volume, "quantity_matched": joined.matched_volume, "unmatched": list(joined.unmatched),
        "unit_not_known": int((~measured).sum()), "rows_assumed": int(kept["assumed"].sum()),
    }  # fmt: skip
    return kept.drop(columns="unit"), facts


def _sum(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    grouped = rows.groupby(key, sort=True, dropna=False)
    return grouped.agg({"quantity": "sum", "assumed": "any"}).reset_index()


def _capacity(
    company: Company, ids: Strings, sold: str, settings: CompanySettings
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """What each machine has shown it knits: pounds shipped of the orders that were begun, over the days from the first
    start to the last. That is no rated capacity: an idle machine shows less than it could.
    """
    orders = company.knit_orders
    assert orders is not None
    told: dict[str, Any] = {"table": NAMES["knit_orders"], "rows": len(orders)}
    placed = orders[(orders["machine"] != "") & orders["start"].notna()]
    if not len(placed):
        return {}, told | {"why": "no knit order states a machine and a start date"}
    first, last = placed["start"].min(), placed["start"].max()
    days = (last - first).days + 1
    told |= {"rows_matched": len(placed), "first_day": str(first)[:10], "last_day": str(last)[:10], "days": days}
    if days < FEWEST_DAYS:
        return {}, told | {"why": f"the knit orders span {days} days; a rate needs {FEWEST_DAYS}"}
    by_machine = placed.assign(
        shipped_lb=placed["shipped_lb"].fillna(0.0), balance_lb=placed["balance_lb"].clip(lower=0.0).fillna(0.0)
    ).groupby("machine", sort=True)[["shipped_lb", "balance_lb"]].sum()  # fmt: skip
    machines = pd.DataFrame({
        "machine": by_machine.index.to_numpy(dtype=object), "pounds_a_day": by_machine["shipped_lb"].to_numpy() / days,
        "open_pounds": by_machine["balance_lb"].to_numpy(),
    })  # fmt: skip
    known = placed[placed["style"].isin(ids)]
    if not len(known):
        return {}, told | {"why": "no knit order is of a style that is forecast"}
    knit = known.groupby(["style", "machine"], sort=True)["ordered_lb"].sum().reset_index(name="share")
    knit["share"] /= knit.groupby("style")["share"].transform("sum")
    knit = knit[knit["share"] > 0].rename(columns={"style": "unique_id"})
    weight, assumed = pounds_per_unit(knit["unique_id"].to_numpy(dtype=str), sold, company, settings)
    knit["pounds_a_unit"], knit["assumed"] = weight, assumed
    if np.isnan(weight).all():
        return {}, told | {"why": f"the weight of a unit sold ({sold or 'not stated'}) is not known"}
    told |= {"machines": len(machines), "styles": int(knit["unique_id"].nunique()), "styles_assumed": int(
        knit.loc[knit["assumed"], "unique_id"].nunique())}  # fmt: skip
    return {"machines": machines, "knit": knit.reset_index(drop=True)}, told
