"""The 13 fields every model is configured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT

Fraction = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """One model as the user configures it (`conf/model/<kind>.yaml`); its JSON form has exactly these 13 keys.

    validation_split is the newest share of the training history, kept for early stopping; test_split the newest share
    kept for `folds=holdout`; both are cut by time. min_accuracy_threshold is a fraction of 1 - WAPE.
    """

    name: str
    type: Literal["timeseries", "regression", "classification", "ensemble", "baseline"]
    algorithm: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    training_params: dict[str, Any] = field(default_factory=dict)
    validation_split: Fraction = 0.2
    test_split: Fraction = 0.1
    features: tuple[str, ...] = ()
    target: str = "demand"
    enabled: bool = True
    retrain_frequency_days: Annotated[int, Field(ge=1)] = 7
    min_accuracy_threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    max_training_time_seconds: Annotated[float, Field(gt=0)] = 300.0

    def __post_init__(self) -> None:
        if self.validation_split + self.test_split >= 1:
            raise SettingsError(
                "validation_split + test_split must be below 1",
                model=self.name, validation_split=self.validation_split, test_split=self.test_split,
            )  # fmt: skip

    def as_json(self) -> Mapping[str, Any]:
        return asdict(self)
