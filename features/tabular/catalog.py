"""Every family, declared once: the leak tests iterate this list."""

from __future__ import annotations

from features.tabular.aggregation import AggregationFeatures
from features.tabular.base import Family
from features.tabular.business import BusinessFeatures
from features.tabular.categorical import CategoricalFeatures
from features.tabular.interaction import InteractionFeatures, PolynomialFeatures
from features.tabular.temporal import TemporalFeatures

FAMILIES: dict[str, type[Family]] = {
    kind.family: kind
    for kind in (
        TemporalFeatures,
        AggregationFeatures,
        CategoricalFeatures,
        BusinessFeatures,
        InteractionFeatures,
        PolynomialFeatures,
    )
}
