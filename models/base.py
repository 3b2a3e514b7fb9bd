"""The contract of every forecaster: a recipe is fitted, the fitted thing answers with a Forecast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.errors import HorizonError, SettingsError
from demand.panel import Floats, Ints, Panel, Strings
from demand.settings import build, refuse_unknown
from features.settings import FeatureSettings
from models.config import ModelConfig
from models.drivers import Drivers, Reliance


@dataclass(frozen=True)
class ForecastSpec:
    """The question: how many periods ahead, at which quantile levels (ascending, in (0, 1), with 0.5)."""

    horizon: int
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise SettingsError("the horizon must be at least 1 period", key="horizon", found=self.horizon)
        ascending = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if not ascending or 0.5 not in self.levels or not all(0 < q < 1 for q in self.levels):
            raise SettingsError("levels must ascend within (0, 1) and hold 0.5", key="levels", found=self.levels)


@dataclass(frozen=True)
class FitContext:
    """What a fit may know beside its recipe and the history.

    season: periods in one season. threads: numeric threads it may use. max_seconds: wall time one fit may take; the
    best state so far is kept, else FitError("time_budget"). min_rows / max_rows: training rows of a pooled fit
    (fewer: FitError "Insufficient data"; more: the newest are kept). features: which features a tabular model sees.
    """

    season: int
    seed: int = 42
    threads: int = 1
    max_seconds: float = 300.0
    min_rows: int = 100
    max_rows: int = 10_000_000
    features: FeatureSettings = field(default_factory=FeatureSettings)


@dataclass(frozen=True, eq=False)
class Forecast:
    """The answer for N series at one origin, H steps ahead.

    ids        [N]        as in the history it was made from
    origin                number of the last period that was known
    mean       [N, H]     finite and >= 0, or NaN in the whole row when the model made none
    quantiles  [N, H, Q]  at `levels`; never crossing, never negative; NaN with the mean
    made_by    [N]        kind of the model that really made the row; "" when there is none
    level      [N]        0 as asked, 1..3 = place in the fallback chain
    reason     [N]        why the row is missing or made by another; "" otherwise
    note       [N]        what the model left out and why (a seasonal part without the history for it); "" otherwise
    """

    ids: Strings
    origin: int
    freq: str
    levels: tuple[float, ...]
    mean: Floats
    quantiles: Floats
    made_by: Strings
    level: Ints
    reason: Strings
    note: Strings

    @classmethod
    def build(
        cls,
        history: Panel,
        spec: ForecastSpec,
        kind: str,
        mean: Floats,
        quantiles: Floats,
        *,
        reasons: Mapping[int, str] | None = None,
        notes: Mapping[int, str] | None = None,
    ) -> Forecast:
        """A valid forecast from raw numbers: clipped at 0, quantiles sorted, rows with a non-finite number taken out.

        mean [N, H] and quantiles [N, H, Q] of the series of `history`. `reasons` names rows (by position) the model
        could not make; a row that is not finite gets the reason "non-finite forecast".
        """
        n, reasons, notes = history.n_series, dict(reasons or {}), notes or {}
        mean, quantiles = np.array(mean, dtype=np.float64), np.array(quantiles, dtype=np.float64)
        finite = np.isfinite(mean).all(axis=1) & np.isfinite(quantiles).all(axis=(1, 2))
        for i in np.flatnonzero(~finite):
            reasons.setdefault(int(i), "non-finite forecast")
        failed = np.zeros(n, dtype=bool)
        failed[list(reasons)] = True
        mean = np.where(failed[:, None], np.nan, np.maximum(mean, 0.0))
        quantiles = np.where(failed[:, None, None], np.nan, np.maximum(np.sort(quantiles, axis=2), 0.0))
        return cls(
            ids=history.ids,
            origin=history.end,
            freq=history.freq,
            levels=spec.levels,
            mean=mean,
            quantiles=quantiles,
            made_by=np.where(failed, "", kind).astype(str),
            level=np.zeros(n, dtype=np.int64),
            reason=np.array([reasons.get(i, "") for i in range(n)], dtype=str),
            note=np.array([notes.get(i, "") for i in range(n)], dtype=str),
        )

    @classmethod
    def join(cls, parts: Sequence[Forecast]) -> Forecast:
        """Forecasts of consecutive parts of one panel, as one."""
        return replace(parts[0], **_each(lambda name: np.concatenate([getattr(part, name) for part in parts])))

    @property
    def horizon(self) -> int:
        return int(self.mean.shape[1])

    @property
    def made(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """True where the row exists [N]."""
        return np.asarray(self.made_by != "")

    @property
    def median(self) -> Floats:
        """[N, H]"""
        return self.quantile(0.5)

    def quantile(self, level: float) -> Floats:
        """[N, H]; KeyError-free: asks only for a level it was made for."""
        if level not in self.levels:
            raise SettingsError("this forecast has no such quantile", found=level, expected=self.levels)
        return self.quantiles[:, :, self.levels.index(level)]

    def first(self, horizon: int) -> Forecast:
        """The first `horizon` steps. Raises HorizonError when there are fewer."""
        if horizon > self.horizon:
            raise HorizonError("the forecast is shorter than asked", horizon=self.horizon, asked=horizon)
        return replace(self, mean=self.mean[:, :horizon], quantiles=self.quantiles[:, :horizon])

    def take(self, rows: Ints) -> Forecast:
        """These rows only, by position [n]."""
        return replace(self, **_each(lambda name: getattr(self, name)[rows]))

    def to_frame(self) -> pd.DataFrame:
        """A row a series and step: unique_id, cutoff, ds, mean, q0.1 .., made_by; rows not made are left out."""
        rows = self.take(np.flatnonzero(self.made))
        n, h = rows.mean.shape
        dates = Calendar(self.freq).dates(self.origin + 1 + np.arange(h))
        frame = pd.DataFrame(
            {
                "unique_id": np.repeat(rows.ids, h),
                "cutoff": Calendar(self.freq).dates(np.array([self.origin])).repeat(n * h),
                "ds": np.tile(dates, n),
                "mean": rows.mean.ravel(),
            }
        )
        for k, q in enumerate(self.levels):
            frame[f"q{q:g}"] = rows.quantiles[:, :, k].ravel()
        frame["made_by"] = np.repeat(rows.made_by, h)
        return frame


_ROWS = ("ids", "mean", "quantiles", "made_by", "level", "reason", "note")


def _each(value_of: Callable[[str], Any]) -> dict[str, Any]:
    return {name: value_of(name) for name in _ROWS}


class FittedForecaster(ABC):
    """What a fit learned. Immutable; forecasts from any later history of the same series; saved as a folder."""

    kind: ClassVar[str]
    spec: ForecastSpec

    @abstractmethod
    def forecast(self, history: Panel) -> Forecast:
        """`spec.horizon` steps after the end of `history`, a row for each of its series, in its order.

        y must be finite. A series the model cannot forecast is a row without numbers and with a reason, never an
        exception. Raises OriginError when the model cannot roll to this history's end.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes card.json and native files into the existing, empty `folder`. Never a pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """The same forecasts, to the bit, as the instance that was saved."""

    def importances(self) -> dict[str, float]:
        """Feature -> share of importance (they sum to 1); empty when the model has none."""
        return {}

    def drivers(self, history: Panel) -> Drivers | Reliance | None:
        """What moves the forecasts of `history`; None for a model that reads a style's own past and nothing else.

        Raises ModelError when what was found does not add up, or cannot be measured on these series.
        """
        return None

    def reads_ahead(self) -> tuple[str, ...]:
        """The panel's columns whose planned values may move the forecast; () when there are none."""
        return ()


