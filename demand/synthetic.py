"""A seeded fleet of knit styles whose true demand is known: as a panel, or as the raw sales file it would leave behind.

Nothing here is fitted to anybody's data. The same settings give the same numbers, run after run.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from demand.calendar import Calendar, Dates
from demand.durable import write_whole
from demand.fleet import CLASSES, CONTROL_CLASS, SyntheticSettings, daily_demand, days_of, hostile_names, plan_of
from demand.panel import Floats, Ints, Panel, Strings

__all__ = [
    "CLASSES", "CONTROL_CLASS", "SALES_FILE", "UNIT", "SyntheticSettings", "fleet_panel", "hostile_names",
    "write_sales_export",
]  # fmt: skip

UNIT = "yds"
SALES_FILE = "sales_activity_report.csv"


def fleet_panel(settings: SyntheticSettings) -> Panel:
    """The fleet's true demand in yards, with static columns demand_class, category, yarn, gauge and colour.

    kind "fleet": style i sells on day t with a chance, and then sells an amount,

        dense   chance_i * min(1, 2 * life_it)   base_i * s_it * noise_it
        sparse  min(1, chance_i * s_it)          base_i * noise_it
        log s_it = growth_i * years before the end + year_i * (cos(a) + cos(2a) / 4) + strength_i * log(week factor)
                   + log(holiday factor) + level_it + log(life_it),       a = 2 pi (day of year - peak_i) / 365.25

    with gamma noise of mean 1 and level an AR(1) process. Peaks are shared within a category. life is 1, but rises as
    1 - exp(-age / 30) for a new style (first sold in the last 120 days; two of them a few days ago) and falls as a
    logistic curve to nothing for a dying one. US public holidays leave a quarter of a day's demand, the end of December
    half.

    kind "control": the demand of a day is the sum of Poisson(rate_i) orders of exponential size, the same every day:
    independent and identically distributed, so the mean is the best forecast there is.

    Every amount is a multiple of 1/4 yard (exact in binary: sums in any order agree to the bit). A series starts with
    its first sale and runs to the last whole period that ends on or before `settings.end`. Over another span of days
    the same seed draws other numbers. y is finite and >= 0. demand_class is that of the daily demand, also when `freq`
    is coarser. Raises SettingsError when the history holds no whole period.
    """
    calendar = Calendar(settings.freq)
    days = days_of(settings)
    number = calendar.containing(days)
    first_day_of = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])  # [P] position in days of each period
    plan = plan_of(settings, days)
    parts, lengths = [], []
    for start, daily in daily_demand(settings, plan, days):
        y = np.add.reduceat(daily, first_day_of, axis=1)  # [n, P]
        first = number[start] - number[0]
        parts.append(y[np.arange(y.shape[1]) >= first[:, None]])
        lengths.append(y.shape[1] - first)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    y = np.concatenate(parts)
    return Panel(plan.ids, indptr, y, int(number[-1]), calendar.freq, static=plan.static, unit=UNIT)


# ---- the raw file -------------------------------------------------------------------------------------------------

_HEADER = (
    "Document", "Invoice Date", "Customer", "fStyle#", "Yds_ordered", "UOM", "Unit Price", "Line Price", "",
    "1st Invoice", "Sales Rep", "Commission", "Selling Co", "PO#", "",
)  # fmt: skip


def write_sales_export(folder: Path, settings: SyntheticSettings) -> Path:
    """Writes `folder`/sales_activity_report.csv, the invoice lines behind the fleet's demand; returns its path.

    What a manufacturer's export looks like: a title line, a byte order mark, CRLF, dates as mm-dd-yy, ` $4.07 `,
    ` $6,215.19 `, thousands separators, two empty columns, Commission blank in 98 of 100 rows, style ids padded with
    blanks, a unit after some prices, 2.7 % of the line prices off by more than 1 %. Beside the lines that make up the
    demand there are

        0.2 %  rows written twice, exactly alike
        0.2 %  lines in kg, of styles otherwise sold in yards
        0.3 %  wrong invoices, each followed on the same day by its credit (negative, half of them in parentheses)

    So exact duplicates removed, kg left out and credits netted, the sums of a style and day equal `fleet_panel` of the
    same settings with freq "D", to the bit. Raises StorageError when it cannot be written.
    """
    rng = np.random.default_rng([settings.seed, 2**32])  # no block of styles has this number
    days = days_of(settings)
    plan = plan_of(settings, days)
    lines = _invoice_lines(rng, daily_demand(settings, plan, days), len(plan.ids))
    columns = _as_text(rng, lines, plan.ids, days)
    title = [f"Sales Activity Report {days[0]} to {days[-1]}"] + [""] * (len(_HEADER) - 1)

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8-sig", newline="") as file:
            rows = csv.writer(file)  # ends lines with CRLF
            rows.writerow(title)
            rows.writerow(_HEADER)
            rows.writerows(zip(*columns, strict=True))

    return write_whole(folder / SALES_FILE, write)


class _Lines(NamedTuple):
    """Invoice lines in order of date, exact duplicates side by side [L]."""

    document: Ints
    style: Ints
    day: Ints
    quantity: Floats
    in_kg: NDArray[np.bool_]
    price: Floats  # of one unit


def _invoice_lines(rng: np.random.Generator, blocks: Iterator[tuple[Ints, Floats]], n_styles: int) -> _Lines:
    found, first = [], 0
    for start, daily in blocks:
        row, day = np.nonzero(daily)
        found.append((row + first, day, daily[row, day]))
        first += len(start)
    style, day, total = (np.concatenate(part) for part in zip(*found, strict=True))
    n = len(total)
    # one day in twelve is two orders; both parts stay multiples of 1/4 yard
    in_two = np.flatnonzero((rng.random(n) < 1 / 12) & (total >= 2))
    part = np.floor(total[in_two] * rng.uniform(0.2, 0.8, len(in_two)) * 4) / 4
    part = np.maximum(part, 0.25)
    total[in_two] -= part
    wrong = rng.choice(n, -(-3 * n // 1000), replace=False)
    in_kg = rng.choice(n, -(-2 * n // 1000), replace=False)
    quantity = np.concatenate([total, part, 10 * total[wrong], -10 * total[wrong], np.round(total[in_kg] * 0.3) + 1])
    source = np.concatenate([np.arange(n), in_two, wrong, wrong, in_kg])  # whose style and day each line has
    kg = np.arange(len(source)) >= len(source) - len(in_kg)
    order = np.lexsort((np.arange(len(source)), day[source]))
    source, quantity, kg = source[order], quantity[order], kg[order]
    dollars = rng.lognormal(np.log(5.5), 0.35, n_styles)[style[source]] * 1.03 ** (day[source] // 365)
    price = np.round(np.maximum(dollars, 0.5) * np.where(kg, 3.5, 1.0), 2)
    document = 100_000 + np.arange(len(source))
    copies = np.ones(len(source), dtype=np.int64)
    copies[rng.choice(len(source), -(-2 * len(source) // 1000), replace=False)] = 2
    lines = (document, style[source], day[source], quantity, kg, price)
    return _Lines(*(np.repeat(values, copies) for values in lines))


def _as_text(rng: np.random.Generator, lines: _Lines, ids: Strings, days: Dates) -> list[list[str]]:
    """The columns of `_HEADER`, each cell as the export spells it."""
    n = len(lines.document)
    at = np.unique(lines.document, return_inverse=True)[1]  # copies of a row draw the same numbers
    u = rng.random((7, n))[:, at]
    dates = [f"{d[5:7]}-{d[8:10]}-{d[2:4]}" for d in np.datetime_as_string(days, unit="D").tolist()]
    customer = (lines.style * 7 + (u[0] * 5).astype(np.int64)) % 40
    off = np.array([0.95, 1.04, 1.0])[np.searchsorted([0.0135, 0.027], u[1])]
    amount = np.round(lines.quantity * lines.price * off, 2)
    parentheses = u[2] < 0.5
    seen = np.unique(lines.style * 40 + customer, return_index=True)[1]
    first_invoice = np.isin(lines.document, lines.document[seen])
    blank = [""] * n
    after = np.array(["", " ", "   "])[np.searchsorted([0.85, 0.97], u[3])]
    unit_price = [f" ${p:,.2f}{' (yds)' if odd else ''} " for p, odd in zip(lines.price, u[4] < 0.005, strict=True)]
    return [
        lines.document.astype(str).tolist(),
        [dates[d] for d in lines.day],
        [f"Customer {c:03d}" for c in customer],
        [f"{ids[s]}{pad}" for s, pad in zip(lines.style, after, strict=True)],
        [_signed(q, "", p) for q, p in zip(lines.quantity, parentheses, strict=True)],
        np.where(lines.in_kg, "KG", "YDS").tolist(),
        unit_price,
        [f" {_signed(a, '$', p)} " for a, p in zip(amount, parentheses, strict=True)],
        blank,
        np.where(first_invoice, "Yes", "No").tolist(),
        [f"Rep {c % 6:02d}" for c in customer],
        [" 3.0% " if x < 0.02 else "" for x in u[5]],
        np.where(customer < 30, "01", "02").tolist(),
        [f"PO{int(x * 1e6):06d}" if x < 0.9 else "" for x in u[6]],
        blank,
    ]


def _signed(value: float, currency: str, parentheses: bool) -> str:
    text = f"{currency}{abs(value):,.2f}"
    return text if value >= 0 else f"({text})" if parentheses else f"-{text}"
