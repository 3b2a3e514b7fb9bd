"""All models, all origins, all series: the batches of a plan, run on Ray or in this process, and gathered again."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from demand.panel import Panel
from evaluation.backtest import Question
from jobs.cluster import Call, Done, cluster, fan_out, put, widest_node
from jobs.plan import Plan, Task, fits_at
from jobs.progress import Progress
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.tasks import Work, finished, run_task
from models.base import Forecast, Forecaster
from models.forecast_files import read_forecasts

log = logging.getLogger(__name__)
SPLIT_RETRIES = 1  # a crashed batch is split at once; the parts get one more try each


@dataclass(frozen=True, eq=False)
class Race:
    """What came back: raw forecasts by model and cutoff (rows in panel order), and what it cost."""

    raw: dict[str, dict[int, Forecast]]
    crashed: dict[str, str]  # task -> why its worker died for good
    timings: list[dict[str, Any]]


@dataclass
class _Flight:
    """The driver's view of a running race."""

    run: RunFolder
    progress: Progress
    crashed: dict[str, str] = field(default_factory=dict)


def run_race(
    panel: Panel, recipes: dict[str, Forecaster], plan: Plan, question: Question, settings: Settings, run: RunFolder
) -> Race:
    """Runs what the run folder does not hold yet and gathers everything.

    `parallel_training=false` runs the same tasks one after another in this process, without Ray.
    """
    _sweep(run)
    limits = {kind: settings.models[kind].max_training_time_seconds for kind in recipes}
    deadline = time.time() + settings.max_seconds if settings.max_seconds else None

    def work_for(task: Task) -> Work:
        first, last = task.series
        return Work(
            task=task,
            recipes={kind: recipes[kind] for kind in task.kinds},
            refit={
                kind: frozenset(c for c in task.origins if fits_at(plan.origins, recipes[kind], c))
                for kind in task.kinds
            },
            chosen={kind: plan.chosen[kind][first:last] for kind in task.kinds if kind in plan.chosen},
            question=replace(question, context=replace(question.context, threads=task.cpus)),
            limits=limits,
            folder=str(run.path.resolve()),
            deadline=deadline,
            live=plan.origins.live[0].cutoff if plan.origins.live else None,
        )

    run.write_json("plan.json", {"batches": len(plan.tasks)})  # with the batches that are there: how far the run is
    todo = _unfinished(run, plan.tasks)
    with Progress(
        settings.progress, total_s=plan.cost_s, done_s=plan.cost_s - sum(_cpu_s(t) for t in todo)
    ) as progress:
        flight = _Flight(run, progress)
        if todo:
            _run_all(panel, todo, work_for, settings, flight)
    return Race(_gather(panel, run, plan, question), flight.crashed, _timings(run))


def _run_all(
    panel: Panel, todo: Sequence[Task], work_for: Callable[[Task], Work], settings: Settings, flight: _Flight
) -> None:
    on_ray = settings.parallel_training
    with cluster(settings.cluster) if on_ray else nullcontext(1) as cpus:
        flight.progress.start(cpus)
        if on_ray:
            shipped, widest = put(panel), widest_node()
            in_flight = cpus if settings.max_parallel_jobs == "auto" else settings.max_parallel_jobs

            def execute(tasks: Sequence[Task], retries: int) -> Iterator[Done]:
                calls = [Call(t.name, min(t.cpus, widest or t.cpus), (shipped, work_for(t))) for t in tasks]
                return fan_out(run_task, calls, in_flight, retries, settings.cluster.start_timeout_s)
        else:

            def execute(tasks: Sequence[Task], retries: int) -> Iterator[Done]:
                for task in tasks:
                    yield Done(Call(task.name, task.cpus, ()), value=run_task(panel, work_for(task)))

        waiting, retries = list(todo), 2
        while waiting:
            by_name = {task.name: task for task in waiting}
            again: list[Task] = []
            for done in execute(waiting, retries):
                task = by_name[done.call.name]
                if done.crash:
                    again += _smaller(task, done.crash, flight)
                flight.progress.advance(_cpu_s(task) if not done.crash else 0.0, _words(task, panel.n_series))
            waiting, retries = again, SPLIT_RETRIES


