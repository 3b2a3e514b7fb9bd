"""Training and test rows: the newest are the test, a date is never on both sides; without dates they are drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from demand.calendar import Dates

Places = NDArray[np.intp]


def split(
    days: Dates | None, test_size: float, seed: int, classes: NDArray[np.int64] | None, n: int
) -> tuple[Places, Places]:
    """(training rows, test rows) of n rows, both in the table's order.

    days: [n], none missing; None = drawn, by class where every class has two rows. The cut lies between two dates,
    where the share of test rows is nearest to `test_size`. One date alone cannot be cut: drawn as well.
    """
    if days is not None:
        ordered = np.sort(days)
        cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1  # rows before each cut
        if len(cuts):
            at = cuts[np.argmin(np.abs(cuts - (1 - test_size) * n))]
            newer = days >= ordered[at]
            return np.flatnonzero(~newer), np.flatnonzero(newer)
    return _drawn(np.arange(n), test_size, seed, classes)


def _drawn(rows: Places, test_size: float, seed: int, classes: NDArray[np.int64] | None) -> tuple[Places, Places]:
    by_class = classes if classes is not None and np.bincount(classes).min() > 1 else None
    n_classes = 0 if by_class is None else int(by_class.max()) + 1
    if round(test_size * len(rows)) < n_classes:  # fewer test rows than classes: cannot hold one of each
        by_class = None
    train, test = train_test_split(rows, test_size=test_size, random_state=seed, stratify=by_class)
    return np.sort(train), np.sort(test)


def folds(
    days: Dates | None, n: int, k: int, seed: int, classes: NDArray[np.int64] | None
) -> Iterator[tuple[Places, Places]]:
    """k times (training rows, scored rows) of n rows.

    With dates each fold is scored on later dates than it was trained on, and trained on all before them (as many dates
    a fold as fit); without, every row is scored once.
    """
    dates = None if days is None else np.unique(days)
    if days is None or dates is None or len(dates) <= k:
        enough = classes is not None and np.bincount(classes).min() >= k
        made = (StratifiedKFold if enough else KFold)(k, shuffle=True, random_state=seed)
        yield from made.split(np.zeros(n), classes if enough else None)
        return
    first = [dates[at] for at in np.linspace(0, len(dates), k + 2).astype(int)[1:-1]]
    for begin, end in zip(first, [*first[1:], None], strict=True):
        later = days >= begin if end is None else (days >= begin) & (days < end)
        yield np.flatnonzero(days < begin), np.flatnonzero(later)
