"""Prophet, one fit a series: trend with changepoints, yearly and weekly seasons, public holidays.

It cannot roll forward: a fit answers for the origin it was made at, so it is fitted anew at each.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as settings
from scipy.special import ndtri

from demand.calendar import Calendar
from demand.errors import OriginError, SettingsError
from demand.panel import Floats, Panel
from demand.settings import STRICT, build
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import read_arrays, read_card, read_json, write_arrays, write_card, write_json
from models.gates import NOT_SEEN, both, disbelief, refusal

ARRAYS, MODELS = "arrays.npz", "models.json"
YEARS_FOR_YEARLY = 2
LEAST_PERIODS = 10
Scale = Annotated[float, Field(gt=0)]
Season = bool | Annotated[int, Field(ge=1, le=50)]


@settings(frozen=True, config=STRICT)
class ProphetRecipe(Forecaster):
    """Prophet's own parameters under their own names.

    yearly_seasonality, weekly_seasonality: false, true or a number of Fourier pairs; on only where the history allows:
    yearly with two years of it, weekly with daily data (D, B), else left out with a note. Public holidays of the
    context's country take part in daily data; holidays_prior_scale bounds their effect.

    The quantiles come from `uncertainty_samples` predictive paths (0: from the noise alone). With include_history the
    model is also asked for its past, and the quantiles are stretched so that the central interval of `interval_width`
    holds that share of the history; without it they stay as Prophet assumes them and interval_width does nothing,
    which is refused.
    """

    kind = "prophet"
    pools_series = False
    rolls_forward = False
    training_params: ClassVar[frozenset[str]] = frozenset({"include_history", "uncertainty_samples"})

    changepoint_prior_scale: Scale = 0.05
    seasonality_prior_scale: Scale = 10.0
    holidays_prior_scale: Scale = 10.0
    seasonality_mode: Literal["multiplicative", "additive"] = "multiplicative"
    changepoint_range: Annotated[float, Field(gt=0, le=1)] = 0.8
    yearly_seasonality: Season = True
    weekly_seasonality: Season = True
    daily_seasonality: bool = False
    growth: Literal["linear", "flat", "logistic"] = "linear"
    interval_width: Annotated[float, Field(gt=0, lt=1)] | None = 0.95
    n_changepoints: Annotated[int, Field(ge=0)] = 25
    include_history: bool = True
    uncertainty_samples: Annotated[int, Field(ge=0, le=100_000)] = 1000

    def __post_init__(self) -> None:
        where = "models.prophet.hyperparameters"
        if self.daily_seasonality:
            raise SettingsError(
                "a season within the day needs demand within the day", key=f"{where}.daily_seasonality",
                hint="Set daily_seasonality to false: the shortest period is a day",
            )  # fmt: skip
        if self.growth == "logistic":
            raise SettingsError(
                "logistic growth needs a capacity, which demand data does not have", key=f"{where}.growth",
                hint="Set growth to linear or flat",
            )  # fmt: skip
        if self.include_history == (self.interval_width is None):
            raise SettingsError(
                "interval_width is measured on the history", key=f"{where}.interval_width",
                interval_width=self.interval_width, include_history=self.include_history,
                hint="Set include_history to true with a width, or to false with interval_width null",
            )  # fmt: skip

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedProphet:
        """A model for every series. A series that cannot be fitted keeps the reason; no exception ends the fit.

        context.max_seconds is the wall time of one series; beyond it the reason is "time_budget".
        """
        calendar = history.calendar
        daily = history.freq in ("D", "B")
        span = calendar.dates(np.array([int(history.start.min(initial=history.end)), history.end + spec.horizon]))
        holidays = _holidays(context.features.country, span) if daily and context.features.country else None
        fits = [
            self._fit_one(history.series(i), history.end, calendar, holidays, _seed(context.seed, series), context)
            for i, series in enumerate(history.ids.tolist())
        ]
        arrays = {
            "ids": history.ids,
            "stretch": np.array([fit.stretch for fit in fits], dtype=np.float64),
            "reason": np.array([fit.reason for fit in fits], dtype=str),
            "note": np.array([fit.note for fit in fits], dtype=str),
        }
        return FittedProphet(self, spec, context.seed, history.end, history.freq, arrays, [fit.model for fit in fits])

    def _fit_one(
        self, y: Floats, end: int, calendar: Calendar, holidays: pd.DataFrame | None, seed: int, context: FitContext
    ) -> _Fit:
        reason = refusal(y, LEAST_PERIODS, "Prophet")
        if reason:
            return _Fit(reason=reason)
        if context.max_seconds <= 0:
            return _Fit(reason="time_budget")
        yearly, weekly, note = self._seasons(len(y), calendar)
        frame = pd.DataFrame({"ds": calendar.dates(end - len(y) + 1 + np.arange(len(y))), "y": y})
        from prophet import Prophet
        from prophet.serialize import model_to_json

        try:
            with _quiet():
                model = Prophet(
                    growth=self.growth,
                    n_changepoints=self.n_changepoints,
                    changepoint_range=self.changepoint_range,
                    yearly_seasonality=yearly,
                    weekly_seasonality=weekly,
                    daily_seasonality=False,
                    holidays=holidays,
                    seasonality_mode=self.seasonality_mode,
                    seasonality_prior_scale=self.seasonality_prior_scale,
                    holidays_prior_scale=self.holidays_prior_scale,
                    changepoint_prior_scale=self.changepoint_prior_scale,
                    uncertainty_samples=self.uncertainty_samples,
                )
                constant = bool((y == y[0]).all())  # then the library sets the parameters and calls no optimiser
                model.fit(frame, **({} if constant else {"seed": seed, "timeout": context.max_seconds}))
                stretch = self._stretch(model, frame) if self.include_history else 1.0
                return _Fit(model_to_json(model), stretch, note=note)
        except TimeoutError:
            return _Fit(reason="time_budget", note=note)
        except Exception as error:  # noqa: BLE001 - whatever the library meets in one series is that series' reason
            return _Fit(reason=f"{type(error).__name__}: {error}", note=note)

    def _seasons(self, length: int, calendar: Calendar) -> tuple[int, int, str]:
        """Fourier pairs of the year and of the week (0 = off), and what was left out."""
        years = length * calendar.days_per_period / 365.25
        yearly, weekly, note = int(self.yearly_seasonality), int(self.weekly_seasonality), ""
        if self.yearly_seasonality is True:
            # more pairs than half the periods of a year cannot be told apart
            yearly = min(10, int(365.25 / calendar.days_per_period) // 2)
        if yearly and years < YEARS_FOR_YEARLY:
            yearly, note = 0, f"no yearly season: {years:.1f} years of history, needs {YEARS_FOR_YEARLY}"
        if self.weekly_seasonality is True:
            weekly = 3
        if weekly and calendar.freq not in ("D", "B"):
            weekly, note = 0, both(note, f"no weekly season: periods of {calendar.freq} are not days")
        return yearly, weekly, note

    def _stretch(self, model: Any, frame: pd.DataFrame) -> float:
        """By how much the noise must be widened so that the central `interval_width` of the history lies inside."""
        noise = float(model.params["sigma_obs"].ravel()[0]) * float(model.y_scale)
        residuals = frame["y"].to_numpy() - _expected(model, frame[["ds"]])
        return _stretch_of(residuals, noise, float(self.interval_width or 0.0))

    def seconds_per_fit(self, length: int, season: int) -> float:
        """Measured on one thread of a shared machine: a start of the optimiser, then little per period."""
        return 0.15 + 2e-4 * length


@dataclass(frozen=True, eq=False)
class _Fit:
    """One series: Prophet's own JSON and the stretch of its quantiles, or the reason for none."""

    model: str = ""
    stretch: float = 1.0
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class FittedProphet(FittedForecaster):
    """Models as Prophet's JSON, for one origin.

    arrays: ids [N]; stretch [N] of the quantiles; reason, note [N].
    """

    kind = "prophet"
    recipe: ProphetRecipe
    spec: ForecastSpec
    seed: int
    origin: int
    freq: str
    arrays: dict[str, np.ndarray[Any, Any]]
    models: list[str] = field(repr=False)

    def forecast(self, history: Panel) -> Forecast:
        """A row for every series that was fitted; the others carry the reason.

        Raises OriginError when the history does not end where the fit did.
        """
        if history.end != self.origin:
            raise OriginError(
                "Prophet answers only for the origin it was fitted at", fitted=self.origin, asked=history.end,
                hint="Fit it again at this origin",
            )  # fmt: skip
        spec = self.spec
        mean = np.full((history.n_series, spec.horizon), np.nan)
        quantiles = np.full((history.n_series, spec.horizon, len(spec.levels)), np.nan)
        reasons: dict[int, str] = {}
        notes: dict[int, str] = {}
        row_of: dict[str, int] = {series: row for row, series in enumerate(self.arrays["ids"].tolist())}
        for i, series in enumerate(history.ids.tolist()):
            row = row_of.get(series)
            if row is None:
                reasons[i] = NOT_SEEN
                continue
            notes[i], reason = str(self.arrays["note"][row]), str(self.arrays["reason"][row])
            if not reason:
                try:
                    mean[i], quantiles[i] = self._one(row, _seed(self.seed, series))
                    reason = disbelief(mean[i], quantiles[i], history.series(i))
                except Exception as error:  # noqa: BLE001 - one series' failure in the library is its reason
                    reason = f"{type(error).__name__}: {error}"
            if reason:
                reasons[i] = reason
        return Forecast.build(history, spec, self.kind, mean, quantiles, reasons=reasons, notes=notes)

    def _one(self, row: int, seed: int) -> tuple[Floats, Floats]:
        """Mean [H] and quantiles [H, Q] of one series."""
        from prophet.serialize import model_from_json

        levels = np.array(self.spec.levels)
        ahead = pd.DataFrame({"ds": Calendar(self.freq).dates(self.origin + 1 + np.arange(self.spec.horizon))})
        with _quiet():
            model = model_from_json(self.models[row])
            mean = _expected(model, ahead)
            if self.recipe.uncertainty_samples:
                with _seeded(seed):
                    paths = model.predictive_samples(ahead)["yhat"]  # [H, samples]
                around = np.quantile(paths, levels, axis=1).T - mean[:, None]
            else:
                noise = float(model.params["sigma_obs"].ravel()[0]) * float(model.y_scale)
                around = np.tile(noise * ndtri(levels), (len(mean), 1))
        return mean, mean[:, None] + float(self.arrays["stretch"][row]) * around

    def save(self, folder: Path) -> None:
        facts = {"recipe": asdict(self.recipe), "spec": asdict(self.spec), "seed": self.seed}
        write_card(folder, self.kind, {**facts, "origin": self.origin, "freq": self.freq})
        write_arrays(folder / ARRAYS, self.arrays)
        write_json(folder / MODELS, self.models)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card = read_card(folder)
        spec = ForecastSpec(card["spec"]["horizon"], tuple(card["spec"]["levels"]))
        recipe = build(ProphetRecipe, card["recipe"], "prophet")
        arrays, models = read_arrays(folder / ARRAYS), read_json(folder / MODELS)
        return cls(recipe, spec, card["seed"], card["origin"], card["freq"], arrays, models)


