"""Quantiles for rules that only give a point: what the same rule missed by, inside the history.

Everything works on one row a series and looks at no other series, so that a panel may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from demand.panel import Floats, Ints, Panel

HALF_TRUST = 10  # errors at which the empirical quantile and the Student-t one weigh the same
INTERMITTENT = 0.4  # from this share of periods without demand on, quantiles are those of demand itself
SPREAD_NOTE = "no error of the past to learn from: the spread is assumed to be as large as the level"


def recent_periods(season: int, horizon: int) -> int:
    """How many of the newest periods errors are taken from: five seasons, four horizons, and at least 60.

    Older errors belong to another level of demand. The number does not depend on the panel's longest series, so that
    sums run over arrays of one width however the panel was cut: same bytes.
    """
    return max(60, 5 * season, 4 * horizon)


def anchor_steps(horizon: int) -> Ints:
    """Steps at which errors are really counted [A], at most ten, dense near the origin; straight lines between."""
    return np.unique(np.geomspace(1, horizon, 10).round().astype(np.int64))


def interpolate_steps(at_anchors: Floats, horizon: int) -> Floats:
    """[N, A, Q] at `anchor_steps(horizon)` -> [N, H, Q]."""
    anchors = anchor_steps(horizon)
    steps = np.arange(1, horizon + 1)
    right = np.searchsorted(anchors, steps)
    left = np.maximum(right - 1, 0)
    share = ((steps - anchors[left]) / np.maximum(anchors[right] - anchors[left], 1))[None, :, None]
    result: Floats = at_anchors[:, left] * (1 - share) + at_anchors[:, right] * share
    return result


def empirical_quantiles(values: Floats, levels: Sequence[float] | Floats) -> Floats:
    """Quantiles of each row's known values [N, K] at levels [Q] or [N, Q] -> [N, Q]; NaN for a row without any.

    Position p (n + 1), within the values seen (Hyndman and Fan 1996, type 6): the unbiased choice for coverage.
    """
    n = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)  # NaN last
    position = np.clip(np.atleast_2d(levels) * (n[:, None] + 1) - 1, 0, np.maximum(n[:, None] - 1, 0))
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n[:, None] - 1, 0))
    share = position - low
    below, above = np.take_along_axis(ordered, low, axis=1), np.take_along_axis(ordered, high, axis=1)
    result: Floats = below * (1 - share) + above * share
    return result


def demand_quantiles(panel: Panel, levels: Sequence[float]) -> Floats:
    """Quantiles of each series' whole history [N, Q]; the same definition, without padding."""
    ordered = panel.y[np.lexsort((panel.y, panel.series_of))]
    n = panel.lengths[:, None]
    position = np.clip(np.asarray(levels)[None, :] * (n + 1) - 1, 0, n - 1)
    low = np.floor(position).astype(np.int64)
    share = position - low
    first = panel.indptr[:-1, None]
    result: Floats = ordered[first + low] * (1 - share) + ordered[first + np.minimum(low + 1, n - 1)] * share
    return result


def shrunk_quantiles(values: Floats, levels: Sequence[float], only_above: bool = False) -> Floats:
    """Empirical quantiles of each row [N, K] -> [N, Q], drawn to a Student t where there are few values.

    weight of the empirical part: n / (n + HALF_TRUST). The t has n - 1 degrees of freedom (at least 2), spread
    sqrt(mean square) around 0, or with `only_above` the mean and standard deviation, and then acts only on levels
    above .5: a median of demand stays one. NaN for a row without values.
    """
    known = np.isfinite(values)
    n = known.sum(axis=1)[:, None]
    divisor = np.maximum(n, 1)
    filled = np.where(known, values, 0.0)
    centre = filled.sum(axis=1, keepdims=True) / divisor if only_above else np.zeros((len(values), 1))
    distance = np.where(known, values - centre, 0.0)
    largest = np.maximum(np.abs(distance).max(axis=1, initial=0.0, keepdims=True), np.finfo(np.float64).tiny)
    # relative to the largest, so that the square of a very large value stays a number
    spread = largest * np.sqrt(((distance / largest) ** 2).sum(axis=1, keepdims=True) / divisor)
    t = stdtrit(np.maximum(n - 1, 2), np.asarray(levels)[None, :])
    weight = n / (n + HALF_TRUST)
    empirical = empirical_quantiles(values, levels)
    mixed = weight * empirical + (1 - weight) * (centre + t * spread)
    return np.where(np.asarray(levels)[None, :] > 0.5, mixed, empirical) if only_above else mixed


