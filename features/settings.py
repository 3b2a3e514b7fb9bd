"""Which features a tabular model sees."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.settings import STRICT

Periods = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class FeatureSettings:
    """The global feature keys of the configuration; lags and windows count the panel's periods.

    auto_feature_engineering: false = only the names in the model's `features`; true = every family that is switched on
    below, beside them. country: whose public holidays `is_holiday` knows ("" = none).
    """

    auto_feature_engineering: bool = True
    create_lag_features: bool = True
    create_rolling_features: bool = True
    create_time_features: bool = True
    lag_periods: tuple[Periods, ...] = (1, 7, 14, 30)
    rolling_windows: tuple[Periods, ...] = (7, 14, 30)
    polynomial_features: bool = False
    interaction_features: bool = False
    country: str = "US"
