"""The LSTM: one network over all series, direct over the horizon, with heads for the mean and each quantile."""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import FitError, SettingsError
from demand.panel import Panel
from demand.settings import STRICT
from models.base import FitContext, Forecaster, ForecastSpec
from models.fitted_network import FittedNetwork, checked_features, layout_of, left_out, widths
from models.lstm_network import Activation, NetworkShape, build_network, start_tensorflow
from models.lstm_training import Loss, Metric, Optimizer, Split, Trainer, TrainingSettings
from models.lstm_windows import FEATURES, WindowSource

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


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
        checked_features("lstm", self.features)

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedLstm:
        """One pooled fit. Raises FitError: "Insufficient data", "time_budget", or TensorFlow is missing."""
        deadline = time.monotonic() + context.max_seconds
        if spec.horizon > self.forecast_horizon:
            raise SettingsError(
                "the horizon asked for is longer than the LSTM may forecast",
                key="models.lstm.hyperparameters.forecast_horizon", found=self.forecast_horizon, asked=spec.horizon,
                hint="Raise forecast_horizon or ask for fewer periods",
            )  # fmt: skip
        layout = layout_of(history, spec, context, self.time_steps, self.features)
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
        return FittedLstm(spec, history.freq, layout, shape, trained.weights, left_out(layout), context.threads, facts)

    def _training(self) -> TrainingSettings:
        return TrainingSettings(**{name: getattr(self, name) for name in self.training_params})

    def _shape(self, source: WindowSource, split: Split, spec: ForecastSpec) -> NetworkShape:
        own = ("units", "dropout", "recurrent_dropout", "activation", "recurrent_activation", "use_bias")
        return NetworkShape(
            **{name: getattr(self, name) for name in (*own, "return_sequences", "time_steps")},
            horizon=spec.horizon,
            **widths(source, split.everything, spec),
        )


class FittedLstm(FittedNetwork):
    """The trained network. Any series of two periods or more can be forecast, also one the fit never saw."""

    kind: ClassVar[str] = "lstm"
    shape_class: ClassVar[type[NetworkShape]] = NetworkShape
    shape: NetworkShape

    def built(self) -> Any:
        """The network, untrained."""
        return build_network(self.shape)
