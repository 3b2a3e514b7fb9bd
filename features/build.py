"""A recipe of features meets a panel: the same rows for training and for serving, made by the same lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from demand.errors import SettingsError
from demand.panel import Ints, Panel
from demand.settings import build as build_settings
from features import calendar, static
from features.catalog import FAMILIES, Family, FeaturePlan, read_names
from features.settings import FeatureSettings
from features.view import OriginView, Spans, smallest_scale, views

Matrix = NDArray[np.float32]
Pick = Callable[[OriginView], tuple[Ints, Ints]]


@dataclass(frozen=True)
class FeatureRecipe:
    """Which columns the matrix has, in which order, for a panel like the one it was made from.

    left_out: configured column -> why the matrix does not have it.
    """

    plan: FeaturePlan
    left_out: Mapping[str, str]

    @classmethod
    def of(
        cls, panel: Panel, settings: FeatureSettings, named: Sequence[str], season: int, target: str = "demand",
        without: Sequence[str] = (),
    ) -> Self:  # fmt: skip
        """The recipe of these settings for this panel. Raises SettingsError on an unknown feature or country.

        without: columns that the matrix is not to have; one that it would not have anyway is told in `left_out`.
        Raises SettingsError when no column is left.
        """
        carried = tuple(sorted({*panel.past, *panel.future, *panel.static}))
        asked = read_names(tuple(named), carried)
        automatic = settings.auto_feature_engineering
        lags, rolling, time, holiday = asked.lags, asked.rolling, asked.time, asked.holiday
        on = set()
        if automatic:
            on = {family.name for family in FAMILIES if family.switch and getattr(settings, family.switch)}
            if settings.create_lag_features:
                lags = (*lags, *settings.lag_periods)
            if settings.create_rolling_features:
                rolling = (*rolling, *((name, w) for w in settings.rolling_windows for name in ("mean", "std")))
            if settings.create_time_features:
                time, holiday = (*time, *calendar.TIME_NAMES), (*holiday, *calendar.HOLIDAY_NAMES)
        left_out = {name: "the panel has no such column" for name in asked.columns if name not in carried}
        columns = carried if automatic else asked.columns
        if settings.country:
            calendar.holidays_of(settings.country, 2020, 2020)  # an unknown country is refused here, not in a worker
        elif holiday:
            left_out |= dict.fromkeys(holiday, 'no public holidays: country is ""')
            holiday = ()
        categories = {name: _categories(panel.static[name]) for name in panel.static if name in columns}
        for name in [name for name, found in categories.items() if len(found) > static.MOST]:
            left_out[name] = f"more than {static.MOST} categories"
            del categories[name]
        spans = Spans.of(panel.freq, season, max((*lags, *(w for _, w in rolling)), default=1))
        plan = FeaturePlan(
            target=target,
            freq=panel.freq,
            spans=spans,
            country=settings.country,
            least_scale=smallest_scale(panel, spans.half),
            lags=tuple(sorted(set(lags))),
            rolling=tuple(sorted(set(rolling), key=lambda pair: (pair[1], pair[0]))),
            time=tuple(name for name in calendar.TIME_NAMES if name in time),
            holiday=tuple(name for name in calendar.HOLIDAY_NAMES if name in holiday),
            auto=frozenset(on),
            past=tuple(sorted(name for name in panel.past if name in columns and name not in panel.future)),
            planned=tuple(sorted(name for name in panel.future if name in columns)),
            categories=dict(sorted(categories.items())),
            polynomial=automatic and settings.polynomial_features,
            interaction=automatic and settings.interaction_features,
        )
        there = set(cls(plan, {}).names)
        left_out |= {name: "there is no such column to leave out" for name in without if name not in there}
        made = cls(replace(plan, without=tuple(sorted(there.intersection(without)))), left_out)
        if not made.names:
            raise SettingsError("every column is left out", key="without_features", found=len(there),
                                hint="Leave one in")  # fmt: skip
        return made

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are on and have at least one column."""
        plan = self.plan
        on = [family for family in FAMILIES if not family.switch or family.name in plan.auto]
        return tuple(family for family in on if family.names(plan))

    @property
    def names(self) -> tuple[str, ...]:
        """The matrix's columns, in order."""
        without = set(self.plan.without)
        return tuple(name for name in self._all_names if name not in without)

    @property
    def _all_names(self) -> tuple[str, ...]:
        """The columns before some are left out."""
        own = [name for family in self.families for name in family.names(self.plan)]
        return (*own, *(name for name, _, _ in self._products(own)))

    def rows(self, view: OriginView, row: Ints, step: Ints) -> Matrix:
        """One row of features for each (series of the view, step) pair: row, step [R] -> float32 [R, F].

        Demand is in units of the series' scale at this origin; NaN = not known (a series too young for the feature).
        """
        names = self._all_names
        matrix = np.empty((len(row), len(names)), dtype=np.float32)
        at = 0
        for family in self.families:
            values = family.values(view, self.plan, row, step)
            if family.scope == "origin":
                values = values[row]
            elif family.scope in ("date", "step"):
                values = values[step - 1]
            matrix[:, at : at + values.shape[1]] = values
            at += values.shape[1]
        own = list(names[:at])
        for k, (_, a, b) in enumerate(self._products(own)):
            matrix[:, at + k] = matrix[:, a] * matrix[:, b]
        if not self.plan.without:
            return matrix
        return matrix[:, ~np.isin(names, self.plan.without)]

    def _products(self, own: list[str]) -> list[tuple[str, int, int]]:
        """name, first and second factor of every derived column: squares of lags and means, means x calendar flags."""
        prefix = f"{self.plan.target}_"
        lags = [f"{prefix}lag_{lag}" for lag in self.plan.lags]
        means = [f"{prefix}rolling_mean_{w}" for name, w in self.plan.rolling if name == "mean"]
        flags = [name for name in ("month", "dayofweek", "is_weekend", "is_holiday", "step") if name in own]
        place = {name: k for k, name in enumerate(own)}
        products = []
        if self.plan.polynomial:
            products += [(f"{name}_poly_2", place[name], place[name]) for name in (*lags, *means)]
        if self.plan.interaction:
            products += [(f"{a}_x_{b}", place[a], place[b]) for a in means for b in flags]
        return products

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values; `from_json` gives an equal one."""
        return {"plan": {**asdict(self.plan), "auto": sorted(self.plan.auto)}, "left_out": dict(self.left_out)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The recipe that was stored. Raises SettingsError when it is not one."""
        return build_settings(cls, stored, "features")


