"""One run, one table: seconds and peak memory by stage and model, what Ray adds, and a peer doing the same work.

    .venv/bin/python -m tests.bench [--styles 500] [--years 2] [--horizon 30]

Every stage and model runs in a process of its own, one after another, with one numeric thread, so that peak memory is
its own. Ratios are taken side by side in this run; absolute seconds belong to this machine and its load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.catalog import FORECASTERS
from tests.bench import peer, workers
from tests.bench.stages import clean, export, fit_and_forecast, generate, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=int, default=500)
    parser.add_argument("--years", type=float, default=2.0)
    parser.add_argument("--horizon", type=int, default=30)
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    console = Console(width=100)
    load = os.getloadavg()[0]
    figures: dict[str, Any] = {"machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}", "load": load}
    fleet = f"{args.styles} styles x {args.years:g} years daily, horizon {args.horizon}"
    console.print(f"{fleet}; {figures['machine']}, load {load:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        panel, raw = f"{folder}/panel", f"{folder}/raw"
        rows = {
            "generate the panel": measured(generate, panel, args.styles, args.years),
            "write a raw export": measured(export, raw, args.styles, args.years),
            "read and clean it": measured(clean, raw),
        }
        for kind in FORECASTERS:
            rows[kind] = measured(fit_and_forecast, panel, kind, args.horizon)
        figures["stages"] = rows
        console.print(_table("Stages and models, one thread each", rows))
        figures["peer"] = peers = {
            "xgboost (mean and quantiles)": rows["xgboost"],
            "mlforecast + LightGBM (mean and quantiles)": measured(peer.run, panel, args.horizon, (0.1, 0.5, 0.9)),
            "mlforecast + LightGBM (mean)": measured(peer.run, panel, args.horizon),
        }
        console.print(_table("The same work beside mlforecast + LightGBM", peers))
        ours, same, _ = peers.values()
        ratio = {name: round(ours[name] / same[name], 3) for name in ("seconds", "peak_mb", "wape")}
        figures["ratio_to_peer"] = ratio
        console.print("ours / theirs, mean and quantiles: " + ", ".join(f"{k} {v:g}" for k, v in ratio.items()))
        figures["workers"] = measured(workers.run, panel, args.horizon)
    console.print(workers.words(figures["workers"]))
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(name, *[f"{row[c]:g}" if c in row else "" for c in columns])
    return table


if __name__ == "__main__":
    main()
