"""Honest intervals: quantiles are moved by what was really missed at earlier origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.errors import VersionUnreadable
from demand.panel import Floats, Ints, Panel
from evaluation.classes import CLASSES, demand_classes
from evaluation.formulas import intervals
from evaluation.grain import in_pieces, made_whole, piece
from evaluation.results import FoldResult
from models.base import Forecast

MIN_ORIGINS = 2
MIN_ROWS = 20  # series x origins behind an offset: the steps of one row are too alike to count one by one
MIN_TAIL = 4  # expected cells beyond the level: fewer say nothing about a tail
BUCKETS = np.array([1, 2, 4, 8, 15, 31, 61])  # first step of each bucket; errors grow ever slower with the step
FLOOR = 0.1  # of the recent mean demand: what an interval of no width can still grow by
SHARES = (0.5, 1.0)  # how much of the offset may be applied
MAX_CELLS = 200_000  # per level: more do not move a quantile, they only cost time


def calibrate(forecast: Forecast, past: Sequence[FoldResult], history: Panel) -> tuple[Forecast, dict[str, Any]]:
    """The forecast with calibrated quantiles, and the facts of what was done; see `Calibration.learn`."""
    learned = Calibration.learn(forecast.levels, past, history)
    return learned.applied(forecast, history), dict(learned.facts)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far quantiles move, learned from errors at earlier origins; for any series of the same fleet.

    levels   [Q]
    move     [class, bucket, Q]  in units of a level's own reach (see `_reach`); None: nothing moves
    piece    what the fleet's demand comes in (see evaluation.grain); 0: not known
    """

    levels: tuple[float, ...]
    move: Floats | None
    piece: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def learn(cls, levels: tuple[float, ...], past: Sequence[FoldResult], history: Panel) -> Calibration:
        """What the errors of one model at earlier origins say about its quantiles. The mean is never touched, and the
        median only where demand comes in whole pieces (see `applied`).

        past: the model's results at earlier origins whose windows had ended by the end of `history` (raises ValueError
        otherwise: that would be a leak). Each quantile level is moved by an offset counted in its own distance to the
        median (plus a tenth of the series' recent mean demand): the empirical quantile of (actual - forecast quantile)
        over that unit at earlier origins, by demand class and step bucket, at the finite-sample level (n + 1) q / n.
        Lower and upper levels move apart from each other. A group with too few rows uses its class, then the fleet.

        An offset is applied (in full, by half or not) for a class and level only where leaving out one origin after the
        other shows a lower pinball loss in total and at none of them a higher one, in units sold and relative to the
        series' size. Fewer than two origins: nothing moves, and the facts say so.

        Facts: applied, reason, n_origins, n_cells, shares {class: {level: share}}, loss_before, loss_after (scaled,
        summed over the applied classes and levels, per cell), interval, coverage_before, coverage_after (of the widest
        interval), all with the origin left out and before quantiles are made whole. They are measured on the origins
        that also chose the shares: a little flattered. Source: Romano, Patterson and Candes 2019 (conformalized
        quantile regression), with empirical groups; errors over time are not exchangeable, so coverage is measured and
        not guaranteed.
        """
        for result in past:
            if result.fold.cutoff + result.fold.horizon > history.end:
                raise ValueError("an origin whose window had not ended is used for intervals")
        facts: dict[str, Any] = {"applied": False, "reason": "", "n_origins": len(past), "n_cells": 0, "shares": {}}
        whole = piece(history)
        if len(past) < MIN_ORIGINS:
            few = f"{len(past)} earlier origins, {MIN_ORIGINS} are needed"
            return cls(levels, None, whole, {**facts, "reason": few})
        if any(result.forecast.levels != levels for result in past):
            raise ValueError("earlier origins were forecast at other quantile levels")
        cells = _Cells.of(past, history, _class_numbers(history))
        facts["n_cells"] = len(cells.actual)
        left_out = [
            (held, cells.offsets(levels, ~held))
            for held in (cells.origin == origin for origin in np.unique(cells.origin))
        ]
        shares = _accepted(cells, levels, left_out)
        if not shares.any():
            tried = any(np.isfinite(offsets).any() for _, offsets in left_out)
            reason = "no earlier origin shows an improvement" if tried else "too few errors at earlier origins"
            return cls(levels, None, whole, {**facts, "reason": reason})
        offsets = cells.offsets(levels, np.ones(len(cells.actual), dtype=bool))
        facts |= {"applied": True, "shares": _named(shares, levels), **_effect(cells, levels, left_out, shares)}
        return cls(levels, shares[:, None] * np.nan_to_num(offsets), whole, facts)

    def applied(self, forecast: Forecast, history: Panel) -> Forecast:
        """The forecast with its quantiles moved, then whole where the series' demand always was; rows that were not
        made stay so.

        history: of the forecast's series. A lower bound of 0 stays 0 where zeros are as frequent as its level.
        """
        if forecast.levels != self.levels:
            raise ValueError("the forecast has other quantile levels than those that were measured")
        rows = history.index_of(forecast.ids)
        quantiles = forecast.quantiles if self.move is None else self._moved(forecast, history, rows, self.move)
        whole = in_pieces(history, self.piece)[rows]
        if self.move is None and not whole.any():
            return forecast
        return replace(forecast, quantiles=made_whole(quantiles, self.levels, self.piece, whole))

    def _moved(self, forecast: Forecast, history: Panel, rows: Ints, offsets: Floats) -> Floats:
        """Its quantiles plus the offsets [class, bucket, Q] of their classes and steps [N, H, Q]."""
        scale = recent_scale(history, forecast.horizon)[rows]
        move = offsets[_class_numbers(history)[rows]][:, _buckets(forecast.horizon)]  # [N, H, Q]
        move = move * _reach(forecast.quantiles, scale[:, None], forecast.levels)
        zero_share = _zero_share(history)[rows]
        return _moved(forecast.quantiles, move, forecast.levels, zero_share[:, None])

    def as_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal one, without the facts."""
        move = None if self.move is None else self.move.tolist()
        return {"levels": list(self.levels), "classes": list(CLASSES), "first_steps": BUCKETS.tolist(), "move": move,
                "piece": self.piece}  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """What `as_json` gave. Raises VersionUnreadable when it was made for other classes or steps."""
        if value["classes"] != list(CLASSES) or value["first_steps"] != BUCKETS.tolist():
            raise VersionUnreadable("the stored intervals are of other demand classes or steps", expected=CLASSES)
        move = value["move"]
        moves = None if move is None else np.array(move, dtype=np.float64)
        return cls(tuple(value["levels"]), moves, float(value.get("piece", 0.0)))  # releases made before have none


def recent_scale(history: Panel, horizon: int) -> Floats:
    """[N]: mean absolute demand over the last two horizons (one season at least); 0 where nothing was sold."""
    recent = np.abs(history.tail(max(2 * horizon, history.calendar.season)))
    known = ~np.isnan(recent)
    total: Floats = np.where(known, recent, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return total


def _class_numbers(history: Panel) -> Ints:
    order = np.argsort(CLASSES)
    return order[np.searchsorted(np.array(CLASSES)[order], demand_classes(history))]


def _zero_share(history: Panel) -> Floats:
    """[N]: share of periods without demand."""
    zeros = np.bincount(history.series_of, weights=(history.y == 0).astype(np.float64), minlength=history.n_series)
    share: Floats = zeros / history.lengths
    return share


def _buckets(horizon: int) -> Ints:
    return np.searchsorted(BUCKETS, np.arange(1, horizon + 1), side="right") - 1


def _reach(quantiles: Floats, scale: Floats, levels: tuple[float, ...]) -> Floats:
    """[..., Q]: the unit of an offset: the level's own distance to the median, plus a part of the scale [...].

    Its own distance, because errors spread as the forecast does; counted in recent demand alone, the few large errors
    of nearly dead series rule the tails of the big ones.
    """
    median = quantiles[..., [levels.index(0.5)]]
    return np.abs(quantiles - median) + FLOOR * scale[..., None]


def _moved(quantiles: Floats, move: Floats, levels: tuple[float, ...], zero_share: Floats) -> Floats:
    """Quantiles [..., Q] plus offsets, never beyond the median, never negative, never crossing."""
    level = np.array(levels)
    median = quantiles[..., [levels.index(0.5)]]
    moved = quantiles + move
    stays_zero = (quantiles == 0) & (zero_share[..., None] >= level) & (move > 0) & (level < 0.5)
    moved = np.where(stays_zero, 0.0, moved)
    moved = np.where(level < 0.5, np.minimum(moved, median), np.where(level > 0.5, np.maximum(moved, median), median))
    return np.maximum(np.sort(moved, axis=-1), 0.0)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Every scored (series, origin, step) of the earlier origins, C in all; only series with recent demand."""

    actual: Floats  # [C]
    quantiles: Floats  # [C, Q]
    scale: Floats  # [C] recent mean demand at its origin
    zero_share: Floats  # [C]
    group: Ints  # [C] class
    bucket: Ints  # [C]
    origin: Ints  # [C]
    row: Ints  # [C] series x origin, numbered

    @classmethod
    def of(cls, past: Sequence[FoldResult], history: Panel, class_of: Ints) -> _Cells:
        parts: list[tuple[NDArray[Any], ...]] = []
        n_cells = sum(result.actuals.size for result in past)
        every = -(-n_cells // MAX_CELLS)  # each `every`-th series, alike at each origin
        for number, result in enumerate(past):
            then = history.until(result.fold.cutoff)
            here, at = history.index_of(result.forecast.ids), then.index_of(result.forecast.ids)
            scale = np.where(at >= 0, recent_scale(then, result.fold.horizon)[at], 0.0)
            use = (here >= 0) & (at >= 0) & (scale > 0) & result.forecast.made & (here % every == 0)
            rows = np.flatnonzero(use)
            horizon = result.fold.horizon
            actual = result.actuals[rows]
            known = ~np.isnan(actual)
            wide = np.broadcast_to(rows[:, None], actual.shape)[known]
            share = _zero_share(then)[at]
            parts.append((
                actual[known],
                result.forecast.quantiles[rows][known],
                scale[wide],
                share[wide],
                class_of[here][wide],
                np.broadcast_to(_buckets(horizon), actual.shape)[known],
                np.full(int(known.sum()), number),
                here[wide] + number * history.n_series,
            ))  # fmt: skip
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def offsets(self, levels: tuple[float, ...], use: NDArray[np.bool_]) -> Floats:
        """[class, bucket, Q] in units of `_reach`, from the cells `use`; NaN where even the fleet has too few."""
        table = np.full((len(CLASSES), len(BUCKETS), len(levels)), np.nan)
        residual = (self.actual[:, None] - self.quantiles) / _reach(self.quantiles, self.scale, levels)
        table[:] = self._quantiles_of(residual, use, levels)
        for bucket in np.unique(self.bucket):
            self._refine(table[:, bucket], residual, use & (self.bucket == bucket), levels)
        for group in np.unique(self.group):
            inside = use & (self.group == group)
            self._refine(table[group], residual, inside, levels)
            for bucket in np.unique(self.bucket):
                self._refine(table[group, bucket], residual, inside & (self.bucket == bucket), levels)
        return table

    def _refine(self, target: Floats, residual: Floats, use: NDArray[np.bool_], levels: tuple[float, ...]) -> None:
        """Overwrites the coarser group's offsets where this finer one has enough."""
        found = self._quantiles_of(residual, use, levels)
        np.copyto(target, found, where=~np.isnan(found))

    def _quantiles_of(self, residual: Floats, use: NDArray[np.bool_], levels: tuple[float, ...]) -> Floats:
        """[Q]: the finite-sample quantile of each level's residuals; NaN where there are too few."""
        found = np.full(len(levels), np.nan)
        row = self.row[use]  # cells of one row lie together
        n, n_rows = len(row), int((np.diff(row) != 0).sum()) + 1 if len(row) else 0
        for k, level in enumerate(levels):
            if level == 0.5 or n_rows < MIN_ROWS or n * min(level, 1 - level) < MIN_TAIL:
                continue
            place = np.floor((n + 1) * level) if level < 0.5 else np.ceil((n + 1) * level)
            at = int(np.clip(place, 1, n)) - 1
            found[k] = np.partition(residual[use, k], at)[at]
        return found

    def moved(self, offsets: Floats, levels: tuple[float, ...], use: NDArray[np.bool_]) -> Floats:
        """The quantiles of the cells `use` after offsets [class, bucket, Q]."""
        reach = _reach(self.quantiles[use], self.scale[use], levels)
        move = np.nan_to_num(offsets[self.group[use], self.bucket[use]]) * reach
        return _moved(self.quantiles[use], move, levels, self.zero_share[use])

    def losses(self, quantiles: Floats, levels: tuple[float, ...], use: NDArray[np.bool_]) -> Floats:
        """[class, Q, 2]: pinball loss summed, relative to the scale and in units sold."""
        error = self.actual[use, None] - quantiles
        level = np.array(levels)
        loss = np.maximum(level * error, (level - 1) * error)
        member = (self.group[use] == np.arange(len(CLASSES))[:, None]).astype(np.float64)  # [class, cells]
        return np.stack([member @ (loss / self.scale[use, None]), member @ loss], axis=2)


LeftOut = Sequence[tuple[NDArray[np.bool_], Floats]]  # (cells of one origin, offsets from all the others)


def _accepted(cells: _Cells, levels: tuple[float, ...], left_out: LeftOut) -> Floats:
    """[class, Q]: the share of the offset to apply, judged by leaving out each origin."""
    before = np.zeros((len(left_out), len(CLASSES), len(levels), 2))
    after = np.zeros((len(SHARES), *before.shape))
    for o, (held, offsets) in enumerate(left_out):
        before[o] = cells.losses(cells.quantiles[held], levels, held)
        for k, share in enumerate(SHARES):
            after[k, o] = cells.losses(cells.moved(share * offsets, levels, held), levels, held)
    # An offset of 0 changes nothing and a class without cells has no loss: neither is a gain, both stay at 0.
    gains = (after.sum(axis=1) < before.sum(axis=0)).all(axis=3)  # [share, class, Q]
    fits = gains & (after <= before).all(axis=(1, 4))
    relative = np.where(fits, after[..., 0].sum(axis=1), np.inf)
    best = relative.argmin(axis=0)
    return np.where(fits.any(axis=0), np.array(SHARES)[best], 0.0)


def _effect(cells: _Cells, levels: tuple[float, ...], left_out: LeftOut, shares: Floats) -> dict[str, Any]:
    """Loss and coverage before and after, each origin judged by the offsets of the others."""
    loss = np.zeros(2)
    inside = np.zeros(2)
    spans = intervals(levels)
    for held, offsets in left_out:
        moved = cells.moved(shares[:, None] * np.nan_to_num(offsets), levels, held)
        for k, quantiles in enumerate((cells.quantiles[held], moved)):
            loss[k] += cells.losses(quantiles, levels, held)[..., 0][shares > 0].sum()
            if spans:
                _, low, high = spans[-1]
                hit = (cells.actual[held] >= quantiles[:, low]) & (cells.actual[held] <= quantiles[:, high])
                inside[k] += hit.sum()
    n = max(1, len(cells.actual))
    facts: dict[str, Any] = {"loss_before": float(loss[0] / n), "loss_after": float(loss[1] / n)}
    if spans:
        facts |= {
            "interval": spans[-1][0],
            "coverage_before": float(inside[0] / n),
            "coverage_after": float(inside[1] / n),
        }
    return facts


def _named(shares: Floats, levels: tuple[float, ...]) -> dict[str, dict[str, float]]:
    return {
        name: {f"{level:g}": float(shares[i, k]) for k, level in enumerate(levels) if shares[i, k] > 0}
        for i, name in enumerate(CLASSES)
        if shares[i].any()
    }