@dataclass(frozen=True, eq=False)
class DesignMatrix:
    """Rows of features and where each comes from.

    names [F] · x float32 [R, F] · series [R] position in the panel · origin [R] period number · step [R] from 1
    """

    names: tuple[str, ...]
    x: Matrix
    series: Ints
    origin: Ints
    step: Ints


def design(
    panel: Panel, recipe: FeatureRecipe, origins: Sequence[int] | Ints, horizon: int, pick: Pick | None = None
) -> DesignMatrix:
    """The rows of all series (or of those `pick` chooses from each view) at these origins, steps 1..horizon."""
    parts = [
        (recipe.rows(view, row, step), view.series[row], np.full(len(row), view.origin), step)
        for view, row, step in picked(panel, recipe, origins, horizon, pick or every_row)
    ]
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return DesignMatrix(recipe.names, np.empty((0, len(recipe.names)), dtype=np.float32), empty, empty, empty)
    x, series, origin, step = (np.concatenate(column) for column in zip(*parts, strict=True))
    return DesignMatrix(recipe.names, x, series, origin, step)


def picked(
    panel: Panel, recipe: FeatureRecipe, origins: Sequence[int] | Ints, horizon: int, pick: Pick
) -> Iterator[tuple[OriginView, Ints, Ints]]:
    """Each view with the chosen (row, step) pairs; a view is cut down to the series that were chosen."""
    for view in views(panel, origins, horizon, recipe.plan.spans, recipe.plan.least_scale):
        row, step = pick(view)
        if not len(row):
            continue
        chosen, row = np.unique(row, return_inverse=True)
        yield (view if len(chosen) == view.n_series else view.take(chosen)), row, step


def every_row(view: OriginView) -> tuple[Ints, Ints]:
    """All series x steps of a view, steps running fastest."""
    return np.repeat(np.arange(view.n_series), view.horizon), np.tile(np.arange(1, view.horizon + 1), view.n_series)


def _categories(values: NDArray[Any]) -> tuple[str, ...]:
    return () if static.is_number(values) else static.categories_of(values)
