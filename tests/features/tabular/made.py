"""A recipe of every family and a table that all of them read."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.tabular.aggregation import AggregationFeatures
from features.tabular.base import Family
from features.tabular.business import BusinessFeatures
from features.tabular.categorical import CategoricalFeatures
from features.tabular.interaction import InteractionFeatures, PolynomialFeatures
from features.tabular.temporal import TemporalFeatures

RECIPES: dict[str, Family] = {
    "temporal": TemporalFeatures("date"),
    "aggregation": AggregationFeatures(["revenue", "units"], group="region", date="date"),
    "aggregation by rows": AggregationFeatures(["revenue", "units"], group="region"),
    "aggregation of one history": AggregationFeatures(["revenue"], date="date", window=3),
    "categorical": CategoricalFeatures(["region", "code"]),
    "business": BusinessFeatures(),
    "interaction": InteractionFeatures([("revenue", "units"), ("revenue", "units", "engagement")]),
    "polynomial": PolynomialFeatures(["units", "revenue"], degree=3),
}


def table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """n rows in no order: equal dates, unknown values, missing dates and groups, zeros."""
    rng = np.random.default_rng(seed)
    dates = (np.datetime64("2024-01-01") + rng.integers(0, 30, n)).astype("datetime64[ns]")
    frame = pd.DataFrame(
        {
            "date": dates,
            "region": rng.choice(["north", "south", "east"], n).astype(object),
            "code": rng.integers(0, 4, n).astype(float),
            "revenue": rng.gamma(2, 100, n).round(2),
            "units": rng.integers(0, 5, n).astype(float),
            "engagement": rng.random(n),
            "last_purchase_days_ago": rng.integers(0, 200, n).astype(float),
        }
    )
    frame.loc[rng.random(n) < 0.08, "revenue"] = np.nan
    frame.loc[rng.random(n) < 0.08, "date"] = pd.NaT
    frame.loc[rng.random(n) < 0.08, "region"] = None
    return frame
