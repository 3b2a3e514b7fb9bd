"""Is one model better than another beyond chance? A paired test on losses, on the same origins and series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from demand.errors import DataError
from demand.panel import Floats
from evaluation import formulas as f
from evaluation.results import FoldResult


def same_race(a: Sequence[FoldResult], b: Sequence[FoldResult]) -> bool:
    """Whether two models were scored on the same folds, series and actual values."""
    return len(a) == len(b) and all(
        x.fold == y.fold
        and np.array_equal(x.forecast.ids, y.forecast.ids)
        and (x.actuals is y.actuals or np.array_equal(x.actuals, y.actuals, equal_nan=True))
        for x, y in zip(a, b, strict=True)
    )


def paired_test(
    a: Sequence[FoldResult],
    b: Sequence[FoldResult],
    *,
    loss: Literal["absolute", "squared", "pinball"] = "absolute",
    seed: int = 42,
    n_resamples: int = 9_999,
) -> dict[str, Any]:
    """Whether a's losses are lower than b's beyond chance, on the same origins and series.

    A paired sign-flip (permutation) test on the difference of losses, summed within each series, because the origins of
    one series are not independent; a single series is tested over its origins instead. Losses, not signed errors, and
    weighted as WAPE weighs them (by volume). Series that share a shock at one origin are still treated as independent:
    with few origins p is somewhat too small.

    Returns p (two-sided), p_better (one-sided: a is better), mean_difference (a minus b, over total demand: a WAPE
    difference for the absolute loss; negative: a is better; None when nothing was sold), n (series x origins), n_units
    (n_differ of them not tied), unit (series or origins). p is None with `reason` below two units. Raises DataError
    when the two did not run the same race. Source: Fisher 1935 (randomisation test), exact where there are at most
    `n_resamples` sign patterns.
    """
    if not same_race(a, b):
        raise DataError("a paired test needs the same folds, series and actual values", a=a[0].model, b=b[0].model)
    difference = np.concatenate([_loss(x, loss) - _loss(y, loss) for x, y in zip(a, b, strict=True)])  # [M]
    scored = np.concatenate([~np.isnan(x.actuals).all(axis=1) for x in a])
    ids = np.concatenate([x.forecast.ids for x in a])
    _, series = np.unique(ids, return_inverse=True)
    origin = np.repeat(np.arange(len(a)), [len(x.forecast.ids) for x in a])
    unit, groups = ("series", series) if series.max(initial=0) > 0 else ("origins", origin)
    n_groups = int(groups.max(initial=-1)) + 1
    units = f.group_sum(groups, np.where(scored, difference, 0.0), n_groups)
    units = units[f.group_sum(groups, scored.astype(np.float64), n_groups) > 0]
    power = 2 if loss == "squared" else 1
    sold = sum(float(np.nansum(np.abs(x.actuals) ** power)) for x in a)
    facts = {
        "mean_difference": float(units.sum() / sold) if sold > 0 else None,
        "n": int(scored.sum()),
        "n_units": len(units),
        "n_differ": int((units != 0).sum()),
        "unit": unit,
        "loss": loss,
        "a": a[0].model,
        "b": b[0].model,
    }
    if len(units) < 2:
        return {"p": None, "p_better": None, **facts, "reason": f"only {len(units)} {unit} to compare"}
    return {**_sign_flip(units, seed, n_resamples), **facts, "reason": ""}


def _loss(result: FoldResult, loss: str) -> Floats:
    """[N]: the loss of each row, summed over its known steps."""
    forecast, actual = result.forecast, result.actuals
    if loss == "absolute":
        losses = np.abs(forecast.median - actual)
    elif loss == "squared":
        losses = (forecast.mean - actual) ** 2
    else:
        per_level = [f.pinball(actual, forecast.quantiles[:, :, k], q) for k, q in enumerate(forecast.levels)]
        losses = sum(per_level[1:], per_level[0]) / len(per_level)
    summed: Floats = np.nansum(losses, axis=1)
    return summed


def _sign_flip(units: Floats, seed: int, n_resamples: int) -> dict[str, float]:
    """p (two-sided) and p_better of the sum under random signs; exact where there are few enough sign patterns."""
    units = units[units != 0]  # a tie has no sign to flip
    if not len(units):
        return {"p": 1.0, "p_better": 1.0}
    units = units / np.abs(units).max()
    observed, n = units.sum(), len(units)
    exact = n < 31 and 2**n <= n_resamples
    if exact:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = 2 * (bits @ units) - observed
    else:
        rng = np.random.default_rng(seed)
        chunk = max(1, int(2e7 / n))  # bounded memory on large fleets
        parts = []
        for first in range(0, n_resamples, chunk):
            rows = min(chunk, n_resamples - first)
            flips = np.unpackbits(np.frombuffer(rng.bytes(rows * -(-n // 8)), dtype=np.uint8).reshape(rows, -1), axis=1)
            parts.append(2 * (flips[:, :n].astype(np.float32) @ units.astype(np.float32)) - observed)
        sums = np.concatenate(parts)
    slack = 1e-6 * np.abs(units).sum()  # equal sums differ in their last digits
    extra = 0 if exact else 1  # the observed signs are one of the random patterns
    p_better, p_worse = (
        (int(count) + extra) / (len(sums) + extra)
        for count in ((sums <= observed + slack).sum(), (sums >= observed - slack).sum())
    )
    return {"p": min(1.0, 2 * min(p_better, p_worse)), "p_better": p_better}