def _smaller(task: Task, crash: str, flight: _Flight) -> list[Task]:
    """Two halves of a batch whose worker died; a single series (or a pooled fit) is given up and recorded."""
    first, last = task.series
    if task.kind == "pooled" or last - first <= 1:
        flight.crashed[task.name] = crash
        return []
    middle = (first + last) // 2
    return [
        replace(task, name=f"{task.name}.{side}", series=part, cost_s=task.cost_s / 2)
        for side, part in (("0", (first, middle)), ("1", (middle, last)))
    ]


def _cpu_s(task: Task) -> float:
    return task.cost_s * task.cpus


def _words(task: Task, n_series: int) -> str:
    """What a task was, for the person who waits."""
    if task.kind == "arrays":
        return "baselines"
    kinds = ", ".join(task.kinds)
    return kinds if task.kind == "pooled" else f"{kinds} to style {task.series[1]} of {n_series}"


def _unfinished(run: RunFolder, tasks: Sequence[Task]) -> list[Task]:
    """The tasks that are still to do. A batch that is not as it was written, or is of no task, is removed first."""
    names, done = {task.name for task in tasks}, set()
    for path in (run.path / "batches").glob("*.parquet"):
        whole, _, _ = path.stem.partition(".")  # parts of a batch that was split are named after it
        if whole in names and finished(run.path, path.stem):
            done.add(path.stem)
        else:
            log.warning("%s is not as it was written: done again", path.name)
            path.unlink()
    return [task for task in tasks if task.name not in done]


def _sweep(run: RunFolder) -> None:
    """Removes what a killed worker had begun."""
    for part in run.path.rglob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _gather(panel: Panel, run: RunFolder, plan: Plan, question: Question) -> dict[str, dict[int, Forecast]]:
    """One forecast a model and origin over all its series; a series without a file is a row with a reason."""
    parts: dict[str, dict[int, list[Forecast]]] = {}
    for path in sorted((run.path / "batches").glob("*.parquet")):
        for kind, forecast in read_forecasts(path):
            parts.setdefault(kind, {}).setdefault(forecast.origin, []).append(forecast)
    raw: dict[str, dict[int, Forecast]] = {}
    kinds = sorted({kind for task in plan.tasks for kind in task.kinds})
    for fold in plan.origins.all:
        ids = panel.ids[panel.start <= fold.cutoff]
        for kind in kinds:
            raw.setdefault(kind, {})[fold.cutoff] = _aligned(
                parts.get(kind, {}).get(fold.cutoff, []), ids, fold.cutoff, panel, question
            )
    return raw


def _aligned(parts: Sequence[Forecast], ids: np.ndarray, cutoff: int, panel: Panel, question: Question) -> Forecast:
    n, h, q = len(ids), question.spec.horizon, len(question.spec.levels)
    mean, quantiles = np.full((n, h), np.nan), np.full((n, h, q), np.nan)
    level = np.zeros(n, dtype=np.int64)
    text = {name: np.full(n, "", dtype=object) for name in ("made_by", "reason", "note")}
    text["reason"][:] = "its worker died"
    for part in parts:
        rows = np.searchsorted(ids, part.ids)
        mean[rows], quantiles[rows], level[rows] = part.mean, part.quantiles, part.level
        for name, values in text.items():
            values[rows] = getattr(part, name)
    return Forecast(
        ids=ids, origin=cutoff, freq=panel.freq, levels=question.spec.levels, mean=mean, quantiles=quantiles,
        level=level, **{name: values.astype(str) for name, values in text.items()},
    )  # fmt: skip


def _timings(run: RunFolder) -> list[dict[str, Any]]:
    folder = run.path / "timings"
    return [run.json(f"timings/{path.name}") for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
