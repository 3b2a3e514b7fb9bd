"""Training the LSTM: windows drawn by seed, a bounded number of steps, early stopping on newer windows than it saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings_dataclass

from demand.errors import FitError
from demand.panel import Floats, Ints
from demand.settings import STRICT
from models.lstm_network import Predictor, Weights, weights_of, with_weights
from models.lstm_windows import Array32, Windows, WindowSource

Optimizer = Literal["adam", "adamw", "adamax", "nadam", "rmsprop", "sgd"]
Loss = Literal["mse", "mae", "huber", "log_cosh"]
Metric = Literal["mae", "mse", "rmse", "mape"]
Count = Annotated[int, Field(ge=1)]

VALIDATION_WINDOWS = 256  # scored after each epoch, the same ones each time
_LR_FACTOR, _LR_LEAST = 0.5, 1e-5
_CLIP = 1.0  # norm of one step's gradients: on sparse series a target may be many times its scale
_REFIT = 0.3  # epochs on all windows, the newest included, as share of the epochs the best state took


@settings_dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """The training parameters, with the configuration's own names (see models.lstm.Lstm)."""

    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    windows_per_series: Count
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    optimizer: Optimizer
    loss: Loss
    metrics: tuple[Metric, ...]
    early_stopping_patience: Count
    reduce_lr_patience: Count
    validation_freq: Count
    shuffle: bool


