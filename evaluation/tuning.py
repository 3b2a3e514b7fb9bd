"""What trials of a model's parameters may see, which styles they are scored on, and whether the best is accepted.

h h h h h h i i . . . . . .    the oldest inner fold
h h h h h h h h h i i . . .    the newest inner fold; h and i end where the outer window begins
h h h h h h h h h h h o o o    the outer fold: the defaults and the best trial are scored on it, once, at the end
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demand.errors import DataError, ShortHistoryError
from demand.panel import Ints, Panel
from evaluation.backtest import Question, member_results
from evaluation.classes import CLASSES, demand_classes
from evaluation.folds import Fold
from evaluation.leaderboard import BASELINES, METRICS, ZERO_RULE, Metric, leaderboard, scores
from evaluation.metrics import measure
from evaluation.paired import paired_test
from evaluation.results import FoldResult
from models.base import Forecast
from models.catalog import recipe_class

NAIVE = "seasonal_naive"
_SCORED = (*METRICS, "quantile_loss")


@dataclass(frozen=True, eq=False)
class Split:
    """known: the panel up to where the outer window (and the gap before it) begins; all that a trial may see.

    inner: the folds that score trials, newest first, all within `known`. outer: the fold that judges the best of them.
    """

    known: Panel
    inner: tuple[Fold, ...]
    outer: Fold

    @classmethod
    def of(cls, panel: Panel, horizon: int, n_inner: int, step: int, gap: int) -> Split:
        """The newest window is the outer one. Two horizons (three periods at least) lie before the oldest inner one.

        Raises ShortHistoryError when the longest history is too short for that, DataError when nothing was sold in one
        of the windows: no error can be measured there.
        """
        longest = int(panel.lengths.max(initial=0))
        needed = max(2 * horizon, 3) + horizon + (n_inner - 1) * step + gap + horizon
        if longest < needed:
            raise ShortHistoryError(
                "the history is too short for the inner folds and the outer one", longest_history=longest,
                needed=needed, horizon=horizon, inner=n_inner, step=step, gap=gap,
                hint="Use a shorter horizon or a smaller folds.inner",
            )  # fmt: skip
        outer = Fold(panel.end - horizon, horizon)
        known = known_to_trials(panel, outer.cutoff - gap)
        inner = tuple(Fold(known.end - horizon - k * step, horizon) for k in range(n_inner))
        made = cls(known, inner, outer)
        made._require_demand(panel)
        return made

    def _require_demand(self, panel: Panel) -> None:
        silent = [
            _dates(panel, fold) for fold in (*self.inner, self.outer)
            if not np.nansum(np.abs(panel.window(fold.cutoff + 1, fold.horizon)))
        ]  # fmt: skip
        if silent:
            raise DataError(
                "nothing was sold in a window that is to be scored: no error is defined there", windows=silent,
                hint="Use another horizon, or data with demand in these periods",
            )  # fmt: skip


def known_to_trials(panel: Panel, end: int) -> Panel:
    """The panel that trials get: nothing after period `end` is in it, but for columns that are planned ahead."""
    return panel.until(end)


def _dates(panel: Panel, fold: Fold) -> str:
    first, last = panel.calendar.dates(np.array([fold.cutoff + 1, fold.cutoff + fold.horizon])).astype("datetime64[D]")
    return f"{first} to {last}"


def stratified(panel: Panel, size: int, seed: int) -> Ints:
    """Positions of `size` series (all when there are no more), ascending, each demand class in its share.

    Every class that occurs has at least one series where `size` allows; what rounding leaves goes to the classes that
    lost most by it. Which series of a class is drawn by `seed`.
    """
    n = panel.n_series
    if size >= n:
        return np.arange(n)
    classes = demand_classes(panel)
    counts = np.array([(classes == name).sum() for name in CLASSES])
    share = counts * size / n
    quota = np.minimum(np.maximum(np.floor(share), np.minimum(counts, 1)), counts).astype(np.int64)
    while quota.sum() != size:  # a handful of steps: one for a class at most, and each moves the sum by one
        step = 1 if quota.sum() < size else -1
        able = quota < counts if step > 0 else quota > (0 if quota.sum() <= (counts > 0).sum() else 1)
        quota[np.argmax(np.where(able, step * (share - quota), -np.inf))] += step
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(classes == name), size=q, replace=False)
        for name, q in zip(CLASSES, quota, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


@dataclass(frozen=True, eq=False)
class Yardstick:
    """How trials are ranked: by which rule, beside which seasonal naive. Lower scores are better.

    ranked_by: a metric, or the leaderboard's rule for demand on which forecasting zero has the best WAPE. notes: why it
    is not the metric that was asked for. naive: cutoff -> the seasonal naive there.
    """

    ranked_by: str
    notes: tuple[str, ...]
    naive: Mapping[int, FoldResult]

    @classmethod
    def of(cls, panel: Panel, folds: Sequence[Fold], question: Question, metric: Metric) -> Yardstick:
        """The rule that the baselines alone decide on these folds, before any trial."""
        results = _baselines(panel, folds, question, BASELINES)
        board = leaderboard(results, metric=metric)
        naive = {result.fold.cutoff: result for result in results[NAIVE]}
        return cls(board.attrs["ranked_by"], tuple(board.attrs["notes"]), naive)

    def at(self, panel: Panel, fold: Fold, question: Question) -> Yardstick:
        """The same rule at another fold."""
        (naive,) = _baselines(panel, [fold], question, (NAIVE,))[NAIVE]
        return Yardstick(self.ranked_by, self.notes, {fold.cutoff: naive})

    def score(self, results: Sequence[FoldResult]) -> float:
        """The score of one model's results, all folds pooled. Raises DataError when it is undefined on these folds."""
        naive = [self.naive[result.fold.cutoff] for result in results]
        rows = [{"model": NAIVE, **measure(naive)}, {"model": "trial", **measure(results)}]
        board = pd.DataFrame(rows)[["model", *_SCORED]].astype(dict.fromkeys(_SCORED, np.float64))
        found = float(scores(board, self.ranked_by).iloc[1])
        if not math.isfinite(found):
            raise DataError("the score is undefined on this data", metric=self.ranked_by)
        return found

    def shown(self, score: float) -> float:
        """The score as the metric's own value: r2 is ranked negated."""
        return -score if self.ranked_by == "r2" else score


