"""What commonly goes wrong, found in the numbers, with what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from demand.panel import Floats
from models.tabular.settings import FineTuneSettings

MOSTLY_UNKNOWN = 0.3  # share of a feature's training values
SAME_ORDER = 0.999  # rank correlation from which a feature orders rows as the target does
_SAMPLE = 5_000
_NAMED = 5


@dataclass(frozen=True)
class Problem:
    """cause: a fixed name. found: with numbers. remedy: what to do."""

    cause: str
    found: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        """Plain words."""
        return {"cause": self.cause, "found": self.found, "remedy": self.remedy}


def few_samples(n: int, settings: FineTuneSettings) -> list[Problem]:
    """Fewer rows than are needed."""
    if n >= settings.min_training_samples:
        return []
    found = f"{n} rows, {settings.min_training_samples} are needed"
    return [Problem("few_samples", found, f"Get more data: at least {settings.min_training_samples} rows")]


def no_importance(importances: Sequence[tuple[str, float]]) -> list[Problem]:
    """No feature moved a prediction."""
    if not importances or any(value > 0 for _, value in importances):
        return []
    return [Problem("no_importance", f"all {len(importances)} importances are 0",
                    "Check scaling and distribution of features and target: are they constant?")]  # fmt: skip


def overfitting(gap: float | None, measure: str, settings: FineTuneSettings) -> list[Problem]:
    """Training looks much better than the test."""
    if gap is None or gap <= settings.overfit_gap:
        return []
    found = f"{measure} is {gap:.2f} better on training rows than on test rows (limit {settings.overfit_gap:g})"
    return [Problem("overfitting", found, "Use a simpler model (tuning=true searches one) or get more data")]


def unknown_features(unknown: Mapping[str, int], n: int) -> list[Problem]:
    """Features that are mostly null in the training rows."""
    many = {name: count / n for name, count in unknown.items() if count > MOSTLY_UNKNOWN * n}
    if not many:
        return []
    worst = sorted(many, key=lambda name: (-many[name], name))
    shown = ", ".join(f"{name} {many[name]:.0%}" for name in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    remedy = "Change the window, fill forward in the table, or leave these columns out with exclude"
    return [Problem("unknown_features", f"values are missing: {shown}{more}", remedy)]


def outliers_kept(n_outlying: int, n: int) -> list[Problem]:
    """Limits that would take most rows away say nothing about outliers."""
    if not n_outlying:
        return []
    return [Problem("outliers_kept", f"the limits would take out {n_outlying} of {n} training rows: none was",
                    "Look at the distributions: take logarithms, raise outlier_factor, exclude columns")]  # fmt: skip


def suspected_leaks(X: Floats, y: NDArray[Any], names: Sequence[str], seed: int) -> list[Problem]:
    """Features that order the training rows as the target does: most likely made from it, or known only after it."""
    rows = np.arange(len(y))
    if len(y) > _SAMPLE:
        rows = np.random.default_rng(seed).choice(rows, _SAMPLE, replace=False)
    found = []
    for place, name in enumerate(names):
        column = X[rows, place]
        if np.ptp(column) > 0 and np.ptp(y[rows]) > 0 and abs(spearmanr(column, y[rows]).statistic) >= SAME_ORDER:
            found.append(name)
    if not found:
        return []
    return [Problem("suspected_leak", f"in the same order as the target: {', '.join(found[:_NAMED])}",
                    "Is it known before the target is? If not, leave it out with exclude")]  # fmt: skip
