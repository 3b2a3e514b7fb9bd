"""The network: an LSTM over the past, and for each target period a weighing of simple forecasts plus a correction."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import FitError, VersionUnreadable
from demand.settings import STRICT
from models.lstm_windows import Array32, Windows

Activation = Literal[
    "tanh", "sigmoid", "relu", "elu", "selu", "gelu", "softplus", "softsign", "hard_sigmoid", "linear", "exponential"
]
Weights = dict[str, NDArray[Any]]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

PREDICTED_AT_ONCE = 256  # one shape for every call: the graph is traced once, and the bytes do not depend on the cut
_HIDDEN = 64  # width of the decoder
GATE_SPEED = 4.0  # a bounded training has a few hundred small steps to turn away from anchors that do not fit


@dataclass(frozen=True, config=STRICT)
class NetworkShape:
    """All that is needed to build the network again; weights fit only the same shape.

    units .. return_sequences: the LSTM stack, bottom first. channels, ahead, static, anchors: widths of the inputs (see
    Windows). heads: the mean and one for each quantile level.
    """

    units: tuple[Count, ...]
    dropout: Share
    recurrent_dropout: Share
    activation: Activation
    recurrent_activation: Activation
    use_bias: bool
    return_sequences: tuple[bool, ...]
    time_steps: Count
    horizon: Count
    channels: Count
    ahead: Count
    static: Count
    anchors: Count
    heads: Count


def start_tensorflow(threads: int) -> tuple[Any, Any]:
    """The modules (tensorflow, keras): quiet, deterministic, with this many threads.

    Threads can be set once a process; where TensorFlow already runs, its own number stays. Raises FitError where
    TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    first = "tensorflow" not in sys.modules
    try:
        with _native_messages_unseen(first):
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise FitError(
            "the LSTM needs TensorFlow, which is not installed here",
            package="tensorflow-cpu", cause=str(error), hint="Install it, or set models.lstm.enabled=false",
        ) from None  # fmt: skip
    tf.config.experimental.enable_op_determinism()
    for set_threads in (
        tf.config.threading.set_intra_op_parallelism_threads,
        tf.config.threading.set_inter_op_parallelism_threads,
    ):
        try:
            set_threads(threads)
        except RuntimeError:  # TensorFlow has started: the first fit of the process decided
            break
    with _native_messages_unseen(first):
        tf.zeros(1)  # the first operation starts the runtime, which introduces itself
    return tf, keras


@contextmanager
def _native_messages_unseen(active: bool) -> Iterator[None]:
    """What native code writes to stderr before it knows its log level goes nowhere; exceptions are raised as ever."""
    if not active:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def build_network(shape: NetworkShape, seed: int = 0) -> Any:
    """A keras.Model: past, ahead, static, anchors -> [B, H, heads], in units of the window's scale."""
    import keras

    past = keras.Input((shape.time_steps, shape.channels))
    ahead = keras.Input((shape.horizon, shape.ahead))
    static = keras.Input((shape.static,))
    anchors = keras.Input((shape.horizon, shape.anchors))
    keras.utils.set_random_seed(seed)
    state = past
    for units, sequences in zip(shape.units, shape.return_sequences, strict=True):
        state = keras.layers.LSTM(
            units,
            activation=shape.activation,
            recurrent_activation=shape.recurrent_activation,
            use_bias=shape.use_bias,
            dropout=shape.dropout,
            recurrent_dropout=shape.recurrent_dropout,
            return_sequences=sequences,
        )(state)
    if shape.return_sequences[-1]:
        state = keras.layers.GlobalAveragePooling1D()(state)
    of_window = keras.layers.Dense(_HIDDEN)(keras.layers.Concatenate()([state, static]))
    of_step = keras.layers.Dense(_HIDDEN, use_bias=False)(ahead)
    hidden = keras.ops.relu(of_step + keras.ops.expand_dims(of_window, 1))
    hidden = keras.layers.Dense(_HIDDEN, activation="relu")(hidden)
    # The zero start makes the untrained network the plain mean of its anchors: training only has to improve on it.
    gates = keras.layers.Dense(shape.heads * shape.anchors, kernel_initializer="zeros")(hidden)
    gates = GATE_SPEED * keras.ops.reshape(gates, (-1, shape.horizon, shape.heads, shape.anchors))
    gates = keras.ops.softmax(gates, axis=-1)
    correction = keras.layers.Dense(shape.heads, kernel_initializer="zeros")(hidden)
    return keras.Model([past, ahead, static, anchors], keras.ops.einsum("bhka,bha->bhk", gates, anchors) + correction)


class Predictor:
    """A built network with weights, answering in batches of one fixed shape."""

    def __init__(self, network: Any) -> None:
        import tensorflow as tf

        def answer(past: Any, ahead: Any, static: Any, anchors: Any) -> Any:
            return network([past, ahead, static, anchors], training=False)

        self._answer = tf.function(answer, autograph=False)

    def __call__(self, windows: Windows) -> Array32:
        """[B, H, heads] in units of the scale."""
        inputs = windows[:4]
        parts = [np.asarray(self._answer(*batch))[:count] for batch, count in _padded(inputs)]
        return np.concatenate(parts)


def _padded(inputs: Sequence[Array32]) -> Iterator[tuple[list[Array32], int]]:
    """Batches of PREDICTED_AT_ONCE rows, the last filled up with zeros, each with its count of real rows."""
    for first in range(0, len(inputs[0]), PREDICTED_AT_ONCE):
        batch = [part[first : first + PREDICTED_AT_ONCE] for part in inputs]
        count = len(batch[0])
        missing = PREDICTED_AT_ONCE - count
        yield [np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) for part in batch], count


def weights_of(network: Any) -> Weights:
    """The trained numbers by position."""
    return {f"w{i:02d}": value.numpy() for i, value in enumerate(network.trainable_weights)}


def with_weights(network: Any, weights: Weights) -> Any:
    """The same network, holding `weights`. Raises VersionUnreadable where they do not fit its shape."""
    variables = network.trainable_weights
    found = {name: tuple(value.shape) for name, value in weights.items()}
    expected = {f"w{i:02d}": tuple(variable.shape) for i, variable in enumerate(variables)}
    if found != expected:
        raise VersionUnreadable("the stored weights do not fit the network", found=found, expected=expected)
    for i, variable in enumerate(variables):
        variable.assign(weights[f"w{i:02d}"])
    return network
