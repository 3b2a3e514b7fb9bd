"""What Ray adds to the same batches, and what a second worker brings. Ratios of one run, side by side."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from demand.panel import Panel
from demand.store import read_panel
from evaluation.backtest import Question
from evaluation.folds import Fold
from jobs.cluster import Call, cluster, fan_out, put
from jobs.plan import Task
from jobs.sections import ClusterSettings
from jobs.tasks import Work, run_task
from models.base import FitContext, ForecastSpec
from tests.bench.stages import configured

WARM_ROUNDS = 4
N_BATCHES, BATCH = 30, 15  # of a second each: long enough for Ray, short enough to share out evenly
KINDS = ("arima",)


def run(folder: str, horizon: int) -> dict[str, float]:
    """Seconds of the same ARIMA batches called directly, on one Ray worker and on two (workers warm)."""
    panel = read_panel(Path(folder))
    panel = panel.take(np.flatnonzero(panel.lengths > 100)[: N_BATCHES * BATCH])
    place = Path(tempfile.mkdtemp())
    try:
        _direct(panel.take(np.arange(BATCH)), horizon, place / "warm")  # imports are paid before the clock starts
        direct = _direct(panel, horizon, place / "direct")
        one, outside = _on_ray(panel, horizon, place / "one", 1)
        two, _ = _on_ray(panel, horizon, place / "two", 2)
        again = _direct(panel, horizon, place / "again")
    finally:
        shutil.rmtree(place)
    base = (direct + again) / 2  # before and after: a machine that drifts shows here
    return {
        "direct_s": round(base, 2), "direct_first_s": round(direct, 2), "direct_last_s": round(again, 2),
        "ray_1_worker_s": round(one, 2), "ray_2_workers_s": round(two, 2),
        "ray_overhead": round(one / base - 1, 4), "ray_outside": round(outside, 4),
        "speedup_2": round(one / two, 3), "load": os.getloadavg()[0],
    }  # fmt: skip


def words(found: dict[str, float]) -> str:
    """The figures in one paragraph."""
    return (
        f"{N_BATCHES} batches of {BATCH} ARIMA fits: called directly {found['direct_first_s']:.1f} and "
        f"{found['direct_last_s']:.1f} s, on one Ray worker {found['ray_1_worker_s']:.1f} s (overhead "
        f"{found['ray_overhead']:+.1%}; outside the batches {found['ray_outside']:.1%}), on two "
        f"{found['ray_2_workers_s']:.1f} s (speed-up {found['speedup_2']:.2f}); "
        f"load average {found['load']:.1f}."
    )


def _calls(panel: Panel, horizon: int, folder: Path) -> list[Work]:
    folder.mkdir(parents=True)
    question = Question(ForecastSpec(horizon), FitContext(season=7, threads=1), "interpolate")
    cutoff = Fold(panel.end - horizon, horizon).cutoff
    works = []
    for first in range(0, panel.n_series, BATCH):
        last = min(first + BATCH, panel.n_series)
        task = Task(f"local-{first:07d}", "local", KINDS, (first, last), (cutoff,), 1, 4.0)
        works.append(
            Work(
                task=task,
                recipes={k: configured(k) for k in KINDS},
                refit={k: frozenset({cutoff}) for k in KINDS},
                chosen={},
                question=question,
                limits=dict.fromkeys(KINDS, 300.0),
                folder=str(folder),
                deadline=None,
                live=None,
            )
        )
    return works


def _direct(panel: Panel, horizon: int, folder: Path) -> float:
    works = _calls(panel, horizon, folder)
    started = time.perf_counter()
    for work in works:
        run_task(panel, work)
    return time.perf_counter() - started


def _on_ray(panel: Panel, horizon: int, folder: Path, n_workers: int) -> tuple[float, float]:
    """Wall seconds, and the workers' time outside the batches as a share of that inside."""
    works = _calls(panel, horizon, folder)
    warm = _calls(panel.take(np.arange(BATCH)), horizon, folder / "warm")
    with cluster(ClusterSettings(num_cpus=n_workers)):
        small, shipped = put(panel.take(np.arange(BATCH))), put(panel)
        for _ in range(WARM_ROUNDS):  # Ray may keep more processes than CPUs; each pays its imports once
            list(fan_out(run_task, [Call("warm", 1, (small, warm[0]))] * n_workers, n_workers))
        started = time.perf_counter()
        done = list(fan_out(run_task, [Call(w.task.name, 1, (shipped, w)) for w in works], n_workers))
        wall = time.perf_counter() - started
        return wall, wall * n_workers / sum(one.value["total_seconds"] for one in done) - 1