@dataclass(frozen=True, eq=False)
class Pool:
    """Windows that may be drawn: of series[i] [n], the origins first[i] .. last[i]."""

    series: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, first: Ints, last: Ints) -> Pool:
        """The series [N] that have any: first <= last."""
        series = np.flatnonzero(first <= last)
        return cls(series, first[series], last[series])

    @property
    def size(self) -> int:
        return int((self.last - self.first + 1).sum())

    def draw(self, rng: np.random.Generator, n_series: int, each: int) -> tuple[Ints, Ints]:
        """`each` windows of `n_series` series, every series as likely as another: series [B], origins [B]."""
        rows = rng.choice(len(self.series), n_series, replace=n_series > len(self.series)).repeat(each)
        return self.series[rows], rng.integers(self.first[rows], self.last[rows] + 1)

    def epoch(self, rng: np.random.Generator, settings: TrainingSettings, start: Ints) -> Iterator[tuple[Ints, Ints]]:
        """The batches of one epoch; without `shuffle` oldest origin first. start [N]: first periods of the series."""
        drawn = [
            self.draw(rng, settings.batch_size, settings.windows_per_series) for _ in range(settings.steps_per_epoch)
        ]
        if settings.shuffle:
            yield from drawn
            return
        series, origins = np.concatenate([s for s, _ in drawn]), np.concatenate([o for _, o in drawn])
        order = np.argsort(start[series] + origins, kind="stable")
        yield from zip(
            np.split(series[order], settings.steps_per_epoch),
            np.split(origins[order], settings.steps_per_epoch),
            strict=True,
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Which windows teach, which decide when to stop, and all of them.

    t t t t t t . . .          targets of training windows end where those of validation windows begin, so that
              v v v v v v      their origins lie at least one horizon apart
    """

    training: Pool
    validation: Pool
    everything: Pool

    @classmethod
    def newest(cls, lengths: Ints, first: Ints, last: Ints, horizon: int, share: float) -> Split:
        """The newest `share` of the history (of a series of median length), at least one horizon, is for validation."""
        everything = Pool.of(first, last)
        if share == 0:
            return cls(everything, Pool.of(first, first - 1), everything)
        periods = max(horizon, round(share * float(np.median(lengths[everything.series]))))
        return cls(
            training=Pool.of(first, last - periods),
            validation=Pool.of(np.maximum(first, lengths - 1 - periods), last),
            everything=everything,
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """The weights kept, and the facts of the training for the card."""

    weights: Weights
    facts: dict[str, Any]


class _OutOfTime(Exception):
    """The wall time of the fit is used up."""


class Trainer:
    """One training of one network. `run` is called once."""

    def __init__(
        self,
        network: Any,
        source: WindowSource,
        split: Split,
        settings: TrainingSettings,
        levels: tuple[float, ...],
        *,
        seed: int,
        deadline: float,
    ) -> None:
        self.network, self.source, self.split, self.settings = network, source, split, settings
        self.levels, self.deadline = np.array(levels), deadline
        self.rng = np.random.default_rng(seed)
        self.optimizer = _optimizer(settings, network)
        self.step = _step(network, self.optimizer, settings.loss, levels)
        self.predict = Predictor(network)
        self.steps = 0

    def run(self, min_rows: int) -> Trained:
        """Trains until the epochs, the patience or the time is used up; then on all windows for a few epochs more.

        Without enough windows to set some apart for validation, all `epochs` run on all windows. Raises
        FitError("time_budget") when there was no time for a single step.
        """
        validated = self.split.validation.size > 0 and self.split.training.size >= min_rows
        try:
            facts = self._with_early_stopping() if validated else self._to_the_end()
        except _OutOfTime:
            if not self.steps:
                raise FitError("time_budget", steps=0, hint="Raise max_training_time_seconds") from None
            facts = {"stopped_by": "time_budget"}
        weights = weights_of(self.network)
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise FitError("the training diverged", steps=self.steps, hint="Lower learning_rate")
        return Trained(weights, {"steps": self.steps, "validated": validated, **facts})

    def _to_the_end(self) -> dict[str, Any]:
        for _ in range(self.settings.epochs):
            self._epoch(self.split.everything)
        return {"stopped_by": "epochs", "epochs": self.settings.epochs}

    def _with_early_stopping(self) -> dict[str, Any]:
        settings = self.settings
        windows, target = self._validation_windows()
        best: dict[str, Any] = {"loss": np.inf}
        kept: Weights | None = None
        worse = 0
        reason = "epochs"
        try:
            for epoch in range(1, settings.epochs + 1):
                self._epoch(self.split.training)
                if epoch % settings.validation_freq and epoch != settings.epochs:
                    continue
                score = self._score(windows, target)
                if score["loss"] < best["loss"]:
                    best, kept, worse = {**score, "epoch": epoch}, weights_of(self.network), 0
                    continue
                worse += 1
                if worse % settings.reduce_lr_patience == 0:
                    slower = max(_LR_LEAST, float(self.optimizer.learning_rate) * _LR_FACTOR)
                    self.optimizer.learning_rate.assign(slower)
                if worse >= settings.early_stopping_patience:
                    reason = "early_stopping"
                    break
            if kept is None:
                raise FitError("the training diverged", epochs=settings.epochs, hint="Lower learning_rate")
            with_weights(self.network, kept)
            refit = max(1, round(best["epoch"] * _REFIT))
            for _ in range(refit):
                self._epoch(self.split.everything)
        except _OutOfTime:
            if kept is None:
                raise
            # Half a refit has seen some newest windows and not others: the best validated state is the one we know.
            with_weights(self.network, kept)
            return {"stopped_by": "time_budget", "best": best, "refit_epochs": 0}
        facts = {"stopped_by": reason, "best": best, "refit_epochs": refit}
        return facts | {"learning_rate": float(self.optimizer.learning_rate)}

    def _epoch(self, pool: Pool) -> None:
        for series, origins in pool.epoch(self.rng, self.settings, self.source.panel.start):
            if time.monotonic() >= self.deadline:
                raise _OutOfTime
            windows = self.source.windows(series, origins)
            self.step(*windows[:4], self.source.targets(series, origins, windows.scale))
            self.steps += 1

    def _validation_windows(self) -> tuple[Windows, Array32]:
        pool = self.split.validation
        n = min(VALIDATION_WINDOWS, len(pool.series))
        series, origins = pool.draw(self.rng, n, VALIDATION_WINDOWS // n)
        windows = self.source.windows(series, origins)
        return windows, self.source.targets(series, origins, windows.scale)

    def _score(self, windows: Windows, target: Array32) -> dict[str, Any]:
        """The metrics, and the quantile loss, which decides: a few windows of sparse series rule the point loss."""
        answer = self.predict(windows)
        error = target[:, :, None] - answer[:, :, 1:]
        loss = float(np.mean(2 * np.maximum(self.levels * error, (self.levels - 1) * error)))
        point = answer[:, :, 0].astype(np.float64)
        return {
            "loss": loss,
            **{name: METRICS[name](target.astype(np.float64), point) for name in self.settings.metrics},
        }


def _mape(target: Floats, point: Floats) -> float | None:
    """Over the periods with demand; None where there are none."""
    sold = target != 0
    return float(np.mean(np.abs(target - point)[sold] / np.abs(target[sold]))) if sold.any() else None


METRICS: dict[str, Callable[[Floats, Floats], float | None]] = {
    "mae": lambda target, point: float(np.mean(np.abs(target - point))),
    "mse": lambda target, point: float(np.mean((target - point) ** 2)),
    "rmse": lambda target, point: float(np.sqrt(np.mean((target - point) ** 2))),
    "mape": _mape,
}


def _optimizer(settings: TrainingSettings, network: Any) -> Any:
    import keras

    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "adamax": keras.optimizers.Adamax,
        "nadam": keras.optimizers.Nadam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    optimizer = kinds[settings.optimizer](learning_rate=settings.learning_rate, clipnorm=_CLIP)
    optimizer.build(network.trainable_variables)
    return optimizer


def _step(network: Any, optimizer: Any, loss: Loss, levels: tuple[float, ...]) -> Any:
    """One gradient step: the first head by `loss`, the others by the quantile loss at their level."""
    import keras
    import tensorflow as tf

    point_loss = {
        "mse": keras.losses.mean_squared_error,
        "mae": keras.losses.mean_absolute_error,
        "huber": keras.losses.huber,
        "log_cosh": keras.losses.log_cosh,
    }[loss]
    level = tf.constant(levels, tf.float32)

    def step(past: Any, ahead: Any, static: Any, anchors: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            answer = network([past, ahead, static, anchors], training=True)
            error = target[:, :, None] - answer[:, :, 1:]
            quantile_loss = 2 * tf.reduce_mean(tf.maximum(level * error, (level - 1) * error))
            total = quantile_loss + tf.reduce_mean(point_loss(target, answer[:, :, 0]))
        gradients = tape.gradient(total, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    return tf.function(step, autograph=False)
