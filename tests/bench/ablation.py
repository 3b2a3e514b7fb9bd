"""What each member of the ensemble is worth: `python -m tests.bench.ablation STORAGE`.

Takes the finished backtests in STORAGE/runs (such as `make bench-accuracy` leaves) and weighs and combines their stored
forecasts anew, each time without one member: nothing is fitted. One table of
ratios to the whole ensemble, above 1: worse without it; geometric means over the runs. It explains what is there; no
choice may be made from it, for the windows are those that are scored.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.backtest import ensemble_at, ensemble_result, member_results
from evaluation.metrics import measure
from jobs import compose
from jobs.fleet import Fleet, prepare
from jobs.race import run_race
from models.ensemble import EnsembleSettings

MEASURES = ("wape", "mase", "rmsse", "wql", "total_error_by_style")
WHOLE = "(whole)"


def without(settings: EnsembleSettings, member: str) -> EnsembleSettings:
    """The same ensemble without one member."""
    kept = [(name, weight) for name, weight in zip(settings.models, settings.weights, strict=True) if name != member]
    return replace(
        settings, models=tuple(name for name, _ in kept), weights=tuple(weight for _, weight in kept),
        extra_members=tuple(name for name in settings.extra_members if name != member),
    )  # fmt: skip


def ablated(fleet: Fleet) -> dict[str, dict[str, float]]:
    """Variant -> measure, over the scored origins of one finished backtest."""
    race = run_race(fleet.panel, fleet.recipes, fleet.plan, fleet.question, fleet.settings, fleet.run)
    origins, question, ensemble = fleet.origins, fleet.question, fleet.settings.ensemble
    earlier = member_results(fleet.panel, race.raw, [*origins.inner, *origins.scored], question)

    def scored(settings: EnsembleSettings) -> dict[str, float]:
        results = [
            ensemble_result(
                ensemble_at(fleet.panel, race.raw, earlier, fold, question, settings), fleet.panel, question
            )
            for fold in origins.scored
        ]
        found = measure(results)
        return {name: float(found[name]) for name in MEASURES}

    present = [name for name in ensemble.members if name in race.raw]
    return {WHOLE: scored(ensemble)} | {name: scored(without(ensemble, name)) for name in present}


def main(storage: Path) -> None:
    found: list[Mapping[str, Mapping[str, float]]] = []
    for folder in sorted(path.parent for path in (storage / "runs").glob("[!.]*/leaderboard.parquet")):
        told = [f"resume={folder.name}", f"storage={storage}", "progress=false", "parallel_training=false"]
        found.append(ablated(prepare(compose.load("backtest", told), "backtest", live=False)))
        print(f"{folder.name}: done", file=sys.stderr)
    variants = [name for name in found[0] if all(name in one for one in found)]
    table = Table(title=f"The ensemble without one member, {len(found)} backtests; ratio to the whole",
                  title_justify="left")  # fmt: skip
    for name in ("without", *MEASURES[:-1], "totals", "worst wape"):
        table.add_column(name, justify="left" if name == "without" else "right")
    for variant in variants[1:]:
        ratios = {name: np.array([one[variant][name] / one[WHOLE][name] for one in found]) for name in MEASURES}
        means = [f"{np.exp(np.log(values).mean()):.4f}" for values in ratios.values()]
        table.add_row(variant, *means, f"{ratios['wape'].max():.3f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
