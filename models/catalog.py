"""The closed list: kind -> where its recipe and its fitted class live. A new model is one file and one line here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from demand.errors import SettingsError, VersionUnreadable
from demand.settings import nearest_name
from models.base import FittedForecaster, Forecaster
from models.config import ModelConfig
from models.files import read_card


class Entry(NamedTuple):
    """Module and class names; imported when first used, so that a worker loads only what its task needs."""

    module: str
    recipe: str
    fitted: str


BASELINES: dict[str, Entry] = {
    "zero": Entry("models.baselines", "Zero", "FittedBaseline"),
    "mean": Entry("models.baselines", "Mean", "FittedBaseline"),
    "naive": Entry("models.baselines", "Naive", "FittedBaseline"),
    "seasonal_naive": Entry("models.baselines", "SeasonalNaive", "FittedBaseline"),
    "moving_average": Entry("models.baselines", "MovingAverage", "FittedBaseline"),
    "exponential_smoothing": Entry("models.smoothing", "ExponentialSmoothing", "FittedSmoothing"),
    "tsb": Entry("models.smoothing", "Tsb", "FittedSmoothing"),
}
MODELS: dict[str, Entry] = {
    "arima": Entry("models.arima", "Arima", "FittedArima"),
    "prophet": Entry("models.prophet", "ProphetRecipe", "FittedProphet"),
    "lstm": Entry("models.lstm", "Lstm", "FittedLstm"),
    "xgboost": Entry("models.xgboost", "XGBoost", "FittedXGBoost"),
}
EXTRA: dict[str, Entry] = {
    "tide": Entry("models.tide", "Tide", "FittedTide"),
}
LEARNED: dict[str, Entry] = MODELS | EXTRA
FORECASTERS: dict[str, Entry] = BASELINES | LEARNED
# The seven; the last three are not fitted to a panel by themselves. EXTRA members stand beside them.
CLOSED_LIST = (*MODELS, "yarn_substitution", "inventory_optimization", "ensemble")
TRAINABLE = (*LEARNED, "yarn_substitution", "inventory_optimization", "ensemble")  # what a job may be asked to train


def recipe_class(kind: str) -> type[Forecaster]:
    """The recipe class of a kind. Raises SettingsError naming the nearest known kind."""
    entry = FORECASTERS.get(kind)
    if entry is None:
        near = nearest_name(kind, FORECASTERS)
        raise SettingsError("unknown model", found=kind, nearest=near, known=", ".join(FORECASTERS))
    found: type[Forecaster] = getattr(import_module(entry.module), entry.recipe)
    return found


def recipe(kind: str, config: ModelConfig) -> Forecaster:
    """The recipe of a configured model. Raises SettingsError on unknown or impossible parameters."""
    return recipe_class(kind).from_config(config)


def load_fitted(folder: Path) -> FittedForecaster:
    """The fitted model in `folder`. The card's kind is looked up here; a file never names code."""
    kind = read_card(folder)["kind"]
    entry = FORECASTERS.get(kind)
    if entry is None:
        raise VersionUnreadable("the card names an unknown kind", kind=kind, known=", ".join(FORECASTERS))
    fitted: type[FittedForecaster] = getattr(import_module(entry.module), entry.fitted)
    return fitted.load(folder)
