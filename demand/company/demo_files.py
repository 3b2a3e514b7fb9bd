"""The demo's company as a folder of exports, with the quirks such exports have, each counted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from demand.company import demo_yarn_files as yarn
from demand.company.demo import Demo
from demand.company.demo_export import ISO, US, Export, amount, columns, day_text, days, documents
from demand.durable import write_whole

FILES = {
    "yarns": "yarn_master.csv",
    "stock": "yarn_stock.csv",
    "bom": "bill_of_materials.csv",
    "suppliers": "suppliers.csv",
    "purchase_orders": "yarn_purchase_orders.csv",
    "receipts": "expected_receipts.csv",
    "yarn_needs": "yarn_demand_by_style.csv",
    "yarn_weeks": "yarn_demand_by_week.csv",
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


def write_company(folder: Path, demo: Demo, seed: int = 0) -> dict[str, dict[str, int]]:
    """Writes the tables of `FILES`, and NOISE with what is known of the labels; returns the quirks of each table.

    Titles, byte order marks, negatives in parentheses, blank and double rows, `Never`, `Remove`, costs of 0, header
    rows without yarn, yarns that come twice in a base, earlier versions, HTML switches, padded ids, a JSON array called
    .csv, receipts by week with past due. Raises StorageError when a file cannot be written.
    """
    rng = np.random.default_rng([seed, 2**34])
    makers = {
        "yarns": yarn.yarns, "stock": yarn.stock, "bom": yarn.bom, "suppliers": yarn.suppliers,
        "purchase_orders": yarn.purchase_orders, "receipts": yarn.receipts, "yarn_needs": yarn.yarn_needs,
        "yarn_weeks": yarn.yarn_weeks, "open_orders": _open_orders, "knit_orders": _knit_orders,
        "style_master": _style_master, "style_stock": _style_stock, "labels": yarn.labels,
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


def _open_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    header = ["Status", "SO #", "Style #", "CSR", "Unit Price", "On Hold", "UOM", "Ordered", "Picked/Shipped",
              "Balance", "Sold To", "Ship To", "Ship Date"]  # fmt: skip
    spelt = {"yds": ("YDS", "Yd", "yards"), "lbs": ("LBS", "lb")}
    units = [spelt[unit][int(rng.integers(len(spelt[unit])))] for unit in table["unit"]]
    held = rng.random(n) < 0.05
    pads = ["" if x < 0.9 else "  " for x in rng.random(n)]
    rows = columns(
        ["Open"] * n, documents(rng, n), [f"{style}{pad}" for style, pad in zip(table["style"], pads, strict=True)],
        [f"CSR {c}" for c in rng.integers(1, 5, n).tolist()], amount(rng.uniform(3, 9, n), currency="$"),
        [_ON if on else _OFF for on in held], units, amount(table["quantity"]),
        amount(table["quantity"] - table["balance"]), amount(table["balance"]),
        [f"Customer {c:03d}" for c in rng.integers(0, 40, n).tolist()], ["Dock 1"] * n,
        days(table["ship_date"], US),
    )  # fmt: skip
    cancelled = max(1, n // 50)
    for at in sorted(rng.choice(n, cancelled, replace=False).tolist(), reverse=True):
        rows.insert(at, ["Cancelled", *documents(rng, 1), *rows[at][2:]])
    quirks = {"on hold": int(held.sum()), "cancelled": cancelled,
              "without ship date": int(table["ship_date"].isna().sum())}  # fmt: skip
    return Export(header, rows, title="Open Sales Orders", quirks=quirks)


def _knit_orders(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    header = ["Style #", "Order #", "Start Date", "Quoted Date", "Qty Ordered (lbs)", "Shipped (lbs)", "Balance (lbs)",
              "Machine", "PO#"]  # fmt: skip
    rows = columns(
        table["style"], documents(rng, n), days(table["start"], ISO), days(table["quoted"], ISO),
        amount(table["ordered_lb"]), amount(table["shipped_lb"]), amount(table["balance_lb"], parentheses=True),
        [f"{machine}.0" for machine in table["machine"]], documents(rng, n),
    )  # fmt: skip
    return Export(header, rows)


def _write_cross_reference(path: Path, demo: Demo, rng: np.random.Generator) -> dict[str, int]:
    """A JSON array under the name of a CSV file, its keys in any order."""
    table = demo.company.cross_reference
    assert table is not None
    records = []
    for style, base, version in table.itertuples(index=False, name=None):
        record = {"fStyle#": f"{style} ", "gBase": base, "gVer Created": day_text(version, ISO)}
        keys = list(record)
        records.append({keys[at]: record[keys[at]] for at in rng.permutation(3)})
    text = json.dumps(records, ensure_ascii=False)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return {"rows": len(records)}


def _style_master(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    n = len(table)
    rows = columns(
        [f"{style} " for style in table["style"]], amount(table["yds_per_lb"]),
        [f"{w:.1f}" for w in rng.choice([58.0, 60.0, 62.5], n)], [f"{g}" for g in rng.integers(120, 380, n).tolist()],
    )  # fmt: skip
    return Export(["Style#", "Yds/Lbs", "Overall Width", "GSM"], rows,
                  quirks={"yards a pound not known": int(table["yds_per_lb"].isna().sum())})  # fmt: skip


def _style_stock(table: pd.DataFrame, rng: np.random.Generator, demo: Demo) -> Export:
    rows = columns(table["style"], amount(table["quantity"]), ["YDS"] * len(table))
    return Export(["Style #", "Finished Stock", "UOM"], rows, title=f"Finished goods {demo.today}")
