"""Seasonal ARIMA, one fit a series, by statsmodels' SARIMAX.

What is done beside the library, and why (figures in the README of this room):
  * the newest `max_history` periods are used: the cost grows with the length, the accuracy does not;
  * what is searched is the conditional likelihood of the differenced series (`likelihood: conditional`): a fifth of the
    exact one's cost, forecasts as good or better; `exact` is the library's own search, with `simple_differencing`
    where there is no trend, and is always used with a trend or Fourier terms. The forecasts themselves come from the
    full state space with the parameters found;
  * a season above `max_seasonal_period` is not put into the state space, which has at least one state a period of the
    season, costs seconds and is unstable on two or three seasons of data: `fourier_pairs` sine and cosine terms stand
    in (dynamic harmonic regression: Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", section 12.1).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings
from scipy.special import ndtri

from demand.errors import FitError, SettingsError
from demand.panel import Floats, Panel
from demand.settings import STRICT, build
from models.arima_search import conditional_search
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import read_arrays, read_card, write_arrays, write_card
from models.gates import NOT_SEEN, both, disbelief, refusal

Order = Annotated[int, Field(ge=0, le=10)]
Form = Literal["plain", "seasonal", "fourier"]
FORMS: tuple[Form, ...] = ("plain", "seasonal", "fourier")

ARRAYS = "arrays.npz"
PERIODS_A_PARAMETER = 4  # fewer, and the search finds explosive parameters
EXTRA_PERIODS = 5  # beyond two seasons, before a season is believed
_FACTR = 1e10  # lbfgs stops at a relative gain of 2e-6: a third less calls, the same forecasts


@settings(frozen=True, config=STRICT)
class Arima(Forecaster):
    """ARIMA(p, d, q)(P, D, Q, s). seasonal_order: [P, D, Q, s]; s = null is the panel's own season.

    seasonal: false = never a season. trend: n, c (constant), t (line), ct; refused where differencing removes it.
    """

    kind = "arima"
    pools_series = False
    refit_often = False  # parameters move slowly; a later history is filtered with them
    training_params: ClassVar[frozenset[str]] = frozenset(
        {"method", "maxiter", "disp", "likelihood", "max_history", "max_seasonal_period", "fourier_pairs"}
    )

    p: Order = 2
    d: Annotated[int, Field(ge=0, le=2)] = 1
    q: Order = 2
    seasonal: bool = True
    seasonal_order: tuple[Order, Order, Order, Annotated[int, Field(ge=2)] | None] = (1, 1, 1, None)
    trend: Literal["n", "c", "t", "ct"] = "n"
    enforce_stationarity: bool = False
    enforce_invertibility: bool = False
    method: Literal["lbfgs", "bfgs", "nm", "powell", "cg"] = "lbfgs"
    maxiter: Annotated[int, Field(ge=1)] = 100
    disp: bool = False
    likelihood: Literal["conditional", "exact"] = "conditional"
    max_history: Annotated[int, Field(ge=20)] = 730
    max_seasonal_period: Annotated[int, Field(ge=2)] = 24
    fourier_pairs: Annotated[int, Field(ge=0, le=6)] = 2

    def __post_init__(self) -> None:
        differences = self.d + (self.seasonal_order[1] if self.seasonal else 0)
        lowest = {"n": 99, "c": 0, "t": 1, "ct": 0}[self.trend]
        if lowest < differences:
            raise SettingsError(
                f"trend {self.trend!r} cannot be fitted: {differences} differences remove it",
                key="models.arima.hyperparameters.trend", d=self.d, seasonal_order=self.seasonal_order,
                hint="Set trend to n, or d (and the seasonal D) to 0",
            )  # fmt: skip

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedArima:
        """The parameters of every series. A series that cannot be fitted keeps the reason; no exception ends the fit.

        context.max_seconds is the wall time of one series: then the best parameters so far are kept, with a note.
        """
        season = self.seasonal_order[3] or context.season
        fits = [self._fit_one(history.series(i), history.end, season, context) for i in range(history.n_series)]
        widest = max((len(fit.params) for fit in fits), default=0)
        params = np.full((len(fits), widest), np.nan)
        for row, fit in zip(params, fits, strict=True):
            row[: len(fit.params)] = fit.params
        arrays = {
            "ids": history.ids,
            "form": np.array([FORMS.index(fit.form) for fit in fits], dtype=np.int8),
            "scale": np.array([fit.scale for fit in fits], dtype=np.float64),
            "params": params,
            "reason": np.array([fit.reason for fit in fits], dtype=str),
            "note": np.array([fit.note for fit in fits], dtype=str),
        }
        return FittedArima(self, spec, season, arrays)

    def _fit_one(self, y: Floats, end: int, season: int, context: FitContext) -> _Fit:
        used = y[-self.max_history :]
        form, note = self._form(len(used), season)
        reason = self._refusal(used)
        if reason:
            return _Fit(form, reason=reason)
        scale = float(np.abs(used).mean())
        try:
            params, stopped = self._search(used / scale, end, form, season, context.max_seconds)
        except Exception as error:  # noqa: BLE001 - whatever the library meets in one series is that series' reason
            return _Fit(form, reason=f"{type(error).__name__}: {error}", note=note)
        if not np.isfinite(params).all():
            return _Fit(form, reason="the search ended in parameters that are not finite", note=note)
        return _Fit(form, scale=scale, params=params, note=both(note, stopped))

    def _form(self, length: int, season: int) -> tuple[Form, str]:
        """How the season is put in, and what was left out."""
        if not self.seasonal or not any(self.seasonal_order[:3]) or season < 2:
            return "plain", ""
        needed = 2 * season + EXTRA_PERIODS
        if length < needed:
            return "plain", f"no seasonal part: {length} periods, needs {needed} for a season of {season}"
        if season <= self.max_seasonal_period:
            return "seasonal", ""
        why = f"a season of {season} is longer than max_seasonal_period {self.max_seasonal_period}"
        if not self.fourier_pairs:
            return "plain", f"no seasonal part: {why}"
        return "fourier", f"{self.fourier_pairs} Fourier pairs instead of {self.seasonal_order[:3]}: {why}"

    def _refusal(self, used: Floats) -> str:
        """Why these periods cannot be fitted, "" when they can. The library would answer for them with nonsense."""
        reason = refusal(
            used, PERIODS_A_PARAMETER * (self.p + self.q + 1) + self.d, f"ARIMA({self.p},{self.d},{self.q})"
        )
        if reason:
            return reason
        if (used == used[0]).all():
            return "no demand in any period" if used[0] == 0 else "demand is constant"
        return ""

    def _model(self, scaled: Floats, end: int, form: Form, season: int, differenced: bool) -> Any:
        from statsmodels.tsa.statespace.sarimax import SARIMAX

        return SARIMAX(
            scaled,
            exog=_waves(end - len(scaled) + 1, len(scaled), season, self.fourier_pairs) if form == "fourier" else None,
            order=(self.p, self.d, self.q),
            seasonal_order=(*self.seasonal_order[:3], season) if form == "seasonal" else (0, 0, 0, 0),
            trend=self.trend,
            enforce_stationarity=self.enforce_stationarity,
            enforce_invertibility=self.enforce_invertibility,
            simple_differencing=differenced,
        )

    def _search(self, scaled: Floats, end: int, form: Form, season: int, max_seconds: float) -> tuple[Floats, str]:
        """The parameters found, and a note when the search was cut."""
        best: list[Floats] = []
        deadline = time.monotonic() + max_seconds

        def watch(unconstrained: Floats, *_: Any) -> None:
            best[:] = [np.array(unconstrained, dtype=np.float64)]
            if time.monotonic() > deadline:
                raise _OutOfTimeError

        with warnings.catch_warnings():
            # what the warnings tell is read from the search's own result below and kept as a note
            warnings.simplefilter("ignore")
            # differencing beforehand would take a trend with it
            model = self._model(scaled, end, form, season, differenced=self.trend == "n")
            try:
                params, converged = self._minimise(model, form, watch)
            except _OutOfTimeError:
                if max_seconds <= 0:
                    raise FitError("time_budget", max_seconds=max_seconds) from None
                found = np.asarray(model.transform_params(best[0]), dtype=np.float64)
                return found, f"time_budget: the best parameters after {max_seconds:g} s"
        return params, "" if converged else f"the search did not converge (maxiter={self.maxiter})"

    def _minimise(self, model: Any, form: Form, watch: Callable[..., None]) -> tuple[Floats, bool]:
        """The parameters found, and whether the search converged."""
        if self.likelihood == "conditional" and self.trend == "n" and form != "fourier":
            seasonal = (self.seasonal_order[0], self.seasonal_order[2]) if form == "seasonal" else (0, 0)
            return conditional_search(model, (self.p, self.q, *seasonal), self.method, self.maxiter, self.disp, watch)
        faster = {"factr": _FACTR} if self.method == "lbfgs" else {}
        options = {"method": self.method, "maxiter": self.maxiter, "disp": self.disp, "cov_type": "none"}
        result = model.fit(**options, callback=watch, **faster)
        return np.asarray(result.params, dtype=np.float64), bool(result.mle_retvals.get("converged", True))

    def seconds_per_fit(self, length: int, season: int) -> float:
        """Measured on one thread of a shared machine; the exact likelihood costs about five times as much."""
        used = min(length, self.max_history)
        form, _ = self._form(used, season)
        if form == "fourier":
            return 0.06 + 6e-4 * used  # always the exact likelihood
        conditional = 0.06 + (1.5e-4 if form == "seasonal" else 5e-5) * used
        return conditional if self.likelihood == "conditional" else 5 * conditional


class _OutOfTimeError(Exception):
    """Leaves the library's search; never leaves this module."""


