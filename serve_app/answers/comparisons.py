"""`compare=`: the forecast beside finished stock, open orders and what the machines have knit, as they were released.

Every figure is of the styles that the answer shows and of the horizon asked for, in the unit sold. A style that the
table does not hold is not compared: it is counted, and never taken for 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from demand.panel import Floats
from serve_app.answers.asked import interval_level
from serve_app.answers.columns import numbers, values
from serve_app.answers.fleet import Fleet
from serve_app.answers.open_orders import ahead_of, placed, places_of
from serve_app.schemas.units import listed, number

AT_RISK = 0.05  # probability of a shortage from which a style is named
FIRST = 5
_NEXT_STEP = "and make a release: python -m jobs.pipeline company.folder=FOLDER"
_BLOCKS = {
    "stock": ("stock_comparison", "finished stock by style", "company.style_stock"),
    "orders": ("order_comparison", "open sales orders", "company.open_orders"),
    "capacity": ("capacity_comparison", "knit orders", "company.knit_orders"),
}


def comparison(asked: str | None, fleet: Fleet, periods: Floats | None = None) -> dict[str, Any]:
    """{block: the comparison, or no_data naming the table}; nothing when none is asked for.

    periods [N, H]: what every style of the release is expected to sell, where that is not the fleet's stored forecast.
    """
    if asked is None:
        return {}
    block, table, key = _BLOCKS[asked]
    facts = fleet.book.company.facts(asked)
    if facts is None:
        number_of = fleet.book.number
        return {block: _nothing(table, f"the table of {table} is not part of release {number_of}. Name it as {key} "
                                       f"{_NEXT_STEP}, or leave out compare")}  # fmt: skip
    if "why" in facts:
        return {block: _nothing(table, f"{table}: {facts['why']}. Give a fuller table as {key} {_NEXT_STEP}")}
    if asked == "orders":
        made = _orders(fleet, facts)
    else:
        ahead = fleet.book.means_of(fleet.model) if periods is None else periods
        made = (_stock if asked == "stock" else _capacity)(fleet, facts, ahead)
    if made is None:
        return {block: _nothing(table, f"none of these styles is in the table of {table}. Ask for others")}
    return {block: made}


def _nothing(table: str, reason: str) -> dict[str, Any]:
    return {"status": "no_data", "missing_table": table, "reason": reason}


# ---- stock --------------------------------------------------------------------------------------------------------


def _stock(fleet: Fleet, facts: Mapping[str, Any], ahead: Floats) -> dict[str, Any] | None:
    table = fleet.book.company.table("stock")
    found = _of_styles(fleet, table, "quantity")
    known = ~np.isnan(found)
    if not known.any():
        return None
    names = np.array(values(fleet.table, "unique_id"))
    forecast = fleet.ahead(fleet.horizon)
    chance = _shortage(fleet, found)
    cover = days_of_cover(_daily(fleet, ahead), found)
    short = known & ((forecast > found) | (chance > AT_RISK))
    worst = np.flatnonzero(short)[np.lexsort((names[short], cover[short], -np.nan_to_num(chance[short], nan=-1.0)))]
    return {
        "status": "success",
        "table": facts["table"],
        "horizon_days": fleet.horizon,
        "current_stock": dict(zip(names[known].tolist(), listed(found[known]), strict=True)),
        "forecast_vs_stock": {
            name: {"forecast": f, "stock": s, "gap": g}
            for name, f, s, g in zip(names[known].tolist(), listed(forecast[known]), listed(found[known]),
                                     listed((found - forecast)[known]), strict=True)
        },
        "shortage_risk": [
            {"style": name, "probability": p, "days_of_cover": None if np.isnan(days) else int(days)}
            for name, p, days in zip(names[worst].tolist(), listed(chance[worst]), cover[worst].tolist(), strict=True)
        ],
        "not_known": _not_known(names[~known]),
    }  # fmt: skip


def _shortage(fleet: Fleet, stock: Floats) -> Floats:
    """[N]: the chance that the horizon's demand is larger than the stock; NaN where no bounds are stated.

    Half of a normal curve on either side of the forecast, as wide as the stated bounds: at a bound the chance is the
    one that the release states, at the forecast it is one half.
    """
    from scipy.stats import norm

    level, days = interval_level(fleet.book), fleet.horizon
    if level is None:
        return np.full(len(fleet), np.nan)
    z = float(norm.ppf((1 + level) / 2))
    middle = fleet.ahead(days)
    lower, upper = (numbers(fleet.table, f"{side}_{days}_days") for side in ("lower", "upper"))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(stock < middle, middle - lower, upper - middle) / z
        away = np.where(stock == middle, 0.0, (stock - middle) / spread)
    chance: Floats = np.round(norm.sf(away), 6)
    return np.where(np.isnan(lower) | np.isnan(upper) | np.isnan(stock), np.nan, chance)


def _daily(fleet: Fleet, ahead: Floats) -> Floats:
    """[n, D]: what the first 1, 2, .. D days sell in total, D the whole days that the release covers."""
    days = ahead_of(fleet.book)
    until = np.array([days.shares(1, day) for day in range(1, days.covered + 1)])
    return np.asarray(ahead[places_of(fleet)] @ until.T)


def days_of_cover(cumulated: Floats, stock: Floats) -> Floats:
    """[N]: whole days that the stock [N] lasts under cumulated demand [N, D]; NaN: longer than D, or not known."""
    lasts = (cumulated <= stock[:, None]).cumprod(axis=1).sum(axis=1)
    return np.where((lasts == cumulated.shape[1]) | np.isnan(stock), np.nan, lasts.astype(np.float64))


# ---- open orders --------------------------------------------------------------------------------------------------


def _orders(fleet: Fleet, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    book = fleet.book
    orders = placed(book)
    if orders is None:
        return None
    mine = orders.take(places_of(fleet))
    open_now, names = mine.open, np.array(values(fleet.table, "unique_id"))
    some = open_now > 0
    if not some.any():
        return None
    due = mine.periods @ ahead_of(book).total(fleet.horizon)
    forecast = fleet.ahead(fleet.horizon)
    stock = _of_styles(fleet, book.company.table("stock"), "quantity")
    short = np.maximum(due - stock, 0.0)  # NaN where the stock is not known
    risk = some & ((mine.overdue > 0) | (short > 0) | (np.isnan(stock) & (due > forecast)))
    worst = np.flatnonzero(risk)[np.lexsort((names[risk], -mine.overdue[risk], -np.nan_to_num(short[risk])))]
    return {
        "status": "success",
        "table": facts["table"],
        "horizon_days": fleet.horizon,
        "open_orders": dict(zip(names[some].tolist(), listed(open_now[some]), strict=True)),
        "forecast_vs_orders": {
            name: {"forecast": f, "due": d, "gap": g}
            for name, f, d, g in zip(names[some].tolist(), listed(forecast[some]), listed(due[some]),
                                     listed((forecast - due)[some]), strict=True)
        },
        "fulfillment_risk": [
            {"style": name, "due": d, "overdue": o, "stock": s, "short": q}
            for name, d, o, s, q in zip(names[worst].tolist(), listed(due[worst]), listed(mine.overdue[worst]),
                                        listed(stock[worst]), listed(short[worst]), strict=True)
        ],
        "without_date": number(mine.undated.sum()),
        "beyond_horizon": number(mine.beyond.sum()),
    }  # fmt: skip


# ---- capacity -----------------------------------------------------------------------------------------------------


def _capacity(fleet: Fleet, facts: Mapping[str, Any], ahead: Floats) -> dict[str, Any] | None:
    """The machines' own figures are of all styles they knit, those outside the answer among them."""
    book = fleet.book
    knit, machines = book.company.table("knit"), book.company.table("machines")
    if knit is None or machines is None:
        return None
    on = np.asarray(pa.compute.index_in(knit["machine"], machines["machine"]).to_numpy(zero_copy_only=False))
    weight, share = numbers(knit, "pounds_a_unit"), numbers(knit, "share")
    able = numbers(machines, "pounds_a_day") * fleet.horizon  # [M] pounds
    row = np.asarray(pa.compute.index_in(knit["unique_id"], book.ids).to_numpy(zero_copy_only=False), dtype=np.int64)
    everyone = ahead @ ahead_of(book).total(fleet.horizon)
    wanted = np.nan_to_num(everyone[row] * weight * share)  # [K] pounds
    load = np.bincount(on, wanted, minlength=len(able)) + numbers(machines, "open_pounds")
    per_style = np.bincount(row, able[on] / weight, minlength=len(book.ids))
    listed_there = np.bincount(row, minlength=len(book.ids)) > 0
    places = places_of(fleet)
    known = listed_there[places]
    if not known.any():
        return None
    names, forecast = np.array(values(fleet.table, "unique_id")), fleet.ahead(fleet.horizon)
    capacity = per_style[places]
    over = np.flatnonzero(load > able)
    over = over[np.argsort(-(load[over] - able[over]), kind="stable")]
    label = values(machines, "machine")
    return {
        "status": "success",
        "table": facts["table"],
        "horizon_days": fleet.horizon,
        "basis": f"pounds knit a day from {facts['first_day']} to {facts['last_day']}; no rated capacity",
        "production_capacity": dict(zip(names[known].tolist(), listed(capacity[known]), strict=True)),
        "forecast_vs_capacity": {
            name: {"forecast": f, "capacity": c, "gap": g}
            for name, f, c, g in zip(names[known].tolist(), listed(forecast[known]), listed(capacity[known]),
                                     listed((capacity - forecast)[known]), strict=True)
        },
        "bottlenecks": [
            {"machine": label[m], "capacity_pounds": float(able[m]), "load_pounds": float(load[m]),
             "styles": int(np.unique(row[on == m]).size)}
            for m in over.tolist()
        ],
        "not_known": _not_known(names[~known]),
    }  # fmt: skip


def _of_styles(fleet: Fleet, table: pa.Table | None, column: str) -> Floats:
    """[N]: a column of a table with one row a style; NaN where the table does not hold the style."""
    found = np.full(len(fleet), np.nan)
    if table is None:
        return found
    at = pa.compute.index_in(fleet.table["unique_id"], table["unique_id"].combine_chunks())
    place = np.asarray(pa.compute.fill_null(at, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    found[place >= 0] = numbers(table, column)[place[place >= 0]]
    return found


def _not_known(names: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"styles": len(names), "first": names[:FIRST].tolist()}
