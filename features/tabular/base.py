"""What the six families share: a frame in, new columns out; what is learned is learned from the rows of `fit` alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_array, check_is_fitted, validate_data

from demand.errors import SchemaError
from demand.panel import Floats
from demand.settings import nearest_name


class Family(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """One family of features.

    `transform` gives the new columns [n, k] as float64, null (NaN) where a value is not known; with `passthrough` the
    frame that came in stands before them, so that families can follow one another in a Pipeline. A frame is addressed
    by its headers; an array has the headers x0, x1, .. Rows keep their order and index; what came in is not changed.
    """

    family: ClassVar[str]
    passthrough: bool = False

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns from these rows. Raises SchemaError for a missing or unfit column, naming it."""
        frame = self._frame(X, reset=True)
        self.made_names_: list[str] = list(self._learn(frame))
        self._refuse_taken(frame)
        return self

    def transform(self, X: Any) -> Any:
        """The features of these rows [n, k], or a frame when `passthrough` is set."""
        check_is_fitted(self, "made_names_")
        frame = self._frame(X, reset=False)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            made = self._make(frame)
        made = np.where(np.isfinite(made), made, np.nan)  # what overflows is not known
        if not self.passthrough:
            return made
        new = pd.DataFrame(made, columns=self.made_names_, index=frame.index)
        kept = frame.drop(columns=[name for name in self.made_names_ if name in frame])
        return pd.concat([kept, new], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of the columns that `transform` gives."""
        check_is_fitted(self, "made_names_")
        before = _check_feature_names_in(self, input_features)
        kept = [name for name in before if name not in self.made_names_] if self.passthrough else []
        return np.array([*kept, *self.made_names_], dtype=object)

    @abstractmethod
    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        """Learns from the frame and returns the names of the columns it will make."""

    @abstractmethod
    def _make(self, frame: pd.DataFrame) -> Floats:
        """The new columns [n, k], in the order of `made_names_`."""

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            array = check_array(X, dtype=None, ensure_all_finite="allow-nan", estimator=self)
            validate_data(self, array, reset=reset, skip_check_array=True)
            return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])
        if X.columns.has_duplicates:
            raise SchemaError("two columns have the same name", columns=X.columns[X.columns.duplicated()].tolist())
        if not len(X):
            raise SchemaError("the table has no rows", columns=list(X.columns))
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X

    def _refuse_taken(self, frame: pd.DataFrame) -> None:
        """A column of that name that holds something else would be lost."""
        taken = [name for name in self.made_names_ if name in frame]
        if not taken:
            return
        made = pd.DataFrame(self._make(frame), columns=self.made_names_, index=frame.index)
        other = [name for name in taken if not _same(frame[name], made[name].to_numpy())]
        if other:
            raise SchemaError(
                "the table has columns of these names already", family=self.family, columns=other,
                hint="Rename them before making features",
            )  # fmt: skip

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def require(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Raises SchemaError naming every column that is not there, with the nearest that is."""
    missing = [name for name in names if name not in frame]
    if not missing:
        return
    known = headers(frame)
    near = [f"{name} (did you mean {nearest}?)" if (nearest := nearest_name(str(name), known)) else str(name)
            for name in missing]  # fmt: skip
    raise SchemaError(
        f"columns for {what} are missing",
        missing=near,
        found=known,
        hint="Name columns of the table, as they are spelt",
    )


def headers(frame: pd.DataFrame) -> list[str]:
    """The names of the columns."""
    return [str(name) for name in frame.columns]


def numbers(frame: pd.DataFrame, name: str) -> Floats:
    """A column as float64 [n]; missing and infinite values are NaN. Raises SchemaError for what is no number."""
    column = frame[name]
    if column.dtype.kind == "M":
        raise SchemaError("the column is a date, not a number", column=name)
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except ValueError as error:
        raise SchemaError(
            "the column is not numeric",
            column=name,
            cause=str(error),
            hint="Leave it out, or write numbers alone in it",
        ) from None
    return np.where(np.isfinite(values), values, np.nan)


def _same(column: pd.Series, values: Floats) -> bool:
    if column.dtype.kind not in "biufO":
        return False
    found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return bool(np.array_equal(found, values, equal_nan=True))
