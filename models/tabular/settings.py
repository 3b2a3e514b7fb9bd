"""How a table of the company's own is learned from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT

Whole = Annotated[int, Field(ge=1)]
Task = Literal["regression", "classification"]
MOST_TRIALS = 50


@dataclass(frozen=True, config=STRICT)
class FineTuneSettings:
    """Everything fine-tuning may be told.

    target: the column to predict. task: auto = text, truth values and codes 0..k-1 (k <= 20) are classes, other numbers
    a quantity. date: the column that orders the rows (None = the only date column there is; without one the test rows
    are drawn). features: custom = calendar, past, category and business features as well. exclude: columns that are
    never features. test_size: the newest share, kept for the test. cross_validation: folds over the training rows
    (0 = none). tuning: whether hyperparameters are searched, tuning_iterations: trials, the defaults among them.
    remove_outliers: training rows beyond outlier_factor x IQR are left out. max_categories: of one text column.
    overfit_gap: R2 or accuracy by which training may beat the test before it is called overfitting. rows_per_tree:
    drawn for each tree where there are more rows (memory and time grow with them).
    """

    target: str | None = None
    task: Literal["auto", "regression", "classification"] = "auto"
    date: str | None = None
    features: Literal["none", "custom"] = "none"
    exclude: tuple[str, ...] = ()
    test_size: Annotated[float, Field(gt=0, lt=1)] = 0.2
    cross_validation: Annotated[int, Field(ge=0, le=20)] = 0
    tuning: bool = False
    tuning_iterations: Annotated[int, Field(ge=2, le=MOST_TRIALS)] = 20
    remove_outliers: bool = True
    outlier_factor: Annotated[float, Field(gt=0)] = 1.5
    max_categories: Whole = 1_000
    overfit_gap: Annotated[float, Field(gt=0)] = 0.2
    rows_per_tree: Annotated[int, Field(ge=100)] = 20_000
    min_training_samples: Whole = 100
    max_training_samples: Whole = 10_000_000
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 42

    def __post_init__(self) -> None:
        if self.cross_validation == 1:
            raise SettingsError(
                "one fold is no cross-validation", key="cross_validation", hint="0 for none, or 2 to 20"
            )
