"""Which members a style may use, and how much: weights from errors at earlier origins, shrunk to class and fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.panel import Floats, Panel, Strings
from evaluation.results import FoldResult
from models.base import Forecast
from models.ensemble import EnsembleSettings, middle_mean

# Prior weight of class and fleet against a style's own errors, in origins: with 2 origins a style speaks for a seventh.
# Chosen by weighing at one inner origin and scoring at the next, on seven public fleets (2 + 2, 6 + 6, 20 + 20 tried):
# a style's one or two origins are mostly chance, and 2 + 2 followed them too far.
CLASS_ORIGINS, FLEET_ORIGINS = 6.0, 6.0
SHARPNESS = 0.01  # relative loss; grid points this close to the best share the weight
MAX_GRID = 500
CELLS_AT_ONCE = 200_000
EXPLODED = 10.0  # times the largest demand of the last two seasons (or four horizons)


@dataclass(frozen=True, eq=False)
class Weights:
    """The members' weights at one origin.

    ids      [N]      as in the history
    values   [N, M]   each row sums to 1, or is all 0 where no member may be used
    fleet    [M]      what the fleet as a whole would use
    basis             "configured" | "grid_search" | "inverse_error" | "stacking" | "equal", and from how many origins
    vetoed   {member: number of styles it failed or exploded on}
    trimmed  demand classes in which the members' middle mean is taken and not their mean (see models.ensemble)
    """

    ids: Strings
    members: tuple[str, ...]
    values: Floats
    fleet: Floats
    basis: str
    n_origins: int
    vetoed: Mapping[str, int]
    trimmed: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """A row a style: unique_id, then a column a member."""
        columns = {"unique_id": self.ids} | {member: self.values[:, m] for m, member in enumerate(self.members)}
        return pd.DataFrame(columns)


def weigh(
    history: Panel,
    members: Mapping[str, Forecast],
    past: Mapping[str, Sequence[FoldResult]],
    classes: NDArray[np.str_],
    settings: EnsembleSettings,
    season: int,
) -> Weights:
    """The weights to use at the end of `history`, from results that were known then.

    members: each member's forecast at this origin, before any fallback filled its gaps. past: the members' results at
    earlier origins whose windows had ended by now (raises ValueError otherwise: that would be a leak). classes [N]:
    demand class of each series. A member that made no row, or exploded, gets weight 0 and the rest is renormalised.
    """
    names = tuple(members)
    for name in names:
        for result in past.get(name, ()):
            if result.fold.cutoff + result.fold.horizon > history.end:
                raise ValueError(f"{name}: an origin whose window had not ended is used for weights")
    usable = np.column_stack([member.made & ~exploded(member, history, season) for member in members.values()])
    n_origins = min((len(past.get(name, ())) for name in names), default=0)
    n = history.n_series
    cells: _Cells | None = None
    if settings.aggregation in ("mean", "median"):
        basis, fleet = "equal", np.full(len(names), 1 / len(names))
        values = np.tile(fleet, (n, 1))
    elif not settings.optimize_weights or n_origins == 0 or len(names) == 1:
        basis, fleet = "configured", settings.configured_weights(names)
        values = np.tile(fleet, (n, 1))
    else:
        cells = _Cells.of([past[name] for name in names], history)
        basis = "stacking" if settings.aggregation == "stacking" else settings.weight_optimization_method
        if basis == "stacking":
            fleet = cells.stacked()
            values = np.tile(fleet, (n, 1))
        else:
            grid = simplex(len(names)) if basis == "grid_search" else np.eye(len(names))
            values, fleet = _shrunk_weights(cells, grid, classes, inverse=basis == "inverse_error")
    values = np.where(usable, values, 0.0)
    total = values.sum(axis=1, keepdims=True)
    # Where the veto took all weight away, the members that are left share it equally.
    rest = usable / np.maximum(usable.sum(axis=1, keepdims=True), 1)
    values = np.where(total > 1e-12, values / np.maximum(total, 1e-12), rest)
    vetoed = {name: int((~usable[:, m]).sum()) for m, name in enumerate(names) if (~usable[:, m]).any()}
    trimmed = () if cells is None or basis == "stacking" else _trimmed(cells, values, classes)
    return Weights(history.ids, names, values, fleet, basis, n_origins, vetoed, trimmed)


def exploded(forecast: Forecast, history: Panel, season: int) -> NDArray[np.bool_]:
    """True where a row's largest mean or median is beyond anything its history makes possible [N].

    The yardstick is the largest demand of the last two seasons, of the whole history where that is 0, and the fleet's
    median of these where a style never sold: a first sale is not an explosion.
    """
    recent = np.nanmax(np.abs(history.tail(max(2 * season, 4 * forecast.horizon))), axis=1)
    ever = np.maximum.reduceat(np.abs(history.y), history.indptr[:-1])
    largest = np.where(recent > 0, recent, ever)
    usual = float(np.median(largest[largest > 0])) if (largest > 0).any() else np.inf
    limit = EXPLODED * np.where(largest > 0, largest, usual)
    top = np.maximum(np.where(forecast.made[:, None], forecast.mean, 0.0), np.nan_to_num(forecast.median)).max(axis=1)
    return np.asarray(top > limit)


def simplex(n: int) -> Floats:
    """Weight vectors on the simplex in equal steps [G, n], the finest steps (1/10 at best) that give <= MAX_GRID."""
    steps = 10
    while steps > 1 and _count(steps, n) > MAX_GRID:
        steps -= 1
    bars = np.array(list(combinations(range(steps + n - 1), n - 1)), dtype=np.int64).reshape(-1, n - 1)
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), steps + n - 1)])
    return (np.diff(edges, axis=1) - 1) / steps


def _count(steps: int, n: int) -> int:
    total = 1
    for k in range(1, n):
        total = total * (steps + k) // k
    return total


@dataclass(frozen=True, eq=False)
class _Cells:
    """Everything scored at earlier origins, cell by cell, for the series of one history."""

    series: NDArray[np.int64]  # [C] row in the history
    actual: Floats  # [C]
    quantiles: Floats  # [M, C, Q]
    levels: Floats  # [Q]
    n_series: int
    n_origins: NDArray[np.int64]  # [N]

    @classmethod
    def of(cls, past: Sequence[Sequence[FoldResult]], history: Panel) -> _Cells:
        series, actual, quantiles = [], [], []
        n_origins = np.zeros(history.n_series, dtype=np.int64)
        first = past[0][0].forecast
        for results in zip(*past, strict=True):  # the same fold of every member
            rows = history.index_of(results[0].forecast.ids)
            known = np.isfinite(results[0].actuals) & (rows >= 0)[:, None]
            where = np.nonzero(known)
            series.append(rows[where[0]])
            actual.append(results[0].actuals[known])
            quantiles.append(np.stack([result.forecast.quantiles[known] for result in results]))
            n_origins[rows[rows >= 0]] += 1
        levels = np.array(first.levels)
        return cls(
            np.concatenate(series), np.concatenate(actual), np.concatenate(quantiles, axis=1), levels,
            history.n_series, n_origins,
        )  # fmt: skip

    def losses(self, grid: Floats) -> Floats:
        """Pinball loss of every grid point, summed over each series' cells and the levels [G, N]."""
        out = np.empty((len(grid), self.n_series))
        for g, weights in enumerate(grid):
            loss = self.loss_of(np.tensordot(weights, self.quantiles, axes=1), slice(None))
            out[g] = np.bincount(self.series, weights=loss, minlength=self.n_series)
        return out

    def loss_of(self, quantiles: Floats, part: slice | NDArray[np.int64]) -> Floats:
        """Pinball loss of quantiles [C, Q] of the cells of `part`, summed over the levels [C]."""
        error = self.actual[part, None] - quantiles
        loss: Floats = np.maximum(self.levels * error, (self.levels - 1) * error).sum(axis=1)
        return loss

    def stacked(self) -> Floats:
        """Non-negative least squares of the actuals on the members' medians, summing to 1 [M] (Breiman 1996)."""
        from scipy.optimize import nnls

        middle = self.quantiles[:, :, list(self.levels).index(0.5)].T  # [C, M]
        scale = np.maximum(np.bincount(self.series, np.abs(self.actual), self.n_series)[self.series], 1e-9)
        solution, _ = nnls(middle / scale[:, None], self.actual / scale)
        return solution / solution.sum() if solution.sum() > 0 else np.full(len(solution), 1 / len(solution))


