"""From typed columns to the numbers a model sees: encoded, filled, scaled; learned from training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from demand.panel import Floats
from features.tabular.base import numbers, require
from features.tabular.business import BusinessFeatures
from features.tabular.categorical import CategoricalFeatures

MOST_REMOVED = 0.5  # limits that would take more of the training rows say nothing about outliers


class Preparation(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numeric columns, with `business` the business features, and two numbers a text column; filled and scaled.

    Missing numbers become the training mean (0 where nothing was known). limited: the numeric columns whose outliers
    take a training row out, beyond `outlier_factor` times the interquartile range; None = none. Columns of two values,
    and those whose middle half is one value, have no limits. After `fit`, kept_ [n] are the training rows that were
    used; rows of a test are never left out.
    """

    def __init__(
        self,
        numeric: Sequence[str] = (),
        text: Sequence[str] = (),
        target: str | None = None,
        business: bool = False,
        limited: Sequence[str] | None = None,
        outlier_factor: float = 1.5,
    ) -> None:
        self.numeric = numeric
        self.text = text
        self.target = target
        self.business = business
        self.limited = limited
        self.outlier_factor = outlier_factor

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learns from these rows. Raises SchemaError for a missing or unfit column."""
        require(X, [*self.numeric, *self.text], "the model")
        self.limits_ = self._limits(X)
        kept = ~self._outlying(X)
        self.too_many_outliers_ = int((~kept).sum()) if kept.mean() < 1 - MOST_REMOVED else 0
        self.kept_: NDArray[np.bool_] = np.ones(len(X), dtype=bool) if self.too_many_outliers_ else kept
        rows = X if self.kept_.all() else X[self.kept_]
        business = BusinessFeatures(self.target, leave_out=True)
        self.categorical_ = CategoricalFeatures(list(self.text)).fit(self._source(rows)) if self.text else None
        self.business_ = business.fit(self._source(rows)) if self.business else None
        raw = self._raw(rows)
        known = ~np.isnan(raw)
        self.unknown_: dict[str, int] = dict(zip(self.names_, (~known).sum(axis=0).tolist(), strict=True))
        n = known.sum(axis=0)
        self.mean_: Floats = np.where(n > 0, np.nansum(raw, axis=0) / np.maximum(n, 1), 0.0)
        self.scaler_ = StandardScaler(copy=False).fit(self._filled(raw))
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> Floats:
        """[n, k] in the order of `names_`, none missing."""
        check_is_fitted(self, "mean_")
        require(X, [*self.numeric, *self.text], "the model")
        scaled: Floats = self.scaler_.transform(self._filled(self._raw(X)))
        return scaled

    @property
    def names_(self) -> list[str]:
        """The features, in the order of the model's columns."""
        made = [family.made_names_ for family in (self.business_, self.categorical_) if family is not None]
        return [*self.numeric, *(name for names in made for name in names)]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of the model's features."""
        return np.array(self.names_, dtype=object)

    def _raw(self, X: pd.DataFrame) -> Floats:
        parts = [np.column_stack([numbers(X, name) for name in self.numeric])] if self.numeric else []
        parts += [
            family.transform(self._source(X)) for family in (self.business_, self.categorical_) if family is not None
        ]
        return np.hstack(parts)

    def _source(self, X: pd.DataFrame) -> pd.DataFrame:
        return X[[*self.numeric, *self.text]]

    def _filled(self, raw: Floats) -> Floats:
        return np.where(np.isnan(raw), self.mean_, raw)

    def _limits(self, X: pd.DataFrame) -> dict[str, tuple[float, float]]:
        limits: dict[str, tuple[float, float]] = {}
        for name in self.limited or ():
            values = numbers(X, name)
            values = values[~np.isnan(values)]
            if len(values) < 4 or len(np.unique(values)) <= 2:
                continue
            low, high = np.quantile(values, [0.25, 0.75])
            if high > low:
                reach = self.outlier_factor * (high - low)
                limits[name] = (float(low - reach), float(high + reach))
        return limits

    def _outlying(self, X: pd.DataFrame) -> NDArray[np.bool_]:
        outlying = np.zeros(len(X), dtype=bool)
        for name, (low, high) in self.limits_.items():
            values = numbers(X, name)
            outlying |= (values < low) | (values > high)
        return outlying

    # ---- as plain values -------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """(JSON-ready values, arrays): all that `transform` needs."""
        told: dict[str, Any] = {
            "numeric": list(self.numeric), "text": list(self.text), "target": self.target, "business": self.business,
            "limits": {name: list(limit) for name, limit in self.limits_.items()},
        }  # fmt: skip
        arrays = {"mean": self.mean_, "scaler_mean": self.scaler_.mean_, "scaler_scale": self.scaler_.scale_}
        if self.categorical_ is not None:
            told["categories"] = self.categorical_.categories_
            arrays |= {f"shares_{place}": self.categorical_.shares_[name] for place, name in enumerate(self.text)}
        if self.business_ is not None:
            told["business_names"] = self.business_.made_names_
            told["engagement"] = self.business_.engagement_
            arrays |= {"revenue": self.business_.values_, "revenue_counts": self.business_.counts_}
        return told, arrays

    @classmethod
    def from_state(cls, told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The preparation that `state` told of. Raises KeyError for what is missing in it."""
        made = cls(told["numeric"], told["text"], told["target"], told["business"])
        made.limits_ = {name: (low, high) for name, (low, high) in told["limits"].items()}
        made.mean_ = arrays["mean"]
        made.scaler_ = StandardScaler(copy=False)
        made.scaler_.mean_, made.scaler_.scale_ = arrays["scaler_mean"], arrays["scaler_scale"]
        made.scaler_.n_features_in_ = len(made.mean_)
        made.categorical_ = made.business_ = None
        if told["text"]:
            made.categorical_ = CategoricalFeatures(list(told["text"]))
            made.categorical_.columns_ = list(told["text"])
            made.categorical_.categories_ = told["categories"]
            made.categorical_.shares_ = {name: arrays[f"shares_{place}"] for place, name in enumerate(told["text"])}
            made.categorical_.made_names_ = [f"{name}_{kind}" for name in told["text"] for kind in ("freq", "label")]
        if told["business"]:
            names = told["business_names"]
            made.business_ = BusinessFeatures(told["target"], leave_out=True)
            made.business_.made_names_, made.business_.engagement_ = names, told["engagement"]
            made.business_.values_, made.business_.counts_ = arrays["revenue"], arrays["revenue_counts"]
            made.business_.has_revenue_ = "revenue_percentile" in names
            made.business_.has_last_purchase_ = "churn_risk" in names
        for family in (made.categorical_, made.business_):
            if family is not None:
                family.feature_names_in_ = np.array([*told["numeric"], *told["text"]], dtype=object)
                family.n_features_in_ = len(family.feature_names_in_)
        return made
