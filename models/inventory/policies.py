"""The simple order policies the exact search is shown beside: EOQ with a reorder point, newsvendor, base stock.

mean and sd are those of demand a day [n]; a window's demand has mean * days and sd * sqrt(days), as these formulas
suppose. Each answer is rounded up to what can be ordered.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from demand.panel import Floats
from models.inventory.items import DAYS_A_YEAR, Items

POLICIES = ("eoq_rop", "newsvendor", "base_stock")


def eoq_rop(items: Items, mean: Floats, sd: Floats) -> Floats:
    """EOQ = sqrt(2 D S / H), ROP = d L + z sigma sqrt(L): max(EOQ, ROP - stock + EOQ) when stock <= ROP, else 0 [n].

    D is demand a year, S the ordering cost, H the holding cost of a unit for a year. Without a holding cost (H = 0) the
    formula has no answer: the window's ROP - stock is ordered, as base stock would.
    """
    year = mean * DAYS_A_YEAR
    lot = np.sqrt(np.divide(2 * year * items.ordering, items.holding, out=np.zeros(len(items)),
                            where=items.holding > 0))  # fmt: skip
    point = reorder_point(items, mean, sd)
    wanted = np.maximum(lot, point - items.position + lot)
    return items.orderable(np.where((items.position <= point) & (mean > 0), wanted, 0.0))


def reorder_point(items: Items, mean: Floats, sd: Floats) -> Floats:
    """d L + z sigma sqrt(L) [n]."""
    return np.asarray(mean * items.lead_days + items.z * sd * np.sqrt(items.lead_days))


def newsvendor(items: Items, mean: Floats, sd: Floats, review_days: int) -> Floats:
    """The normal quantile of the window's demand at p / (p + h), less the position [n].

    p is the cost of a unit short, h what a unit left over costs on the shelf for the review period. Both 0: nothing.
    """
    days = items.lead_days + review_days
    over = items.holding_a_day * review_days
    ratio = np.divide(items.stockout, items.stockout + over, out=np.zeros(len(items)), where=items.stockout + over > 0)
    z = ndtri(np.clip(ratio, 1e-6, 1 - 1e-6))  # a quantile of 0 or 1 is infinite: no company orders that
    level = mean * days + z * sd * np.sqrt(days)
    return items.orderable(level - items.position)


def base_stock(items: Items, mean: Floats, sd: Floats, review_days: int) -> Floats:
    """Up to the normal quantile of the window's demand at the service level: mu + z sigma, less the position [n]."""
    days = items.lead_days + review_days
    return items.orderable(mean * days + items.z * sd * np.sqrt(days) - items.position)


def simple_quantities(items: Items, mean: Floats, sd: Floats, review_days: int) -> dict[str, Floats]:
    """Policy -> quantities [n], in the order of POLICIES."""
    return {
        "eoq_rop": eoq_rop(items, mean, sd),
        "newsvendor": newsvendor(items, mean, sd, review_days),
        "base_stock": base_stock(items, mean, sd, review_days),
    }