@dataclass(frozen=True, eq=False)
class _Fit:
    """One series: how its season was put in, and parameters of demand divided by `scale`, or the reason for none."""

    form: Form
    scale: float = 1.0
    params: Floats = field(default_factory=lambda: np.empty(0))
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class FittedArima(FittedForecaster):
    """Parameters per series; states are filtered anew over whatever history comes (fixed parameters: ~.03 s).

    arrays: ids [N]; form [N] position in FORMS; scale [N]; params [N, P] NaN beyond a form's own; reason, note [N].
    """

    kind = "arima"
    recipe: Arima
    spec: ForecastSpec
    season: int
    arrays: dict[str, np.ndarray[Any, Any]]

    def forecast(self, history: Panel) -> Forecast:
        """A row for every series that was fitted, with normal quantiles; the others carry the reason.

        A row that is not finite or explodes is refused (models.gates.disbelief).
        """
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
            used = history.series(i)[-self.recipe.max_history :]
            if not reason:
                try:
                    mean[i], spread = self._one(row, used, history.end)
                    quantiles[i] = mean[i][:, None] + spread[:, None] * ndtri(np.array(spec.levels))[None, :]
                    reason = disbelief(mean[i], quantiles[i], used)
                except Exception as error:  # noqa: BLE001 - one series' failure in the library is its reason
                    reason = f"{type(error).__name__}: {error}"
            if reason:
                reasons[i] = reason
        return Forecast.build(history, spec, self.kind, mean, quantiles, reasons=reasons, notes=notes)

    def _one(self, row: int, used: Floats, end: int) -> tuple[Floats, Floats]:
        """Mean and standard error [H] of one series."""
        form, scale = FORMS[int(self.arrays["form"][row])], float(self.arrays["scale"][row])
        params = self.arrays["params"][row]
        params = params[np.isfinite(params)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wild filter shows in the numbers, which are checked
            model = self.recipe._model(used / scale, end, form, self.season, differenced=False)
            ahead = model.filter(params, cov_type="none").get_forecast(
                self.spec.horizon,
                exog=_waves(end + 1, self.spec.horizon, self.season, self.recipe.fourier_pairs)
                if form == "fourier"
                else None,
            )
            return np.asarray(ahead.predicted_mean) * scale, np.asarray(ahead.se_mean) * scale

    def save(self, folder: Path) -> None:
        facts = {"recipe": asdict(self.recipe), "spec": asdict(self.spec), "season": self.season}
        write_card(folder, self.kind, {**facts, "forms": FORMS})
        write_arrays(folder / ARRAYS, self.arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card = read_card(folder)
        spec = ForecastSpec(card["spec"]["horizon"], tuple(card["spec"]["levels"]))
        return cls(build(Arima, card["recipe"], "arima"), spec, card["season"], read_arrays(folder / ARRAYS))


def _waves(first: int, n: int, season: int, pairs: int) -> Floats:
    """Sine and cosine of 1 .. `pairs` waves a season at periods first .. first + n - 1 [n, 2 pairs]."""
    angle = 2 * np.pi * np.arange(first, first + n)[:, None] * np.arange(1, pairs + 1)[None, :] / season
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
