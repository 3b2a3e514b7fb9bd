"""The surrogate's answer checked on a short replay: it proposes, half of the paths decide between its neighbours."""

from __future__ import annotations

import numpy as np

from demand.panel import Floats
from models.inventory.items import Items
from models.inventory.replay import Window
from models.inventory.search import MEMORY_MB, Sample, chunks, window_days
from models.inventory.surrogate import nearest_orderable

FACTORS = (0.0, 0.5, 0.7, 0.8, 0.87, 0.94, 1.0, 1.07, 1.15, 1.25, 1.4, 1.7, 2.2)  # of the proposed quantity
EVERY = 2  # of the item's paths, evenly spaced: half of them; what reaches the service on few misses it on all
_CLOSE = 1e-9


def checked(items: Items, proposed: Floats, sample: Sample, review_days: int, n_paths: int,
            memory_mb: float = MEMORY_MB) -> Floats:  # fmt: skip
    """Of FACTORS times what the surrogate proposed, as it can be ordered, the cheapest that reaches the service level
    on every second path; where none does, the one with the best fill [n]. sample: as `search` takes it."""
    out = np.empty(len(items))
    for rows, length in chunks(window_days(items, review_days), n_paths, memory_mb):
        some = items.take(rows)
        out[rows] = chosen(some, proposed[rows], sample(rows, length)[:, ::EVERY])
    return out


def chosen(items: Items, proposed: Floats, days: Floats) -> Floats:
    """The same for items of one window, on the paths given [n, S, W]."""
    window = Window.of(items, days)
    quantities = np.stack([nearest_orderable(items, proposed * factor) for factor in FACTORS])
    outcomes = [window.outcome(items, quantity) for quantity in quantities]
    cost, fill = np.stack([o.cost for o in outcomes]), np.stack([o.fill for o in outcomes])
    wanted = np.minimum(items.service, fill.max(axis=0)) - _CLOSE
    best = np.where(fill >= wanted, cost, np.inf).argmin(axis=0)
    return np.asarray(quantities[best, np.arange(len(items))])
