"""What the business asks of a row: how large, how engaged, how likely to leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from demand.errors import SchemaError
from demand.panel import Floats, Ints
from features.tabular.base import Family, numbers

REVENUE, LAST_PURCHASE = "revenue", "last_purchase_days_ago"
FROM_REVENUE = ("revenue_percentile", "high_value")
ENGAGEMENT_SCORE, CHURN_RISK = "engagement_score", "churn_risk"
HIGH_VALUE, CHURN_DAYS = 0.75, 90.0


class BusinessFeatures(Family):
    """revenue_percentile, high_value, engagement_score, churn_risk: those whose columns the table has.

    revenue_percentile: the share of the rows of `fit` with a lower revenue, equal ones counted half (0 to 1);
    high_value: 1 above .75; engagement_score: the mean of the numeric columns whose name contains "engagement" (never
    of itself); churn_risk: 1 when last_purchase_days_ago is above 90. A missing value gives null.

    target: the column that will be predicted. When it is the revenue, features made from it would hand the answer to
    the model: `fit` raises SchemaError, unless `leave_out` is set, which makes the others and leaves these out.
    """

    family = "business"

    def __init__(
        self, target: str | None = None, revenue: str = REVENUE, leave_out: bool = False, passthrough: bool = False
    ) -> None:
        self.target = target
        self.revenue = revenue
        self.leave_out = leave_out
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        has_revenue = self.revenue in frame
        if has_revenue and self.target == self.revenue:
            if not self.leave_out:
                raise SchemaError(
                    "features made from the target would give the answer away", target=self.target,
                    refused=FROM_REVENUE, hint="Make business features without them, or predict another column",
                )  # fmt: skip
            has_revenue = False
        self.engagement_: list[str] = [
            str(name) for name in frame
            if "engagement" in str(name).lower() and name not in (ENGAGEMENT_SCORE, self.target)
            and frame[name].dtype.kind in "biuf"
        ]  # fmt: skip
        self.has_revenue_ = has_revenue
        self.has_last_purchase_ = LAST_PURCHASE in frame and self.target != LAST_PURCHASE
        self.values_, self.counts_ = np.zeros(0), np.zeros(0, dtype=np.int64)
        if has_revenue:
            known = numbers(frame, self.revenue)
            self.values_, self.counts_ = np.unique(known[~np.isnan(known)], return_counts=True)
        names = [*FROM_REVENUE] if has_revenue else []
        names += [ENGAGEMENT_SCORE] if self.engagement_ else []
        return [*names, *([CHURN_RISK] if self.has_last_purchase_ else [])]

    def _make(self, frame: pd.DataFrame) -> Floats:
        used = [*([self.revenue] if self.has_revenue_ else []), *self.engagement_,
                *([LAST_PURCHASE] if self.has_last_purchase_ else [])]  # fmt: skip
        missing = [name for name in used if name not in frame]
        if missing:
            raise SchemaError("columns for business features are missing", missing=missing, found=list(frame.columns))
        columns: list[Floats] = []
        if self.has_revenue_:
            rank = percentile(numbers(frame, self.revenue), self.values_, self.counts_)
            columns += [rank, _flag(rank, HIGH_VALUE)]
        if self.engagement_:
            scores = np.column_stack([numbers(frame, name) for name in self.engagement_])
            n = (~np.isnan(scores)).sum(axis=1)
            columns.append(np.where(n > 0, np.nansum(scores, axis=1) / np.maximum(n, 1), np.nan))
        if self.has_last_purchase_:
            columns.append(_flag(numbers(frame, LAST_PURCHASE), CHURN_DAYS))
        return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def percentile(values: Floats, known: Floats, counts: Ints) -> Floats:
    """The rank of each value [n] among known values (distinct, ascending, with counts), from 0 to 1; NaN stays NaN.

    For a value that is among them: its average rank over their number, as pandas' rank(pct=True). Between two of them:
    half a rank above the lower one.
    """
    total = int(counts.sum())
    if not total:
        return np.full(len(values), np.nan)
    below = np.append(0, np.cumsum(counts))
    at = np.searchsorted(known, values)
    inside = np.minimum(at, len(known) - 1)
    equal = np.where((at < len(known)) & (known[inside] == values), counts[inside], 0)
    rank = np.minimum((below[at] + (equal + 1) / 2) / total, 1.0)
    return np.where(np.isnan(values), np.nan, rank)


def _flag(values: Floats, limit: float) -> Floats:
    return np.where(np.isnan(values), np.nan, (values > limit).astype(np.float64))