def _trimmed(cells: _Cells, values: Floats, classes: NDArray[np.str_]) -> tuple[str, ...]:
    """The classes in which, with these weights [N, M], the middle mean lost less than the mean at earlier origins."""
    mean, middle = np.zeros(cells.n_series), np.zeros(cells.n_series)
    some = np.asarray((values > 0).any(axis=1))
    weighed = np.flatnonzero(some[cells.series])
    for first in range(0, len(weighed), CELLS_AT_ONCE):
        part = weighed[first : first + CELLS_AT_ONCE]
        series, quantiles = cells.series[part], cells.quantiles[:, part]
        shares = values[series].T  # [M, cells]
        mean += np.bincount(series, cells.loss_of(np.einsum("mc,mcq->cq", shares, quantiles), part), cells.n_series)
        middle += np.bincount(series, cells.loss_of(middle_mean(quantiles, shares), part), cells.n_series)
    level = (mean + middle) / 2
    found = []
    for name in np.unique(classes):
        inside = (classes == name) & (level > 0)
        change = (middle - mean)[inside]
        if inside.any() and (change / level[inside]).mean() + change.sum() / level[inside].sum() < 0:
            found.append(str(name))
    return tuple(found)


def _shrunk_weights(cells: _Cells, grid: Floats, classes: NDArray[np.str_], inverse: bool) -> tuple[Floats, Floats]:
    """Weights [N, M] and the fleet's [M]: each style's losses are averaged with its class's and the fleet's first.

    Shrinking losses and not weights keeps the choice a minimiser of something stated: own origins count one each, the
    class CLASS_ORIGINS, the fleet FLEET_ORIGINS. Losses are relative to each series' mean over the grid, so that large
    and small styles speak alike, and the fleet adds the volume-weighted view.
    """
    losses = cells.losses(grid)  # [G, N]
    level = losses.mean(axis=0)
    scored = level > 0
    relative = np.where(scored, losses / np.where(scored, level, 1.0), 1.0)
    by_volume = losses.sum(axis=1) / max(level.sum(), 1e-12)
    alike = relative[:, scored].mean(axis=1) if scored.any() else np.ones(len(grid))
    fleet_loss = (by_volume + alike) / 2
    class_loss = np.ones_like(relative)
    for name in np.unique(classes):
        inside = (classes == name) & scored
        if inside.any():
            volume = losses[:, inside].sum(axis=1) / level[inside].sum()
            class_loss[:, classes == name] = ((relative[:, inside].mean(axis=1) + volume) / 2)[:, None]
        else:
            class_loss[:, classes == name] = fleet_loss[:, None]
    own = np.where(scored, cells.n_origins, 0).astype(np.float64)
    prior = CLASS_ORIGINS + FLEET_ORIGINS
    score = (own * relative + CLASS_ORIGINS * class_loss + FLEET_ORIGINS * fleet_loss[:, None]) / (own + prior)
    if inverse:
        return _inverse(score.T), _inverse(fleet_loss[None, :])[0]
    return _soft_best(score, grid), _soft_best(fleet_loss[:, None], grid)[0]


def _soft_best(score: Floats, grid: Floats) -> Floats:
    """The mean of the grid points, those near the best counting most [G, N] x [G, M] -> [N, M]."""
    closeness = np.exp(-(score - score.min(axis=0)) / SHARPNESS)
    return np.asarray((closeness / closeness.sum(axis=0)).T @ grid)


def _inverse(score: Floats) -> Floats:
    """Weights in inverse proportion to squared loss [N, M] (Bates and Granger 1969)."""
    raw = 1 / np.maximum(score, 1e-9) ** 2
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))
