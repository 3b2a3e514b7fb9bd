"""Percent and fraction: files hold fractions, some names are percents in HTTP answers. Converted here and nowhere else.

`growth_rate` and `forecast_volatility` are made by `growth` and `volatility` from stored quantities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from demand.panel import Floats

# Names that hold percents (0 to 100, bias and growth may be negative or larger) wherever they stand as a number.
PERCENT = (
    "accuracy", "mape", "target_mape", "wape", "baseline_wape", "bias_rel", "accuracy_by_level", "confidence",
    "average_confidence", "best_accuracy", "overall_confidence", "growth_rate", "accuracy_improvement",
    "forecast_volatility", "potential_savings",
)  # fmt: skip
_DIGITS = 6  # of a percent: 8 digits of the fraction, and 100 x .623 reads 62.3


def number(value: Any) -> float | None:
    """A plain finite float; None for what is missing, undefined or infinite."""
    if value is None:
        return None
    found = float(value)
    return found if np.isfinite(found) else None


def percent(fraction: Any) -> float | None:
    """A fraction as percent; None as in `number`."""
    found = number(fraction)
    return None if found is None else number(round(100 * found, _DIGITS))


def listed(values: Floats) -> list[float | None]:
    """An array as plain floats; None where it is not finite."""
    if np.isfinite(values).all():
        plain: list[float | None] = values.tolist()
        return plain
    objects = values.astype(object)
    objects[~np.isfinite(values)] = None
    return list(objects.tolist())


def percents(fractions: Floats) -> list[float | None]:
    """An array of fractions as percents; None where it is not finite."""
    return listed(rounded_percents(fractions))


def rounded_percents(fractions: Floats) -> Floats:
    """The same as an array; NaN where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.round(100 * fractions, _DIGITS)


def growth(now: Floats, before: Floats) -> Floats:
    """100 x (now - before) / |before| [N]; NaN where `before` is 0 or either is unknown."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        share = np.where(before != 0, (now - before) / np.abs(before), np.nan)
    return rounded_percents(np.where(np.isfinite(share), share, np.nan))


def volatility(totals: Sequence[float]) -> float | None:
    """100 x standard deviation (of the population) / mean; None for fewer than two values or a mean of 0."""
    values = np.asarray(totals, dtype=np.float64)
    if len(values) < 2 or not values.mean():
        return None
    return percent(values.std() / abs(values.mean()))


def units(
    quantity: str, percent_names: Sequence[str], fraction_names: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """The `units` of an answer: the unit of all quantities, and which of its names are percents and fractions."""
    unknown = set(percent_names) - set(PERCENT)
    if unknown:
        raise ValueError(f"not a name that holds percents: {sorted(unknown)}")
    return {
        "quantity": quantity or None,
        "percent": list(percent_names),
        "fraction": list(fraction_names),
        **more,
    }
