"""From three boosted quantiles to the levels that were asked for, with the spread the validation rows really showed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats

ALPHAS = (0.1, 0.5, 0.9)
FEW = 300  # validation rows below which the factors of the normal distribution stand
BOUNDS = (0.2, 6.0)  # a measured factor is kept within these multiples of the boosted half-width


@dataclass(frozen=True)
class Spread:
    """How many boosted half-widths each level lies from the boosted median.

    dense, sparse [Q]: a factor for each level, >= 0: of median - q0.1 for levels below 0.5, of q0.9 - median above.
    """

    levels: tuple[float, ...]
    dense: tuple[float, ...]
    sparse: tuple[float, ...]

    @classmethod
    def measured(cls, levels: tuple[float, ...], boosted: Floats, y: Floats, is_sparse: NDArray[np.bool_]) -> Self:
        """The factors with which the levels would have covered their share of the validation rows.

        boosted [R, 3] at ALPHAS, y [R]. A class of series with fewer than FEW rows takes those of the normal
        distribution.
        """
        classes = [
            tuple(_factor(level, boosted[rows], y[rows]) for level in levels) for rows in (~is_sparse, is_sparse)
        ]
        return cls(levels, *classes)

    @classmethod
    def normal(cls, levels: tuple[float, ...]) -> Self:
        """The factors of a normal distribution through the boosted quantiles."""
        factors = tuple(_normal_factor(level) for level in levels)
        return cls(levels, factors, factors)

    def quantiles(self, boosted: Floats, is_sparse: NDArray[np.bool_]) -> Floats:
        """boosted [R, 3] at ALPHAS -> [R, Q] at the levels, ascending."""
        low, median, high = np.sort(boosted, axis=1).T
        factors = np.where(is_sparse[:, None], np.array(self.sparse), np.array(self.dense))  # [R, Q]
        below = np.array(self.levels) < 0.5
        width = np.where(below, (low - median)[:, None], (high - median)[:, None])
        return np.asarray(np.sort(median[:, None] + factors * width, axis=1))


def _normal_factor(level: float) -> float:
    return abs(NormalDist().inv_cdf(level)) / NormalDist().inv_cdf(ALPHAS[2])


def _factor(level: float, boosted: Floats, y: Floats) -> float:
    if level == 0.5:
        return 0.0
    if len(y) < FEW:
        return _normal_factor(level)
    low, median, high = np.maximum(np.sort(boosted, axis=1), 0.0).T
    width = high - median if level > 0.5 else median - low
    away = y - median if level > 0.5 else median - y
    # Half-widths needed to reach each row; a row without any width is inside only when y does not pass the median.
    needed = np.where(width > 0, away / np.where(width > 0, width, 1.0), np.where(away > 0, np.inf, -np.inf))
    share = level if level > 0.5 else 1 - level
    found = np.sort(needed)[min(int(np.ceil(share * len(needed))), len(needed)) - 1]
    return float(np.clip(found, BOUNDS[0] * _normal_factor(level), BOUNDS[1] * _normal_factor(level)))
