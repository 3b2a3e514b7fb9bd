"""What a run will do: origins, models and batches, from data and settings alone - never from a clock.

The plan is the same on every machine and after every interruption, so a resumed run does exactly what is missing and
parallel work equals serial work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from demand.errors import SettingsError
from demand.panel import Ints, Panel
from evaluation.folds import Fold, rolling_folds
from jobs.settings import FoldSettings
from models.base import Forecaster

ARRAY_BATCH = 2_000  # series in a batch of the models that run over a fleet as arrays


@dataclass(frozen=True)
class Origins:
    """The decision moments of a run, oldest first.

    inner: only feed weights and intervals. scored: the leaderboard's. live: the newest known period (0 or 1 of them).
    """

    inner: tuple[Fold, ...]
    scored: tuple[Fold, ...]
    live: tuple[Fold, ...]

    @property
    def all(self) -> tuple[Fold, ...]:
        return (*self.inner, *self.scored, *self.live)

    @property
    def refits(self) -> frozenset[int]:
        """Cutoffs at which a model that is not refitted everywhere is fitted: first, first scored, live."""
        chosen = [self.all[0], *self.scored[:1], *self.live]
        return frozenset(fold.cutoff for fold in chosen)


def plan_origins(panel: Panel, horizon: int, folds: FoldSettings, live: bool) -> Origins:
    """The origins of a run. Inner ones are left out where less than two horizons of history would lie before them."""
    step = folds.step or horizon
    scored = rolling_folds(panel, horizon, folds.n, step)
    longest = int(panel.lengths.max())
    first_period = panel.end - longest + 1
    inner = []
    # The newest inner window ends where the first scored history ends: nothing scored is seen by the weights.
    for k in range(folds.inner):
        cutoff = scored[0].cutoff - horizon - folds.gap - k * step
        if cutoff - first_period + 1 >= max(2 * horizon, 3):
            inner.append(Fold(cutoff, horizon))
    return Origins(tuple(reversed(inner)), tuple(scored), (Fold(panel.end, horizon),) if live else ())


@dataclass(frozen=True)
class Task:
    """One unit of work: some models over some series, all origins (or those of one pooled fit).

    name: also its file's name. kinds: what it runs. series: first and last+1 position in the panel. origins: cutoffs.
    chosen: {kind: positions it is planned for}; None = all. cost_s: planned seconds.
    """

    name: str
    kind: Literal["arrays", "local", "pooled"]
    kinds: tuple[str, ...]
    series: tuple[int, int]
    origins: tuple[int, ...]
    cpus: int
    cost_s: float


@dataclass(frozen=True, eq=False)
class Plan:
    """All tasks of a run, and which series each budgeted model is spent on (True [N]; absent = all)."""

    tasks: tuple[Task, ...]
    chosen: dict[str, np.ndarray]
    origins: Origins

    @property
    def cost_s(self) -> float:
        return sum(task.cost_s * task.cpus for task in self.tasks)


def plan(
    panel: Panel, recipes: dict[str, Forecaster], origins: Origins, season: int,
    *, local_cpu_seconds: float, batch_seconds: float, pooled_cpus: int,
) -> Plan:  # fmt: skip
    """Batches of series for the local models, tasks of their own for the pooled ones, the longest first."""
    if not recipes:
        raise SettingsError("no model is enabled", key="only")
    cutoffs = tuple(fold.cutoff for fold in origins.all)
    tasks: list[Task] = []
    chosen: dict[str, np.ndarray] = {}
    lengths = panel.lengths
    arrays = [kind for kind, r in recipes.items() if not r.pools_series and not _cost_of_one(r, lengths, season).any()]
    costly = [kind for kind, r in recipes.items() if not r.pools_series and kind not in arrays]
    for kind, recipe in recipes.items():
        if recipe.pools_series:
            for group in _fit_groups(origins, recipe):
                name = f"pooled-{kind}-{cutoffs.index(group[0]):03d}"
                cost = 5 + 60 / pooled_cpus  # pooled fits work to a fixed budget of steps and rows
                tasks.append(Task(name, "pooled", (kind,), (0, panel.n_series), group, pooled_cpus, cost))
    volume = _volume_known_at(panel, origins)
    cost_of_series = np.zeros(panel.n_series)
    for kind in costly:
        one = _cost_of_one(recipes[kind], lengths, season) * len(_fit_groups(origins, recipes[kind]))
        chosen[kind] = _affordable(one, volume, local_cpu_seconds)
        cost_of_series += np.where(chosen[kind], one, 0.0)
    if arrays:
        for first in range(0, panel.n_series, ARRAY_BATCH):
            last = min(first + ARRAY_BATCH, panel.n_series)
            seconds = 1e-6 * float(lengths[first:last].sum()) * len(cutoffs) * len(arrays)
            tasks.append(Task(f"arrays-{first:07d}", "arrays", tuple(arrays), (first, last), cutoffs, 1, seconds))
    if costly:
        for first, last in _even_batches(cost_of_series, batch_seconds):
            seconds = float(cost_of_series[first:last].sum())
            tasks.append(Task(f"local-{first:07d}", "local", tuple(costly), (first, last), cutoffs, 1, seconds))
    order = {"pooled": 0, "arrays": 1, "local": 2}
    tasks.sort(key=lambda task: (order[task.kind], -task.cost_s, task.name))
    return Plan(tuple(tasks), chosen, origins)


def _cost_of_one(recipe: Forecaster, lengths: Ints, season: int) -> np.ndarray:
    values, back = np.unique(lengths, return_inverse=True)
    return np.array([recipe.seconds_per_fit(int(length), season) for length in values])[back]


def _fit_groups(origins: Origins, recipe: Forecaster) -> list[tuple[int, ...]]:
    """Cutoffs by fit: a model fits at the first of each group and rolls forward to the others."""
    groups: list[list[int]] = []
    for fold in origins.all:
        if not groups or recipe.refit_often or not recipe.rolls_forward or fold.cutoff in origins.refits:
            groups.append([])
        groups[-1].append(fold.cutoff)
    return [tuple(group) for group in groups]


def fits_at(origins: Origins, recipe: Forecaster, cutoff: int) -> bool:
    """Whether the model is fitted anew at this origin (otherwise its last fit rolls forward to it)."""
    return any(group[0] == cutoff for group in _fit_groups(origins, recipe))


def _volume_known_at(panel: Panel, origins: Origins) -> np.ndarray:
    """Demand of each series as known at the first origin [N]: a budget must not be spent by looking ahead."""
    known = panel.until(origins.all[0].cutoff)
    volume = np.zeros(panel.n_series)
    rows = panel.index_of(known.ids)
    volume[rows] = np.add.reduceat(np.abs(np.nan_to_num(known.y)), known.indptr[:-1]) if known.n_series else 0.0
    return volume


def _affordable(cost: np.ndarray, volume: np.ndarray, budget: float) -> np.ndarray:
    """The largest styles whose summed cost fits the budget [N]; ties go by position."""
    order = np.lexsort((np.arange(len(cost)), -volume))
    inside = np.cumsum(cost[order]) <= budget
    chosen = np.zeros(len(cost), dtype=bool)
    chosen[order[inside]] = True
    return chosen


def _even_batches(cost: np.ndarray, batch_seconds: float) -> Sequence[tuple[int, int]]:
    """Consecutive ranges of series of about `batch_seconds` each."""
    total = np.cumsum(cost + 1e-4)
    number = np.floor(total / batch_seconds)
    firsts = np.flatnonzero(np.diff(number, prepend=-1.0))
    return [(int(a), int(b)) for a, b in zip(firsts, [*firsts[1:], len(cost)], strict=True)]
