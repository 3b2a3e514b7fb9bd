"""The demo's yarn tables as exports: master, stock, bills of materials, suppliers, orders, demand, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from demand.company.demo import Demo
from demand.company.demo_export import ISO, US, US_SHORT, Export, Row, amount, columns, cost, day_text, days, documents


def yarns(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    stock = demo.company.stock
    assert stock is not None
    found = stock.set_index("yarn_id").reindex(table["yarn_id"])
    blank = [""] * n
    header = ["Desc#", "Supplier", "Description", "Blend", "Type", "Color", "Desc_1", "Desc_2", "Desc_3", "On_Order",
              "Allocated", "Planning_Ballance", "Cost_Pound", "Total_Cast"]  # fmt: skip
    size = [text.split(" ")[0] for text in table["description"]]
    rows = columns(
        table["yarn_id"], table["supplier"], table["description"], table["blend"], table["type"], table["color"], size,
        table["type"], blank, amount(found["on_order_lb"]), amount(found["allocated_lb"], parentheses=True),
        amount(found["planning_lb"], parentheses=True), cost(table["cost_per_lb"]),
        amount(found["planning_lb"] * table["cost_per_lb"].to_numpy(), currency="$", parentheses=True),
    )  # fmt: skip
    export = Export(header, rows, quirks={"cost of 0": int(table["cost_per_lb"].isna().sum())})
    export.duplicate(rng, 0.01)
    export.blank(rng, 3)
    return export


def stock(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    stated = table["planning_lb"].to_numpy().copy()
    wrong = rng.choice(n, 2, replace=False)
    stated[wrong] += 100.0
    header = ["Desc#", "Supplier", "Description", "Color", "Beginning Balance", "Received", "Consumed", "Adjustments",
              "Theoretical Balance", "On Order", "Allocated", "Planning Balance", "Cost/Pound", "Total Cost",
              "Reconcile Date", "Misc"]  # fmt: skip
    zero = amount(np.zeros(n))
    rows = columns(
        table["yarn_id"], table["supplier"], table["description"], table["color"],
        amount(table["theoretical_lb"] - table["consumed_lb"]), zero, amount(table["consumed_lb"], parentheses=True),
        zero, amount(table["theoretical_lb"]), amount(table["on_order_lb"]),
        amount(table["allocated_lb"], parentheses=True), amount(stated, parentheses=True),
        cost(table["cost_per_lb"]), amount(table["theoretical_lb"] * table["cost_per_lb"], currency="$"),
        days(table["reconciled"], ISO, "Never"), [""] * n,
    )  # fmt: skip
    quirks = {
        "planning is not the sum": len(wrong),
        "never reconciled": int(table["reconciled"].isna().sum()),
        "cost of 0": int(table["cost_per_lb"].isna().sum()),
    }
    export = Export(header, rows, quirks=quirks)
    export.duplicate(rng, 0.01)
    export.blank(rng, 2)
    return export


def bom(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    """Some bases with a row of their own, an earlier version with other yarns, or one yarn in two rows."""
    rows: list[Row] = []
    heads = earlier = split = 0
    for base, part in table.groupby("base", sort=False):
        versions = [2] if rng.random() < 0.92 else [1, 2]
        for version in versions:
            style = f"{base}/{version}"
            if rng.random() < 0.3:
                rows.append([style, "", "", ""])
                heads += 1
            for yarn, share in zip(part["yarn_id"], part["share"], strict=True):
                if version < versions[-1]:
                    rows.append([style, yarn, f"{share * 0.9:.4f}", "lbs"])
                    earlier += 1
                elif share > 0.2 and rng.random() < 0.03:
                    first = round(share * 0.6, 4)
                    rows += [[style, yarn, f"{first:.4f}", "lbs"], [style, yarn, f"{share - first:.4f}", "lbs"]]
                    split += 1
                else:
                    rows.append([style, yarn, f"{share:.4f}", "lbs"])
    quirks = {"header row without yarn": heads, "another version of the base": earlier, "repeated yarn": split}
    return Export(["Style#", "Desc#", "BOM_Percent", "unit"], rows, quirks=quirks)


def suppliers(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    gone = table["lead_time"].isna()
    lead = [f"{value:.0f}" if known else "Remove" for value, known in zip(table["lead_time"], ~gone, strict=True)]
    moq = ["Remove" if np.isnan(value) else f"{value:,.0f}" for value in table["moq_lb"]]
    rows = columns(table["supplier_id"], table["supplier"], lead, moq, table["type"])
    return Export(["Supplier_ID", "Supplier", "Lead_time", "MOQ", "Type"], rows, quirks={"Remove": int(gone.sum())})


def purchase_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    header = ["PO#", "Desc#", "Ordered", "Requested", "Quoted", "Qty", "Balance", "Supplier", "$/lb"]
    rows = columns(
        documents(rng, len(table)), table["yarn_id"], days(table["ordered"], US), days(table["requested"], US),
        days(table["quoted"], US), amount(table["quantity_lb"]), amount(table["balance_lb"]), table["supplier"],
        cost(table["cost_per_lb"]),
    )  # fmt: skip
    export = Export(header, rows, title="Yarn Purchase Orders")
    export.duplicate(rng, 0.01)
    return export


def receipts(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    """A row an order, a column a week with its Monday as heading, "Past Due" before them."""
    known = table["week"].dropna()
    first = known.min()
    weeks = [first + pd.Timedelta(7 * at, "D") for at in range(max(3, 1 + (known.max() - first).days // 7))]
    header = ["PO#", "Desc#", "Supplier", "Past Due", *[day_text(week, US) for week in weeks]]
    rows = []
    for order, (yarn, supplier, week, quantity) in zip(
        documents(rng, len(table)), table.itertuples(index=False, name=None), strict=True
    ):
        at = 3 if week is pd.NaT else 4 + weeks.index(week)
        cells = [order, yarn, supplier, *[""] * (1 + len(weeks))]
        cells[at] = amount([quantity], parentheses=True)[0]
        rows.append(cells)
    quirks = {"past due": int(table["week"].isna().sum()), "weeks": len(weeks),
              "below zero": int((table["quantity_lb"] < 0).sum())}  # fmt: skip
    return Export(header, rows, quirks=quirks)


def _week_names(weeks: Sequence[Any]) -> Row:
    """The first is This Week, the others have their ISO number and no year."""
    return ["This Week", *[f"Week {pd.Timestamp(week).isocalendar().week}" for week in weeks[1:]]]


def yarn_needs(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    """Percentages 0 to 100, the last week called Later; the title has the day of the snapshot."""
    weeks = sorted(table["week"].unique())
    keys = table[["yarn_id", "style", "share"]].drop_duplicates()
    wide = table.pivot(index=["yarn_id", "style", "share"], columns="week", values="quantity_lb").reindex(
        pd.MultiIndex.from_frame(_as_listed(demo, keys))
    )
    rows = [[style, yarn, f"{100 * share:.2f}", *amount(cells)]
            for (yarn, style, share), cells in zip(wide.index, wide.to_numpy(), strict=True)]  # fmt: skip
    header = ["Style#", "Desc#", "Percentage", *_week_names(weeks[:-1]), "Later"]
    return Export(header, rows, title=f"Yarn Demand by Style {demo.today}")


def _as_listed(demo: Demo, keys: pd.DataFrame) -> pd.DataFrame:
    """The keys in the order of the bill of materials, so that reading week by week gives the table back."""
    bom = demo.company.bom
    assert bom is not None
    place = {pair: at for at, pair in enumerate(zip(bom["base"], bom["yarn_id"], strict=True))}
    at = [place[(style.partition("/")[0], yarn)] for yarn, style in zip(keys["yarn_id"], keys["style"], strict=True)]
    return keys.iloc[np.argsort(at)]


def yarn_weeks(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    """Three blocks of the same weeks, named in the line above them, with empty columns between."""
    order = table["yarn_id"].drop_duplicates().tolist()
    weeks = table["week"].drop_duplicates().tolist()
    names = ["Past Due", *_week_names(weeks[1:])]
    header, above, cells = ["Desc#"], [""], [order]
    for figure, block in (("demand_lb", "Demand"), ("receipts_lb", "Receipts"), ("balance_lb", "Balance")):
        header += ["", *names]
        above += ["", block, *[""] * (len(names) - 1)]
        cells.append([""] * len(order))
        for week in weeks:
            part = table[table["week"].isna()] if week is pd.NaT else table[table["week"] == week]
            cells.append(amount(part[figure]))
    rows = [above, header, *columns(*cells)]
    title = [f"Yarn Demand by Week {demo.today}", *[""] * (len(header) - 1)]
    return Export(title, rows)


def labels(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    said = ["approved" if one else "rejected" for one in table["is_substitutable"]]
    rows = columns(table["yarn_a"], table["yarn_b"], said, days(table["date"], US_SHORT), table["reason"])
    export = Export(["yarn_a", "yarn_b", "is_substitutable", "date", "reason"], rows)
    export.duplicate(rng, 0.002)
    return export
