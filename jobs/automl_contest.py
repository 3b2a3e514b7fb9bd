"""An automatic search made ready: folds, the sampled styles, the candidates in the order they are tried, the spaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demand.errors import SettingsError
from demand.panel import Panel
from demand.settings import refuse_unknown
from evaluation.ensembles import judged_folds, of_members
from evaluation.folds import Fold
from evaluation.tuning import Split, Yardstick, stratified
from jobs.fleet import ask
from jobs.settings import Settings, chosen_models
from jobs.tune_search import Search
from jobs.tune_space import checked
from jobs.tune_study import classes_of, refuse_no_search, space_as_json, window_of
from jobs.tune_trial import Bench
from jobs.tuning_settings import Parameter
from models.catalog import FORECASTERS, recipe
from models.config import ModelConfig
from models.ensemble import KIND, EnsembleSettings

SAMPLE = 200  # styles at most
LEAST_SAMPLE = 40
LOCAL_SHARE = 0.3  # of the budget, planned for the models that are fitted style by style


@dataclass(frozen=True, eq=False)
class Contest:
    """Everything a search was told and what it sees.

    kinds: the models, cheap ones first. known: the sampled styles up to where the outer window begins. whole: the same
    styles with the outer window. planned_s: planned seconds of one fold of each model that is fitted style by style.
    """

    settings: Settings
    kinds: tuple[str, ...]
    known: Panel
    whole: Panel
    split: Split
    bench: Bench
    outer_yardstick: Yardstick
    ensemble: EnsembleSettings
    planned_s: Mapping[str, float]
    classes: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, settings: Settings, panel: Panel) -> Contest:
        """Raises SettingsError and DataError for all that would make the search impossible or its answer empty."""
        kinds = _kinds(settings)
        question = ask(settings, panel, live=False)
        folds, horizon = settings.folds, question.spec.horizon
        split = Split.of(panel, horizon, folds.inner, folds.step or horizon, folds.gap)
        each = {kind: _seconds_of_one(settings, kind, split.known, question.season) for kind in kinds}
        rows = stratified(split.known, _size(settings, sum(each.values())), settings.seed)
        known = split.known.take(rows)
        yardstick = Yardstick.of(known, split.inner, question, settings.selection.model_selection_metric)
        whole = panel.take(panel.index_of(known.ids))
        first = kinds[0]
        bench = Bench(known, split.inner, question, yardstick, first, settings.models[first], 1)
        planned = {kind: seconds * known.n_series for kind, seconds in each.items()}
        arrays = [kind for kind in kinds if not planned[kind] and not recipe(kind, settings.models[kind]).pools_series]
        ordered = sorted(kinds, key=lambda kind: (kind not in arrays, planned[kind], _patience(settings, kind)))
        members = [one for one in settings.ensemble.members if one in kinds]
        made = cls(
            settings, tuple(ordered), known, whole, split, bench, yardstick.at(whole, split.outer, question),
            of_members(settings.ensemble, members), planned, classes_of(split.known, rows),
        )  # fmt: skip
        made.spaces()
        return made

    def inner_bench(self, kind: str) -> Bench:
        """Where this model is tried: the sampled styles at the inner folds."""
        config = self.settings.models[kind]
        cpus = self.settings.cluster.pooled_cpus if recipe(kind, config).pools_series else 1
        return replace(self.bench, kind=kind, config=config, cpus=cpus)

    def outer_bench(self, kind: str) -> Bench:
        """The same styles at the outer fold."""
        return replace(self.inner_bench(kind), panel=self.whole, folds=(self.split.outer,),
                       yardstick=self.outer_yardstick)  # fmt: skip

    @property
    def judged(self) -> tuple[Fold, ...]:
        """The inner folds that judge ensembles, newest first."""
        return judged_folds(self.split.inner)

    def learned(self) -> tuple[str, ...]:
        """The models that take more than milliseconds, cheap ones first."""
        return tuple(kind for kind in self.kinds if self.planned_s[kind] or self.pools(kind))

    def pools(self, kind: str) -> bool:
        """Whether one fit learns from all styles."""
        return recipe(kind, self.settings.models[kind]).pools_series

    def spaces(self) -> dict[str, tuple[Mapping[str, Parameter], dict[str, Any]]]:
        """Pooled model -> its space and its defaults there. Raises SettingsError for one that cannot be searched."""
        told = self.settings.tuning.space
        refuse_unknown(told, FORECASTERS, "tuning.space")
        checks = {kind: checked(kind, self.settings.models[kind], told[kind]) for kind in told if kind in self.kinds}
        return {kind: (told[kind], checks[kind]) for kind in checks if self.pools(kind)}

    def search(self, kind: str, more: Mapping[str, Parameter]) -> Search:
        """The search of one model's parameters, with `more` of them beside its own space."""
        told, (space, _) = self.settings.tuning, self.spaces()[kind]
        space = {**space, **more}
        defaults = checked(kind, self.settings.models[kind], space)
        return Search(
            space, defaults, told.tuning_method, told.tuning_iterations, self.settings.seed, told.generation, told.prune
        )

    def facts(self) -> dict[str, Any]:
        """What the search was told, strict-JSON-ready: the first line of its log, and part of its report."""
        told, spec, yardstick = self.settings.tuning, self.bench.question.spec, self.bench.yardstick
        outer = self.split.outer
        return {
            "budget_s": self.settings.budget, "models": list(self.kinds), "seed": self.settings.seed,
            "members": list(self.ensemble.members),
            "method": told.tuning_method, "trials": told.tuning_iterations, "ranked_by": yardstick.ranked_by,
            "notes": list(yardstick.notes), "horizon": spec.horizon,
            "inner": [window_of(self.known, fold.cutoff, fold.horizon) for fold in self.split.inner],
            "judge_ensembles": [fold.cutoff for fold in self.judged],
            "outer": window_of(self.whole, outer.cutoff, outer.horizon),
            "sample": {
                "styles": self.known.n_series, "of": sum(of for _, of in self.classes.values()),
                "classes": {name: list(counts) for name, counts in self.classes.items()},
            },
            "space": {
                kind: {name: space_as_json(one) for name, one in space.items()}
                for kind, (space, _) in self.spaces().items()
            },
        }  # fmt: skip


