"""The fast surrogate of the exact search: gradient boosting on nine features, a quantity in days of demand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import FitError, SettingsError, VersionUnreadable
from demand.panel import Floats
from demand.settings import STRICT, build, refuse_unknown
from models.config import ModelConfig
from models.files import read_card, write_card
from models.inventory.features import FEATURES, TARGET, Facts, scaled
from models.inventory.items import Items

KIND = "inventory_optimization"
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class OrderSurrogate:
    """The recipe: scikit-learn's GradientBoostingRegressor with the configuration's own names.

    features: those of the nine it sees. Early stopping holds back `validation_fraction` of the training rows. `alpha`
    acts with the losses huber and quantile only, validation_fraction and tol with n_iter_no_change only.
    """

    n_estimators: Count = 150
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    max_depth: Count = 5
    min_samples_split: Annotated[int, Field(ge=2)] = 4
    min_samples_leaf: Count = 3
    subsample: Annotated[float, Field(gt=0, le=1)] = 0.8
    max_features: Annotated[float, Field(gt=0, le=1)] = 0.8
    loss: Literal["squared_error", "absolute_error", "huber", "quantile"] = "huber"
    alpha: Fraction = 0.9
    random_state: Annotated[int, Field(ge=0)] = 42
    warm_start: bool = False
    validation_fraction: Fraction = 0.1
    n_iter_no_change: Count | None = 10
    tol: Annotated[float, Field(gt=0)] = 1e-4
    features: tuple[str, ...] = FEATURES

    TRAINING: ClassVar[tuple[str, ...]] = ("warm_start", "validation_fraction", "n_iter_no_change", "tol")

    def __post_init__(self) -> None:
        refuse_unknown(self.features, FEATURES, f"models.{KIND}.features")
        where = f"models.{KIND}"
        if not self.features:
            raise SettingsError("a surrogate needs features", key=f"{where}.features", expected=FEATURES)
        idle: list[tuple[str, str]] = []
        if self.warm_start:
            idle.append(("warm_start", "each training starts anew, from its own labels"))
        if self.loss not in ("huber", "quantile") and self.alpha != OrderSurrogate.alpha:
            idle.append(("alpha", f"it acts with huber and quantile, the loss is {self.loss}"))
        if self.n_iter_no_change is None:
            changed = [n for n in ("validation_fraction", "tol") if getattr(self, n) != getattr(OrderSurrogate, n)]
            idle += [(name, "it acts with n_iter_no_change only") for name in changed]
        if idle:
            raise SettingsError("values that cannot act", keys=[f"{where}: {name}: {why}" for name, why in idle])

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """The recipe of a configured model. Raises SettingsError naming unknown keys and the nearest known one."""
        own = [f.name for f in fields(cls) if f.name != "features"]
        where = f"models.{KIND}"
        refuse_unknown(config.training_params, cls.TRAINING, f"{where}.training_params")
        refuse_unknown(config.hyperparameters, [n for n in own if n not in cls.TRAINING], f"{where}.hyperparameters")
        for name, expected in (("type", "regression"), ("algorithm", "gradient_boosting"), ("target", TARGET)):
            if getattr(config, name) != expected:
                raise SettingsError("the kind fixes this", key=f"{where}.{name}", found=getattr(config, name),
                                    expected=expected)  # fmt: skip
        values = {**config.hyperparameters, **config.training_params, "features": config.features or FEATURES}
        return build(cls, values, where)

    def fit(
        self, items: Items, facts: Facts, quantity: Floats, min_rows: int = 100, max_rows: int = 10_000_000,
        max_seconds: float | None = None,
    ) -> FittedSurrogate:  # fmt: skip
        """Learns quantity / mean daily demand [n] from the scaled features; rows without demand teach nothing.

        After `max_seconds` no further tree is grown. Raises FitError ("Insufficient data") below `min_rows` rows with
        demand; above `max_rows` the last are kept.
        """
        from sklearn.ensemble import GradientBoostingRegressor

        rows = np.flatnonzero(facts.mean > 0)[-max_rows:]
        if len(rows) < min_rows:
            raise FitError("Insufficient data", expected=min_rows, found=len(rows),
                           hint="Use more items or dates, or lower min_training_samples")  # fmt: skip
        seen = [FEATURES.index(name) for name in self.features]
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "features"}
        trees = GradientBoostingRegressor(**given)
        deadline = None if max_seconds is None else time.monotonic() + max_seconds

        def late(*_: object) -> bool:
            return deadline is not None and time.monotonic() >= deadline

        trees.fit(scaled(items, facts)[rows][:, seen], quantity[rows] / facts.mean[rows], monitor=late)
        return FittedSurrogate(trees, self.features, len(rows))


@plain_dataclass(frozen=True, eq=False)
class FittedSurrogate:
    """What the fit learned; answers at once for any number of items. Stored as plain arrays."""

    trees: Any
    features: tuple[str, ...]
    n_rows: int

    def quantity(self, items: Items, facts: Facts) -> Floats:
        """What to order [n], as it can be ordered: the nearest multiple of the lot, nothing below half the smallest
        order. Without demand ahead: what is owed."""
        answer = np.maximum(-items.position, 0.0)
        rows = np.flatnonzero(facts.mean > 0)
        if len(rows):
            seen = [FEATURES.index(name) for name in self.features]
            answer[rows] = self.trees.predict(scaled(items, facts)[rows][:, seen]) * facts.mean[rows]
        return nearest_orderable(items, answer)

    def importances(self) -> dict[str, float]:
        """Feature -> share of importance (they sum to 1)."""
        return dict(zip(self.features, self.trees.feature_importances_.tolist(), strict=True))

    def save(self, folder: Path, facts: Mapping[str, Any] | None = None) -> None:
        """card.json (with `facts`) and trees.npz."""
        from models.tree_files import save_trees

        save_trees(folder / "trees.npz", self.trees)
        write_card(folder, KIND, {"features": list(self.features), "n_rows": self.n_rows, **(facts or {})})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The same quantities, to the bit. Raises VersionUnreadable when the folder holds another kind."""
        from models.tree_files import load_trees

        card = read_card(folder)
        if card["kind"] != KIND:
            raise VersionUnreadable("the folder holds another model", found=card["kind"], expected=KIND)
        return cls(load_trees(folder / "trees.npz"), tuple(card["features"]), int(card["n_rows"]))


def nearest_orderable(items: Items, quantity: Floats) -> Floats:
    """The nearest quantity that can be ordered [n]; 0 below half the smallest order."""
    least = items.orderable(np.maximum(items.moq, items.lot))
    lots = np.rint(quantity / items.lot)
    return np.where(quantity < least / 2, 0.0, np.maximum(lots * items.lot, least))
