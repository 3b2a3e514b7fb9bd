"""Single past values, counted back from the origin or from the target date."""

from __future__ import annotations

import numpy as np

from demand.panel import Floats, Ints


def lag_values(y: Floats, lags: tuple[int, ...]) -> Floats:
    """The value `lag` periods before the first step, for y [n, W] -> [n, len(lags)]: lag 1 is the last known value.

    NaN where the series had not started or the lag is beyond W.
    """
    columns = [y[:, -lag] if lag <= y.shape[1] else np.full(len(y), np.nan) for lag in lags]
    return np.column_stack(columns) if columns else np.empty((len(y), 0))


def value_back(y: Floats, row: Ints, step: Ints, back: int) -> Floats:
    """y at `back` periods before each target date [R], for y [n, W] ending at the origin.

    row [R] names the series, step [R] counts from 1. NaN where that period is not known yet or lies before y.
    """
    at = y.shape[1] - 1 + step - back
    inside = (at >= 0) & (at < y.shape[1])
    return np.where(inside, y[row, np.where(inside, at, 0)], np.nan)


def seasons_back(step: Ints, season: int) -> Ints:
    """Whole seasons to go back from each step [R] until the period is known at the origin; at least 1."""
    return np.asarray(-(-step // season))


def seasonal_lag(y: Floats, row: Ints, step: Ints, season: int, extra: int = 0) -> Floats:
    """The value at the same position of the newest known season, `extra` seasons further back [R]."""
    at = y.shape[1] - 1 + step - (seasons_back(step, season) + extra) * season
    inside = (at >= 0) & (at < y.shape[1])
    return np.where(inside, y[row, np.where(inside, at, 0)], np.nan)


def seasonal_mean(y: Floats, row: Ints, step: Ints, season: int, seasons: int) -> Floats:
    """Mean of the known values at the same position of the newest `seasons` seasons [R]; NaN when none is known."""
    position = (step - 1) % season  # every step at the same position sees the same past
    width = min(seasons, y.shape[1] // season)
    if width == 0:
        return np.full(len(row), np.nan)
    block = y[:, y.shape[1] - width * season :].reshape(len(y), width, season)  # [n, seasons, position]
    means = mean_of_known(np.moveaxis(block, 1, 2))  # [n, position]
    return np.asarray(means[row, position])


def mean_of_known(values: Floats) -> Floats:
    """Mean over the last axis of the values that are not NaN; NaN when all are."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
