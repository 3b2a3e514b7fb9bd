"""One scikit-learn estimator: preparation and trees together, so that a fold prepares from its own training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor

from demand.errors import DataError
from demand.panel import Floats
from models.tabular.preparation import Preparation
from models.tabular.settings import FineTuneSettings, Task

N_TREES = 100


def trees(task: Task, settings: FineTuneSettings, n: int, **changed: Any) -> Any:
    """The model for n training rows: a random forest of 100 trees, or 100 rounds of gradient boosting.

    Where there are more than `rows_per_tree` rows, each tree is grown on that many drawn anew.
    """
    share = settings.rows_per_tree / n
    told: dict[str, Any] = {"n_estimators": N_TREES, "random_state": settings.random_state}
    if task == "regression":
        told |= {"n_jobs": -1, "max_samples": settings.rows_per_tree if share < 1 else None}
        return RandomForestRegressor(**{**told, **changed})
    return GradientBoostingClassifier(**{**told, "subsample": min(1.0, share), **changed})


def fit_trees(model: Any, X: Floats, y: NDArray[Any]) -> Any:
    """The fitted model. Raises DataError for training rows of one class."""
    if y.dtype.kind == "i" and len(np.unique(y)) < 2:
        raise DataError(
            "the training rows hold one class", rows=len(y),
            hint="Use a longer table, a smaller test_size, or another target",
        )  # fmt: skip
    model.fit(X, y)
    if hasattr(model, "n_jobs"):
        model.set_params(n_jobs=1)  # threads add their trees in any order: the last bit of a mean would change
    return model


class PreparedTrees(BaseEstimator):  # type: ignore[misc]
    """A frame of typed columns in, predictions out; `preparation` and the model are fitted on the same rows.

    changed: hyperparameters in the place of the defaults. Targets are numbers, or codes of classes.
    """

    def __init__(
        self, preparation: Preparation, task: Task, settings: FineTuneSettings, changed: Mapping[str, Any] | None = None
    ) -> None:
        self.preparation = preparation
        self.task = task
        self.settings = settings
        self.changed = changed

    def fit(self, X: pd.DataFrame, y: NDArray[Any]) -> Self:
        """Prepares from and learns from these rows. Raises DataError."""
        self.preparation_ = clone(self.preparation).fit(X)
        kept = self.preparation_.kept_
        n = int(kept.sum())
        rows = X if kept.all() else X[kept]
        model = trees(self.task, self.settings, n, **(self.changed or {}))
        self.model_ = fit_trees(model, self.preparation_.transform(rows), y[kept])
        return self

    def predict(self, X: pd.DataFrame) -> NDArray[Any]:
        """[n] numbers, or codes of classes."""
        predicted: NDArray[Any] = self.model_.predict(self.preparation_.transform(X))
        return predicted
