"""How fast a large export is read, and in how much memory: `python -m tests.bench.reading [--rows 5000000]`.

The file is an invoice export of 11 columns and 3,000 styles over three years, once as CSV and once as Parquet; each is
ingested in a process of its own. Seconds belong to this machine and its load.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.ingest import ingest
from demand.sources import SourceSettings
from tests.bench.stages import measured

STYLES, DAYS = 3_000, 1_095


def table_of(rows: int) -> pa.Table:
    """Invoice lines in order of date, numbers spelt as an export spells them."""
    rng = np.random.default_rng(0)
    dates = np.datetime_as_string(np.datetime64("2022-01-01") + np.arange(DAYS), unit="D").tolist()
    quantity, price = np.round(rng.gamma(1.0, 40.0, rows), 2), np.round(rng.lognormal(1.7, 0.3, rows), 2)

    def drawn(texts: list[str]) -> pa.Array:
        return pa.array(texts).take(pa.array(rng.integers(0, len(texts), rows)))

    day = pa.array(np.sort(rng.integers(0, DAYS, rows)))
    return pa.table(
        {
            "Document": pa.array(np.arange(rows) + 100_000),
            "Invoice Date": pa.array([f"{d[5:7]}-{d[8:10]}-{d[2:4]}" for d in dates]).take(day),
            "Customer": drawn([f"Customer {i:03d}" for i in range(400)]),
            "fStyle#": drawn([f"ABC{i:05d}/1" for i in range(STYLES)]),
            "Yds_ordered": pa.array(quantity),
            "UOM": drawn(["YDS"]),
            "Unit Price": pa.array([f" ${cell:.2f} " for cell in price]),
            "Line Price": pa.array([f" ${cell:,.2f} " for cell in quantity * price]),
            "Sales Rep": drawn([f"Rep {i}" for i in range(9)]),
            "Commission": drawn([""] * 49 + ["3.0%"]),
            "PO#": drawn([f"PO{i:06d}" for i in range(100_000)]),
        }
    )


def write(folder: str, rows: int) -> None:
    table = table_of(rows)
    arrow_csv.write_csv(table, Path(folder) / "sales.csv")
    parquet.write_table(table, Path(folder) / "sales.parquet")


def read(path: str) -> dict[str, float]:
    found = ingest(SourceSettings(path=path), ColumnSettings(), CleaningSettings())
    return {"rows": found.report.rows_in}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        measured(write, folder, rows)
        for name in ("sales.csv", "sales.parquet"):
            path = Path(folder) / name
            found = measured(read, str(path))
            size = path.stat().st_size / 1e6
            print(
                f"{name:<14} {size:,.0f} MB  {found['rows']:,} rows in {found['seconds']} s "
                f"({found['rows'] / found['seconds']:,.0f} rows/s), peak {found['peak_mb']:,} MB"
            )


if __name__ == "__main__":
    main()
