"""How demand comes when it does not come every period."""

from __future__ import annotations

import numpy as np

from demand.panel import Floats

NAMES = ("periods_since_sale", "mean_interval", "mean_size", "size_cv", "last_size")


def zero_share(y: Floats, window: int) -> Floats:
    """Share of the last `window` known periods without demand, for y [n, W] -> [n]; NaN when none is known."""
    recent = y[:, -window:]
    known = (~np.isnan(recent)).sum(axis=1)
    return np.where(known > 0, (recent == 0).sum(axis=1) / np.maximum(known, 1), np.nan)


def sale_pattern(y: Floats) -> Floats:
    """NAMES for y [n, W] -> [n, 5], over all of W.

    periods_since_sale: 0 = sold in the last period; without any sale, the known length. mean_interval: known periods
    per sale. mean_size, size_cv, last_size: mean, std / mean and newest of the non-zero values; NaN without a sale.
    """
    known = ~np.isnan(y)
    sold = known & (y != 0)
    length, sales = known.sum(axis=1), sold.sum(axis=1)
    newest = y.shape[1] - 1 - np.argmax(sold[:, ::-1], axis=1)
    some = sales > 0
    since = np.where(some, y.shape[1] - 1 - newest, length)
    count = np.maximum(sales, 1)
    size = np.where(sold, y, 0.0)
    mean = size.sum(axis=1) / count
    variance = np.where(sold, (y - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    cv = np.sqrt(variance) / np.where(mean != 0, np.abs(mean), 1.0)
    last = y[np.arange(len(y)), newest]
    empty = np.full(len(y), np.nan)
    return np.column_stack(
        [since, length / count, np.where(some, mean, empty), np.where(some, cv, empty), np.where(some, last, empty)]
    )
