"""`CustomFeatureEngineering`: the six families by one name each, for a table in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.errors import SchemaError, SettingsError
from features.tabular.aggregation import AggregationFeatures, groups_of
from features.tabular.base import Family, require
from features.tabular.business import BusinessFeatures
from features.tabular.categorical import CategoricalFeatures
from features.tabular.interaction import InteractionFeatures, PolynomialFeatures
from features.tabular.temporal import TemporalFeatures, days_of

Rows = Sequence[bool] | NDArray[np.bool_] | pd.Series | None
Nulls = Literal["keep", "fill"]


class CustomFeatureEngineering:
    """Adds feature columns to a table and remembers which: every method returns a new frame, the caller's is unchanged.

    What is learned from rows (shares and codes of categories, revenue ranks) is learned from all rows given, or from
    `training_rows` alone: for a model that is tested on the others, name them. To learn once and apply later, use the
    transformers of `features.tabular.catalog` in a scikit-learn Pipeline.
    """

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = {}
        self._nulls: dict[str, int] = {}
        self.families: dict[str, Family] = {}

    def create_temporal_features(self, df: pd.DataFrame, date_col: str, date_format: str | None = None) -> pd.DataFrame:
        """year, month, quarter, day_of_week, is_weekend, day_of_month, week_of_year; see `TemporalFeatures`."""
        return self._with(df, TemporalFeatures(date_col, date_format))

    def create_aggregation_features(
        self,
        df: pd.DataFrame,
        group_col: str | None,
        agg_cols: Sequence[str],
        date_col: str | None = None,
        window: int = 7,
        date_format: str | None = None,
    ) -> pd.DataFrame:
        """Rolling mean and deviation, running total, change over earlier rows alone; see `AggregationFeatures`."""
        return self._with(df, AggregationFeatures(_names(agg_cols), group_col, date_col, window, date_format))

    def create_interaction_features(self, df: pd.DataFrame, pairs: Sequence[Sequence[str]]) -> pd.DataFrame:
        """Products, ratios, sums and differences; of three columns their product; see `InteractionFeatures`."""
        return self._with(df, InteractionFeatures(list(pairs)))

    def create_categorical_features(
        self, df: pd.DataFrame, cat_cols: Sequence[str], training_rows: Rows = None
    ) -> pd.DataFrame:
        """The share and a stable code of each category in the training rows; see `CategoricalFeatures`."""
        return self._with(df, CategoricalFeatures(_names(cat_cols)), training_rows)

    def create_business_features(
        self, df: pd.DataFrame, training_rows: Rows = None, target: str | None = None
    ) -> pd.DataFrame:
        """Revenue percentile, high value, engagement score, churn risk; see `BusinessFeatures`.

        Raises SchemaError when `target` is the revenue.
        """
        return self._with(df, BusinessFeatures(target), training_rows)

    def create_polynomial_features(self, df: pd.DataFrame, cols: Sequence[str], degree: int = 2) -> pd.DataFrame:
        """Powers from 2 to `degree`; see `PolynomialFeatures`."""
        return self._with(df, PolynomialFeatures(_names(cols), degree))

    def complete_feature_pipeline(
        self,
        df: pd.DataFrame,
        date_col: str,
        agg_cols: Sequence[str],
        cat_cols: Sequence[str],
        group_col: str | None = None,
        interaction_pairs: Sequence[Sequence[str]] | None = None,
        poly_cols: Sequence[str] | None = None,
        degree: int = 2,
        nulls: Nulls = "keep",
        training_rows: Rows = None,
        target: str | None = None,
        date_format: str | None = None,
    ) -> pd.DataFrame:
        """Temporal, aggregation, categorical and business features, and interactions and powers where asked for.

        group_col: whose values are separate histories of `agg_cols` (None = the table is one). nulls: keep = nulls at
        the start of histories stay, counted by `get_null_counts`; fill = the last value before in the group's date
        order, else 0; never a later one. The summary is that of this call. Raises SchemaError naming every missing
        column before anything is made, CalendarError for dates that cannot be read.
        """
        if nulls not in ("keep", "fill"):
            raise SettingsError("nulls are kept or filled", key="nulls", found=nulls, expected="keep or fill")
        agg, cat, poly = _names(agg_cols), _names(cat_cols), _names(poly_cols or ())
        pairs = list(interaction_pairs or ())
        named: list[str] = [
            date_col,
            *agg,
            *cat,
            *poly,
            *([group_col] if group_col else []),
            *(name for pair in pairs for name in pair),
        ]
        require(df, list(dict.fromkeys(named)), "the feature pipeline")
        self._groups, self._nulls, self.families = {}, {}, {}
        # every family reads the caller's columns, never another family's features
        plans: list[tuple[Family, Rows]] = [
            (TemporalFeatures(date_col, date_format), None),
            (AggregationFeatures(agg, group_col, date_col, date_format=date_format), None),
            (CategoricalFeatures(cat), training_rows),
            (BusinessFeatures(target), training_rows),
        ]
        plans += [(InteractionFeatures(pairs), None)] if pairs else []
        plans += [(PolynomialFeatures(poly, degree), None)] if poly else []
        made = [self._made(df, family, rows) for family, rows in plans]
        out = _beside(df, made)
        if nulls == "fill":
            out = _filled(out, [str(name) for part in made for name in part], group_col, date_col, date_format)
        return out

    def get_feature_summary(self) -> dict[str, Any]:
        """{total_features, feature_groups, features_by_group}: the new columns there are, by family."""
        return {
            "total_features": sum(len(names) for names in self._groups.values()),
            "feature_groups": list(self._groups),
            "features_by_group": {family: list(names) for family, names in self._groups.items()},
        }

    def get_null_counts(self) -> Mapping[str, int]:
        """New column -> how many of its values were not known when it was made, of those with any."""
        return {name: count for name, count in self._nulls.items() if count}

    def _with(self, df: pd.DataFrame, family: Family, training_rows: Rows = None) -> pd.DataFrame:
        return _beside(df, [self._made(df, family, training_rows)])

    def _made(self, df: pd.DataFrame, family: Family, training_rows: Rows) -> pd.DataFrame:
        family.fit(df if training_rows is None else df[_mask(training_rows, len(df))])
        made = pd.DataFrame(family.transform(df), columns=family.made_names_, index=df.index)
        for name in family.made_names_:
            self._nulls[name] = int(made[name].isna().sum())
        if family.made_names_:
            known = self._groups.setdefault(family.family, [])
            known += [name for name in family.made_names_ if name not in known]
        self.families[family.family] = family
        return made


def _beside(df: pd.DataFrame, made: Sequence[pd.DataFrame]) -> pd.DataFrame:
    new = pd.concat(made, axis=1) if made else pd.DataFrame(index=df.index)
    if new.columns.has_duplicates:
        raise SchemaError("two features have the same name", columns=new.columns[new.columns.duplicated()].tolist())
    return pd.concat([df.drop(columns=[name for name in new if name in df]), new], axis=1)


def _filled(
    df: pd.DataFrame, names: Sequence[str], group: str | None, date: str, date_format: str | None
) -> pd.DataFrame:
    """Unknown features become the last known value of an earlier row of the group, else 0."""
    days, _ = days_of(df[date], date, date_format)
    codes = groups_of(df, group)
    codes = np.where(codes < 0, -1 - np.arange(len(df)), codes)  # a row in no group has no rows before it
    # rows of one date stand in the table's order: their features rest on earlier dates alone
    order = np.lexsort((np.where(np.isnat(days), np.iinfo(np.int64).max, days.astype(np.int64)), codes))
    ordered = df[list(names)].iloc[order].groupby(codes[order], sort=False).ffill().fillna(0.0)
    places = np.empty(len(order), dtype=np.intp)
    places[order] = np.arange(len(order))
    out = df.copy()
    out[list(names)] = ordered.to_numpy()[places]
    return out


def _names(names: Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _mask(rows: Rows, n: int) -> NDArray[np.bool_]:
    mask = np.asarray(rows)
    if mask.dtype != bool or mask.shape != (n,):
        raise SchemaError("training_rows is one truth value a row", rows=n, found=f"{mask.dtype} {mask.shape}")
    if not mask.any():
        raise SchemaError("training_rows names no row", rows=n)
    return mask
