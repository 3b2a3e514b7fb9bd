"""Training the dense network: a stated number of steps, windows and target periods drawn by seed, a falling rate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings_dataclass

from demand.errors import FitError
from demand.panel import Floats, Ints
from demand.settings import STRICT
from models.lstm_network import Weights, weights_of
from models.lstm_training import Pool
from models.lstm_windows import Array32, Windows, WindowSource

Count = Annotated[int, Field(ge=1)]

_LAST_RATE = 0.01  # of the first one, at the last step (cosine decay)
_CLIP = 1.0  # norm of one step's gradients: on sparse series a target may be many times its scale
_MEASURED = 4_000  # windows whose scales and targets say what is usual in the fleet
_HEAVIEST = 10.0  # times the usual weight
_WILD = 0.999  # the mean learns from no target above this quantile of the usual ones
_MEAN_SHARE = 0.1  # of the loss: the mean's squared error beside the quantiles' loss


@settings_dataclass(frozen=True, config=STRICT)
class TideTraining:
    """The training parameters, with the configuration's own names (see models.tide.Tide)."""

    steps: Count
    batch_size: Count
    steps_ahead: Count
    learning_rate: Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, eq=False)
class Usual:
    """What is usual in the windows of a fleet: mean scale, and the size of target that is seldom passed (in scales)."""

    scale: float
    wild: float

    @classmethod
    def of(cls, source: WindowSource, pool: Pool, rng: np.random.Generator) -> Usual:
        series, origins = pool.draw(rng, _MEASURED, 1)
        scale = source.windows(series, origins).scale
        targets = np.abs(source.targets(series, origins, scale))
        return cls(float(scale.mean()), float(np.quantile(targets, _WILD)))

    def weights(self, scale: Floats) -> Array32:
        """Weights of windows in the mean's loss [B]: its errors count in the source's unit, so that the fleet's total
        is unbiased. (In the quantiles' loss every window counts alike: by volume they were worse on four fleets.)"""
        return np.minimum(scale / self.scale, _HEAVIEST).astype(np.float32)


def train(
    network: Any, source: WindowSource, pool: Pool, settings: TideTraining, levels: tuple[float, ...], *, seed: int,
    deadline: float,
) -> tuple[Weights, dict[str, Any]]:  # fmt: skip
    """The weights after all steps, or those at the deadline, and the facts of the training for the card.

    Each step draws `batch_size` windows, every series as likely as another, and `steps_ahead` target periods: the
    decoder is the same for all, so a long horizon costs no more than a short one. Raises FitError("time_budget") when
    there was no time for a single step, and when the training diverged.
    """
    rng = np.random.default_rng(seed)
    usual = Usual.of(source, pool, rng)
    step = _step(network, settings, levels, usual.wild)
    horizon = source.layout.horizon
    done, reason = 0, "steps"
    loss = np.nan
    for _ in range(settings.steps):
        if time.monotonic() >= deadline:
            reason = "time_budget"
            break
        series, origins = pool.draw(rng, settings.batch_size, 1)
        windows = source.windows(series, origins)
        target = source.targets(series, origins, windows.scale)
        ahead = np.sort(rng.choice(horizon, min(horizon, settings.steps_ahead), replace=False))
        loss = step(*_at(windows, ahead), target[:, ahead], usual.weights(windows.scale))
        done += 1
    if not done:
        raise FitError("time_budget", steps=0, hint="Raise max_training_time_seconds")
    weights = weights_of(network)
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise FitError("the training diverged", steps=done, hint="Lower learning_rate")
    return weights, {"steps": done, "stopped_by": reason, "last_loss": float(loss)}


def _at(windows: Windows, ahead: Ints) -> tuple[Array32, Array32, Array32, Array32]:
    return windows.past, windows.ahead[:, ahead], windows.static, windows.anchors[:, ahead]


def _step(network: Any, settings: TideTraining, levels: tuple[float, ...], wild: float) -> Any:
    """One gradient step: the first head by squared error, the others by the quantile loss at their level."""
    import keras
    import tensorflow as tf

    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps, alpha=_LAST_RATE)
    optimizer = keras.optimizers.Adam(rate, clipnorm=_CLIP)
    optimizer.build(network.trainable_variables)
    level = tf.constant(levels, tf.float32)

    def step(past: Any, ahead: Any, static: Any, anchors: Any, target: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            answer = network([past, ahead, static, anchors], training=True)
            error = target[:, :, None] - answer[:, :, 1:]
            of_quantiles = 2 * tf.maximum(level * error, (level - 1) * error)
            of_mean = (tf.clip_by_value(target, -wild, wild) - answer[:, :, 0]) ** 2
            loss = tf.reduce_mean(of_quantiles) + _MEAN_SHARE * tf.reduce_mean(weights[:, None] * of_mean)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    return tf.function(step, autograph=False, reduce_retracing=True)
