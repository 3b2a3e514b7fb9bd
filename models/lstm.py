"""The LSTM: one network over all series, direct over the horizon, with heads for the mean and each quantile."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import FitError, OriginError, SettingsError, VersionUnreadable
from demand.panel import Panel
from demand.settings import STRICT, build, refuse_unknown
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import read_arrays, read_card, write_arrays, write_card
from models.lstm_network import (
    Activation,
    NetworkShape,
    Predictor,
    Weights,
    build_network,
    start_tensorflow,
    with_weights,
)
from models.lstm_training import Loss, Metric, Optimizer, Split, Trainer, TrainingSettings
from models.lstm_windows import COLUMNS, FEATURES, MIN_HISTORY, WindowLayout, WindowSource, seasons_of

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

WEIGHTS = "weights.npz"
_SERIES_AT_ONCE = 1024  # windows of a forecast held in memory together


@dataclass(frozen=True, config=STRICT)
class Lstm(Forecaster):
    """The recipe, with the configuration's names; see conf/model/lstm.yaml.

    time_steps: how many last periods the LSTM reads. forecast_horizon: the most periods ahead it may be asked for; a
    fit is made for the horizon asked. return_sequences: true for every layer but the last; the last may give its last
    state (false) or the mean over time (true). loss: of the mean; the quantiles have the quantile loss, which also
    decides early stopping. metrics: what the card tells of the best state on the validation windows, in units of each
    window's own scale (mape: periods with demand only).

    A step sees `windows_per_series` windows each of `batch_size` series; an epoch is `steps_per_epoch` steps, so that
    the work of a fit is bounded, and the same on every machine, whatever the size of the panel. The two patiences
    count validations, one every `validation_freq` epochs. shuffle false: the windows of an epoch come oldest first.
    """

    units: tuple[Count, ...] = (128, 64, 32)
    dropout: Share = 0.2
    recurrent_dropout: Share = 0.2
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    return_sequences: tuple[bool, ...] = (True, True, False)
    stateful: bool = False
    time_steps: Annotated[int, Field(ge=2, le=1000)] = 30
    forecast_horizon: Count = 90
    epochs: Count = 100
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 0.001
    optimizer: Optimizer = "adam"
    loss: Loss = "mse"
    metrics: tuple[Metric, ...] = ("mae", "mape")
    early_stopping_patience: Count = 10
    reduce_lr_patience: Count = 5
    validation_freq: Count = 1
    shuffle: bool = True
    steps_per_epoch: Count = 2
    windows_per_series: Count = 2
    features: tuple[str, ...] = FEATURES
    validation_split: Share = 0.2

    kind: ClassVar[str] = "lstm"
    pools_series: ClassVar[bool] = True
    refit_often: ClassVar[bool] = False  # a fit is minutes, and what it learned of the fleet lasts
    training_params: ClassVar[frozenset[str]] = frozenset(
        {
            "epochs", "batch_size", "learning_rate", "optimizer", "loss", "metrics", "early_stopping_patience",
            "reduce_lr_patience", "validation_freq", "shuffle", "steps_per_epoch", "windows_per_series",
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.stateful:
            raise SettingsError(
                "a stateful LSTM needs batches that go on where the last one ended; here they are drawn at random",
                key="stateful", found=True, expected=False, hint="Raise time_steps to read further back",
            )  # fmt: skip
        if not self.units or len(self.return_sequences) != len(self.units):
            raise SettingsError(
                "return_sequences needs one value for each layer in units",
                key="return_sequences", units=self.units, found=self.return_sequences,
            )  # fmt: skip
        if not all(self.return_sequences[:-1]):
            raise SettingsError(
                "a layer below another one must return sequences",
                key="return_sequences", found=self.return_sequences, hint="Set all but the last to true",
            )  # fmt: skip
        refuse_unknown(self.features, FEATURES, "models.lstm.features")
        if "demand" not in self.features:
            raise SettingsError("the LSTM forecasts demand from demand", key="features", found=self.features)

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedLstm:
        """One pooled fit. Raises FitError: "Insufficient data", "time_budget", or TensorFlow is missing."""
        deadline = time.monotonic() + context.max_seconds
        if spec.horizon > self.forecast_horizon:
            raise SettingsError(
                "the horizon asked for is longer than the LSTM may forecast",
                key="models.lstm.hyperparameters.forecast_horizon", found=self.forecast_horizon, asked=spec.horizon,
                hint="Raise forecast_horizon or ask for fewer periods",
            )  # fmt: skip
        layout = WindowLayout(
            time_steps=self.time_steps,
            horizon=spec.horizon,
            periods=seasons_of(history.calendar, context.season),
            features=self.features,
            columns=tuple(n for n in COLUMNS if n in self.features and (n in history.past or n in history.future)),
        )
        source = WindowSource(history, layout)
        first, last = source.origins(context.max_rows)
        split = Split.newest(history.lengths, first, last, spec.horizon, self.validation_split)
        if split.everything.size < context.min_rows:
            raise FitError(
                "Insufficient data",
                windows=split.everything.size, needed=context.min_rows, series=history.n_series, horizon=spec.horizon,
                hint="Use a shorter horizon or lower min_training_samples",
            )  # fmt: skip
        start_tensorflow(context.threads)
        shape = self._shape(source, split, spec)
        trainer = Trainer(
            build_network(shape, context.seed), source, split, self._training(), spec.levels,
            seed=context.seed, deadline=deadline,
        )  # fmt: skip
        trained = trainer.run(context.min_rows)
        facts = {"windows": split.everything.size, "training_windows": split.training.size, **trained.facts}
        left_out = tuple(n for n in COLUMNS if n in self.features and n not in layout.columns)
        return FittedLstm(spec, history.freq, layout, shape, trained.weights, left_out, context.threads, facts)

    def _training(self) -> TrainingSettings:
        return TrainingSettings(**{name: getattr(self, name) for name in self.training_params})

    def _shape(self, source: WindowSource, split: Split, spec: ForecastSpec) -> NetworkShape:
        sample = source.windows(split.everything.series[:1], split.everything.last[:1])
        own = ("units", "dropout", "recurrent_dropout", "activation", "recurrent_activation", "use_bias")
        return NetworkShape(
            **{name: getattr(self, name) for name in (*own, "return_sequences", "time_steps")},
            horizon=spec.horizon,
            channels=sample.past.shape[2],
            ahead=sample.ahead.shape[2],
            static=sample.static.shape[1],
            anchors=sample.anchors.shape[2],
            heads=1 + len(spec.levels),
        )


class FittedLstm(FittedForecaster):
    """The trained network. Any series of two periods or more can be forecast, also one the fit never saw."""

    kind: ClassVar[str] = "lstm"

    def __init__(
        self,
        spec: ForecastSpec,
        freq: str,
        layout: WindowLayout,
        shape: NetworkShape,
        weights: Weights,
        left_out: tuple[str, ...],
        threads: int,
        facts: dict[str, Any],
    ) -> None:
        """left_out: columns asked for that the fitted panel did not carry. facts: how the training went."""
        self.spec, self.freq, self.layout, self.shape = spec, freq, layout, shape
        self.weights, self.left_out, self.threads, self.facts = weights, left_out, threads, facts

    def forecast(self, history: Panel) -> Forecast:
        """See FittedForecaster. A series that never sold is forecast as 0. Raises FitError without TensorFlow."""
        if history.freq != self.freq:
            raise OriginError("the history is on another calendar", expected=self.freq, found=history.freq)
        n, horizon = history.n_series, self.spec.horizon
        answer = np.full((n, horizon, self.shape.heads), np.nan)
        source = WindowSource(history, self.layout)
        rows = np.flatnonzero(history.lengths >= MIN_HISTORY)
        for first in range(0, len(rows), _SERIES_AT_ONCE):
            part = rows[first : first + _SERIES_AT_ONCE]
            windows = source.windows(part, history.lengths[part] - 1)
            answer[part] = self._predictor(windows) * windows.scale[:, None, None]
        reasons = {int(i): "history too short" for i in np.flatnonzero(history.lengths < MIN_HISTORY)}
        note = self._note(history)
        notes = dict.fromkeys(range(n), note) if note else None
        return Forecast.build(
            history, self.spec, self.kind, answer[:, :, 0], answer[:, :, 1:], reasons=reasons, notes=notes
        )

    def _note(self, history: Panel) -> str:
        gone = [name for name in self.layout.columns if name not in history.past and name not in history.future]
        parts = [f"{name} left out: not in the data it was fitted on" for name in self.left_out]
        parts += [f"{name} taken as unchanged: not in this history" for name in gone]
        return "; ".join(parts)

    def reads_ahead(self) -> tuple[str, ...]:
        """The columns it was fitted with; whether they were planned then is for the panel of the fit to say."""
        return self.layout.columns

    @cached_property
    def _predictor(self) -> Predictor:
        start_tensorflow(self.threads)
        return Predictor(with_weights(build_network(self.shape), self.weights))

    def __getstate__(self) -> dict[str, Any]:
        """Without the built network: it is rebuilt where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_predictor"}

    def save(self, folder: Path) -> None:
        """card.json, and weights.npz with its sha256 in the card. The network is rebuilt from our own settings."""
        write_arrays(folder / WEIGHTS, self.weights)
        write_card(
            folder,
            self.kind,
            {
                "spec": asdict(self.spec),
                "freq": self.freq,
                "layout": asdict(self.layout),
                "shape": asdict(self.shape),
                "left_out": list(self.left_out),
                "threads": self.threads,
                "facts": self.facts,
                "sha256": {WEIGHTS: _sha256(folder / WEIGHTS)},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved model. Raises VersionUnreadable when a file is missing, changed or not of this kind."""
        card = read_card(folder)
        try:
            spec = ForecastSpec(int(card["spec"]["horizon"]), tuple(card["spec"]["levels"]))
            layout = build(WindowLayout, card["layout"], "layout")
            shape = build(NetworkShape, card["shape"], "shape")
            freq, threads, facts = str(card["freq"]), int(card["threads"]), dict(card["facts"])
            left_out = tuple(map(str, card["left_out"]))
            expected = str(card["sha256"][WEIGHTS])
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise VersionUnreadable("the card of an lstm model is not complete", cause=repr(error)) from None
        found = _sha256(folder / WEIGHTS)
        if found != expected:
            raise VersionUnreadable("the weights are not those of the card", expected=expected, found=found)
        return cls(spec, freq, layout, shape, read_arrays(folder / WEIGHTS), left_out, threads, facts)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise VersionUnreadable("a stored file cannot be read", file=path.name, cause=str(error)) from None
