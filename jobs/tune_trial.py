"""One trial: a model with some parameters, fitted and scored at the folds it may see."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from demand.errors import FitError
from demand.panel import Panel
from evaluation.backtest import Question, member_results
from evaluation.folds import Fold
from evaluation.results import FoldResult
from evaluation.tuning import Yardstick
from jobs.plan import Task
from jobs.tasks import Work, forecasts_of
from jobs.trial_log import Outcome
from jobs.tune_search import Assignment
from jobs.tune_space import with_parameters
from models.base import Forecast
from models.catalog import recipe
from models.config import ModelConfig


@dataclass(frozen=True, eq=False)
class Bench:
    """Where trials are tried: the panel they may see, the folds (newest first), and how they are scored.

    cpus: CPUs and numeric threads of a trial.
    """

    panel: Panel
    folds: tuple[Fold, ...]
    question: Question
    yardstick: Yardstick
    kind: str
    config: ModelConfig
    cpus: int


def run_trial(bench: Bench, assignment: Assignment) -> Outcome:
    """Scores one trial fold by fold. Whatever breaks is its outcome: a failed trial is data, the search goes on."""
    started = time.perf_counter()
    results: list[FoldResult] = []
    scores: list[float] = []
    state, score, cause = "finished", None, ""
    try:
        config = with_parameters(bench.kind, bench.config, assignment.parameters)
        for fold in bench.folds:
            left = assignment.max_seconds - (time.perf_counter() - started)
            results.append(scored(bench, config, fold, left))
            if time.perf_counter() - started >= assignment.max_seconds:  # what a fit made in less time than it needs
                raise FitError("time_budget: the trial did not end in time", seconds=round(assignment.max_seconds, 1))
            scores.append(bench.yardstick.score(results[-1:]))
            limit = assignment.prune_above
            if limit is not None and len(scores) == 1 and scores[0] > limit and len(bench.folds) > 1:
                state, cause = "pruned", f"first fold {scores[0]:.4g} is above the median {limit:.4g}"
                break
        else:
            score = bench.yardstick.score(results)
    except Exception as error:  # noqa: BLE001 - a model's own failure with odd parameters becomes recorded data
        state, score, cause = "failed", None, f"{type(error).__name__}: {error}"[:300]
    seconds = round(time.perf_counter() - started, 3)
    return Outcome(assignment.number, dict(assignment.parameters), state, score, tuple(scores), seconds, cause)  # type: ignore[arg-type]


def scored(bench: Bench, config: ModelConfig, fold: Fold, max_seconds: float = math.inf) -> FoldResult:
    """The model's forecast at one fold beside the truth, its gaps filled by the fallback; raises as `raw_forecast`."""
    forecast = raw_forecast(bench, config, fold, max_seconds)
    (result,) = member_results(bench.panel, {bench.kind: {fold.cutoff: forecast}}, [fold], bench.question)[bench.kind]
    return result


def raw_forecast(bench: Bench, config: ModelConfig, fold: Fold, max_seconds: float = math.inf) -> Forecast:
    """The model's forecast at one fold, fitted there as a backtest fits it; rows it did not make are empty.

    max_seconds: wall time of the fit, where it is below the model's own. Raises FitError when the model made no row at
    all.
    """
    kind, question = bench.kind, bench.question
    made = recipe(kind, config)
    task = Task("trial", "pooled" if made.pools_series else "local", (kind,), (0, bench.panel.n_series),
                (fold.cutoff,), bench.cpus, 0.0)  # fmt: skip
    work = Work(
        task=task, recipes={kind: made}, refit={kind: frozenset({fold.cutoff})}, chosen={},
        question=replace(question, context=replace(question.context, threads=bench.cpus)),
        limits={kind: max(0.0, min(max_seconds, config.max_training_time_seconds))}, folder="", deadline=None,
        live=None,
    )  # fmt: skip
    with threadpool_limits(bench.cpus):
        (forecast,) = forecasts_of(kind, bench.panel, work)
    if not forecast.made.any():
        raise FitError("the model made no forecast", model=kind, cause=str(forecast.reason[0]))
    return forecast


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The finished trial with the lowest score, the earlier one of equals; None when none finished."""
    finished = [one for one in outcomes if one.score is not None]
    return min(finished, key=lambda one: (one.score, one.number), default=None)
