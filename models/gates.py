"""What a model of single series is not asked, and what it is not believed: libraries answer both without complaint."""

from __future__ import annotations

import numpy as np

from demand.panel import Floats

NOT_SEEN = "the series was not seen in the fit"
EXPLODED = 2.0  # a mean beyond this many times the largest value of the history is no forecast
# A bound beyond this many times is no interval: a random walk of steps as large as the largest value stays below it for
# a hundred periods, a model whose errors grow from step to step does not.
UNBOUNDED = 20.0


def refusal(used: Floats, needed: int, name: str) -> str:
    """Why these periods cannot be fitted; "" when they can."""
    if not np.isfinite(used).all():
        return "y is not finite"
    if len(used) < needed:
        return f"{len(used)} periods are too few for {name}: needs {needed}"
    return ""


def disbelief(mean: Floats, quantiles: Floats, used: Floats) -> str:
    """Why this mean [H] with quantiles [H, Q] of a series with history `used` is not believed; "" when it is."""
    if not (np.isfinite(mean).all() and np.isfinite(quantiles).all()):
        return "non-finite forecast"
    reached, largest = float(np.abs(mean).max()), float(np.abs(used).max())
    if reached > EXPLODED * largest:
        return f"exploding forecast: {reached:.3g}, the largest value of the history is {largest:.3g}"
    bound = float(np.abs(quantiles).max(initial=0.0))
    if 0 < UNBOUNDED * largest < bound:
        return f"exploding interval: {bound:.3g}, the largest value of the history is {largest:.3g}"
    return ""


def both(first: str, second: str) -> str:
    """Two remarks as one."""
    return "; ".join(text for text in (first, second) if text)
