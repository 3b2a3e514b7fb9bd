"""TiDE: a dense encoder-decoder over all series, direct over the horizon, with heads for the mean and each quantile."""

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
from models.lstm_network import Share, start_tensorflow
from models.lstm_training import Pool
from models.lstm_windows import FEATURES, WindowSource
from models.tide_network import TideShape, build_tide
from models.tide_training import Count, TideTraining, train


@dataclass(frozen=True, config=STRICT)
class Tide(Forecaster):
    """The recipe; see conf/model/tide.yaml and `build_tide` for the network.

    time_steps: how many last periods it reads. encoder, decoder: widths of the dense layers. A fit is `steps` gradient
    steps of `batch_size` windows, each asked for `steps_ahead` of its target periods: a stated amount of work, the same
    on every machine and whatever the size of the panel. learning_rate: of Adam, falling by a cosine to a hundredth.
    """

    encoder: tuple[Count, ...] = (256, 128)
    decoder: Count = 128
    dropout: Share = 0.1
    time_steps: Annotated[int, Field(ge=2, le=1000)] = 40
    steps: Count = 1500
    batch_size: Count = 256
    steps_ahead: Count = 12
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 0.002
    features: tuple[str, ...] = FEATURES

    kind: ClassVar[str] = "tide"
    pools_series: ClassVar[bool] = True
    refit_often: ClassVar[bool] = False  # what it learned of the fleet lasts
    training_params: ClassVar[frozenset[str]] = frozenset({"steps", "batch_size", "steps_ahead", "learning_rate"})

    def __post_init__(self) -> None:
        if not self.encoder:
            raise SettingsError("the encoder needs a layer", key="encoder", found=self.encoder)
        checked_features("tide", self.features)

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedTide:
        """One pooled fit. Raises FitError: "Insufficient data", "time_budget", or TensorFlow is missing."""
        deadline = time.monotonic() + context.max_seconds
        layout = layout_of(history, spec, context, self.time_steps, self.features)
        source = WindowSource(history, layout)
        pool = Pool.of(*source.origins(context.max_rows))
        if pool.size < context.min_rows:
            raise FitError(
                "Insufficient data", windows=pool.size, needed=context.min_rows, series=history.n_series,
                horizon=spec.horizon, hint="Use a shorter horizon or lower min_training_samples",
            )  # fmt: skip
        start_tensorflow(context.threads)
        own = {name: getattr(self, name) for name in ("encoder", "decoder", "dropout", "time_steps")}
        shape = TideShape(**own, **widths(source, pool, spec))
        settings = TideTraining(**{name: getattr(self, name) for name in self.training_params})
        weights, facts = train(
            build_tide(shape, context.seed), source, pool, settings, spec.levels, seed=context.seed, deadline=deadline
        )
        facts = {"windows": pool.size, **facts}
        return FittedTide(spec, history.freq, layout, shape, weights, left_out(layout), context.threads, facts)


class FittedTide(FittedNetwork):
    """The trained network; see FittedNetwork."""

    kind: ClassVar[str] = "tide"
    shape_class: ClassVar[type[TideShape]] = TideShape
    shape: TideShape

    def built(self) -> Any:
        """The network, untrained."""
        return build_tide(self.shape)
