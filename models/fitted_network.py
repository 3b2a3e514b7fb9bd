"""A trained network that reads windows: how it answers, how it is stored. What kind of network is its subclass's."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from demand.errors import OriginError, SettingsError, VersionUnreadable
from demand.panel import Floats, Panel
from demand.settings import build, refuse_unknown
from models.base import FitContext, FittedForecaster, Forecast, ForecastSpec
from models.drivers import Reliance
from models.files import read_arrays, read_card, write_arrays, write_card
from models.lstm_network import Predictor, Weights, start_tensorflow, with_weights
from models.lstm_training import Pool
from models.lstm_windows import COLUMNS, FEATURES, MIN_HISTORY, WindowLayout, Windows, WindowSource, seasons_of
from models.network_drivers import reliance_of

WEIGHTS = "weights.npz"
_SERIES_AT_ONCE = 1024  # windows of a forecast held in memory together


def layout_of(
    history: Panel, spec: ForecastSpec, context: FitContext, time_steps: int, features: tuple[str, ...]
) -> WindowLayout:
    """What a network fitted to this history sees; of the optional columns asked for, those that the panel carries."""
    return WindowLayout(
        time_steps=time_steps,
        horizon=spec.horizon,
        periods=seasons_of(history.calendar, context.season),
        features=features,
        columns=tuple(n for n in COLUMNS if n in features and (n in history.past or n in history.future)),
    )


def widths(source: WindowSource, pool: Pool, spec: ForecastSpec) -> dict[str, Any]:
    """How wide each input of the network is and how many heads it has, by the names every shape gives them."""
    sample = source.windows(pool.series[:1], pool.last[:1])
    found = {"channels": sample.past, "ahead": sample.ahead, "static": sample.static, "anchors": sample.anchors}
    return {**{name: part.shape[-1] for name, part in found.items()}, "heads": 1 + len(spec.levels)}


def checked_features(kind: str, features: tuple[str, ...]) -> None:
    """Raises SettingsError when a feature is unknown, or demand is not among them."""
    refuse_unknown(features, FEATURES, f"models.{kind}.features")
    if "demand" not in features:
        raise SettingsError("the network forecasts demand from demand", key="features", found=features)


def left_out(layout: WindowLayout) -> tuple[str, ...]:
    """The optional columns that are asked for and that the fitted panel does not carry."""
    return tuple(n for n in COLUMNS if n in layout.features and n not in layout.columns)


class FittedNetwork(FittedForecaster):
    """A trained network over windows. Any series of two periods or more can be forecast, also one the fit never saw.

    A kind says what its shape is (a settings dataclass with `heads`: the mean and one for each level) and how the
    network of that shape is built.
    """

    kind: ClassVar[str]
    shape_class: ClassVar[type[Any]]

    def __init__(
        self,
        spec: ForecastSpec,
        freq: str,
        layout: WindowLayout,
        shape: Any,
        weights: Weights,
        left_out: tuple[str, ...],
        threads: int,
        facts: dict[str, Any],
    ) -> None:
        """left_out: columns asked for that the fitted panel did not carry. facts: how the training went."""
        self.spec, self.freq, self.layout, self.shape = spec, freq, layout, shape
        self.weights, self.left_out, self.threads, self.facts = weights, left_out, threads, facts

    @abstractmethod
    def built(self) -> Any:
        """The network (a keras.Model) of this shape, untrained."""

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

    def drivers(self, history: Panel) -> Reliance:
        """See FittedForecaster: how far the forecasts rest on each group of inputs, by permutation. Raises FitError
        without TensorFlow."""
        return reliance_of(self, history)

    def mean_of(self, windows: Windows) -> Floats:
        """The mean forecast of each window, in the source's unit and never negative [B, H]."""
        return np.maximum(self._predictor(windows)[:, :, 0].astype(np.float64) * windows.scale[:, None], 0.0)

    def reads_ahead(self) -> tuple[str, ...]:
        """The columns it was fitted with; whether they were planned then is for the panel of the fit to say."""
        return self.layout.columns

    @cached_property
    def _predictor(self) -> Predictor:
        start_tensorflow(self.threads)
        return Predictor(with_weights(self.built(), self.weights))

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
            shape = build(cls.shape_class, card["shape"], "shape")
            freq, threads, facts = str(card["freq"]), int(card["threads"]), dict(card["facts"])
            left_out = tuple(map(str, card["left_out"]))
            expected = str(card["sha256"][WEIGHTS])
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise VersionUnreadable(f"the card of this {cls.kind} model is not complete", cause=repr(error)) from None
        found = _sha256(folder / WEIGHTS)
        if found != expected:
            raise VersionUnreadable("the weights are not those of the card", expected=expected, found=found)
        return cls(spec, freq, layout, shape, read_arrays(folder / WEIGHTS), left_out, threads, facts)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise VersionUnreadable("a stored file cannot be read", file=path.name, cause=str(error)) from None
