"""The searches behind exponential smoothing and TSB: candidates scored on the past of each series, in its own order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints, Panel
from models.holt_winters import SEASONS, Parameters, Season, ahead, smooth
from models.intervals import is_intermittent, recent_periods

EXTRA_PERIODS = 5  # beyond two seasons, before a season is believed
_CELLS = 50_000  # series x candidates in one working array: stays in the processor's cache
_WIDEST = 343  # candidates of the larger grid
TsbVisit = Callable[[int, int, Floats, Floats], None]
_TSB_CONSTANTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, eq=False)
class Group:
    """Series that are searched together, longest first, in a matrix that ends at the origin.

    rows [n] positions in the panel; y [n, W], NaN before a start; first [n] column of the first period; scored [n]
    first column a candidate is judged from; recent [n, R] the newest periods; seasonal, intermittent: of all of them.
    """

    rows: Ints
    y: Floats
    first: Ints
    scored: Ints
    recent: Floats
    seasonal: bool
    intermittent: bool


def groups(history: Panel, season: int, horizon: int, max_history: int, seasonal: bool) -> Iterator[Group]:
    """Every series once; those with a season (two of it + 5 periods) and those with sparse demand apart."""
    lengths = np.minimum(history.lengths, max_history)
    sparse = np.concatenate(
        [is_intermittent(part.tail(recent_periods(season, horizon))) for part in history.batches(10_000)]
        or [np.empty(0, dtype=bool)]
    )
    has_season = (lengths >= 2 * season + EXTRA_PERIODS) & seasonal & (season > 1)
    at_once = max(1, _CELLS // _WIDEST)
    for with_season in (False, True):
        for intermittent in (False, True):
            members = np.flatnonzero((has_season == with_season) & (sparse == intermittent))
            members = members[np.argsort(-lengths[members], kind="stable")]
            for begin in range(0, len(members), at_once):
                rows = members[begin : begin + at_once]
                ascending = np.argsort(rows)
                back = np.argsort(ascending)
                part = history.take(rows[ascending])
                width = int(lengths[rows].max())
                first = width - lengths[rows]
                y = part.tail(width)[back]
                y[np.arange(width)[None, :] < first[:, None]] = np.nan
                # without a season the first third warms up; both starts keep the order of `first`
                warm = np.full(len(rows), 2 * season) if with_season else np.maximum(lengths[rows] // 3, 1)
                recent = part.tail(recent_periods(season, horizon))[back]
                yield Group(rows, y, first, first + warm - 1, recent, with_season, intermittent)


def scored_steps(horizon: int) -> list[int]:
    """Steps ahead at which candidates are judged: the first, the middle and the last."""
    return sorted({1, (horizon + 1) // 2, horizon})


def holt_winters_losses(group: Group, grid: tuple[Parameters, Ints], season: int, horizon: int) -> Floats:
    """Mean error of every candidate over the group's history [n, G]; infinite where it does not apply.

    Absolute errors; squared ones where demand is intermittent, since the absolute error would choose zero. A
    multiplicative season needs demand in every period, any season two of it + 5 periods.
    """
    parameters, season_of = grid
    y, width = group.y, group.y.shape[1]
    losses = np.full((len(y), len(season_of)), np.inf)
    steps = scored_steps(horizon)
    positive = np.where(np.isnan(y), 1.0, y).min(axis=1) > 0
    for position, kind in enumerate(SEASONS):
        rows = np.flatnonzero(positive if kind == "multiplicative" else np.ones(len(y), dtype=bool))
        if not len(rows) or (kind != "none" and not group.seasonal):
            continue
        of_kind = np.flatnonzero(season_of == position)
        p = parameters.at(np.repeat(of_kind[None, :], len(rows), axis=0))
        shown, first, scored = y[rows], group.first[rows], group.scored[rows]
        dampings = [p.damping(step) for step in steps]
        sums = np.zeros((len(steps), len(rows), len(of_kind)))
        counts = np.zeros((len(steps), len(rows), 1))

        def visit(t: int, m: int, level: Floats, trend: Floats, states: Floats | None, kind: Season = kind) -> None:
            judged = int(np.searchsorted(scored, t, side="right"))  # noqa: B023
            if not judged:
                return
            for k, step in enumerate(steps):
                if t + step < width:
                    slot = (width - 1 - t - step) % season
                    forecast = ahead(level[:judged], trend[:judged], states, dampings[k][:judged], slot, kind)  # noqa: B023
                    error = shown[:judged, t + step, None] - np.maximum(forecast, 0.0)  # noqa: B023
                    sums[k, :judged] += error * error if group.intermittent else np.abs(error)  # noqa: B023
                    counts[k, :judged] += 1  # noqa: B023

        smooth(shown, first, p, season, kind, visit)
        losses[np.ix_(rows, of_kind)] = (sums / np.maximum(counts, 1.0)).sum(axis=0)
    return np.where(np.isnan(losses), np.inf, losses)


def average_weights(losses: Floats, combined: int, sharpness: float) -> tuple[Ints, Floats]:
    """The `combined` best candidates of each series and their weights, which sum to 1 [n, G] -> [n, K], [n, K]."""
    order = np.argsort(losses, axis=1, kind="stable")[:, :combined]
    best = np.take_along_axis(losses, order, axis=1)
    finite = np.isfinite(best)
    tiny = 1e-12
    ratio = (best[:, :1] + tiny) / (np.where(finite, best, 1.0) + tiny)
    weight = np.where(finite, np.where(np.isfinite(ratio), ratio, 1.0) ** sharpness, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    return order, np.divide(weight, total, out=np.full_like(weight, 1 / weight.shape[1]), where=total > 0)


def holt_winters_replay(
    group: Group,
    grid: tuple[Parameters, Ints],
    chosen: Ints,
    weight: Floats,
    season: int,
    horizon: int,
    steps: Ints,
) -> tuple[Floats, Floats]:
    """The averaged forecast from the end [n, H], and the errors of such averages at `steps` [S, n, R].

    Errors are actual - forecast from the newest origins (as many as the group's recent periods); NaN where there is no
    origin or it lies in the warm-up.
    """
    parameters, season_of = grid
    y, width = group.y, group.y.shape[1]
    kept = group.recent.shape[1]
    point = np.zeros((len(y), horizon))
    made = np.zeros((len(steps), len(y), kept))
    oldest = width - kept  # column of the oldest period an error is kept for
    for position, kind in enumerate(SEASONS):
        share_of_kind = np.where(season_of[chosen] == position, weight, 0.0)
        rows = np.flatnonzero(share_of_kind.any(axis=1))
        if not len(rows):
            continue
        p, share = parameters.at(chosen[rows]), share_of_kind[rows]
        dampings = [p.damping(int(step)) for step in steps]

        def visit(t: int, m: int, level: Floats, trend: Floats, states: Floats | None, kind: Season = kind) -> None:
            for k, step in enumerate(steps.tolist()):
                if oldest <= t + step < width:
                    slot = (width - 1 - t - step) % season
                    forecast = ahead(level[:m], trend[:m], states, dampings[k][:m], slot, kind)  # noqa: B023
                    made[k, rows[:m], t + step - oldest] += (forecast * share[:m]).sum(axis=1)  # noqa: B023
            if t == width - 1:
                for h in range(1, horizon + 1):
                    forecast = ahead(level, trend, states, p.damping(h), -h % season, kind)  # noqa: B023
                    point[rows, h - 1] += (forecast * share).sum(axis=1)  # noqa: B023

        smooth(y[rows], group.first[rows], p, season, kind, visit)
    column = np.arange(oldest, width)[None, None, :]
    origin = column - np.asarray(steps)[:, None, None]
    inside = (origin >= group.scored[None, :, None]) & (column >= 0)
    newest = y[:, max(oldest, 0) :]
    actual = np.full((len(y), kept), np.nan)
    actual[:, kept - newest.shape[1] :] = newest
    return point, np.where(inside, actual[None] - made, np.nan)


# ---- TSB ----------------------------------------------------------------------------------------------------------


def tsb_candidates() -> tuple[Floats, Floats]:
    """Smoothing constants of the probability [G] and of the size [G]; the order is part of the saved format."""
    chance, size = np.meshgrid(_TSB_CONSTANTS, _TSB_CONSTANTS, indexing="ij")
    return chance.ravel(), size.ravel()


def tsb_losses(group: Group, chance_constants: Floats, size_constants: Floats, horizon: int) -> Floats:
    """Mean squared error of every candidate at the scored steps [n, G]."""
    y, width = group.y, group.y.shape[1]
    shape = (len(y), len(chance_constants))
    steps = scored_steps(horizon)
    sums, counts = np.zeros((len(steps), *shape)), np.zeros((len(steps), len(y), 1))

    def visit(t: int, m: int, chance: Floats, size: Floats) -> None:
        judged = int(np.searchsorted(group.scored, t, side="right"))
        forecast = chance[:judged] * size[:judged]
        for k, step in enumerate(steps):
            if judged and t + step < width:
                sums[k, :judged] += (y[:judged, t + step, None] - forecast) ** 2
                counts[k, :judged] += 1

    p, q = np.broadcast_to(chance_constants, shape), np.broadcast_to(size_constants, shape)
    _tsb(y, group.first, p, q, visit)
    losses = (sums / np.maximum(counts, 1.0)).sum(axis=0)
    return np.where(np.isnan(losses), np.inf, losses)


def tsb_states(
    group: Group, chance_constants: Floats, size_constants: Floats, chosen: Ints, weight: Floats
) -> tuple[Floats, Floats]:
    """Probability of demand [n] and its mean size [n] at the end, such that their product is the averaged forecast."""
    last: list[Floats] = []

    def visit(t: int, m: int, chance: Floats, size: Floats) -> None:
        if t == group.y.shape[1] - 1:
            last.extend([(chance * weight).sum(axis=1), (chance * size * weight).sum(axis=1)])

    _tsb(group.y, group.first, chance_constants[chosen], size_constants[chosen], visit)
    chance, product = last
    return chance, np.divide(product, chance, out=np.zeros_like(product), where=chance > 0)


def _tsb(y: Floats, first: Ints, chance_constant: Floats, size_constant: Floats, visit: TsbVisit) -> None:
    """chance += a (sold - chance) every period; size += b (y - size) in periods with demand; both [n, G]."""
    width = y.shape[1]
    # the first chance: the share of the first six periods, with half a sale added
    warm = np.arange(6)[None, :] + first[:, None]
    early = np.where(warm < width, np.take_along_axis(y, np.minimum(warm, width - 1), axis=1), np.nan)
    chance = np.repeat(((np.nansum(early > 0, axis=1) + 0.5) / (np.isfinite(early).sum(axis=1) + 1))[:, None],
                       chance_constant.shape[1], axis=1)  # fmt: skip
    size = np.zeros_like(chance)
    started: NDArray[np.int64] = np.searchsorted(first, np.arange(width), side="right")
    for t in range(int(first[0]), width):
        m = int(started[t])
        observed = y[:m, t, None]
        sold = observed > 0
        chance[:m] += chance_constant[:m] * (sold - chance[:m])
        begun = size[:m] > 0
        moved = np.where(begun, size[:m] + size_constant[:m] * (observed - size[:m]), observed)
        size[:m] = np.where(sold, moved, size[:m])
        visit(t, m, chance, size)
