"""Which features are worth keeping: lists of columns from importances and correlations that training data alone gave.

Every function is pure. What is handed in (importances of a fit, rows of a matrix) must come from training folds; the
windows that judge a list are never looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.errors import SettingsError

Names = tuple[str, ...]


def ranking(importances: Mapping[str, float]) -> Names:
    """The features, most important first; of equals the one named first in the alphabet."""
    return tuple(sorted(importances, key=lambda name: (-importances[name], name)))


def top(importances: Mapping[str, float], k: int) -> Names:
    """The k most important features, best first; all when there are fewer. Raises SettingsError below 1."""
    if k < 1:
        raise SettingsError("at least one feature must stay", key="k", found=k)
    return ranking(importances)[:k]


def holding(importances: Mapping[str, float], share: float) -> Names:
    """The fewest features, best first, that hold this share (0 to 1) of all importance; at least one.

    All of them where nothing has any importance: then there is no ground to drop one. Raises SettingsError for a share
    outside (0, 1].
    """
    if not 0 < share <= 1:
        raise SettingsError("a share lies above 0 and is at most 1", key="share", found=share)
    ranked = ranking(importances)
    values = np.array([importances[name] for name in ranked])
    if not values.sum() > 0:
        return ranked
    held = np.cumsum(values) / values.sum()
    return ranked[: int(np.searchsorted(held, share - 1e-12)) + 1]


def correlation_groups(x: NDArray[np.floating[Any]], names: Sequence[str], limit: float) -> tuple[Names, ...]:
    """Features that say nearly the same: connected by |Pearson correlation| >= limit, each group in column order.

    x [R, F]: rows of the matrix. NaN (not known) counts as the column's mean; a column without any spread is a group of
    its own. Groups come in the order of their first column; their union is `names`. Raises SettingsError for a limit
    outside (0, 1].
    """
    from scipy.sparse.csgraph import connected_components

    if not 0 < limit <= 1:
        raise SettingsError("a correlation's limit lies above 0 and is at most 1", key="limit", found=limit)
    values = np.asarray(x, dtype=np.float64)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / count, 0.0)
    length = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    close = np.abs(unit.T @ unit) >= limit - 1e-12  # [F, F]
    _, label = connected_components(close, directed=False)
    first = {int(one): k for k, one in reversed(list(enumerate(label)))}
    return tuple(
        tuple(name for name, one in zip(names, label, strict=True) if int(one) == group)
        for group in sorted(first, key=lambda group: first[group])
    )


def one_of_each(groups: Sequence[Names], importances: Mapping[str, float]) -> Names:
    """The most important feature of each group, in the groups' order; one without an importance counts as 0."""
    return tuple(ranking({name: importances.get(name, 0.0) for name in group})[0] for group in groups)


def recursive(
    names: Sequence[str], importances_of: Callable[[Names], Mapping[str, float]], rounds: int, drop: float = 0.25,
    least: int = 1,
) -> tuple[Names, ...]:  # fmt: skip
    """Recursive elimination: what is left after each round, in the order of `names`; fewer rounds at `least` features.

    importances_of(kept) fits on these features alone; in each round the least important share `drop` of those left goes
    (at least one). Source: Guyon, Weston, Barnhill and Vapnik 2002 (recursive feature elimination). Raises
    SettingsError for a share outside (0, 1) and fewer than one round.
    """
    if not 0 < drop < 1 or rounds < 1:
        raise SettingsError("a share in (0, 1) is dropped in one round or more", drop=drop, rounds=rounds)
    kept, out = tuple(names), []
    for _ in range(rounds):
        stay = len(kept) - max(1, int(drop * len(kept)))
        if stay < least:
            break
        found = importances_of(kept)
        best = set(top({name: found.get(name, 0.0) for name in kept}, stay))
        kept = tuple(name for name in kept if name in best)
        out.append(kept)
    return tuple(out)
