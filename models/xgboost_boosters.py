"""Training, storing and reading boosters; a clock that stops a training and keeps what it has."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.errors import FitError, VersionUnreadable
from demand.panel import Floats
from features.build import Matrix

Booster = Any  # xgboost.Booster; the library is imported when first used


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock."""

    start: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic(), seconds)

    def passed(self, share: float = 1.0) -> bool:
        """Whether this share of the time is over."""
        return time.monotonic() - self.start > share * self.seconds

    def check(self) -> None:
        """Raises FitError("time_budget") when the time is over."""
        if self.passed():
            raise FitError("time_budget", seconds=self.seconds, hint="Raise max_training_time_seconds")


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one training: features float32 [R, F], label [R], weight [R] or None."""

    x: Matrix
    label: Floats
    weight: Floats | None = None


@dataclass(frozen=True, eq=False)
class Trained:
    """A booster, how many rounds it kept, its validation scores (metric -> value) and whether time ran out."""

    booster: Booster
    rounds: int
    scores: Mapping[str, float]
    cut_short: bool


def train(
    params: Mapping[str, Any],
    rounds: int,
    part: Part,
    deadline: Deadline,
    share: float,
    *,
    validation: Part | None = None,
    patience: int = 0,
    verbose: bool = False,
) -> Trained:
    """Boosts `rounds` rounds, or until the first metric has not improved for `patience` rounds on `validation`.

    At `share` of the deadline it stops and keeps what it has (at least one round).
    """
    import xgboost as xgb

    class Clock(xgb.callback.TrainingCallback):  # type: ignore[misc]
        stopped = False

        def after_iteration(self, model: Booster, epoch: int, evals_log: Any) -> bool:
            self.stopped = deadline.passed(share)
            return self.stopped

    threads, bins = params["nthread"], params["max_bin"]
    matrix = xgb.QuantileDMatrix(part.x, part.label, weight=part.weight, nthread=threads, max_bin=bins)
    clock, log = Clock(), dict[str, dict[str, list[float]]]()
    watched = []
    if validation is not None:
        held = xgb.QuantileDMatrix(
            validation.x, validation.label, weight=validation.weight, nthread=threads, max_bin=bins, ref=matrix
        )
        watched = [(held, "validation")]
    callbacks: list[Any] = []
    if watched and patience:
        metric = params["eval_metric"]
        callbacks.append(
            xgb.callback.EarlyStopping(rounds=patience, metric_name=metric if isinstance(metric, str) else metric[0])
        )
    # The clock comes last: XGBoost asks nobody behind a callback that ends the training, and early stopping must have
    # seen each round.
    booster = xgb.train(
        dict(params), matrix, rounds, evals=watched, evals_result=log, callbacks=[*callbacks, clock],
        verbose_eval=verbose,
    )  # fmt: skip
    kept = booster.num_boosted_rounds()
    if watched and patience:
        kept = booster.best_iteration + 1
        booster = booster[:kept]
    scores = {metric: values[kept - 1] for metric, values in log.get("validation", {}).items()}
    return Trained(booster, kept, scores, clock.stopped)


def predict(booster: Booster, x: Matrix) -> Floats:
    """The booster's answers [R] or [R, Q]."""
    return np.asarray(booster.inplace_predict(x), dtype=np.float64)


def objective_of(booster: Booster) -> str:
    """The objective a booster was trained for, also after it was read from a file."""
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def total_gain(booster: Booster, names: Sequence[str]) -> dict[str, float]:
    """Share of the loss reduction each feature brought; they sum to 1, or all are 0 when no tree ever split."""
    gains = booster.get_score(importance_type="total_gain")  # f0, f1, ..: the boosters are trained without names
    found = np.array([gains.get(f"f{k}", 0.0) for k in range(len(names))])
    total = found.sum()
    return dict(zip(names, (found / total if total > 0 else found).tolist(), strict=True))


def write_booster(path: Path, booster: Booster) -> str:
    """Writes the booster as UBJSON; returns the sha256 of the file."""
    raw = bytes(booster.save_raw(raw_format="ubj"))
    path.write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def read_booster(path: Path, sha256: str, threads: int) -> Booster:
    """The booster in a file. Raises VersionUnreadable when the bytes are not the ones that were written.

    The sum is compared before parsing: a damaged file can crash the parser.
    """
    import xgboost as xgb

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise VersionUnreadable("a stored booster cannot be read", file=path.name, cause=str(error)) from None
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise VersionUnreadable("a stored booster was changed", file=path.name, expected=sha256, found=found)
    booster = xgb.Booster({"nthread": threads})
    booster.load_model(bytearray(raw))
    return booster


Labels = NDArray[np.float64]
