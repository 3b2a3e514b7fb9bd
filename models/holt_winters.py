"""Exponential smoothing of many series under many parameter sets at once: arrays, and a loop over time only.

The recursions are Holt-Winters' in error-correction form with Gardner and McKenzie's damped trend (1985), as in Hyndman
and Athanasopoulos, "Forecasting: Principles and Practice" (3rd ed., chapter 8): with level l, trend b, season s,

    one step     prior = l + phi b;  forecast = prior, prior + s or prior * s
    update       l = prior + alpha e;  b = phi b + alpha beta e;  s = s + gamma (1 - alpha) e
                 (multiplicative: e / s in the first two, e / prior in the third)
    h steps      l + (phi + .. + phi^h) b, with the season of that period

Series lie in a matrix [n, W] that ends at the origin, longest first: at any period the series that have started are the
first rows, so every operation is a plain slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints

Season = Literal["none", "additive", "multiplicative"]
SEASONS: tuple[Season, ...] = ("none", "additive", "multiplicative")
LOWEST_INDEX = 0.01  # a multiplicative season is never below 1 % of the level: it would divide by nothing
Visit = Callable[[int, int, Floats, Floats, Floats | None], None]

_ALPHA = (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8)
_GAMMA = (0.02, 0.1, 0.3)
# beta, phi, has a trend: none, damped, linear
_TREND = ((0.0, 0.9, 0), (0.05, 0.9, 1), (0.2, 0.9, 1), (0.05, 0.98, 1), (0.2, 0.98, 1), (0.02, 1.0, 1), (0.1, 1.0, 1))


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameter sets, each field [G] (the candidates) or [n, G] (per series)."""

    alpha: Floats
    beta: Floats
    phi: Floats
    gamma: Floats
    trended: NDArray[np.bool_]

    def at(self, chosen: Ints) -> Parameters:
        """The sets at these positions, in the shape of `chosen`."""
        return Parameters(*(getattr(self, name)[chosen] for name in ("alpha", "beta", "phi", "gamma", "trended")))

    def damping(self, steps: int) -> Floats:
        """phi + phi^2 + .. + phi^steps."""
        return np.where(
            self.phi == 1.0, float(steps), self.phi * (1 - self.phi**steps) / np.maximum(1 - self.phi, 1e-9)
        )


def candidates(trend: bool) -> tuple[Parameters, NDArray[np.int64]]:
    """Every candidate [G] and its season as position in SEASONS [G]; the order is part of the saved format."""
    rows = [
        (alpha, beta, phi, gamma, trended, season)
        for season in range(len(SEASONS))
        for alpha, (beta, phi, trended), gamma in product(_ALPHA, _TREND, _GAMMA if season else (0.0,))
        if trend or not trended
    ]
    alpha, beta, phi, gamma, trended, season_of = (np.array(column) for column in zip(*rows, strict=True))
    return Parameters(alpha, beta, phi, gamma, trended.astype(bool)), season_of.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Start:
    """States before the first period: level, slope [n] and season [s, n] by slot; slot = (W - 1 - t) % s."""

    level: Floats
    slope: Floats
    season: Floats | None


def start(y: Floats, first: Ints, season: int, kind: Season) -> Start:
    """First states from the first two seasons only (or one, where there are not two), never from later periods."""
    n, width = y.shape
    offsets = np.arange(2 * season)
    column = first[:, None] + offsets[None, :]
    known = column < width
    early = np.where(known, np.take_along_axis(y, np.minimum(column, width - 1), axis=1), 0.0)
    if kind == "none":
        used = known & (offsets < max(season, 6))[None, :]
        level = (early * used).sum(axis=1) / used.sum(axis=1)
        return Start(level, np.zeros(n), None)
    one = known[:, :season].sum(axis=1)
    both = known.all(axis=1)
    mean = early[:, :season].sum(axis=1) / one
    slope = np.where(both, (early[:, season:].mean(axis=1) - mean) / season, 0.0)
    level = mean - slope * (season + 1) / 2
    line = level[:, None] + slope[:, None] * (offsets + 1)[None, :]
    if kind == "additive":
        index = np.where(known, early - line, 0.0)
    else:
        index = np.where(known, early / np.maximum(line, 1e-9), 0.0)
    seen = known[:, :season].astype(np.float64) + known[:, season:]
    folded = (index[:, :season] + index[:, season:]) / np.maximum(seen, 1.0)
    if kind == "additive":
        folded -= folded.mean(axis=1, keepdims=True)
    else:
        folded = np.where(seen > 0, folded, 1.0)
        folded = np.maximum(folded / np.maximum(folded.mean(axis=1, keepdims=True), 1e-9), LOWEST_INDEX)
    by_slot = np.empty((n, season))
    np.put_along_axis(by_slot, (width - 1 - first[:, None] - offsets[None, :season]) % season, folded, axis=1)
    return Start(level, slope, np.ascontiguousarray(by_slot.T))


def smooth(y: Floats, first: Ints, p: Parameters, season: int, kind: Season, visit: Visit) -> None:
    """Runs the recursions over y [n, W] (rows sorted by `first`) for p [n, G] and calls visit after every period.

    visit(t, m, level, trend, season_states): the first m rows have started; arrays are [n, G] and [s, n, G] and are
    overwritten by the next period.
    """
    width = y.shape[1]
    begin = start(y, first, season, kind)
    many = p.alpha.shape[1]
    trend = np.where(p.trended, begin.slope[:, None], 0.0)
    centre = begin.level + begin.slope * (season + 1) / 2  # without a trend the level is that of the first season
    level = np.where(p.trended, begin.level[:, None], centre[:, None])
    states = None if begin.season is None else np.repeat(begin.season[:, :, None], many, axis=2)
    alpha_beta, gamma_rest = p.alpha * p.beta, p.gamma * (1 - p.alpha)
    lowest = np.maximum(np.abs(centre) * 1e-3, 1e-12)[:, None]
    started = np.searchsorted(first, np.arange(width), side="right")
    for t in range(int(first[0]), width):
        m = int(started[t])
        alpha, observed = p.alpha[:m], y[:m, t, None]
        damped = p.phi[:m] * trend[:m]
        prior = level[:m] + damped
        if states is None:
            error = observed - prior
        else:
            state = states[(width - 1 - t) % season][:m]
            if kind == "additive":
                error = observed - prior - state
                state += gamma_rest[:m] * error
            else:
                prior = np.maximum(prior, lowest[:m])
                missed = observed - prior * state
                error = missed / state
                state += gamma_rest[:m] * missed / prior
                np.maximum(state, LOWEST_INDEX, out=state)
        level[:m] = prior + alpha * error
        trend[:m] = damped + alpha_beta[:m] * error
        visit(t, m, level, trend, states)


def ahead(level: Floats, trend: Floats, states: Floats | None, damping: Floats, slot: int, kind: Season) -> Floats:
    """The forecast of one step from these states [m, G]; slot is that of the period forecast."""
    forecast = level + damping * trend
    if states is None:
        return forecast
    state = states[slot][: len(forecast)]
    result: Floats = forecast + state if kind == "additive" else forecast * state
    return result
