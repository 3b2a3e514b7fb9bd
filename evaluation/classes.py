"""What kind of demand a series has: how often it sells and how much the amounts vary."""

from __future__ import annotations

import numpy as np

from demand.panel import Floats, Panel, Strings

CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "none")
ADI_LIMIT, CV2_LIMIT = 1.32, 0.49


def demand_classes(history: Panel) -> Strings:
    """[N]: the class of each series, one of CLASSES ("none": it never sold).

    ADI = periods per period with demand, CV2 = squared coefficient of variation of the demand sizes; the limits are
    1.32 and 0.49. Unknown (NaN) periods are left out; one sale has CV2 0. Source: Syntetos, Boylan and Croston 2005.
    """
    adi, cv2 = adi_and_cv2(history)
    often, even = adi < ADI_LIMIT, cv2 < CV2_LIMIT
    sells = np.where(often, np.where(even, "smooth", "erratic"), np.where(even, "intermittent", "lumpy"))
    return np.where(np.isnan(adi), "none", sells)


def adi_and_cv2(history: Panel) -> tuple[Floats, Floats]:
    """(average demand interval, squared coefficient of variation of sizes), each [N]; NaN where nothing was sold."""
    n, y = history.n_series, history.y
    unknown = np.isnan(y)
    sold = np.flatnonzero(~unknown & (y != 0))
    series, size = history.series_of[sold], np.abs(y[sold])
    n_known = history.lengths - np.add.reduceat(unknown, history.indptr[:-1], dtype=np.int64) if n else history.lengths
    n_sold = np.bincount(series, minlength=n)
    some = np.maximum(n_sold, 1)
    mean = np.bincount(series, weights=size, minlength=n) / some
    # Around the mean, not E[x^2] - E[x]^2: equal sizes must give exactly 0.
    spread = np.bincount(series, weights=(size - mean[series]) ** 2, minlength=n) / some
    ever = n_sold > 0
    return np.where(ever, n_known / some, np.nan), np.where(ever, spread / np.where(ever, mean, 1.0) ** 2, np.nan)
