"""May yarn b replace yarn a? A random forest over the features of the pair, calibrated out of fold."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as settings_dataclass

from demand.errors import FitError, SettingsError, VersionUnreadable
from demand.panel import Floats, Ints
from demand.settings import STRICT, build, refuse_unknown
from features.yarn_pairs import FEATURES
from models.config import ModelConfig
from models.files import read_card, write_card
from models.yarn_labels import Calibration, Labelled, OutOfFold, cross_calibrated, folds_of

if TYPE_CHECKING:  # every job knows the recipe; scikit-learn, a second to import, is for those that use it
    from sklearn.ensemble import RandomForestClassifier

KIND, RULE = "yarn_substitution", "rule"
TARGET = "is_substitutable"
UNKNOWN = -1.0  # stands for NaN: below every value a feature can have, so that a tree can tell it apart
_OF_TRAINING = ("cv_folds", "scoring")
ROWS_AT_ONCE = 500_000
TREES_AT_ONCE = 10  # grown between two looks at the clock
Whole = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]


@settings_dataclass(frozen=True, config=STRICT)
class YarnSubstitution:
    """The recipe, with scikit-learn's own meanings; see conf/model/yarn_substitution.yaml.

    n_jobs: -1 = every thread that is allowed; it changes no number. cv_folds: into which the yarns are cut.
    scoring: what the model must be better in than the majority and the rule. features: columns of the pair it sees.
    """

    kind: ClassVar[str] = KIND
    n_estimators: Whole = 100
    max_depth: Whole | None = 10
    min_samples_split: Annotated[int, Field(strict=True, ge=2)] = 5
    min_samples_leaf: Whole = 2
    max_features: Literal["sqrt", "log2"] | Annotated[float, Field(strict=True, gt=0, le=1)] | None = "sqrt"
    bootstrap: Flag = True
    oob_score: Flag = True
    n_jobs: Annotated[int, Field(strict=True, ge=-1)] = -1
    random_state: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 42
    class_weight: Literal["balanced"] | None = "balanced"
    cv_folds: Annotated[int, Field(strict=True, ge=2, le=50)] = 5
    scoring: Literal["f1_weighted", "accuracy"] = "f1_weighted"
    features: tuple[str, ...] = FEATURES

    def __post_init__(self) -> None:
        if not self.features:
            raise SettingsError("a classifier needs features", key="features", known=", ".join(FEATURES))
        refuse_unknown(self.features, FEATURES, f"models.{KIND}.features")
        if len(set(self.features)) < len(self.features):
            raise SettingsError("a feature is named twice", key="features", found=list(self.features))
        if self.oob_score and not self.bootstrap:
            raise SettingsError(
                "without bootstrap no sample is out of a bag", key="oob_score", found=True,
                hint="Set oob_score=false as well",
            )  # fmt: skip
        if self.n_jobs == 0:
            raise SettingsError("at least one thread", key="n_jobs", found=0, expected="-1, or 1 and more")

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """Raises SettingsError on unknown or impossible parameters."""
        where = f"models.{KIND}"
        grown = [one.name for one in fields(cls) if one.name not in (*_OF_TRAINING, "features")]
        refuse_unknown(config.training_params, _OF_TRAINING, f"{where}.training_params")
        refuse_unknown(config.hyperparameters, grown, f"{where}.hyperparameters")
        told = {**config.hyperparameters, **config.training_params}
        return build(cls, told | ({"features": config.features} if config.features else {}), where)

    def fit(self, labelled: Labelled, limits: FitLimits) -> FittedSubstitution:
        """The forest on all pairs, and what it said of each pair when it had not seen the pair's yarns.

        Raises FitError: "Insufficient data" below `limits.min_rows`, one class alone, too few yarns for the folds, or
        "time_budget".
        """
        labelled = labelled.newest(limits.max_rows)
        _refuse_too_few(labelled, limits, self.cv_folds)
        # Each forest may take an equal share of the time, so that the last one, which is kept, is grown as well.
        begun, share = limits.clock(), limits.max_seconds / (self.cv_folds + 1)
        x = self._matrix(labelled.features)
        fold = folds_of(labelled, self.cv_folds, self.random_state)
        score = np.full(len(x), np.nan)
        for k in range(self.cv_folds):
            train, test = fold.split(k)
            if not test.any():
                continue
            if len(np.unique(labelled.y[train])) < 2:
                raise FitError(
                    "a fold leaves pairs of one class alone to learn from", fold=k + 1, pairs=int(train.sum()),
                    hint="Label pairs of more yarns, or set training_params.cv_folds lower",
                )  # fmt: skip
            forest = self._forest(x[train], labelled.y[train], limits, begun + share * (k + 1), oob=False)
            score[test] = forest.predict_proba(x[test])[:, 1]
        forest = self._forest(x, labelled.y, limits, begun + limits.max_seconds, oob=self.oob_score)
        calibration, crossed = Calibration.of(score, labelled.y), cross_calibrated(score, labelled.y, fold.b)
        return FittedSubstitution(
            recipe=self, forest=forest, calibration=calibration, n_trained=len(x),
            oob_score=_out_of_bag(forest, labelled.y) if self.oob_score else None,
            out_of_fold=OutOfFold(labelled, fold.b, crossed),
        )  # fmt: skip

    def _matrix(self, features: Floats) -> Floats:
        """[P, n features of the recipe], NaN replaced by UNKNOWN."""
        chosen = features[:, [FEATURES.index(name) for name in self.features]]
        return np.where(np.isnan(chosen), UNKNOWN, chosen)

    def _forest(self, x: Floats, y: Ints, limits: FitLimits, deadline: float, oob: bool) -> RandomForestClassifier:
        """Grown a few trees at a time, so that the clock can end it: the trees are the same as in one go."""
        from sklearn.ensemble import RandomForestClassifier

        jobs = limits.threads if self.n_jobs == -1 else min(self.n_jobs, limits.threads)
        forest = RandomForestClassifier(
            n_estimators=0, max_depth=self.max_depth, min_samples_split=self.min_samples_split,
            min_samples_leaf=self.min_samples_leaf, max_features=self.max_features, bootstrap=self.bootstrap,
            n_jobs=jobs, random_state=self.random_state, class_weight=_weights(y, self.class_weight), warm_start=True,
        )  # fmt: skip
        while forest.n_estimators < self.n_estimators and limits.clock() < deadline:
            n = min(self.n_estimators, forest.n_estimators + TREES_AT_ONCE)
            forest.set_params(n_estimators=n).fit(x, y)
        if not forest.n_estimators:
            raise FitError("time_budget", max_seconds=limits.max_seconds, hint="Raise max_training_time_seconds")
        if oob:
            with warnings.catch_warnings():
                # No more trees are wanted; and with few trees some pairs are in every bag, see `_out_of_bag`.
                warnings.filterwarnings("ignore", message="Warm-start fitting without|Some inputs do not have OOB")
                forest.set_params(oob_score=True).fit(x, y)
        # Threads add up the votes in the order in which they end, which moves the last digits of a probability.
        return forest.set_params(warm_start=False, n_jobs=1)


@dataclass(frozen=True)
class FitLimits:
    """What a fit may take: rows, seconds, threads."""

    min_rows: int = 100
    max_rows: int = 10_000_000
    max_seconds: float = 300.0
    threads: int = 1
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, eq=False)
class FittedSubstitution:
    """Trained. out_of_fold is there after a fit, and not kept with the model."""

    recipe: YarnSubstitution
    forest: RandomForestClassifier
    calibration: Calibration
    n_trained: int
    oob_score: float | None
    out_of_fold: OutOfFold | None = None

    def probability(self, features: Floats) -> Floats:
        """[P] calibrated probability that b may replace a; features [P, 7] of `pair_features`, NaN allowed."""
        said = np.empty(len(features))
        for first in range(0, len(features), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            said[part] = self.forest.predict_proba(self.recipe._matrix(features[part]))[:, 1]
        return self.calibration(said)

    @property
    def importance(self) -> dict[str, float]:
        """Feature -> its share of the fall in impurity, largest first."""
        shares = zip(self.recipe.features, map(float, self.forest.feature_importances_), strict=True)
        return dict(sorted(shares, key=lambda item: (-item[1], item[0])))

    def save(self, folder: Path) -> None:
        """card.json and forest.npz: plain arrays, nothing that could run code."""
        from models.tree_files import save_trees

        save_trees(folder / "forest.npz", self.forest)
        recipe = asdict(self.recipe)
        write_card(folder, KIND, {
            "recipe": recipe, "calibration": asdict(self.calibration), "n_trained": self.n_trained,
            "oob_score": self.oob_score, "importance": self.importance,
        })  # fmt: skip

    @classmethod
    def load(cls, folder: Path) -> Self:
        """As it was saved; its probabilities are the same to the bit. Raises VersionUnreadable."""
        from sklearn.ensemble import RandomForestClassifier

        from models.tree_files import load_trees

        card = read_card(folder)
        if card["kind"] != KIND:
            raise VersionUnreadable("the card is of another kind", found=card["kind"], expected=KIND)
        forest = load_trees(folder / "forest.npz")
        try:
            recipe = build(YarnSubstitution, _as_tuples(card["recipe"]), "recipe")
            calibration = Calibration(float(card["calibration"]["slope"]), float(card["calibration"]["intercept"]))
            kept = cls(recipe, forest, calibration, int(card["n_trained"]), card["oob_score"])
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise VersionUnreadable("the card does not describe a classifier", cause=str(error)) from None
        if not isinstance(forest, RandomForestClassifier) or forest.n_features_in_ != len(recipe.features):
            raise VersionUnreadable("the forest is not the one of the card", features=len(recipe.features))
        return kept


def _refuse_too_few(labelled: Labelled, limits: FitLimits, folds: int) -> None:
    n, yes = len(labelled.y), int(labelled.y.sum())
    if n < limits.min_rows:
        raise FitError(
            "Insufficient data", labels=n, needed=limits.min_rows, hint="Add labels, or lower min_training_samples"
        )
    if yes in (0, n):
        raise FitError("all labels say the same", labels=n, yes=yes, hint="Label pairs of both kinds")
    if len(labelled.yarns) < 2 * folds:
        raise FitError(
            "too few yarns to be split by yarn", yarns=len(labelled.yarns), folds=folds, needed=2 * folds,
            hint="Label pairs of more yarns, or set training_params.cv_folds lower",
        )  # fmt: skip


def _out_of_bag(forest: RandomForestClassifier, y: Ints) -> float | None:
    """Accuracy over the pairs that were out of the bag of a tree; None when none was."""
    votes = forest.oob_decision_function_
    voted = votes.sum(axis=1) > 0
    return float(np.mean(votes[voted].argmax(axis=1) == y[voted])) if voted.any() else None


def _weights(y: Ints, how: str | None) -> Mapping[int, float] | None:
    """The weights that scikit-learn's "balanced" stands for, as numbers: they hold while a forest grows in steps."""
    if how is None:
        return None
    return {int(label): len(y) / (2 * int((y == label).sum())) for label in np.unique(y)}


def _as_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
