"""Do scores hang on names, order or unit? `python -m tests.bench.invariance TABLE.parquet [key=value ..]`.

TABLE has unique_id, ds and y; the rest are settings of `jobs.backtest` (freq=MS season=12 horizon=6 ..). The same
backtest is run four times: on the table, with other ids, with its rows in another order, and with y times 7.3. One row
each: the ensemble's measures as ratios to the first run's. Measures without a unit should be 1; what is left is chance:
models that sample rows or windows draw others when the order of the series changes.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from jobs import backtest
from jobs.entry import exit_code

MEASURES = ("wape", "mase", "rmsse", "wql")
FACTOR = 7.3
SEED = 0

CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it is": lambda frame: frame,
    "ids renamed": lambda frame: frame.assign(
        unique_id=[hashlib.sha256(str(name).encode()).hexdigest()[:12] for name in frame["unique_id"]]
    ),
    "rows shuffled": lambda frame: frame.sample(frac=1.0, random_state=SEED),
    f"y times {FACTOR}": lambda frame: frame.assign(y=frame["y"] * FACTOR),
}


def measured(frame: pd.DataFrame, settings: list[str], folder: Path) -> dict[str, float]:
    """The ensemble's measures of one backtest of this table. Raises RuntimeError when the job failed."""
    source = folder / "table.parquet"
    frame.to_parquet(source)
    arguments = [f"source.path={source}", f"storage={folder / 'storage'}", "run_id=bench", *settings]
    code = exit_code("backtest", backtest.body, arguments)
    if code:
        raise RuntimeError(f"jobs.backtest ended with {code}")
    board = pd.read_parquet(folder / "storage/runs/bench/leaderboard.parquet")
    return {
        str(name): float(value) for name, value in board[board["model"] == "ensemble"][list(MEASURES)].iloc[0].items()
    }


def main(path: Path, settings: list[str]) -> None:
    frame = pd.read_parquet(path)
    found = {}
    for name, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measured(change(frame), settings, Path(folder))
    first = found["as it is"]
    table = Table("table", *first, title=f"Ratios to the table as it is ({frame['unique_id'].nunique()} series)")
    for name, row in found.items():
        table.add_row(name, *(f"{row[measure] / first[measure]:.4f}" for measure in first))
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
