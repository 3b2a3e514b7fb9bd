"""The demo's company as a folder of exports, with the quirks such exports have, each counted."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.company.demo import Demo
from demand.durable import write_whole

FILES = {
    "yarns": "yarn_master.csv",
    "stock": "yarn_stock.csv",
    "bom": "bill_of_materials.csv",
    "suppliers": "suppliers.csv",
    "purchase_orders": "yarn_purchase_orders.csv",
    "receipts": "expected_receipts.csv",
    "open_orders": "open_sales_orders.csv",
    "knit_orders": "knit_orders.csv",
    "cross_reference": "style_cross_reference.csv",
    "style_master": "style_master.csv",
    "style_stock": "finished_stock.csv",
    "labels": "substitution_labels.csv",
}
NOISE = "label_noise.json"
_ON = '<label class="switch"><input type="checkbox" checked><span></span></label>'
_OFF = '<label class="switch"><input type="checkbox"><span></span></label>'
Row = list[str]


@dataclass(eq=False)
class Export:
    """One file on its way: header, rows, and how many of which quirk were put in."""

    header: Row
    rows: list[Row]
    title: str = ""
    quirks: dict[str, int] = field(default_factory=dict)

    def duplicate(self, rng: np.random.Generator, share: float) -> None:
        """Writes some rows twice, the copy right below."""
        chosen = set(rng.choice(len(self.rows), max(1, round(share * len(self.rows))), replace=False).tolist())
        self.rows = [row for at, row in enumerate(self.rows) for _ in range(2 if at in chosen else 1)]
        self.quirks["exact duplicate"] = len(chosen)

    def blank(self, rng: np.random.Generator, n: int) -> None:
        """Puts rows without any cell between the others."""
        for at in sorted(rng.choice(len(self.rows), n, replace=False).tolist(), reverse=True):
            self.rows.insert(at, [""] * len(self.header))
        self.quirks["blank row"] = n


def write_company(folder: Path, demo: Demo, seed: int = 0) -> dict[str, dict[str, int]]:
    """Writes the tables of `FILES`, and NOISE with what is known of the labels; returns the quirks of each table.

    Titles, byte order marks, negatives in parentheses, blank and double rows, `Never`, `Remove`, costs of 0, header
    rows without yarn, yarns that come twice in a base, earlier versions, HTML switches, padded ids, a JSON array called
    .csv, receipts by week with past due. Raises StorageError when a file cannot be written.
    """
    rng = np.random.default_rng([seed, 2**34])
    makers = {
        "yarns": _yarns, "stock": _stock, "bom": _bom, "suppliers": _suppliers, "purchase_orders": _purchase_orders,
        "receipts": _receipts, "open_orders": _open_orders, "knit_orders": _knit_orders, "style_master": _style_master,
        "style_stock": _style_stock, "labels": _labels,
    }  # fmt: skip
    quirks: dict[str, dict[str, int]] = {}
    for table, make in makers.items():
        export = make(getattr(demo.company, table), rng, demo)
        _write(folder / FILES[table], export, mark=table in ("yarns", "stock"))
        quirks[table] = export.quirks
    quirks["cross_reference"] = _write_cross_reference(folder / FILES["cross_reference"], demo, rng)
    known = {"label_noise": demo.label_noise, "accuracy_bound": demo.accuracy_bound, "flipped": demo.flipped}
    write_whole(folder / NOISE, lambda path: path.write_text(json.dumps(known, indent=1), encoding="utf-8"))
    return quirks


def _write(path: Path, export: Export, mark: bool) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as file:
            rows = csv.writer(file)
            if export.title:
                rows.writerow([export.title, *[""] * (len(export.header) - 1)])
            rows.writerow(export.header)
            rows.writerows(export.rows)

    write_whole(path, write)


def _columns(*columns: Iterable[str]) -> list[Row]:
    return [list(row) for row in zip(*columns, strict=True)]


def _amount(values: Iterable[float], *, currency: str = "", parentheses: bool = False, unknown: str = "") -> Row:
    texts = []
    for value in values:
        if np.isnan(value):
            texts.append(unknown)
            continue
        text = f"{currency}{abs(value):,.2f}"
        texts.append(text if value >= 0 else f"({text})" if parentheses else f"-{text}")
    return texts


def _cost(values: pd.Series) -> Row:
    return _amount(values, currency="$", unknown="$0.00")  # 0 means that it is not known


def _days(values: pd.Series, pattern: str, unknown: str = "") -> Row:
    return [unknown if day is pd.NaT else _day(day, pattern) for day in values]


def _day(day: Any, pattern: str) -> str:
    return pattern.format(y=day.year, yy=day.year % 100, m=day.month, d=day.day)


_ISO, _US, _US_SHORT = "{y:04d}-{m:02d}-{d:02d}", "{m}/{d}/{y}", "{m:02d}-{d:02d}-{yy:02d}"


def _yarns(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    stock = demo.company.stock
    assert stock is not None
    found = stock.set_index("yarn_id").reindex(table["yarn_id"])
    blank = [""] * n
    header = ["Desc#", "Supplier", "Description", "Blend", "Type", "Color", "Desc_1", "Desc_2", "Desc_3", "On_Order",
              "Allocated", "Planning_Ballance", "Cost_Pound", "Total_Cast"]  # fmt: skip
    size = [text.split(" ")[0] for text in table["description"]]
    rows = _columns(
        table["yarn_id"], table["supplier"], table["description"], table["blend"], table["type"], table["color"], size,
        table["type"], blank, _amount(found["on_order_lb"]), _amount(found["allocated_lb"], parentheses=True),
        _amount(found["planning_lb"], parentheses=True), _cost(table["cost_per_lb"]),
        _amount(found["planning_lb"] * table["cost_per_lb"].to_numpy(), currency="$", parentheses=True),
    )  # fmt: skip
    export = Export(header, rows, quirks={"cost of 0": int(table["cost_per_lb"].isna().sum())})
    export.duplicate(rng, 0.01)
    export.blank(rng, 3)
    return export


def _stock(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    stated = table["planning_lb"].to_numpy().copy()
    wrong = rng.choice(n, 2, replace=False)
    stated[wrong] += 100.0
    header = ["Desc#", "Supplier", "Description", "Color", "Beginning Balance", "Received", "Consumed", "Adjustments",
              "Theoretical Balance", "On Order", "Allocated", "Planning Balance", "Cost/Pound", "Total Cost",
              "Reconcile Date", "Misc"]  # fmt: skip
    zero = _amount(np.zeros(n))
    rows = _columns(
        table["yarn_id"], table["supplier"], table["description"], table["color"],
        _amount(table["theoretical_lb"] - table["consumed_lb"]), zero, _amount(table["consumed_lb"], parentheses=True),
        zero, _amount(table["theoretical_lb"]), _amount(table["on_order_lb"]),
        _amount(table["allocated_lb"], parentheses=True), _amount(stated, parentheses=True),
        _cost(table["cost_per_lb"]), _amount(table["theoretical_lb"] * table["cost_per_lb"], currency="$"),
        _days(table["reconciled"], _ISO, "Never"), [""] * n,
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


def _bom(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
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


def _suppliers(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    gone = table["lead_time"].isna()
    lead = [f"{value:.0f}" if known else "Remove" for value, known in zip(table["lead_time"], ~gone, strict=True)]
    moq = ["Remove" if np.isnan(value) else f"{value:,.0f}" for value in table["moq_lb"]]
    rows = _columns(table["supplier_id"], table["supplier"], lead, moq, table["type"])
    return Export(["Supplier_ID", "Supplier", "Lead_time", "MOQ", "Type"], rows, quirks={"Remove": int(gone.sum())})


def _purchase_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    header = ["PO#", "Desc#", "Ordered", "Requested", "Quoted", "Qty", "Balance", "Supplier", "$/lb"]
    rows = _columns(
        _documents(rng, len(table)), table["yarn_id"], _days(table["ordered"], _US), _days(table["requested"], _US),
        _days(table["quoted"], _US), _amount(table["quantity_lb"]), _amount(table["balance_lb"]), table["supplier"],
        _cost(table["cost_per_lb"]),
    )  # fmt: skip
    export = Export(header, rows, title="Yarn Purchase Orders")
    export.duplicate(rng, 0.01)
    return export


def _receipts(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    """A row an order, a column a week with its Monday as heading, "Past Due" before them."""
    known = table["week"].dropna()
    first = known.min()
    weeks = [first + pd.Timedelta(7 * at, "D") for at in range(max(3, 1 + (known.max() - first).days // 7))]
    header = ["PO#", "Desc#", "Supplier", "Past Due", *[_day(week, _US) for week in weeks]]
    rows = []
    for order, (yarn, supplier, week, quantity) in zip(
        _documents(rng, len(table)), table.itertuples(index=False, name=None), strict=True
    ):
        at = 3 if week is pd.NaT else 4 + weeks.index(week)
        cells = [order, yarn, supplier, *[""] * (1 + len(weeks))]
        cells[at] = _amount([quantity], parentheses=True)[0]
        rows.append(cells)
    quirks = {"past due": int(table["week"].isna().sum()), "weeks": len(weeks),
              "below zero": int((table["quantity_lb"] < 0).sum())}  # fmt: skip
    return Export(header, rows, quirks=quirks)


def _open_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    header = ["Status", "SO #", "Style #", "CSR", "Unit Price", "On Hold", "UOM", "Ordered", "Picked/Shipped",
              "Balance", "Sold To", "Ship To", "Ship Date"]  # fmt: skip
    spelt = {"yds": ("YDS", "Yd", "yards"), "lbs": ("LBS", "lb")}
    units = [spelt[unit][int(rng.integers(len(spelt[unit])))] for unit in table["unit"]]
    held = rng.random(n) < 0.05
    pads = ["" if x < 0.9 else "  " for x in rng.random(n)]
    rows = _columns(
        ["Open"] * n, _documents(rng, n), [f"{style}{pad}" for style, pad in zip(table["style"], pads, strict=True)],
        [f"CSR {c}" for c in rng.integers(1, 5, n).tolist()], _amount(rng.uniform(3, 9, n), currency="$"),
        [_ON if on else _OFF for on in held], units, _amount(table["quantity"]),
        _amount(table["quantity"] - table["balance"]), _amount(table["balance"]),
        [f"Customer {c:03d}" for c in rng.integers(0, 40, n).tolist()], ["Dock 1"] * n,
        _days(table["ship_date"], _US),
    )  # fmt: skip
    cancelled = max(1, n // 50)
    for at in sorted(rng.choice(n, cancelled, replace=False).tolist(), reverse=True):
        rows.insert(at, ["Cancelled", *_documents(rng, 1), *rows[at][2:]])
    quirks = {"on hold": int(held.sum()), "cancelled": cancelled,
              "without ship date": int(table["ship_date"].isna().sum())}  # fmt: skip
    return Export(header, rows, title="Open Sales Orders", quirks=quirks)


def _knit_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    header = ["Style #", "Order #", "Start Date", "Quoted Date", "Qty Ordered (lbs)", "Shipped (lbs)", "Balance (lbs)",
              "Machine", "PO#"]  # fmt: skip
    rows = _columns(
        table["style"], _documents(rng, n), _days(table["start"], _ISO), _days(table["quoted"], _ISO),
        _amount(table["ordered_lb"]), _amount(table["shipped_lb"]), _amount(table["balance_lb"], parentheses=True),
        [f"{machine}.0" for machine in table["machine"]], _documents(rng, n),
    )  # fmt: skip
    return Export(header, rows)


def _write_cross_reference(path: Path, demo: Demo, rng: np.random.Generator) -> dict[str, int]:
    """A JSON array under the name of a CSV file, its keys in any order."""
    table = demo.company.cross_reference
    assert table is not None
    records = []
    for style, base, version in table.itertuples(index=False, name=None):
        record = {"fStyle#": f"{style} ", "gBase": base, "gVer Created": _day(version, _ISO)}
        keys = list(record)
        records.append({keys[at]: record[keys[at]] for at in rng.permutation(3)})
    text = json.dumps(records, ensure_ascii=False)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return {"rows": len(records)}


def _style_master(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    rows = _columns(
        [f"{style} " for style in table["style"]], _amount(table["yds_per_lb"]),
        [f"{w:.1f}" for w in rng.choice([58.0, 60.0, 62.5], n)], [f"{g}" for g in rng.integers(120, 380, n).tolist()],
    )  # fmt: skip
    return Export(["Style#", "Yds/Lbs", "Overall Width", "GSM"], rows,
                  quirks={"yards a pound not known": int(table["yds_per_lb"].isna().sum())})  # fmt: skip


def _style_stock(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    rows = _columns(table["style"], _amount(table["quantity"]), ["YDS"] * len(table))
    return Export(["Style #", "Finished Stock", "UOM"], rows, title=f"Finished goods {demo.today}")


def _labels(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    said = ["approved" if one else "rejected" for one in table["is_substitutable"]]
    rows = _columns(table["yarn_a"], table["yarn_b"], said, _days(table["date"], _US_SHORT), table["reason"])
    export = Export(["yarn_a", "yarn_b", "is_substitutable", "date", "reason"], rows)
    export.duplicate(rng, 0.002)
    return export


def _documents(rng: np.random.Generator, n: int) -> Sequence[str]:
    return [f"{at}" for at in rng.choice(900_000, n, replace=False) + 100_000]
