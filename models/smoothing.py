"""Exponential smoothing and TSB for the whole fleet at once: parameters by grid, from each series' own past."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from demand.panel import Floats, Ints, Panel, Strings
from demand.settings import STRICT, build
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import read_arrays, read_card, write_arrays, write_card
from models.gates import NOT_SEEN
from models.holt_winters import SEASONS, candidates
from models.intervals import (
    SPREAD_NOTE,
    anchor_steps,
    error_quantiles,
    keep_median,
    mixture_quantiles,
    sparse_quantiles,
)
from models.smoothing_search import (
    Group,
    average_weights,
    groups,
    holt_winters_losses,
    holt_winters_replay,
    tsb_candidates,
    tsb_losses,
    tsb_states,
)

ARRAYS = "arrays.npz"
REGULAR = 0.05  # below this share of periods without demand the point is the median


@settings(frozen=True, config=STRICT)
class ExponentialSmoothing(Forecaster):
    """Level, trend (none, damped, linear) and season (none, additive, multiplicative), chosen per series and averaged.

    Every candidate of a small grid forecasts 1, half and all of the horizon from each period of the history; the
    `combined` best by mean absolute error (squared where most periods are without demand) are averaged, weighted by
    (best error / error) ** sharpness. trend, seasonal: whether such candidates take part. season: periods, null = the
    panel's own. max_history: the newest periods looked at.
    """

    kind = "exponential_smoothing"
    pools_series = False
    training_params: ClassVar[frozenset[str]] = frozenset({"max_history"})

    trend: bool = True
    seasonal: bool = True
    season: Annotated[int, Field(ge=1)] | None = None
    combined: Annotated[int, Field(ge=1, le=100)] = 30
    sharpness: Annotated[float, Field(ge=0, le=100)] = 4.0
    max_history: Annotated[int, Field(ge=1)] = 1100

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedSmoothing:
        """The chosen candidates and their weights per series, and what their average missed by, step by step."""
        season = self.season or context.season
        n, steps = history.n_series, anchor_steps(spec.horizon)
        chosen, weight = np.zeros((n, self.combined), dtype=np.int64), np.zeros((n, self.combined))
        spread = np.zeros((n, spec.horizon, len(spec.levels)), dtype=np.float32)
        assumed = np.zeros(n, dtype=bool)
        parameters = candidates(self.trend)
        for group in groups(history, season, spec.horizon, self.max_history, self.seasonal):
            with too_large_is_data():
                losses = holt_winters_losses(group, parameters, season, spec.horizon)
                picked, weights = average_weights(losses, self.combined, self.sharpness)
                _, errors = holt_winters_replay(group, parameters, picked, weights, season, spec.horizon, steps)
                errors_at = dict(zip(steps.tolist(), errors, strict=True)).__getitem__
                found, without = error_quantiles(errors_at, group.y[:, -1], spec.horizon, spec.levels, _growth)
                chosen[group.rows], weight[group.rows] = picked, weights
                spread[group.rows], assumed[group.rows] = found, without
        arrays = {"ids": history.ids, "chosen": chosen.astype(np.int16), "weight": weight, "spread": spread}
        return FittedSmoothing(self, spec, season, arrays | {"assumed": assumed})


@settings(frozen=True, config=STRICT)
class Tsb(Forecaster):
    """Teunter, Syntetos and Babai (2011): probability of demand and its size, smoothed apart; the former every period.

    So a style that stops selling fades, which Croston's method and SBA miss. The two constants are chosen per series
    from a grid by squared error over the horizon, and the `combined` best sets averaged. Values <= 0 are no demand.
    """

    kind = "tsb"
    pools_series = False
    training_params: ClassVar[frozenset[str]] = frozenset({"max_history"})

    combined: Annotated[int, Field(ge=1, le=36)] = 10
    sharpness: Annotated[float, Field(ge=0, le=100)] = 4.0
    max_history: Annotated[int, Field(ge=1)] = 1100

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedSmoothing:
        """The chosen constants and their weights per series."""
        n = history.n_series
        chosen, weight = np.zeros((n, self.combined), dtype=np.int64), np.zeros((n, self.combined))
        for group in groups(history, context.season, spec.horizon, self.max_history, seasonal=False):
            with too_large_is_data():
                losses = tsb_losses(group, *tsb_candidates(), spec.horizon)
            chosen[group.rows], weight[group.rows] = average_weights(losses, self.combined, self.sharpness)
        arrays = {"ids": history.ids, "chosen": chosen.astype(np.int16), "weight": weight}
        return FittedSmoothing(self, spec, context.season, arrays)


RECIPES: dict[str, type[ExponentialSmoothing] | type[Tsb]] = {
    recipe.kind: recipe for recipe in (ExponentialSmoothing, Tsb)
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class FittedSmoothing(FittedForecaster):
    """Which candidates make each series' average; the states are smoothed anew over whatever history comes.

    arrays: ids [N]; chosen [N, K] positions in the grid; weight [N, K]; for exponential smoothing also spread
    [N, H, Q], quantiles of actual - forecast, and assumed [N], True where there was no error to learn it from.
    """

    recipe: ExponentialSmoothing | Tsb
    spec: ForecastSpec
    season: int
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The recipe's key in the catalog."""
        return self.recipe.kind

    @property
    def ids(self) -> Strings:
        """The series that were fitted [N]."""
        return self.arrays["ids"]

    def forecast(self, history: Panel) -> Forecast:
        """A row for every series that the fit saw; the others carry the reason."""
        spec, n = self.spec, history.n_series
        mean = np.full((n, spec.horizon), np.nan)
        quantiles = np.full((n, spec.horizon, len(spec.levels)), np.nan)
        known = _positions(self.ids, history.ids)
        seasonal = isinstance(self.recipe, ExponentialSmoothing) and self.recipe.seasonal
        seen = np.flatnonzero(known >= 0)
        for group in groups(history.take(seen), self.season, spec.horizon, self.recipe.max_history, seasonal):
            at = seen[group.rows]
            with too_large_is_data():
                mean[at], quantiles[at] = self._rows(group, known[at])
        reasons = {int(i): NOT_SEEN for i in np.flatnonzero(known < 0)}
        return Forecast.build(history, spec, self.kind, mean, quantiles, reasons=reasons, notes=self._notes(known))

    def _rows(self, group: Group, fitted: np.ndarray[Any, Any]) -> tuple[Floats, Floats]:
        spec = self.spec
        chosen, weight = self.arrays["chosen"][fitted].astype(np.int64), self.arrays["weight"][fitted]
        shape = (len(fitted), spec.horizon, len(spec.levels))
        if isinstance(self.recipe, Tsb):
            chance, size = tsb_states(group, *tsb_candidates(), chosen, weight)
            found = mixture_quantiles(group.recent, chance, size, spec.levels)
            return (
                np.broadcast_to((chance * size)[:, None], shape[:2]),
                np.broadcast_to(found[:, None, :], shape),
            )
        parameters = candidates(self.recipe.trend)
        none = np.empty(0, dtype=np.int64)
        point, _ = holt_winters_replay(group, parameters, chosen, weight, self.season, spec.horizon, none)
        if group.intermittent:
            found = sparse_quantiles(group.recent, np.maximum(point, 0.0).mean(axis=1), spec.levels)
            return point, np.broadcast_to(found[:, None, :], shape)
        quantiles = point[:, :, None] + self.arrays["spread"][fitted]
        if group.seasonal:
            # long and without gaps: errors centre on the point, and their median would add only noise
            known, silent = np.isfinite(group.recent).sum(axis=1), (group.recent <= 0).sum(axis=1)
            regular = silent < REGULAR * known
            quantiles[regular] = keep_median(point[regular], quantiles[regular], spec.levels)
        return point, quantiles

    def _notes(self, known: np.ndarray[Any, Any]) -> dict[int, str]:
        if isinstance(self.recipe, Tsb):
            return {}
        assumed = self.arrays["assumed"]
        return {int(i): SPREAD_NOTE for i in np.flatnonzero(known >= 0) if assumed[known[i]]}

    def save(self, folder: Path) -> None:
        facts = {"recipe": asdict(self.recipe), "spec": asdict(self.spec), "season": self.season}
        write_card(folder, self.kind, {**facts, "seasons": SEASONS})
        write_arrays(folder / ARRAYS, self.arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card = read_card(folder)
        recipe = build(RECIPES[card["kind"]], card["recipe"], card["kind"])
        spec = ForecastSpec(card["spec"]["horizon"], tuple(card["spec"]["levels"]))
        return cls(recipe, spec, card["season"], read_arrays(folder / ARRAYS))


def too_large_is_data() -> np.errstate:
    """Demand whose squares leave the range of a float ends as a row "non-finite forecast", not as a warning."""
    return np.errstate(over="ignore", invalid="ignore")


def _growth(steps: Ints) -> Floats:
    """How a local level's error grows with the step at alpha = 1/4; used beyond the steps the history can show."""
    return np.sqrt(1 + (steps - 1) / 16)


def _positions(ids: Strings, wanted: Strings) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each wanted id stands in the ascending `ids`, -1 where it does not [n] -> [n]."""
    if not len(ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[at] == wanted, at, -1)