def _expected(model: Any, frame: pd.DataFrame) -> Floats:
    """The expected value at each date, without sampling."""
    samples = model.uncertainty_samples
    model.uncertainty_samples = 0
    try:
        return np.asarray(model.predict(frame)["yhat"], dtype=np.float64)
    finally:
        model.uncertainty_samples = samples


def _stretch_of(residuals: Floats, noise: float, width: float) -> float:
    """Half-width that holds `width` of the residuals, relative to that of a normal of spread `noise`; 1 without any."""
    found, assumed = float(np.quantile(np.abs(residuals), width)), noise * float(ndtri((1 + width) / 2))
    return found / assumed if assumed > 0 and found > 0 else 1.0


def _holidays(country: str, span: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Public holidays of the years of the span, as Prophet reads them. Raises SettingsError on an unknown country."""
    from prophet.make_holidays import make_holidays_df

    first, last = (int(str(date)[:4]) for date in span)
    try:
        with _quiet():
            found: pd.DataFrame = make_holidays_df(year_list=list(range(first, last + 1)), country=country)
    except AttributeError:
        raise SettingsError("unknown country of public holidays", key="features.country", found=country) from None
    return found


def _seed(seed: int, series: str) -> int:
    """A seed of this series' own: the same wherever the panel was cut."""
    return zlib.crc32(f"{seed}:{series}".encode()) % 2**31


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Prophet draws from numpy's global generator: seeded for the call, then put back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """The two libraries' loggers at ERROR and their deprecation warnings unseen, for the call only."""
    from cmdstanpy.utils import get_logger

    get_logger()  # sets its own level when first called: let it do so before ours
    loggers = [logging.getLogger(name) for name in ("cmdstanpy", "prophet", "prophet.models")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
