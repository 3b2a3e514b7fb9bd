"""A search made ready: the model, its space, the folds, the styles that are sampled, and how trials are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demand.errors import SettingsError
from demand.panel import Ints, Panel
from demand.settings import refuse_unknown
from evaluation.classes import CLASSES, demand_classes
from evaluation.tuning import Split, Yardstick, stratified
from jobs.fleet import ask
from jobs.settings import Settings
from jobs.tune_search import Search
from jobs.tune_space import checked
from jobs.tune_trial import Bench
from models.base import Forecaster
from models.catalog import FORECASTERS, recipe
from models.config import ModelConfig

POOLED_SAMPLE = 200  # styles: a pooled fit of so many takes seconds, and more move the order of the trials little
LOCAL_FIT_S = 60.0  # planned for one fit of all sampled styles where each is fitted apart
LEAST_SAMPLE = 20


@dataclass(frozen=True, eq=False)
class Study:
    """inner: what every trial is scored on. outer: the same styles at the outer fold, for the defaults and the best.

    classes: demand class -> (styles sampled, styles there are), as known before the outer window.
    """

    kind: str
    config: ModelConfig
    search: Search
    inner: Bench
    outer: Bench
    classes: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, settings: Settings, panel: Panel) -> Study:
        """Raises SettingsError and DataError for all that would make the search impossible or its answer empty."""
        kind, config = _model(settings)
        space = settings.tuning.space[kind]
        defaults = checked(kind, config, space)
        question = ask(settings, panel, live=False)
        folds, horizon = settings.folds, question.spec.horizon
        split = Split.of(panel, horizon, folds.inner, folds.step or horizon, folds.gap)
        one = recipe(kind, config)
        rows = stratified(split.known, _size(settings, one, split.known, question.season), settings.seed)
        known = split.known.take(rows)
        yardstick = Yardstick.of(known, split.inner, question, settings.selection.model_selection_metric)
        cpus = settings.cluster.pooled_cpus if one.pools_series else 1
        inner = Bench(known, split.inner, question, yardstick, kind, config, cpus)
        sampled = panel.take(panel.index_of(known.ids))
        outer = replace(inner, panel=sampled, folds=(split.outer,),
                        yardstick=yardstick.at(sampled, split.outer, question))  # fmt: skip
        told = settings.tuning
        search = Search(
            space, defaults, told.tuning_method, told.tuning_iterations, settings.seed, told.generation, told.prune
        )
        return cls(kind, config, search, inner, outer, classes_of(split.known, rows))

    def facts(self) -> dict[str, Any]:
        """What the search was told, strict-JSON-ready: the first line of its log, and part of its report."""
        search, spec = self.search, self.inner.question.spec
        return {
            "model": self.kind, "method": search.method, "trials": search.trials, "seed": search.seed,
            "generation": search.generation, "prune": search.prune, "ranked_by": self.inner.yardstick.ranked_by,
            "notes": list(self.inner.yardstick.notes), "horizon": spec.horizon,
            "inner": [window_of(self.inner.panel, fold.cutoff, fold.horizon) for fold in self.inner.folds],
            "outer": window_of(self.outer.panel, self.outer.folds[0].cutoff, self.outer.folds[0].horizon),
            "sample": {
                "styles": self.inner.panel.n_series, "of": sum(of for _, of in self.classes.values()),
                "classes": {name: list(counts) for name, counts in self.classes.items()},
            },
            "space": {name: space_as_json(parameter) for name, parameter in search.space.items()},
        }  # fmt: skip


def refuse_no_search(settings: Settings) -> None:
    """Raises SettingsError where the settings say that nothing is tuned, or leave no inner fold to score trials on."""
    if not settings.tuning.hyperparameter_tuning:
        raise SettingsError(
            "this job searches, and tuning.hyperparameter_tuning=false says that nothing is tuned",
            key="tuning.hyperparameter_tuning", found=False, hint="Leave it out",
        )  # fmt: skip
    if settings.folds.mode != "rolling" or not settings.folds.inner:
        raise SettingsError(
            "trials are scored on inner folds, of which there must be one", key="folds.inner",
            found=settings.folds.inner, mode=settings.folds.mode, hint="Set folds=rolling and folds.inner=3",
        )  # fmt: skip


def _model(settings: Settings) -> tuple[str, ModelConfig]:
    told = settings.tuning
    refuse_no_search(settings)
    if told.model is None:
        raise SettingsError("whose parameters?", key="model", known=", ".join(told.space), hint="Say model=xgboost")
    refuse_unknown(told.space, FORECASTERS, "tuning.space")
    refuse_unknown([told.model], told.space, "model")
    return told.model, settings.models[told.model]


def _size(settings: Settings, one: Forecaster, known: Panel, season: int) -> int:
    """Styles in the sample: as told, else by what one fit of them is planned to take."""
    if settings.tuning.sample != "auto":
        return int(settings.tuning.sample)
    lengths, counts = np.unique(known.lengths, return_counts=True)
    seconds = np.array([one.seconds_per_fit(int(length), season) for length in lengths])
    each = float((seconds * counts).sum() / counts.sum())
    if one.pools_series or not each:
        return POOLED_SAMPLE
    return int(np.clip(LOCAL_FIT_S / each, LEAST_SAMPLE, POOLED_SAMPLE))


def classes_of(known: Panel, rows: Ints) -> dict[str, tuple[int, int]]:
    """Demand class -> (styles of it among `rows`, styles of it there are); classes that do not occur are left out."""
    classes = demand_classes(known)
    counts = {name: (int((classes[rows] == name).sum()), int((classes == name).sum())) for name in CLASSES}
    return {name: pair for name, pair in counts.items() if pair[1]}


def window_of(panel: Panel, cutoff: int, horizon: int) -> dict[str, Any]:
    """A scored window: its cutoff (a period number), first and last day (YYYY-MM-DD)."""
    first, last = panel.calendar.dates(np.array([cutoff + 1, cutoff + horizon])).astype("datetime64[D]")
    return {"cutoff": cutoff, "from": str(first), "to": str(last)}


def space_as_json(parameter: Any) -> dict[str, Any]:
    """What a parameter may be, as conf/space says it."""
    if parameter.choices is not None:
        return {"choices": list(parameter.choices)}
    return {"low": parameter.low, "high": parameter.high, "log": parameter.log}
