"""`python -m tests.bench.tabular [ROWS]`: seconds and memory of features and fine-tuning on a table of 20 columns.

Each stage runs in a process of its own that may use 4 GB of data memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 1_000_000
LIMIT = 4 * 2**30
STAGES = ("features", "regression", "classification")


def write_table(path: Path, n: int) -> None:
    """20 columns: a date, an id, three texts, fourteen numbers, the revenue they move."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + np.sort(rng.integers(0, 1500, n))
    numbers = {f"n{i}": rng.normal(size=n).round(4) for i in range(14)}
    texts = {f"c{i}": rng.choice([f"k{j}" for j in range(4 * (i + 1))], n) for i in range(3)}
    revenue = (50 * numbers["n0"] + 20 * numbers["n1"] ** 2 + 10 * rng.normal(size=n) + 200).round(2)
    table = {"id": np.arange(n), "date": days.astype("datetime64[D]"), **numbers, **texts, "revenue": revenue}
    arrow_csv.write_csv(pa.table(table), path)


def stage(name: str, path: Path) -> None:
    """Prints the seconds of each step and the peak of resident memory."""
    from demand.business_table import read_business_table
    from demand.sources import SourceSettings
    from features.tabular.engineering import CustomFeatureEngineering
    from models.tabular import MLModelFineTuning

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    began = time.perf_counter()
    told = {}
    if name == "features":
        frame = read_business_table(SourceSettings(path=str(path))).frame
        told["read"], began = time.perf_counter() - began, time.perf_counter()
        maker = CustomFeatureEngineering()
        maker.complete_feature_pipeline(frame, "date", ["revenue", "n0", "n1"], ["c0", "c1", "c2"], group_col="c2")
        told[f"{maker.get_feature_summary()['total_features']} features"] = time.perf_counter() - began
    else:
        tuner = MLModelFineTuning(path)
        frame = tuner.load_business_data()
        told["read"], began = time.perf_counter() - began, time.perf_counter()
        metrics = tuner.fine_tune_pipeline(frame, "revenue" if name == "regression" else "c0")
        told["learned"] = time.perf_counter() - began
        measured = metrics[name]
        told["R2" if name == "regression" else "accuracy"] = measured.get("r2_score", measured.get("accuracy"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:15}", *[f"{what} {value:.2f}" for what, value in told.items()], f"peak {peak:.2f} GB", flush=True)


def main(n: int = ROWS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, n)
        print(f"{n:,} rows x 20 columns, {path.stat().st_size / 2**20:.0f} MB; load average {os.getloadavg()[0]:.1f}")
        for name in STAGES:
            subprocess.run([sys.executable, "-m", "tests.bench.tabular", name, str(path)], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        stage(sys.argv[1], Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