def _baselines(
    panel: Panel, folds: Sequence[Fold], question: Question, kinds: Sequence[str]
) -> dict[str, list[FoldResult]]:
    raw: dict[str, dict[int, Forecast]] = {kind: {} for kind in kinds}
    for fold in folds:
        history = question.history(panel, fold)
        for kind in kinds:
            fitted = recipe_class(kind)().fit(history, question.spec, question.context)
            raw[kind][fold.cutoff] = fitted.forecast(history)
    return member_results(panel, raw, folds, question)


@dataclass(frozen=True)
class Acceptance:
    """What the outer fold said. defaults, best: scores there (None: not scored). gain: relative, > 0 is better.

    p: of the paired test that the best one's errors are lower than the defaults' (None: too few series to test).
    """

    accepted: bool
    why: str
    defaults: float | None = None
    best: float | None = None
    gain: float | None = None
    p: float | None = None


def accept(
    yardstick: Yardstick, defaults: Sequence[FoldResult], best: Sequence[FoldResult], seed: int,
    what: str = "the best trial",
) -> Acceptance:  # fmt: skip
    """The best one is accepted when its score on the outer fold is not worse than the defaults'; what: its name."""
    before, after = yardstick.score(defaults), yardstick.score(best)
    gain = (before - after) / abs(before) if before else None
    loss: Any = {"rmse": "squared", "r2": "squared", "rmsse": "squared", ZERO_RULE: "pinball"}.get(
        yardstick.ranked_by, "absolute"
    )
    p = paired_test(best, defaults, loss=loss, seed=seed)["p_better"]
    certain = "" if p is None else f" (p = {p:.3f})"
    if after > before:
        why = f"{what} is worse than the defaults on the outer fold: the defaults stay"
    elif after == before:
        why = f"{what} is as good as the defaults on the outer fold"
    elif p is not None and p < 0.05:
        why = f"better than the defaults on the outer fold, beyond chance{certain}"
    else:
        why = f"not worse than the defaults on the outer fold; the gain may be chance{certain}"
    return Acceptance(after <= before, why, yardstick.shown(before), yardstick.shown(after), gain, p)
