"""The yardsticks: zero, mean, naive, seasonal naive, moving average. Array rules over the whole fleet.

They learn nothing: the point and its quantiles follow from the history alone, so a series that was not seen in the fit
is served as well, and a later history simply moves the answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from demand.panel import Floats, Ints, Panel
from demand.settings import STRICT, build
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import read_card, write_card
from models.gates import both
from models.intervals import (
    SPREAD_NOTE,
    demand_quantiles,
    error_quantiles,
    is_intermittent,
    keep_median,
    recent_periods,
    shrunk_quantiles,
)

BATCH_CELLS = 4_000_000  # numbers in one working array: bounds memory, not the result


class Baseline(Forecaster):
    """A rule that forecasts from the newest periods of a history."""

    pools_series = False
    # the median of a yardstick is the yardstick itself; the others state the median of what they saw
    point_is_median: ClassVar[bool] = False

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedBaseline:
        """The rule with its season: nothing is learned."""
        return FittedBaseline(self, spec, context.season)

    def reach(self, season: int, horizon: int) -> int:
        """Periods the rule and its errors look back beyond the periods that errors are taken from."""
        return horizon

    def known(self, recent: Floats, season: int) -> Floats:
        """What the rule says at the end of every period [N, W] -> [N, W]; NaN before a series starts."""
        return recent

    def point(self, recent: Floats, known: Floats, season: int, steps: Ints) -> Floats:
        """The forecast of `steps` after the end of `recent` [N, W] -> [N, len(steps)]."""
        return np.repeat(known[:, -1:], len(steps), axis=1)

    def errors(self, recent: Floats, known: Floats, season: int, step: int) -> Floats:
        """actual - forecast `step` ahead for every origin in `recent` [N, W] -> [N, <W]; NaN where either is none."""
        return recent[:, step:] - known[:, :-step]

    def growth(self, steps: Ints, season: int) -> Floats:
        """How the spread of the error grows with the step, relative; used beyond the steps the history can show."""
        return np.ones(len(steps))

    def notes(self, lengths: Ints, season: int) -> dict[int, str]:
        """What the rule had to leave out for a series, by position."""
        return {}


@settings(frozen=True, config=STRICT)
class Zero(Baseline):
    """Nothing will sell: the answer that wins on WAPE where demand is sparse, and the reason to look at bias."""

    kind = "zero"
    point_is_median = True

    def known(self, recent: Floats, season: int) -> Floats:
        return np.where(np.isfinite(recent), 0.0, np.nan)


@settings(frozen=True, config=STRICT)
class Mean(Baseline):
    """The arithmetic mean of the whole history; the quantiles, the median with them, are those of demand itself."""

    kind = "mean"


@settings(frozen=True, config=STRICT)
class Naive(Baseline):
    """The last known value again."""

    kind = "naive"
    point_is_median = True

    def growth(self, steps: Ints, season: int) -> Floats:
        return np.sqrt(steps)


@settings(frozen=True, config=STRICT)
class SeasonalNaive(Baseline):
    """The last season again: the yardstick every model must beat. season: periods; null = the panel's own."""

    kind = "seasonal_naive"
    point_is_median = True
    season: Annotated[int, Field(ge=1)] | None = None

    def reach(self, season: int, horizon: int) -> int:
        return season * -(-horizon // season)

    def point(self, recent: Floats, known: Floats, season: int, steps: Ints) -> Floats:
        last = recent[:, -season:]
        repeated: Floats = last[:, (steps - 1) % season]
        # with less than one season of history: the naive rule on what there is
        return np.where(np.isfinite(last[:, :1]), repeated, recent[:, -1:])

    def errors(self, recent: Floats, known: Floats, season: int, step: int) -> Floats:
        lag = season * -(-step // season)
        width = recent.shape[1] - max(lag, step)
        seasonal = recent[:, -width:] - recent[:, -width - lag : -lag]
        plain = recent[:, -width:] - recent[:, -width - step : -step]
        return np.where(np.isfinite(recent[:, -season])[:, None], seasonal, plain)

    def growth(self, steps: Ints, season: int) -> Floats:
        return np.sqrt(-(-steps // season))

    def notes(self, lengths: Ints, season: int) -> dict[int, str]:
        short = np.flatnonzero(lengths < season)
        return {int(i): f"{lengths[i]} periods are less than one season of {season}: naive rule" for i in short}


@settings(frozen=True, config=STRICT)
class MovingAverage(Baseline):
    """The mean of the last `window` periods; null = one season of the panel. Shorter histories use what they have."""

    kind = "moving_average"
    window: Annotated[int, Field(ge=1)] | None = None

    def reach(self, season: int, horizon: int) -> int:
        return horizon + (self.window or season)

    def known(self, recent: Floats, season: int) -> Floats:
        window = min(self.window or season, recent.shape[1])
        inside = np.isfinite(recent)
        sums = _trailing_sums(np.where(inside, recent, 0.0), window)
        counts = _trailing_sums(inside.astype(np.float64), window)
        return np.where(inside, sums / np.maximum(counts, 1.0), np.nan)


def _trailing_sums(values: Floats, window: int) -> Floats:
    """Sums of the `window` values that end at each column [N, W] -> [N, W].

    Added up in order, column by column: a running total minus an older one would lose small values beside large ones.
    """
    sums = values.copy()
    for back in range(1, window):
        sums[:, back:] += values[:, :-back]
    return sums


RULES: dict[str, type[Baseline]] = {
    rule.kind: rule for rule in (Zero, Mean, Naive, SeasonalNaive, MovingAverage)
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class FittedBaseline(FittedForecaster):
    """A rule, the question and the season (periods)."""

    recipe: Baseline
    spec: ForecastSpec
    season: int

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The rule's key in the catalog."""
        return self.recipe.kind

    def forecast(self, history: Panel) -> Forecast:
        """A row for every series, also for one of a single period or one that the fit did not see."""
        if isinstance(self.recipe, Mean):  # the one rule that looks at the whole history
            return self._forecast_mean(history)
        season = getattr(self.recipe, "season", None) or self.season
        width = recent_periods(season, self.spec.horizon) + self.recipe.reach(season, self.spec.horizon)
        parts = [self._forecast_batch(part, season, width) for part in history.batches(max(1, BATCH_CELLS // width))]
        return Forecast.join(parts) if parts else _empty(history, self.spec, self.kind)

    def _forecast_batch(self, part: Panel, season: int, width: int) -> Forecast:
        recipe, spec = self.recipe, self.spec
        recent = part.tail(width)
        kept = recent_periods(season, spec.horizon)
        known = recipe.known(recent, season)
        point = recipe.point(recent, known, season, np.arange(1, spec.horizon + 1))
        errors, unseen = error_quantiles(
            lambda step: recipe.errors(recent, known, season, step)[:, -kept:],
            recent[:, -1],
            spec.horizon,
            spec.levels,
            lambda steps: recipe.growth(steps, season),
        )
        quantiles = point[:, :, None] + errors
        sparse = is_intermittent(recent[:, -kept:])
        quantiles[sparse] = shrunk_quantiles(recent[sparse, -kept:], spec.levels, only_above=True)[:, None, :]
        if recipe.point_is_median:
            quantiles = keep_median(point, quantiles, spec.levels)
        notes = recipe.notes(part.lengths, season)
        notes |= {int(i): both(notes.get(int(i), ""), SPREAD_NOTE) for i in np.flatnonzero(unseen & ~sparse)}
        return Forecast.build(part, spec, self.kind, point, quantiles, notes=notes)

    def _forecast_mean(self, history: Panel) -> Forecast:
        spec = self.spec
        means = np.add.reduceat(history.y, history.indptr[:-1]) / history.lengths if history.n_series else history.y
        quantiles = demand_quantiles(history, spec.levels)
        shape = (history.n_series, spec.horizon)
        return Forecast.build(
            history,
            spec,
            self.kind,
            np.broadcast_to(means[:, None], shape),
            np.broadcast_to(quantiles[:, None, :], (*shape, len(spec.levels))),
        )

    def save(self, folder: Path) -> None:
        facts: dict[str, Any] = {"recipe": asdict(self.recipe), "spec": asdict(self.spec), "season": self.season}  # type: ignore[call-overload]
        write_card(folder, self.kind, facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card = read_card(folder)
        recipe = build(RULES[card["kind"]], card["recipe"], card["kind"])
        return cls(recipe, ForecastSpec(card["spec"]["horizon"], tuple(card["spec"]["levels"])), card["season"])


def _empty(history: Panel, spec: ForecastSpec, kind: str) -> Forecast:
    shape = (0, spec.horizon)
    return Forecast.build(history, spec, kind, np.empty(shape), np.empty((*shape, len(spec.levels))))
