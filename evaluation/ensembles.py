"""Which members, put together how? A greedy search over ensembles, each weighed at earlier origins than those it is
judged at, on forecasts that were made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from demand.panel import Panel
from evaluation.backtest import Question, Raw, ensemble_at, ensemble_result
from evaluation.folds import Fold
from evaluation.results import FoldResult
from models.ensemble import Aggregation, EnsembleSettings

MARGIN = 0.005  # relative gain below which a change is taken for chance and the simpler or configured one stays
Method = Literal["grid_search", "inverse_error"]
# How members are put together; the configured way comes first, see `search`.
WAYS: tuple[tuple[Aggregation, Method], ...] = (
    ("weighted_mean", "grid_search"), ("weighted_mean", "inverse_error"), ("median", "grid_search"),
    ("mean", "grid_search"), ("stacking", "grid_search"),
)  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """One ensemble of a search and its score where it was judged (lower is better). step: what was changed."""

    step: str
    settings: EnsembleSettings
    score: float


def judged_folds(folds: Sequence[Fold]) -> tuple[Fold, ...]:
    """The newer half of the inner folds, newest first: those that are older feed their weights. folds: in any order."""
    newest_first = sorted(folds, key=lambda fold: -fold.cutoff)
    return tuple(newest_first[: len(newest_first) // 2])


def scored_ensemble(
    panel: Panel, raw: Raw, results: Mapping[str, Sequence[FoldResult]], folds: Sequence[Fold], question: Question,
    settings: EnsembleSettings,
) -> list[FoldResult]:  # fmt: skip
    """The ensemble beside the truth at each of these folds; weights and intervals only from origins known there.

    results: the members' results, oldest first, at these and at earlier origins.
    """
    return [
        ensemble_result(ensemble_at(panel, raw, results, fold, question, settings), panel, question) for fold in folds
    ]


def of_members(base: EnsembleSettings, members: Sequence[str]) -> EnsembleSettings:
    """The same ensemble with these members: configured weights stay until errors exist, equal ones without any."""
    weights = dict(zip(base.models, base.weights, strict=True))
    named = tuple(one for one in base.members if one in members and one in weights)
    if not sum(weights[one] for one in named) > 0:
        named, weights = tuple(members), dict.fromkeys(members, 1.0)
    others = tuple(one for one in members if one not in named)
    return replace(base, models=named, weights=tuple(weights[one] for one in named), extra_members=others)


def search(
    start: EnsembleSettings, pool: Sequence[str], score: Callable[[EnsembleSettings], float],
    over: Callable[[], bool] = lambda: False,
) -> list[Tried]:  # fmt: skip
    """Every ensemble that was tried, in order; `best_tried` says which of them is taken.

    First each way to put the members of `start` together, then single members are left out or taken in from `pool`,
    the best such change first, as long as one gains MARGIN (Caruana et al. 2004, forward and backward, without
    repetition). over() true ends the search between two tries; `start` itself is always tried.
    """
    tried = [Tried("as configured", start, score(start))]
    for aggregation, method in WAYS:
        if over():
            return tried
        if (aggregation, method) == (start.aggregation, start.weight_optimization_method):
            continue
        changed = replace(start, aggregation=aggregation, weight_optimization_method=method, optimize_weights=True)
        tried.append(Tried(f"put together by {way_of(changed)}", changed, score(changed)))
    while not over():
        best = best_tried(tried)
        round_: list[Tried] = []
        for step, settings in _changes(best.settings, pool):
            if over():
                break
            round_.append(Tried(step, settings, score(settings)))
        tried += round_
        if best_tried(tried) is best:
            break
    return tried


def best_tried(tried: Sequence[Tried]) -> Tried:
    """The lowest score; an earlier try stays unless a later one gains MARGIN on it."""
    best = tried[0]
    for one in tried[1:]:
        if one.score < best.score - MARGIN * abs(best.score):
            best = one
    return best


def way_of(settings: EnsembleSettings) -> str:
    """How the members become one forecast, in one word."""
    if settings.aggregation != "weighted_mean":
        return settings.aggregation
    return settings.weight_optimization_method if settings.optimize_weights else "configured_weights"


def _changes(settings: EnsembleSettings, pool: Sequence[str]) -> list[tuple[str, EnsembleSettings]]:
    members = settings.members
    without = [
        (f"without {one}", of_members(settings, [other for other in members if other != one]))
        for one in members if len(members) > 1
    ]  # fmt: skip
    return without + [(f"with {one}", of_members(settings, [*members, one])) for one in pool if one not in members]
