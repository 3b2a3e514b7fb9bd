"""Order quantities on real demand: `python -m tests.bench.inventory DATA_FOLDER [n_items]`.

For each data set of the folder (series.parquet): half the items and the earlier dates train the surrogate, the other
half at later dates judge it (`evaluation.inventory_study`). The sets hold demand alone; costs, lead times and stock are
drawn with a seed, the same for every policy. Out-of-stock weeks (`in_stock` = 0) are unknown demand: filled in
histories, and a decision whose window holds one is not judged.

The bar "achieved service within two points of the wanted one" is judged on the same decisions, a unit short costing
nothing, over all whose wanted service can be reached: a planner who wants 95 % gets 95 %. Beside it stand what the
paths promised for the chosen quantities (`surprise` is what came less that: what the paths answer for), and the
decisions whose order the wanted service alone sets (`binding`).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.panel import Panel
from evaluation.inventory_study import Foresee, study
from models.base import FitContext, FittedForecaster, Forecast, ForecastSpec
from models.fallback import complete
from models.inventory.items import Items
from models.inventory.search import search
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import OrderSurrogate
from models.xgboost import XGBoost

SETS = {"manufacturer": "MS", "auto_parts": "MS", "retail_vn2": "W-MON"}
SEED = 7
LONGEST_LEAD = 28  # days
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
SETTINGS = InventorySettings()
TARGET = 0.78  # of 1 - WAPE of quantity, as in conf/model/inventory_optimization.yaml


def read(folder: Path, freq: str, n_items: int | None) -> Panel:
    """The data set, or as many of its series as are asked for."""
    frame = pd.read_parquet(folder / "series.parquet")
    keep = np.random.default_rng(SEED).permutation(frame["unique_id"].unique())[:n_items]
    frame = frame[frame["unique_id"].isin(keep)]
    if "in_stock" in frame:
        frame["y"] = frame["y"].where(frame["in_stock"] == 1)
    return Panel.from_frame(frame[["unique_id", "ds", "y"]], freq)


def drawn(ids: np.ndarray, seed: int) -> Items:
    """The items' own figures; the same item has the same ones at every date."""
    rng, n = np.random.default_rng(seed), len(ids)
    unit_cost = np.exp(rng.normal(1.5, 0.8, n))
    return Items(
        ids, np.zeros(n), rng.integers(7, LONGEST_LEAD + 1, n), rng.choice([0.9, 0.95, 0.98], n),
        SETTINGS.holding_rate * unit_cost, np.exp(rng.normal(3.0, 0.6, n)), unit_cost * rng.uniform(0.3, 1.5, n),
        rng.choice([0.8, 0.95, 1.0], n), np.ones(n), np.zeros(n),
    )  # fmt: skip


def forecaster(everything: Panel) -> Foresee:
    """XGBoost as configured, fitted at each date to all series of the data set; smoothing where it makes no row."""
    calendar = everything.calendar
    horizon = calendar.periods_in(2 * LONGEST_LEAD + SETTINGS.review_days)
    spec, context = ForecastSpec(horizon, LEVELS), FitContext(season=calendar.season, seed=SEED)
    fits: dict[int, FittedForecaster] = {}

    def foresee(known: Panel) -> Forecast:
        if known.end not in fits:
            fits[known.end] = XGBoost().fit(
                everything.until(known.end).with_blanks_filled("interpolate"), spec, context
            )
        return complete(fits[known.end].forecast(known), known, spec, context)

    return foresee


def main(folder: Path, n_items: int) -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    for name, freq in SETS.items():
        everything = read(folder / name, freq, None)
        panel = read(folder / name, freq, n_items)
        for paths, foresee in (("of the past", None), ("of a forecast", forecaster(everything))):
            judged(f"{name}, paths {paths}", panel, foresee)
    scale()


def judged(name: str, panel: Panel, foresee: Foresee | None) -> None:
    """One study of one data set, told."""
    began = time.perf_counter()
    found = study(panel, drawn(panel.ids, SEED), OrderSurrogate(), SETTINGS, target=TARGET, foresee=foresee)
    told = found.told
    print(f"\n{name}: {told['items']['in']} items, {told['n']} decisions judged, learned from {told['n_learned']}; "
          f"{time.perf_counter() - began:.0f} s; demand came to {cell(told['demand_ratio'], '.3f')} of the paths'; "
          f"{told['recommended']['words']}")  # fmt: skip
    table(told, told["policies"])
    for policy, row in told["equal_service"].items():
        print(f"exact at the service of {policy:10}: {cell(row['expected_share'], '6.1%')} cheaper on the paths, "
              f"{cell(row['realised_share'], '6.1%')} on what followed, service there "
              f"{cell(row['realised_service'], '.3f')}")  # fmt: skip
    print("the same decisions, a unit short costing nothing:")
    table(told["service_alone"], told["service_alone"]["policies"])
    print(json.dumps({key: told[key] for key in ("quantity", "surrogate", "savings")}))


def table(counts: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]) -> None:
    """A line a policy: on the paths, on what followed, and how far from the bound, the wanted and the promise."""
    half = "".join(f" {word:>{width}}" for word, width in (("regret", 7), ("service", 7), ("gap", 6)))
    print(
        f"{'policy':12} {'expected':>10}{half} {'realised':>10}{half} {'bound':>6} {'error':>6} {'surprise':>8} "
        f"{'error':>6} {'binding':>7} {'error':>6}  {counts['n_reachable']} reachable, {counts['n_binding']} binding"
    )
    for row in policies:
        cells = [row["policy"].ljust(12)]
        for kind in ("expected", "realised"):
            cells += [cell(row[f"{kind}_cost"], "10.0f"), cell(row[f"{kind}_regret"], "7.1%"),
                      cell(row[f"{kind}_service"], "7.3f"), cell(row[f"{kind}_gap"], "+6.3f")]  # fmt: skip
        cells.append(cell(row["beyond_bound"], "6.1%"))
        cells += [cell(row[figure], form) for figure, form in (
            ("realised_error", "6.3f"), ("surprise", "+8.3f"), ("surprise_error", "6.3f"), ("binding_gap", "+7.3f"),
            ("binding_error", "6.3f"),
        )]  # fmt: skip
        print(*cells)


def scale(n: int = 100_000) -> None:
    """The exact search and the surrogate's answer for many items in one call."""
    rng = np.random.default_rng(0)
    items = drawn(np.array([f"i{i:06d}" for i in range(n)]), 0)
    items = Items(**{**vars(items), "position": rng.integers(0, 60, n).astype(float), "lead_days": np.full(n, 14)})
    days = rng.poisson(1.0, size=(4096, SETTINGS.paths, 44)).astype(float)
    began, cpu = time.perf_counter(), time.process_time()
    search(items, lambda rows, length: days[rows % 4096, :, :length], SETTINGS.review_days, SETTINGS.paths)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nexact search, {n} items x {SETTINGS.paths} paths x 44 days: {time.perf_counter() - began:.0f} s wall, "
          f"{time.process_time() - cpu:.0f} s CPU, peak {peak:.2f} GiB of the process")  # fmt: skip


def cell(value: float | None, form: str) -> str:
    return "-".rjust(int(form.strip("+").split(".")[0])) if value is None else format(value, form)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000)
