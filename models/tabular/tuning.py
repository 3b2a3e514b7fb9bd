"""Cross-validation and the search for hyperparameters, on training rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import ParameterSampler

from demand.calendar import Dates
from models.tabular.estimator import PreparedTrees
from models.tabular.measures import headline, measures
from models.tabular.preparation import Preparation
from models.tabular.settings import FineTuneSettings, Task
from models.tabular.split import folds, split

INNER = 3  # folds a trial
SPACE: dict[str, dict[str, list[Any]]] = {
    "regression": {
        "max_depth": [None, 4, 8, 16], "min_samples_leaf": [1, 2, 5, 10, 20], "max_features": [1.0, 0.7, 0.4],
    },
    "classification": {
        "learning_rate": [0.03, 0.05, 0.1, 0.2], "max_depth": [1, 2, 3, 4], "min_samples_leaf": [1, 5, 20],
    },
}  # fmt: skip


class Scorer:
    """Scores recipes on folds of the same rows; R2 or accuracy, the larger the better.

    days: [n] of the rows (None = no order). classes: names of the codes in y.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        y: NDArray[Any],
        days: Dates | None,
        classes: list[str],
        preparation: Preparation,
        task: Task,
        settings: FineTuneSettings,
    ) -> None:
        self._frame, self._y, self._days, self._classes = frame, y, days, classes
        self._preparation, self._task, self._settings = preparation, task, settings

    def on_folds(self, k: int, changed: dict[str, Any], rows: NDArray[np.intp] | None = None) -> list[float | None]:
        """The score of each fold, None where it is undefined; `rows` = only these."""
        rows = np.arange(len(self._y)) if rows is None else rows
        days = None if self._days is None else self._days[rows]
        codes = self._y[rows] if self._task == "classification" else None
        made = folds(days, len(rows), k, self._settings.random_state, codes)
        return [self.score(rows[train], rows[test], changed) for train, test in made]

    def score(self, train: NDArray[np.intp], test: NDArray[np.intp], changed: dict[str, Any]) -> float | None:
        """The score on `test` of what was fitted on `train`; None where it is undefined."""
        if self._task == "classification" and len(np.unique(self._y[train])) < 2:
            return None
        model = PreparedTrees(self._preparation, self._task, self._settings, changed)
        model.fit(self._frame.iloc[train], self._y[train])
        found = measures(self._task, self._y[test], model.predict(self._frame.iloc[test]), self._classes)
        score: float | None = found[headline(self._task)]
        return score

    def cross_validated(self, changed: dict[str, Any]) -> dict[str, Any]:
        """{measure, scores, mean, std, worst} of the recipe that is used, over the folds that were asked for."""
        scores = self.on_folds(self._settings.cross_validation, changed)
        known = [score for score in scores if score is not None]
        return {
            "measure": headline(self._task), "folds": len(scores), "scores": scores,
            "mean": float(np.mean(known)) if known else None,
            "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
            "worst": min(known) if known else None,
        }  # fmt: skip

    def tuned(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(hyperparameters to use, {} = the defaults; the account of the search).

        The newest share of the training rows is held back. Every trial, the defaults first, is scored on folds of the
        rest; the best is used only where it is not worse than the defaults on what was held back.
        """
        settings = self._settings
        codes = self._y if self._task == "classification" else None
        inner, outer = split(self._days, settings.test_size, settings.random_state, codes, len(self._y))
        sampled = ParameterSampler(
            SPACE[self._task], settings.tuning_iterations - 1, random_state=settings.random_state
        )
        trials = []
        for changed in ({}, *sampled):
            known = [score for score in self.on_folds(INNER, changed, inner) if score is not None]
            trials.append({"hyperparameters": changed, "score": float(np.mean(known)) if known else None})
        scored = [trial for trial in trials if trial["score"] is not None]
        best: dict[str, Any] = max(scored, key=lambda trial: trial["score"])["hyperparameters"] if scored else {}
        held = {"defaults": self.score(inner, outer, {}), "tuned": self.score(inner, outer, best) if best else None}
        accepted = bool(best) and None not in held.values() and held["tuned"] >= held["defaults"]  # type: ignore[operator]
        return (best if accepted else {}), {
            "measure": headline(self._task), "trials": trials, "best": best, "held_back": held, "accepted": accepted,
        }  # fmt: skip
