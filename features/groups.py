"""Features in the few groups that a planner thinks in: what a column is about, whatever it is called."""

from __future__ import annotations

from features.build import FeatureRecipe
from features.catalog import FeaturePlan

# Key -> what a planner calls it, in the order of every table of groups.
GROUPS: dict[str, str] = {
    "level": "recent level",
    "season": "same season before",
    "trend": "trend",
    "variation": "how much it varies",
    "gaps": "time since the last sale and gaps",
    "calendar": "calendar and holidays",
    "plans": "price, promotion and stock",
    "kind": "kind of style",
    "age": "age of the style",
    "distance": "how far ahead",
    "floor": "kept at or above zero",
}

# Families whose columns are all about one thing; the others are told apart by column.
_OF_FAMILY = {
    "step": "distance",
    "time": "calendar",
    "holidays": "calendar",
    "past": "plans",
    "planned": "plans",
    "static": "kind",
    "season": "season",
    "intermittency": "gaps",
}
_OF_NAME = {"trend_month": "trend", "trend_half": "trend", "growth": "trend", "age": "age"}


def column_groups(recipe: FeatureRecipe) -> tuple[str, ...]:
    """The group (a key of GROUPS) of each column of the recipe's matrix [F], in its order.

    A lag of whole seasons is `season`, every other lag `level`; a standard deviation is `variation`, every other
    rolling figure `level`. A product belongs to the group of its first factor.
    """
    plan = recipe.plan
    own = {
        name: _OF_FAMILY.get(family.name) or _of_column(name, plan)
        for family in recipe.families
        for name in family.names(plan)
    }
    return tuple(own[name] if name in own else own[_first_factor(name)] for name in recipe.names)


def _of_column(name: str, plan: FeaturePlan) -> str:
    if name in _OF_NAME:
        return _OF_NAME[name]
    rest = name.removeprefix(f"{plan.target}_")
    if rest.startswith("lag_"):
        seasonal = plan.spans.season > 1 and int(rest.removeprefix("lag_")) % plan.spans.season == 0
        return "season" if seasonal else "level"
    return "variation" if rest.startswith("rolling_std_") else "level"


def _first_factor(name: str) -> str:
    return name.removesuffix("_poly_2") if name.endswith("_poly_2") else name.partition("_x_")[0]
