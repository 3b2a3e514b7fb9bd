"""Every feature family, declared once: what it is called, what it looks at, how it is computed.

The leak tests walk through FAMILIES; a family that is not listed here cannot reach a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from demand.errors import SettingsError
from demand.panel import Floats, Ints
from demand.settings import nearest_name
from features import calendar, intermittency, lags, static, windows
from features.view import OriginView, Spans

Scope = Literal["origin", "target", "date", "step"]
COLUMNS = ("price", "inventory_level", "in_stock", "promotion")  # panel columns a configuration may name beforehand
RECENT = 8  # the newest values, one by one
SEASONS = 3  # same position of the newest seasons
PROFILE = 8  # seasons in a short season's profile
SHORT_SEASON = 30  # periods; a longer season has no profile of its own


@dataclass(frozen=True)
class FeaturePlan:
    """What a matrix is made of: settings that met a panel. Everything in it is plain and can be stored as JSON.

    lags, rolling: configured lags and (statistic, window) pairs. time, holiday: calendar names. auto: the automatic
    families that are on, by name. least_scale: the smallest unit of demand, learned from the fleet. past, planned:
    panel columns used. categories: static column -> its categories; () = a number. without: columns that are left out
    of the matrix again, by name.
    """

    target: str
    freq: str
    spans: Spans
    country: str
    least_scale: float = 0.0
    lags: tuple[int, ...] = ()
    rolling: tuple[tuple[str, int], ...] = ()
    time: tuple[str, ...] = ()
    holiday: tuple[str, ...] = ()
    auto: frozenset[str] = frozenset()
    past: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    polynomial: bool = False
    interaction: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """One declared group of columns.

    scope says what a value depends on, and the shape `values` returns for a view of n series and R rows:
        origin  the series at the origin [n, k]      target  the series and the target date [R, k]
        date    the target date alone [H, k]         step    the step alone [H, k]
    switch: the setting that turns it on; "" = only what the plan names.
    fleet_level: True when other series may move its values; the leak tests hold all others to False.
    """

    name: str
    scope: Scope
    names: Callable[[FeaturePlan], tuple[str, ...]]
    values: Callable[[OriginView, FeaturePlan, Ints, Ints], Floats]
    switch: str = ""
    fleet_level: bool = False


def _lag_names(plan: FeaturePlan) -> tuple[str, ...]:
    return tuple(f"{plan.target}_lag_{lag}" for lag in plan.lags)


def _lags(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return lags.lag_values(view.y, plan.lags)


def _recent_lags(plan: FeaturePlan) -> tuple[int, ...]:
    wanted = {*range(1, RECENT + 1), *range(plan.spans.season, plan.spans.season + 2)}
    return tuple(sorted(wanted - set(plan.lags)))


def _recent_names(plan: FeaturePlan) -> tuple[str, ...]:
    return tuple(f"{plan.target}_lag_{lag}" for lag in _recent_lags(plan))


def _recent(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return lags.lag_values(view.y, _recent_lags(plan))


STATISTICS: dict[str, Callable[[Floats, int], Floats]] = {
    "mean": windows.rolling_mean,
    "std": windows.rolling_std,
    "median": windows.rolling_median,
    "max": windows.rolling_max,
}


def _rolling_names(plan: FeaturePlan) -> tuple[str, ...]:
    return tuple(f"{plan.target}_rolling_{statistic}_{window}" for statistic, window in plan.rolling)


def _rolling(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return _side_by_side([STATISTICS[name](view.y, window) for name, window in plan.rolling], view.n_series)


def _span_windows(plan: FeaturePlan) -> tuple[tuple[str, int], ...]:
    spans = plan.spans
    wide = sorted({spans.month, spans.quarter, spans.half, spans.year})
    pairs = [(name, w) for w in wide for name in ("mean", "median", "std", "max")]
    return tuple(pair for pair in pairs if pair not in plan.rolling)


def _span_names(plan: FeaturePlan) -> tuple[str, ...]:
    return tuple(f"{plan.target}_rolling_{name}_{window}" for name, window in _span_windows(plan))


def _spans(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return _side_by_side([STATISTICS[name](view.y, w) for name, w in _span_windows(plan)], view.n_series)


def _zero_windows(plan: FeaturePlan) -> tuple[int, ...]:
    return tuple(sorted({plan.spans.month, plan.spans.half, plan.spans.year}))


def _intermittency_names(plan: FeaturePlan) -> tuple[str, ...]:
    return (*(f"{plan.target}_zero_share_{w}" for w in _zero_windows(plan)), *intermittency.NAMES)


def _intermittency(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    shares = [intermittency.zero_share(view.y, w) for w in _zero_windows(plan)]
    return np.column_stack([*shares, intermittency.sale_pattern(view.y)])


def _level_names(plan: FeaturePlan) -> tuple[str, ...]:
    return (
        "exponential_mean_short",
        "exponential_mean_long",
        "trend_month",
        "trend_half",
        "growth",
        "log_scale",
        "age",
    )


def _level(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    """Where the series stands: exponential means (half-life of a month's third and of a quarter), the newest month
    and half year less the one before, this quarter less the same quarter a year ago, log of the unit, log of age."""
    spans, y = plan.spans, view.y
    month = windows.mean_before(y, spans.month, 0) - windows.mean_before(y, spans.month, spans.month)
    half = windows.mean_before(y, spans.half, 0) - windows.mean_before(y, spans.half, spans.half)
    growth = windows.mean_before(y, spans.quarter, 0) - windows.mean_before(y, spans.quarter, spans.year)
    return np.column_stack(
        [
            windows.exponential_mean(y, max(1.0, spans.month / 3)),
            windows.exponential_mean(y, float(spans.quarter)),
            month,
            half,
            growth,
            np.log(np.maximum(view.scale, 1e-9)),
            np.log1p(view.age),
        ]
    )


def _season_names(plan: FeaturePlan) -> tuple[str, ...]:
    names = [f"same_season_{k + 1}" for k in range(SEASONS)] + ["same_season_before", "same_season_after"]
    if plan.spans.season <= SHORT_SEASON:
        names.append("season_profile")
    if plan.spans.year != plan.spans.season:
        names += ["same_day_last_year", "same_week_last_year"]
    return tuple(names)


def _season(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    """The target date's own place in earlier seasons and, where a year is longer than a season, a year ago."""
    season, year, y = plan.spans.season, plan.spans.year, view.y
    columns = [lags.seasonal_lag(y, row, step, season, k) for k in range(SEASONS)]
    nearest = lags.seasons_back(step, season) * season
    columns += [_value_at(y, row, step - nearest - 1), _value_at(y, row, step - nearest + 1)]
    if season <= SHORT_SEASON:
        columns.append(lags.seasonal_mean(y, row, step, season, PROFILE))
    if year != season:
        columns += [lags.seasonal_lag(y, row, step, year), year_ago_mean(y, row, step, year, max(1, season // 2))]
    return np.column_stack(columns)


def _value_at(y: Floats, row: Ints, offset: Ints) -> Floats:
    """y at `offset` periods after the origin (0 = the origin itself) [R]; NaN when that is not known."""
    return lags.value_back(y, row, offset, 0)


def year_ago_mean(y: Floats, row: Ints, step: Ints, year: int, reach: int) -> Floats:
    """Mean of the known values within `reach` periods of the target date's place a year ago [R]."""
    back = lags.seasons_back(step, year) * year
    around = [_value_at(y, row, step - back + k) for k in range(-reach, reach + 1)]
    return lags.mean_of_known(np.column_stack(around))


def _time(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    wanted = [calendar.TIME_NAMES.index(name) for name in plan.time]
    return calendar.time_columns(plan.freq, _target_periods(view))[:, wanted]


def _holidays(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    wanted = [calendar.HOLIDAY_NAMES.index(name) for name in plan.holiday]
    return calendar.holiday_columns(plan.freq, _target_periods(view), plan.country)[:, wanted]


def _target_periods(view: OriginView) -> Ints:
    return view.origin + 1 + np.arange(view.horizon)


def _step(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return np.arange(1.0, view.horizon + 1)[:, None]


def _past(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return _side_by_side([view.past[name] for name in plan.past], view.n_series)


def _planned(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    return _side_by_side([view.planned[name][row, step - 1] for name in plan.planned], len(row))


def _static_names(plan: FeaturePlan) -> tuple[str, ...]:
    return tuple(plan.categories)


def _static(view: OriginView, plan: FeaturePlan, row: Ints, step: Ints) -> Floats:
    columns = [
        static.as_codes(view.static[name], categories)
        if categories
        else np.asarray(view.static[name], dtype=np.float64)
        for name, categories in plan.categories.items()
    ]
    return _side_by_side(columns, view.n_series)


def _side_by_side(columns: list[Floats], rows: int) -> Floats:
    return np.column_stack(columns) if columns else np.empty((rows, 0))


FAMILIES: tuple[Family, ...] = (
    Family("step", "step", lambda plan: ("step",), _step),
    Family("lags", "origin", _lag_names, _lags),
    Family("rolling", "origin", _rolling_names, _rolling),
    Family("time", "date", lambda plan: plan.time, _time),
    Family("holidays", "date", lambda plan: plan.holiday, _holidays),
    Family("past", "origin", lambda plan: plan.past, _past),
    Family("planned", "target", lambda plan: plan.planned, _planned),
    Family("static", "origin", _static_names, _static),
    Family("recent", "origin", _recent_names, _recent, switch="create_lag_features"),
    Family("season", "target", _season_names, _season, switch="create_lag_features"),
    Family("spans", "origin", _span_names, _spans, switch="create_rolling_features"),
    Family("intermittency", "origin", _intermittency_names, _intermittency, switch="create_rolling_features"),
    Family("level", "origin", _level_names, _level, switch="create_rolling_features"),
)

_LAG = re.compile(r"(?:.+_)?lag_([1-9]\d{0,4})")
_ROLLING = re.compile(r"(?:.+_)?rolling_(mean|std|median|max)_([1-9]\d{0,4})")
_EXAMPLES = ("lag_1", "lag_7", "lag_30", "rolling_mean_7", "rolling_std_7", "rolling_median_7", "rolling_max_7")


@dataclass(frozen=True)
class NamedFeatures:
    """What a configured list of names asks for."""

    lags: tuple[int, ...]
    rolling: tuple[tuple[str, int], ...]
    time: tuple[str, ...]
    holiday: tuple[str, ...]
    columns: tuple[str, ...]


def read_names(names: tuple[str, ...], columns: tuple[str, ...] = ()) -> NamedFeatures:
    """The configured feature names, sorted by kind; `lag_7` and `demand_lag_7` are the same.

    `columns`: the panel's own columns, which may be named beside COLUMNS. Raises SettingsError naming every unknown
    name and the nearest known one.
    """
    fixed = (*calendar.TIME_NAMES, *calendar.HOLIDAY_NAMES)
    usable = (*COLUMNS, *columns)
    unknown = [
        n for n in names if n not in fixed and n not in usable and not _LAG.fullmatch(n) and not _ROLLING.fullmatch(n)
    ]
    if unknown:
        known = (*_EXAMPLES, *fixed, *usable)
        nearest = {name: nearest_name(name, known) for name in unknown}
        hints = [f"{name!r}: did you mean {near!r}?" if near else repr(name) for name, near in nearest.items()]
        raise SettingsError("unknown feature", unknown=hints, known=", ".join(known))
    lag_matches = [found for n in names if n not in fixed and (found := _LAG.fullmatch(n))]
    rolling_matches = [found for n in names if n not in fixed and (found := _ROLLING.fullmatch(n))]
    return NamedFeatures(
        lags=tuple(int(found[1]) for found in lag_matches),
        rolling=tuple((found[1], int(found[2])) for found in rolling_matches),
        time=tuple(n for n in names if n in calendar.TIME_NAMES),
        holiday=tuple(n for n in names if n in calendar.HOLIDAY_NAMES),
        columns=tuple(n for n in names if n in usable),
    )
