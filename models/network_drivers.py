"""How far a network's forecasts rest on each group of its inputs: one group at a time is dealt out anew among styles.

Permutation importance (Breiman 2001, "Random forests"; Fisher et al. 2019, "All models are wrong"), of the forecast
itself and not of its loss: no truth is needed, so that nothing after the origin can be looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demand.errors import ModelError
from demand.panel import Panel
from models.drivers import Reliance
from models.lstm_windows import MIN_HISTORY, WindowLayout, Windows, WindowSource

if TYPE_CHECKING:
    from models.fitted_network import FittedNetwork

STYLES = 256  # of the fleet, drawn with a fixed seed
_SEED = 20_030
_INPUTS = ("past", "ahead", "static", "anchors")


def reliance_of(fitted: FittedNetwork, history: Panel) -> Reliance:
    """The change of each group's permutation on at most STYLES series of `history` that sold something of late.

    Raises ModelError with fewer than two of them: there is nobody to exchange inputs with.
    """
    source = WindowSource(history, fitted.layout)
    rows = np.flatnonzero(history.lengths >= MIN_HISTORY)
    windows = source.windows(rows, history.lengths[rows] - 1)
    alive = np.flatnonzero(windows.scale > 0)
    if len(alive) < 2:
        raise ModelError(
            "inputs cannot be exchanged among styles", expected="at least 2 styles that sold", found=len(alive)
        )
    random = np.random.default_rng(_SEED)
    chosen = np.sort(random.choice(alive, min(STYLES, len(alive)), replace=False))
    windows = Windows(*(part[chosen] for part in windows))
    deal = _derangement(len(chosen), random)
    usual = fitted.mean_of(windows)
    total = usual.sum()
    groups = input_groups(fitted.layout, source.calendar_table.shape[1])
    change = {}
    for group in dict.fromkeys(name for names in groups.values() for name in names):
        moved = fitted.mean_of(dealt(windows, groups, group, deal))
        change[group] = float(np.abs(moved - usual).sum() / total) if total > 0 else 0.0
    return Reliance(fitted.kind, change, len(chosen))


def dealt(windows: Windows, groups: dict[str, tuple[str, ...]], group: str, deal: NDArray[np.int64]) -> Windows:
    """The windows with all inputs of one group taken from window `deal` [B]; everything else stays."""
    changed = {}
    for name in _INPUTS:
        part = getattr(windows, name)
        mine = np.array([found == group for found in groups[name]], dtype=bool)
        changed[name] = np.where(mine, part[deal], part)
    return windows._replace(**changed)


def input_groups(layout: WindowLayout, n_calendar: int) -> dict[str, tuple[str, ...]]:
    """The group (a key of `features.groups.GROUPS`) of each channel of past, ahead, static and anchors, in the order in
    which `WindowSource.windows` puts them. n_calendar: columns of its calendar table."""
    seasons, trending = len(layout.seasonal), layout.trending
    calendar = ("calendar",) * n_calendar if seasons else ()
    plans = ("plans",) * len(layout.columns)
    same_season = ("season",) * (4 if trending else 2)
    anchors = ("level",) * 3 + ("trend",) * (2 if trending else 0) + same_season * seasons
    growth = (("trend",) * (1 + 3 * seasons)) if trending else ()
    return {
        "past": ("level",) * 2 + ("season",) * 2 * seasons + calendar + plans,
        "ahead": ("distance",) * 2 + anchors + ("season",) * 3 * seasons + calendar + plans,
        "static": ("level", "gaps", "variation", "age", *growth),
        "anchors": anchors,
    }


def _derangement(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """A permutation of n >= 2 places in which nobody keeps his own: a random ring."""
    ring = random.permutation(n)
    deal = np.empty(n, dtype=np.int64)
    deal[ring] = np.roll(ring, 1)
    return deal
