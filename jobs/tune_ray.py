"""The trials of a search as Ray Tune runs them: one actor a trial at a time, reused; Tune chooses and keeps nothing.

Importing it imports Tune, which reads its environment then: see `jobs.tune_quiet`.
"""

from __future__ import annotations

import json
import logging
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
        # As text: Tune takes nested results apart before it hands them on.
        return {"outcome": json.dumps(asdict(run_trial(self.bench, self.assignment))), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A trial leaves nothing but its outcome."""


class _FromDesk(Searcher):  # type: ignore[misc]
    """Tune asks here for the next trial and tells here how it ended."""

    def __init__(self, desk: Desk, ended: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._desk, self._ended = desk, ended

    def suggest(self, trial_id: str) -> Any:
        found = self._desk.next()
        if found == "over":
            return Searcher.FINISHED
        return None if found == "wait" else asdict(found)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and "outcome" in result:  # how a trial broke that could not say it itself: see _Broken
            told = json.loads(result["outcome"])
            outcome = Outcome(**{**told, "folds": tuple(told["folds"])})
            self._desk.tell(outcome)
            self._ended(outcome)

    def save(self, checkpoint_path: str) -> None:
        """The log of the trials is what is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """The log of the trials is what is kept."""


class _Broken(tune.Callback):  # type: ignore[misc]
    """Tells of trials whose worker died, or broke before the trial began, and why."""

    def __init__(self, desk: Desk, ended: Callable[[Outcome], None]) -> None:
        self._desk, self._ended = desk, ended

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
        self._ended(self._desk.broke(int(trial.config["number"]), f"its worker broke: {lines[-1] if lines else '?'}"))


def search_on_ray(desk: Desk, bench: Bench, folder: Path, at_once: int, ended: Callable[[Outcome], None]) -> None:
    """Runs the trials that are still to do on the cluster this process is connected to, `at_once` of them together."""
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it warns of result files, which are switched off
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
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False), callbacks=[_Broken(desk, ended)],
            ),
        ).fit()  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