def error_quantiles(
    errors_at: Callable[[int], Floats],
    level_of_series: Floats,
    horizon: int,
    levels: Sequence[float],
    growth: Callable[[Ints], Floats],
) -> tuple[Floats, NDArray[np.bool_]]:
    """Quantiles of actual - forecast at every step [N, H, Q], and which series [N] had no error to learn from.

    errors_at(step) -> [N, K], NaN where there was none. A step too far ahead for the history takes the quantiles of the
    last step that has errors, widened by growth(step) / growth(that step). A series without any error at all is given a
    spread as large as its level (a coefficient of variation of 1): stated, not measured.
    """
    anchors = anchor_steps(horizon)
    factors = growth(anchors)
    found = np.empty((len(level_of_series), len(anchors), len(levels)))
    normal = stdtrit(1e6, np.asarray(levels))[None, :]
    unseen: NDArray[np.bool_] = np.zeros(len(level_of_series), dtype=np.bool_)
    for k, step in enumerate(anchors):
        quantiles = shrunk_quantiles(errors_at(int(step)), levels)
        missing: NDArray[np.bool_] = np.asarray(np.isnan(quantiles).any(axis=1))
        if k == 0:
            unseen = missing
            carried = normal * np.abs(level_of_series)[:, None]
        else:
            carried = found[:, k - 1] * (factors[k] / factors[k - 1])
        found[:, k] = np.where(missing[:, None], carried, quantiles)
    return interpolate_steps(found, horizon), unseen


def keep_median(point: Floats, quantiles: Floats, levels: Sequence[float]) -> Floats:
    """The same quantiles with the point as median, lower ones at most and upper ones at least the point [N, H, Q]."""
    at = np.asarray(levels)[None, None, :]
    middle = point[:, :, None]
    low = np.minimum(quantiles, middle)
    return np.where(at < 0.5, low, np.where(at > 0.5, np.maximum(quantiles, middle), middle))


def sparse_quantiles(recent: Floats, mean: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles of sparse demand [n, Q] from its newest periods `recent` [n, K] and its forecast mean [n].

    Two readings: the newest periods as they were, and a mixture (chance of demand in them, sizes scaled to the mean).
    The lower of the two is taken: on five public data sets it scored and covered better than either, or their average.
    """
    known = np.isfinite(recent)
    chance = ((recent > 0).sum(axis=1) + 0.5) / (known.sum(axis=1) + 1)
    mixed = mixture_quantiles(recent, chance, np.maximum(mean, 0.0) / chance, levels)
    return np.minimum(mixed, shrunk_quantiles(recent, levels, only_above=True))


def is_intermittent(recent: Floats) -> NDArray[np.bool_]:
    """Which series [N] had no demand in at least the share INTERMITTENT of their known recent periods [N, K]."""
    known = np.isfinite(recent)
    silent = (known & (recent <= 0)).sum(axis=1)
    return np.asarray(silent >= INTERMITTENT * np.maximum(known.sum(axis=1), 1))


def mixture_quantiles(recent: Floats, chance: Floats, size: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles of demand that is 0 with probability 1 - chance [n], else a size with mean `size` [n] -> [n, Q].

    As the Teunter-Syntetos-Babai model reads demand. Sizes are spread as the positive values of `recent` [n, K], scaled
    to that mean; without any they equal it.
    """
    sizes = np.where(recent > 0, recent, np.nan)
    known = np.isfinite(sizes)
    seen = known.sum(axis=1)
    mean = np.where(known, sizes, 0.0).sum(axis=1) / np.maximum(seen, 1)
    scale = np.divide(size, mean, out=np.ones_like(mean), where=mean > 0)
    inner = (np.asarray(levels)[None, :] - (1 - chance[:, None])) / np.maximum(chance[:, None], 1e-12)
    found = empirical_quantiles(sizes, np.clip(inner, 0.0, 1.0)) * scale[:, None]
    found = np.where(seen[:, None] > 0, found, size[:, None])
    return np.where(inner > 0, found, 0.0)
