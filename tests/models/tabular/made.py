"""A business table with a signal in it, as the contract's columns have it, and one of pure noise."""

from __future__ import annotations

import numpy as np
import pandas as pd


def business(n: int = 240, seed: int = 0, noise: float = 30.0) -> pd.DataFrame:
    """revenue follows engagement and category; one row a day."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(1, n + 1),
            "date": pd.date_range("2023-01-01", periods=n).strftime("%Y-%m-%d"),
            "category": rng.choice(["Electronics", "Home", "Toys"], n),
            "engagement": rng.random(n).round(4),
            "last_purchase_days_ago": rng.integers(0, 200, n),
        }
    )
    signal = 1000 * frame["engagement"] + 200 * (frame["category"] == "Home")
    frame.insert(2, "revenue", (signal + rng.normal(0, noise, n)).round(2))
    return frame


def noise(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Nothing predicts anything; `kind` has 60 % of one class."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "date": pd.date_range("2022-01-01", periods=n).strftime("%Y-%m-%d"),
            "revenue": rng.normal(100, 10, n),
            "engagement": rng.random(n),
            "units": rng.integers(0, 50, n),
            "region": rng.choice(["n", "s", "e"], n),
            "kind": np.where(rng.random(n) < 0.6, "often", "seldom"),
        }
    )
