"""The fits of an automatic search: one model at some folds, in this process or each fold a task on Ray."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.folds import Fold
from jobs.cluster import Call, fan_out, put
from jobs.tune_trial import Bench, raw_forecast
from models.base import Forecast
from models.config import ModelConfig


@dataclass(frozen=True, eq=False)
class Made:
    """One fit at one fold. forecast: None when it broke or ended too late; cause says why. seconds: wall time."""

    fold: Fold
    forecast: Forecast | None
    seconds: float
    cause: str = ""


@dataclass(frozen=True)
class Hands:
    """Who does the fits. at_once: tasks on Ray; 0 = this process, one after the other."""

    at_once: int
    start_timeout_s: float = 600.0

    def wall(self, seconds: float, n: int, cpus: int) -> float:
        """Expected wall time of n fits of so many seconds each."""
        together = max(1, self.at_once // max(1, cpus))
        return seconds * -(-n // together)

    def fit(self, bench: Bench, config: ModelConfig, folds: Sequence[Fold], max_seconds: float) -> list[Made]:
        """The model at each of these folds; all together they are given up after max_seconds of wall time."""
        waves = max(1.0, self.wall(1.0, len(folds), bench.cpus)) if self.at_once else 1.0
        return self.fit_each([(bench, config, fold) for fold in folds], max_seconds, max_seconds / waves)

    def fit_each(
        self, asked: Sequence[tuple[Bench, ModelConfig, Fold]], max_seconds: float, each_s: float
    ) -> list[Made]:  # fmt: skip
        """One fit each, in the order asked; each is given up after each_s, in this process all after max_seconds."""
        if not asked:
            return []
        started = time.monotonic()
        if not self.at_once:
            return [made_at(*one, min(each_s, max_seconds - (time.monotonic() - started))) for one in asked]
        cpus = max(bench.cpus for bench, _, _ in asked)
        shipped = {id(bench): put(bench) for bench, _, _ in asked}
        calls = [
            Call(str(k), bench.cpus, (shipped[id(bench)], config, fold, each_s))
            for k, (bench, config, fold) in enumerate(asked)
        ]
        at_once = max(1, self.at_once // cpus)
        done = {int(one.call.name): one for one in fan_out(made_at, calls, at_once, 2, self.start_timeout_s)}
        return [
            Made(fold, None, 0.0, f"its worker died: {done[k].crash}") if done[k].crash else done[k].value
            for k, (_, _, fold) in enumerate(asked)
        ]


def made_at(bench: Bench, config: ModelConfig, fold: Fold, max_seconds: float) -> Made:
    """One fit, given up after max_seconds. Whatever breaks is what it came to: the search goes on with the others."""
    started = time.monotonic()
    try:
        forecast = raw_forecast(bench, config, fold, max_seconds)
    except Exception as error:  # noqa: BLE001 - a model's own failure is recorded, the others still compete
        return Made(fold, None, time.monotonic() - started, f"{type(error).__name__}: {error}"[:300])
    seconds = time.monotonic() - started
    if seconds >= max_seconds:  # a fit that was cut is not what a fit in full would be
        return Made(fold, None, seconds, f"time_budget: {seconds:.1f} s, {max(0.0, max_seconds):.1f} s were left")
    return Made(fold, forecast, seconds)
