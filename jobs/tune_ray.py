"""The trials of a search as Ray Tune runs them: one actor a trial at a time, reused; Tune chooses and keeps nothing.

Importing it imports Tune, which reads its environment then: see `jobs.tune.QUIET`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from jobs.trial_log import Outcome
from jobs.tune_desk import Desk
from jobs.tune_search import Assignment
from jobs.tune_trial import Bench, run_trial

SCRATCH = ".tune"  # in the run folder: what Tune wants to write; nothing is read from it


class _Trial(tune.Trainable):  # type: ignore[misc]
    """One step is one trial, whole."""

    def setup(self, config: dict[str, Any], bench: Bench | None = None) -> None:
        self.bench: Any = bench
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.assignment = Assignment(**new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {"outcome": asdict(run_trial(self.bench, self.assignment)), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A trial leaves nothing but its outcome."""


class _FromDesk(Searcher):  # type: ignore[misc]
    """Tune asks here for the next trial and tells here how it ended."""

    def __init__(self, desk: Desk, ended: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._desk, self._ended = desk, ended
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        found = self._desk.next()
        if found == "over":
            return Searcher.FINISHED
        if found == "wait":
            return None
        self._numbers[trial_id] = found.number
        return asdict(found)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._numbers.pop(trial_id)
        if error or not result or "outcome" not in result:
            self._desk.crashed(number, "its worker died")
        else:
            told = dict(result["outcome"])
            self._desk.tell(Outcome(**{**told, "folds": tuple(told["folds"])}))
        if number in self._desk.outcomes:
            self._ended(self._desk.outcomes[number])

    def save(self, checkpoint_path: str) -> None:
        """The log of the trials is what is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """The log of the trials is what is kept."""


def search_on_ray(desk: Desk, bench: Bench, folder: Path, at_once: int, ended: Callable[[Outcome], None]) -> None:
    """Runs the trials that are still to do on the cluster this process is connected to, `at_once` of them together."""
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    trainable = tune.with_resources(tune.with_parameters(_Trial, bench=bench), {"CPU": bench.cpus})
    try:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_FromDesk(desk, ended), num_samples=desk.search.trials - len(desk.outcomes),
                max_concurrent_trials=at_once, reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="search", storage_path=str(scratch.resolve()), verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