def _kinds(settings: Settings) -> list[str]:
    refuse_no_search(settings)
    if settings.budget is None:
        raise SettingsError("how long may the search take?", key="budget", found=None, hint="Say budget=10m")
    if settings.folds.inner < 2:
        raise SettingsError(
            "an ensemble is weighed at earlier inner folds than those that judge it: two are needed",
            key="folds.inner", found=settings.folds.inner, hint="Leave it out, or set folds.inner=4",
        )  # fmt: skip
    chosen = chosen_models(settings)
    if KIND not in chosen:
        raise SettingsError(
            "what is searched is the ensemble, and it does not run here", key="models.ensemble.enabled", chosen=chosen,
            hint="Enable it, and name it where only= says which models run",
        )  # fmt: skip
    kinds = [kind for kind in chosen if kind != KIND]
    members = [one for one in settings.ensemble.members if one in kinds]
    if not members:
        raise SettingsError("no member of the ensemble runs", key="only", members=settings.ensemble.members,
                            chosen=kinds)  # fmt: skip
    return kinds


def _seconds_of_one(settings: Settings, kind: str, known: Panel, season: int) -> float:
    """Planned seconds of one style at one fold; 0 for models that are not fitted style by style."""
    one = recipe(kind, settings.models[kind])
    lengths, counts = np.unique(known.lengths, return_counts=True)
    seconds = np.array([one.seconds_per_fit(int(length), season) for length in lengths])
    return 0.0 if one.pools_series else float((seconds * counts).sum() / counts.sum())


def _size(settings: Settings, each_s: float) -> int:
    """Styles in the sample: as told, else by what the budget allows the models that are fitted style by style."""
    if settings.tuning.sample != "auto":
        return int(settings.tuning.sample)
    if not each_s:
        return SAMPLE
    assert settings.budget is not None
    return int(np.clip(LOCAL_SHARE * settings.budget / (each_s * (settings.folds.inner + 1)), LEAST_SAMPLE, SAMPLE))


def _patience(settings: Settings, kind: str) -> float:
    config: ModelConfig = settings.models[kind]
    return config.max_training_time_seconds
