"""After the release: how good it turned out to be, whether that is worse than promised, and what should be done."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from demand.panel import Floats, Ints
from evaluation import formulas as f
from evaluation.matured import Cells

Cause = Literal["degradation", "drift", "new_data", "data_stale"]
RESAMPLES = 1_000


@dataclass(frozen=True)
class Promise:
    """What a release's backtest measured for what it serves: WAPE (None = undefined), its standard deviation over the
    origins and how many those were."""

    wape: float | None
    wape_std: float | None = None
    n_origins: int = 0


@dataclass(frozen=True)
class Alert:
    """A finding that asks for something to be done.

    id: the same for one cause, release and window, so that it is acted on once. models: the kinds to train anew.
    """

    cause: Cause
    id: str
    models: tuple[str, ...]
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, at: str) -> dict[str, Any]:
        return {
            "cause": self.cause, "id": self.id, "at": at, "models": list(self.models), "detail": self.detail,
            "facts": dict(self.facts),
        }  # fmt: skip


def alert_id(cause: Cause, release: str, window: int) -> str:
    """16 hex digits of the cause, the release (its manifest's sha256) and the number of the window after its origin."""
    return hashlib.sha256(f"{cause}|{release}|{window}".encode()).hexdigest()[:16]


def degradation(
    cells: Cells,
    promises: Mapping[int, Promise],
    *,
    threshold: float,
    false_alarm: float,
    min_cells: int,
    min_periods: int,
    season: int,
    seed: int = 42,
) -> dict[str, Any]:
    """Whether matured WAPE is more than `threshold` (relative) above what the releases' backtests promised.

    The promise is the mean of the releases' backtest WAPE, weighted by the demand each answered for. `degraded` needs
    both: a rise above the threshold, and a rise beyond chance, which is a one-sided bootstrap bound at `false_alarm`.
    Styles and (blocks of) periods are both drawn anew, because styles share good and bad days and a style has good and
    bad weeks; the promise is itself uncertain by its spread over the backtest's origins (Student's t). Below
    `min_cells` cells or `min_periods` periods nothing is judged, with the reason. Sources: Owen 2007 (pigeonhole
    bootstrap), Politis and Romano 1992 (circular blocks).

    Returns wape, promised, change (relative), lower (bound of the change), threshold, naive_wape, n, n_periods,
    degraded (None = not judged), reason.
    """
    facts = _against_promise(cells, promises)
    out = {**facts, "threshold": threshold, "false_alarm": false_alarm, "lower": None, "degraded": None, "reason": ""}
    needed = [(len(cells), min_cells, "cells"), (facts["n_periods"], min_periods, "periods")]
    few = [f"{found} of {least} {what}" for found, least, what in needed if found < least]
    if few:
        return {**out, "reason": f"too little has matured: {' and '.join(few)}"}
    if facts["change"] is None:
        what = "nothing was sold" if facts["wape"] is None else "the release's backtest has no WAPE"
        return {**out, "reason": f"there is nothing to compare: {what}"}
    rng = np.random.default_rng(seed)
    drawn = _drawn_wape(cells, rng, season)
    spread, n_origins = _spread(cells, promises)
    if n_origins > 1:
        promised = facts["promised"] + spread * rng.standard_t(n_origins - 1, len(drawn))
        # A promise of nothing at all cannot be a bound.
        drawn = drawn / np.maximum(promised, facts["promised"] * 0.05)
    else:
        drawn = drawn / facts["promised"]
        out["reason"] = "one backtest origin: how much it varies is unknown"
    lower = float(np.quantile(drawn, false_alarm)) - 1
    return {**out, "lower": lower, "degraded": bool(facts["change"] > threshold and lower > 0)}


def _against_promise(cells: Cells, promises: Mapping[int, Promise]) -> dict[str, Any]:
    wape = f.wape(cells.actual, cells.median)
    naive = f.wape(cells.actual, cells.naive)
    weights = _demand_of(cells)
    known = {number: promises[number].wape for number in weights if number in promises}
    usable = all(value for value in known.values()) and known.keys() == weights.keys() and sum(weights.values()) > 0
    promised = None
    if usable:
        promised = sum(weights[number] * float(known[number] or 0) for number in weights) / sum(weights.values())
    sold = bool(np.isfinite(wape))
    return {
        "wape": wape if sold else None,
        "promised": promised,
        "change": wape / promised - 1 if sold and promised else None,
        "naive_wape": naive if np.isfinite(naive) else None,
        "n": len(cells),
        "n_periods": len(np.unique(cells.period)),
    }


def _demand_of(cells: Cells) -> dict[int, float]:
    """Release -> the absolute demand it answered for."""
    numbers, at = np.unique(cells.release, return_inverse=True)
    sold = f.group_sum(at, np.abs(cells.actual), len(numbers))
    return dict(zip(numbers.tolist(), sold.tolist(), strict=True))


def _spread(cells: Cells, promises: Mapping[int, Promise]) -> tuple[float, int]:
    """(standard error of the promise, origins behind it), of the release with the most demand; (0, 1): not known."""
    weights = _demand_of(cells)
    lead = promises[max(weights, key=lambda number: weights[number])]
    if lead.wape_std is None or lead.n_origins < 2:
        return 0.0, 1
    return lead.wape_std / float(np.sqrt(lead.n_origins)), lead.n_origins


def _drawn_wape(cells: Cells, rng: np.random.Generator, season: int) -> Floats:
    """[RESAMPLES]: the WAPE of samples that draw styles and blocks of periods anew."""
    styles, row = np.unique(cells.style, return_inverse=True)
    periods, column = np.unique(cells.period, return_inverse=True)
    n, t = len(styles), len(periods)
    error, sold = np.zeros((n, t)), np.zeros((n, t))
    np.add.at(error, (row, column), np.abs(cells.median - cells.actual))
    np.add.at(sold, (row, column), np.abs(cells.actual))
    block = max(1, min(season, t // 4))
    out = []
    for first in range(0, RESAMPLES, 100):
        size = min(100, RESAMPLES - first)
        of_style = rng.multinomial(n, np.full(n, 1 / n), size).astype(np.float64) if n > 1 else np.ones((size, 1))
        of_period = _block_counts(rng, size, t, block)
        above = ((of_style @ error) * of_period).sum(axis=1)
        below = ((of_style @ sold) * of_period).sum(axis=1)
        # A sample in which nothing sold says nothing: it takes the place of the whole.
        out.append(np.where(below > 0, above / np.where(below > 0, below, 1.0), error.sum() / sold.sum()))
    return np.concatenate(out)


def _block_counts(rng: np.random.Generator, size: int, t: int, block: int) -> Floats:
    """[size, t]: how often each period is drawn, in circular blocks, t in all (up to a block more)."""
    starts = rng.integers(0, t, (size, -(-t // block)))
    at = (starts[:, :, None] + np.arange(block)) % t
    flat = (np.arange(size)[:, None, None] * t + at).ravel()
    counts: Ints = np.bincount(flat, minlength=size * t)
    return counts.reshape(size, t).astype(np.float64)


def window_number(end: int, origin: int, periods: int) -> int:
    """Which window after a release's origin holds period `end`: 0 for the first `periods` periods, then 1, .."""
    return max(0, end - origin - 1) // periods
