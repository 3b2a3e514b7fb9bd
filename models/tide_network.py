"""The dense network: everything known of a window in one vector, and for each target period a weighing of anchors."""

from __future__ import annotations

from typing import Any

from pydantic.dataclasses import dataclass

from demand.settings import STRICT
from models.lstm_network import GATE_SPEED, Count, Share


@dataclass(frozen=True, config=STRICT)
class TideShape:
    """All that is needed to build the network again; weights fit only the same shape.

    encoder: widths of the dense layers over the past. decoder: width of those over each target period. channels,
    ahead, static, anchors: widths of the inputs (see Windows). heads: the mean and one for each quantile level. The
    horizon is no part of it: every target period is decoded by the same layers.
    """

    encoder: tuple[Count, ...]
    decoder: Count
    dropout: Share
    time_steps: Count
    channels: Count
    ahead: Count
    static: Count
    anchors: Count
    heads: Count


def build_tide(shape: TideShape, seed: int = 0) -> Any:
    """A keras.Model: past, ahead, static, anchors -> [B, H, heads], in units of the window's scale.

    After TiDE (Das et al. 2023, "Long-term forecasting with TiDE"): a dense encoder of the past and one decoder shared
    by all target periods, each seeing its own covariates. In the place of TiDE's linear skip from the past to the
    future, each head is a weighted mean of simple forecasts plus a correction, as in the LSTM.
    """
    import keras

    layers, ops = keras.layers, keras.ops
    past = keras.Input((shape.time_steps, shape.channels))
    ahead = keras.Input((None, shape.ahead))
    static = keras.Input((shape.static,))
    anchors = keras.Input((None, shape.anchors))
    keras.utils.set_random_seed(seed)
    state = layers.Flatten()(past)
    for width in shape.encoder:
        state = layers.Dropout(shape.dropout)(layers.Dense(width, activation="relu")(state))
    of_window = layers.Dense(shape.decoder)(layers.Concatenate()([state, static]))
    of_step = layers.Dense(shape.decoder, use_bias=False)(ahead)
    hidden = ops.relu(of_step + ops.expand_dims(of_window, 1))
    hidden = hidden + layers.Dense(shape.decoder, activation="relu")(layers.Dropout(shape.dropout)(hidden))
    hidden = layers.Dense(max(1, shape.decoder // 2), activation="relu")(hidden)
    # The zero start makes the untrained network the plain mean of its anchors: training only has to improve on it.
    gates = layers.EinsumDense(
        "bhd,dka->bhka", (None, shape.heads, shape.anchors), bias_axes="ka", kernel_initializer="zeros"
    )(hidden)
    gates = ops.softmax(GATE_SPEED * gates, axis=-1)
    correction = layers.Dense(shape.heads, kernel_initializer="zeros")(hidden)
    return keras.Model([past, ahead, static, anchors], ops.einsum("bhka,bha->bhk", gates, anchors) + correction)
