"""Statistics of the last w periods up to and with the origin.

NaN cells lie before a series starts: they do not count.
"""

from __future__ import annotations

import warnings

import numpy as np

from demand.panel import Floats
from features.lags import mean_of_known


def rolling_mean(y: Floats, window: int) -> Floats:
    """Mean of the last `window` known values of y [n, W] -> [n]; a younger series: of what it has."""
    return mean_of_known(y[:, -window:])


def rolling_std(y: Floats, window: int) -> Floats:
    """Standard deviation (divisor n - 1) of the last `window` known values [n]; NaN with fewer than two."""
    recent = y[:, -window:]
    known = ~np.isnan(recent)
    count = known.sum(axis=1)
    mean = mean_of_known(recent)
    squares = np.where(known, (recent - np.where(count > 0, mean, 0.0)[:, None]) ** 2, 0.0).sum(axis=1)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def rolling_median(y: Floats, window: int) -> Floats:
    """Median of the last `window` known values [n]; every view has at least one."""
    recent = y[:, -window:]
    if not np.isnan(recent).any():
        return np.asarray(np.median(recent, axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN window is NaN, by intention
        return np.asarray(np.nanmedian(recent, axis=1))


def rolling_max(y: Floats, window: int) -> Floats:
    """Largest of the last `window` known values [n]; NaN when none is known."""
    recent = y[:, -window:]
    known = ~np.isnan(recent)
    return np.where(known.any(axis=1), np.where(known, recent, -np.inf).max(axis=1), np.nan)


def exponential_mean(y: Floats, half_life: float) -> Floats:
    """Mean of y [n, W] with weights that halve every `half_life` periods back [n]; NaN cells have no weight."""
    reach = min(y.shape[1], int(np.ceil(12 * half_life)))  # beyond that a weight is below 1/4000
    recent = y[:, -reach:]
    known = ~np.isnan(recent)
    weights = np.where(known, 0.5 ** (np.arange(reach)[::-1] / half_life), 0.0)
    total = weights.sum(axis=1)
    return np.where(total > 0, (np.where(known, recent, 0.0) * weights).sum(axis=1) / np.maximum(total, 1e-300), np.nan)


def mean_before(y: Floats, window: int, back: int) -> Floats:
    """Mean of the `window` values that ended `back` periods before the origin [n]; NaN when none was known."""
    end = y.shape[1] - back
    if end <= 0:
        return np.full(len(y), np.nan)
    return mean_of_known(y[:, max(end - window, 0) : end])
