"""What jobs do with a made release: a look of `jobs.monitor` some days later, a proposal of `jobs.replenish`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from demand.panel import Panel
from jobs import monitor, replenish
from jobs.entry import exit_code
from models.registry import Registry


def look_at(registry_root: Path, panel: Panel, days: int, factor: float = 1.0, run_id: str = "look") -> None:
    """`days` more days of every style come, each `factor` times its last four weeks again, and the monitor looks."""
    source = registry_root.parent / "in" / f"{run_id}.parquet"
    source.parent.mkdir(exist_ok=True)
    dates = panel.calendar.dates(panel.end + 1 + np.arange(days))
    again = np.nan_to_num(factor * np.resize(panel.tail(28).T, (days, panel.n_series)).T)
    new = pd.DataFrame(
        {"unique_id": panel.ids.repeat(days), "ds": np.tile(dates, panel.n_series), "y": again.ravel()}
    ).astype({"unique_id": str})
    old = panel.to_frame().astype({"unique_id": str})
    pd.concat([old, new], ignore_index=True).to_parquet(source, index=False)
    released = Registry(registry_root).open("champion").json("card.json")
    told = [f"source.path={source}", f"storage.root={registry_root.parent}", f"run_id={run_id}", "progress=false",
            f"horizon={released['horizon']}", "log_level=WARNING"]  # fmt: skip
    code = exit_code("monitor", partial(monitor.body, now=datetime(2025, 12, 1, 2, tzinfo=UTC)), told)
    assert code == 0


def propose_at(registry_root: Path, panel: Panel, run_id: str = "proposal", on_shelf: float = 200.0) -> None:
    """A purchase proposal for the styles of a made release: of the first half the costs and stock are known, and each
    style has `on_shelf` more on the shelf than the one before."""
    known = panel.ids[: panel.n_series // 2]
    table = pd.DataFrame(
        {
            "item": known, "on_shelf": on_shelf * np.arange(len(known)), "unit_cost": 4.5, "lead_time_days": 14,
            "supplier": np.where(np.arange(len(known)) % 2, "Mill A", "Mill B"), "moq": 250,
        }
    )  # fmt: skip
    path = registry_root.parent / "in" / f"{run_id}.csv"
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False)
    told = [f"inventory.table={path}", f"storage.root={registry_root.parent}", f"run_id={run_id}", "progress=false",
            "parallel_training=false", "log_level=WARNING", "inventory.paths=16"]  # fmt: skip
    body = partial(replenish.body, now=datetime(2025, 12, 1, 2, tzinfo=UTC))
    assert exit_code("replenish", body, told) == 0
