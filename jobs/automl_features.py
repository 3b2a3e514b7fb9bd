"""Lists of features that a search may try, from a fit on the training part of the oldest inner fold alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from demand.panel import Panel
from features.selection import correlation_groups, holding, one_of_each, recursive
from jobs.tune_space import with_parameters
from jobs.tune_trial import Bench
from jobs.tuning_settings import Parameter
from models.base import FitContext
from models.catalog import recipe
from models.config import ModelConfig
from models.xgboost import XGBoost
from models.xgboost_rows import gather

WITHOUT = "without_features"
SHARES = (0.99, 0.95, 0.9)  # of all gain
CORRELATED = 0.95
ROUNDS = 2  # of recursive elimination, a quarter of the features each
FITS = ROUNDS  # the importances of all features serve the first round too


def feature_lists(bench: Bench, config: ModelConfig, max_seconds: float) -> dict[str, tuple[str, ...]]:
    """How it was chosen, in words -> the columns that are kept, in the matrix's order; the whole matrix under "all".

    Everything is learned from the history of the oldest inner fold: no window that is scored is in it. Lists that are
    the same as an earlier one are left out. Raises FitError as a fit does, and when it takes longer than max_seconds.
    """
    oldest = min(bench.folds, key=lambda fold: fold.cutoff)
    history = bench.question.history(bench.panel, oldest)
    context = replace(bench.question.context, threads=bench.cpus, max_seconds=max_seconds / FITS)
    horizon = bench.question.spec.horizon
    model = recipe(bench.kind, config)
    assert isinstance(model, XGBoost)
    matrix = model.matrix(history, context)
    names = matrix.names
    importances = _importances(bench, config, history, context, ())
    rows = gather(history, matrix, horizon, context, bench.question.context.seed)
    found = {"all": names}
    for share in SHARES:
        kept = set(holding(importances, share))
        found[f"those that hold {share:.0%} of the gain"] = tuple(name for name in names if name in kept)
    alone = set(one_of_each(correlation_groups(rows.x, names, CORRELATED), importances))
    found[f"one of each group correlated above {CORRELATED:g}"] = tuple(name for name in names if name in alone)
    seen = {names: importances}

    def again(kept: tuple[str, ...]) -> Mapping[str, float]:
        if kept not in seen:
            dropped = tuple(name for name in names if name not in kept)
            seen[kept] = _importances(bench, config, history, context, dropped)
        return seen[kept]

    for number, kept_ in enumerate(recursive(names, again, ROUNDS), start=1):
        found[f"recursive elimination, round {number}"] = kept_
    unique: dict[str, tuple[str, ...]] = {}
    for words, list_ in found.items():
        if list_ not in unique.values():
            unique[words] = list_
    return unique


def as_parameter(lists: Mapping[str, tuple[str, ...]], config: ModelConfig, kind: str) -> dict[str, Parameter]:
    """The lists as one parameter of a space: the columns left out, the configured ones first; {} without a choice."""
    before = _without(kind, config)
    choices = tuple([*before, *(name for name in lists["all"] if name not in kept)] for kept in lists.values())
    return {WITHOUT: Parameter(choices=choices)} if len(choices) > 1 else {}


def words_of(lists: Mapping[str, tuple[str, ...]], without: Any) -> str:
    """How the list that leaves out these columns was chosen."""
    gone = set(without)
    kept_by_words = {words: set(lists["all"]) - set(kept) for words, kept in lists.items()}
    return next(words for words, dropped in kept_by_words.items() if dropped == gone & set(lists["all"]))


def _without(kind: str, config: ModelConfig) -> list[str]:
    model = recipe(kind, config)
    assert isinstance(model, XGBoost)
    return list(model.without_features)


def _importances(
    bench: Bench, config: ModelConfig, history: Panel, context: FitContext, without: tuple[str, ...]
) -> Mapping[str, float]:
    """Share of the gain of every column of the matrix; 0 where no tree split on it."""
    told = {WITHOUT: [*_without(bench.kind, config), *without]}
    model = recipe(bench.kind, with_parameters(bench.kind, config, told))
    fitted = model.fit(history, bench.question.spec, context)
    return fitted.importances()
