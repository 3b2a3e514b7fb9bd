"""What became of every row: used, or left out for exactly one reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demand.panel import Ints
from demand.parsing import Bools


class Ledger:
    """One fate for each of n rows: open (so far used) or left out for exactly one reason, the first that applied."""

    def __init__(self, n: int) -> None:
        self.reasons: list[str] = ["used"]
        self.fate = np.zeros(n, dtype=np.int16)

    def leave_out(self, rows: Bools, reason: str) -> int:
        """Closes those of the rows [n] that are still open; how many that were."""
        closing = rows & (self.fate == 0)
        count = int(closing.sum())
        if count:
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.fate[closing] = self.reasons.index(reason)
        return count

    @classmethod
    def of(cls, reasons: list[str], fate: NDArray[np.int16]) -> Ledger:
        """The ledger with these fates [n], each the place of its reason; the first reason is "used"."""
        ledger = cls(0)
        ledger.reasons, ledger.fate = list(reasons), fate.copy()
        return ledger

    def copy(self) -> Ledger:
        """The same fates, to be continued apart."""
        return Ledger.of(self.reasons, self.fate)

    @property
    def open(self) -> Bools:
        """Rows that are still used [n]."""
        return np.asarray(self.fate == 0)

    def left_out(self) -> dict[str, int]:
        """Reason -> rows, largest first."""
        counts = np.bincount(self.fate, minlength=len(self.reasons))
        pairs = [(self.reasons[at], int(counts[at])) for at in range(1, len(self.reasons))]
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def described(self) -> list[str]:
        """The same as texts, for a message."""
        return [f"{reason}: {count}" for reason, count in self.left_out().items()]

    def main_reason(self, group: Ints, groups: Ints) -> dict[int, str]:
        """For each of `groups`, the reason that closed most of its rows; group [n] is each row's group."""
        inside = np.isin(group, groups) & (self.fate > 0)
        pairs = np.stack([group[inside], self.fate[inside].astype(np.int64)])
        distinct_pairs, counts = np.unique(pairs, axis=1, return_counts=True)
        order = np.argsort(counts, kind="stable")  # the most frequent comes last, and stays
        return {int(distinct_pairs[0, at]): self.reasons[int(distinct_pairs[1, at])] for at in order}
