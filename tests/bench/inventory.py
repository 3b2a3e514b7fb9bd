"""Order quantities on real demand: `python -m tests.bench.inventory DATA_FOLDER [n_items]`.

For each data set of the folder (series.parquet): half the items and the earlier dates train the surrogate, the other
half at later dates judge it. The sets hold demand alone; costs, lead times and stock are drawn with a seed, the same
for every policy. Out-of-stock weeks (`in_stock` = 0) are unknown demand: filled in histories, and a decision whose
window holds one is not judged on what followed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.panel import Panel
from evaluation.inventory import SURROGATE, joined, judge, recommended, report, savings
from models.inventory.items import Items
from models.inventory.paths import Days
from models.inventory.questions import Questions, ask, varied
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import OrderSurrogate

SETS = {"manufacturer": "MS", "auto_parts": "MS", "retail_vn2": "W-MON"}
SEED = 7
ORIGINS = {"MS": 4, "W-MON": 5}  # dates for training; as many for judging
SETTINGS = InventorySettings()


def read(folder: Path, freq: str, n_items: int) -> Panel:
    frame = pd.read_parquet(folder / "series.parquet")
    keep = frame["unique_id"].unique()
    keep = np.random.default_rng(SEED).permutation(keep)[:n_items]
    frame = frame[frame["unique_id"].isin(keep)]
    if "in_stock" in frame:
        frame["y"] = frame["y"].where(frame["in_stock"] == 1)
    return Panel.from_frame(frame[["unique_id", "ds", "y"]], freq)


def drawn(ids: np.ndarray, seed: int) -> Items:
    """The items' own figures; the same item has the same ones at every date."""
    rng, n = np.random.default_rng(seed), len(ids)
    unit_cost = np.exp(rng.normal(1.5, 0.8, n))
    return Items(
        ids, np.zeros(n), rng.integers(7, 43, n), rng.choice([0.9, 0.95, 0.98], n), SETTINGS.holding_rate * unit_cost,
        np.exp(rng.normal(3.0, 0.6, n)), unit_cost * rng.uniform(0.3, 1.5, n), rng.choice([0.8, 0.95, 1.0], n),
        np.ones(n), np.zeros(n),
    )  # fmt: skip


def at(
    panel: Panel, everyone: Items, origin: int, chosen: np.ndarray, copies: int, seed: int
) -> tuple[Questions, np.ndarray]:
    """The decisions at an origin of the chosen ids that had started, and the panel's row of each."""
    history = panel.until(origin).with_blanks_filled()
    rows = history.index_of(chosen)
    chosen, rows = chosen[rows >= 0], rows[rows >= 0]
    old = history.lengths[rows] >= 6  # younger ones have nothing to learn from
    chosen, rows = chosen[old], rows[old]
    own = everyone.take(np.searchsorted(everyone.ids, chosen))
    mean = np.add.reduceat(history.y, history.indptr[:-1]) / history.lengths / history.calendar.days_per_period
    which, items = varied(own, mean[rows], SETTINGS.review_days, copies, seed)
    return ask(history, rows[which], items, SETTINGS), panel.index_of(chosen)[which]


def judged(panel: Panel, found: list[tuple[Questions, np.ndarray]], fitted: Any) -> Any:
    parts = []
    for questions, series in found:
        items, reach = questions.items, int((questions.items.lead_days + SETTINGS.review_days).max())
        days = Days.after(panel.calendar, questions.origin, reach)
        future = panel.window(questions.origin + 1, days.periods)[series]
        known = np.isfinite(days.spread(future)).all(axis=1)
        kept = np.flatnonzero(known)

        def actual(rows: np.ndarray, length: int, future=future, days=days, kept=kept) -> np.ndarray:
            daily = Days(days.step[:length], days.share[:length]).spread(future[kept[rows]])
            return np.asarray(daily[:, None, :])

        def sample(rows: np.ndarray, length: int, kept=kept, questions=questions) -> np.ndarray:
            return np.asarray(questions.sample(kept[rows], length))

        some = items.take(kept)
        best = questions.optimum
        best = type(best)(best.quantity[kept], pick(best.outcome, kept), pick(best.idle, kept), best.reached[kept])
        quantities = {name: q[kept] for name, q in questions.simple.items()}
        if fitted is not None:
            quantities[SURROGATE] = fitted.quantity(items, questions.facts)[kept]
        parts.append(judge(some, best, quantities, sample, actual, SETTINGS.review_days, SETTINGS.paths, 256))
    return joined(parts)


def pick(outcome: Any, rows: np.ndarray) -> Any:
    return type(outcome)(outcome.cost[rows], outcome.short[rows], outcome.demanded[rows])


def merged(found: list[tuple[Questions, np.ndarray]]) -> tuple[Items, Any, np.ndarray]:
    def both(of: Any) -> np.ndarray:
        return np.concatenate([of(questions) for questions, _ in found])

    items = Items(*(both(lambda q, name=name: getattr(q.items, name)) for name in Items.__dataclass_fields__))
    facts_type = type(found[0][0].facts)
    facts = facts_type(*(both(lambda q, name=name: getattr(q.facts, name)) for name in facts_type.__dataclass_fields__))
    return items, facts, both(lambda q: q.optimum.quantity)


def main(folder: Path, n_items: int) -> None:
    for name, freq in SETS.items():
        began = time.perf_counter()
        panel = read(folder / name, freq, n_items)
        everyone = drawn(panel.ids, SEED)
        mixed = np.random.default_rng(SEED).permutation(panel.ids)
        learners, others = np.sort(mixed[: len(mixed) // 2]), np.sort(mixed[len(mixed) // 2 :])
        reach = int(np.ceil((84 + SETTINGS.review_days) / panel.calendar.days_per_period)) + 1
        n = ORIGINS[freq]
        later = [panel.end - reach - k for k in range(n)]
        earlier = [min(later) - reach - k for k in range(n)]
        training = [at(panel, everyone, origin, learners, 4, origin) for origin in earlier]
        fitted = OrderSurrogate().fit(*merged(training))
        lesson = judged(panel, training, fitted)
        choice = recommended(lesson, [SURROGATE, "exact", "eoq_rop", "newsvendor", "base_stock"])
        told = judged(panel, [at(panel, everyone, origin, others, 2, origin) for origin in later], fitted)
        figures = report(told)
        print(f"\n{name}: {figures['n']} decisions judged, learned from {fitted.n_rows}; "
              f"{time.perf_counter() - began:.0f} s; recommended on training: {choice['policy']}")  # fmt: skip
        half = "".join(f" {word:>{width}}" for word, width in (("regret", 7), ("service", 7), ("gap", 6)))
        print(f"{'policy':12} {'expected':>10}{half} {'realised':>10}{half} {'bound':>6}")
        for row in figures["policies"]:
            cells = [row["policy"].ljust(12)]
            for kind in ("expected", "realised"):
                cells += [cell(row[f"{kind}_cost"], "10.0f"), cell(row[f"{kind}_regret"], "7.1%"),
                          cell(row[f"{kind}_service"], "7.3f"), cell(row[f"{kind}_gap"], "+6.3f")]  # fmt: skip
            print(*cells, cell(row["beyond_bound"], "6.1%"))
        print(json.dumps({key: figures[key] for key in ("quantity", "surrogate")}))
        print(json.dumps({"savings": savings(told, choice["policy"])}), json.dumps(fitted.importances()))


def cell(value: float | None, form: str) -> str:
    return "-".rjust(int(form.strip("+").split(".")[0])) if value is None else format(value, form)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000)