class Forecaster(ABC):
    """A recipe: hyperparameters, nothing learned. Cheap to ship to a worker, unable to forecast.

    A concrete recipe is a pydantic dataclass (frozen, config=STRICT) whose fields are its hyperparameters and training
    parameters, with the configuration's own names.

        kind            its key in the catalog
        pools_series    False: each series is fitted apart, so a job may cut the panel anywhere and join the parts
        rolls_forward   True: a fit can serve later origins (parameters stay, history moves); False: fit at each origin
        refit_often     True: a backtest fits it anew at every origin; False: at the first, at the first scored one and
                        at the live one, and rolls it forward between (only where rolls_forward)
        training_params the fields that come from `training_params`; all others come from `hyperparameters`
    """

    kind: ClassVar[str]
    pools_series: ClassVar[bool]
    rolls_forward: ClassVar[bool] = True
    refit_often: ClassVar[bool] = True
    training_params: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """The recipe of a configured model. Raises SettingsError naming unknown keys and the nearest known one.

        Fields of the same name as one of the 13 (features, validation_split) are taken from there.
        """
        own = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        shared: dict[str, Any] = {
            name: getattr(config, name) for name in ("features", "validation_split") if name in own
        }
        free = [name for name in own if name not in shared]
        where = f"models.{cls.kind}"
        refuse_unknown(
            config.training_params, [n for n in free if n in cls.training_params], f"{where}.training_params"
        )
        refuse_unknown(
            config.hyperparameters, [n for n in free if n not in cls.training_params], f"{where}.hyperparameters"
        )
        return build(cls, {**config.hyperparameters, **config.training_params, **shared}, where)

    @abstractmethod
    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedForecaster:
        """Learns from `history` (finite y) alone. Raises FitError when nothing at all could be fitted."""

    def seconds_per_fit(self, length: int, season: int) -> float:
        """Expected seconds to fit and forecast one series of `length` periods; 0 for whole-fleet array models.

        A stated constant of the model, not a clock reading: plans made from it are the same on every run.
        """
        return 0.0
