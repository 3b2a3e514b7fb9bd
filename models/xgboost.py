"""Gradient-boosted trees, one pooled model over all series: direct over the horizon, the step is a feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import OriginError, SchemaError, SettingsError, VersionUnreadable
from demand.panel import Floats, Panel
from demand.settings import STRICT
from features.build import FeatureRecipe, every_row
from features.catalog import read_names
from features.view import OriginView, views
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.drivers import Drivers
from models.files import read_card, write_card
from models.xgboost_anchor import Anchor, anchor_terms
from models.xgboost_boosters import Deadline, objective_of, predict, read_booster, total_gain, write_booster
from models.xgboost_drivers import drivers_of
from models.xgboost_quantiles import Spread
from models.xgboost_rows import gather
from models.xgboost_training import CENTRE, LEFTOVERS, RATIOS, Label, Learned, learn

Share = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]

METRICS = ("rmse", "mae", "mphe", "rmsle", "poisson-nloglik", "tweedie-nloglik@1.5")
ROWS_AT_ONCE = 200_000  # rows of features a forecast holds in memory


@dataclass(frozen=True, config=STRICT)
class XGBoost(Forecaster):
    """The recipe, with the configuration's names and XGBoost's own meanings; see conf/model/xgboost.yaml.

    base_score: where boosting starts; 0.5 is the mean of the training labels. n_jobs: -1 = every thread the context
    allows. scale_pos_weight other than 1 is refused: it weighs classes, and demand has none. eval_metric: the first one
    decides early stopping (the mean wants rmse), all are in the card. without_features: columns of the matrix that are
    left out of it (`names` in the card are those it has). features, validation_split: as in ModelConfig.
    """

    n_estimators: Count = 200
    max_depth: Annotated[int, Field(ge=1, le=16)] = 6
    learning_rate: Share = 0.1
    objective: str = "reg:squarederror"
    booster: Literal["gbtree", "dart"] = "gbtree"
    n_jobs: int = -1
    gamma: NotNegative = 0.0
    min_child_weight: NotNegative = 1.0
    max_delta_step: NotNegative = 0.0
    subsample: Share = 0.8
    colsample_bytree: Share = 0.8
    colsample_bylevel: Share = 1.0
    colsample_bynode: Share = 1.0
    reg_alpha: NotNegative = 0.0
    reg_lambda: NotNegative = 1.0
    scale_pos_weight: float = 1.0
    base_score: float = CENTRE
    random_state: Annotated[int, Field(ge=0, lt=2**31)] = 42
    eval_metric: tuple[str, ...] = ("rmse", "mae")
    early_stopping_rounds: Annotated[int, Field(ge=0)] = 10
    verbose: bool = False
    without_features: tuple[str, ...] = ()
    features: tuple[str, ...] = (
        "lag_1", "lag_7", "lag_30", "rolling_mean_7", "rolling_mean_30", "month", "quarter", "dayofweek", "price",
        "inventory_level", "is_holiday", "is_weekend",
    )  # fmt: skip
    validation_split: Annotated[float, Field(ge=0, lt=1)] = 0.2

    kind: ClassVar[str] = "xgboost"
    pools_series: ClassVar[bool] = True
    refit_often: ClassVar[bool] = False  # features move with the origin; the trees last
    training_params: ClassVar[frozenset[str]] = frozenset(
        {"eval_metric", "early_stopping_rounds", "verbose", "without_features"}
    )

    def __post_init__(self) -> None:
        if self.scale_pos_weight != 1:
            raise SettingsError(
                "scale_pos_weight weighs classes and cannot act on a quantity", key="scale_pos_weight",
                found=self.scale_pos_weight, expected=1, hint="Remove it",
            )  # fmt: skip
        if self.objective not in (*LEFTOVERS, *RATIOS):
            known = ", ".join((*LEFTOVERS, *RATIOS))
            raise SettingsError("not an objective for quantities", key="objective", found=self.objective, known=known)
        unknown = [name for name in self.eval_metric if name not in METRICS]
        if unknown or not self.eval_metric:
            raise SettingsError("not a metric", key="eval_metric", found=unknown, known=", ".join(METRICS))
        if self.n_jobs == 0 or self.n_jobs < -1:
            raise SettingsError("must be -1 (all) or at least 1", key="n_jobs", found=self.n_jobs)
        if self.objective in RATIOS and self.base_score <= 0:
            raise SettingsError("must be above 0 for this objective", key="base_score", found=self.base_score)
        read_names(self.features)

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedXGBoost:
        """One pooled fit. Raises FitError: "Insufficient data", or "time_budget" when not even one round was made."""
        deadline = Deadline.after(context.max_seconds)
        seed = int(np.random.SeedSequence((context.seed, self.random_state)).generate_state(1)[0] % 2**31)
        recipe = self.matrix(history, context)
        rows = gather(history, recipe, spec.horizon, context, seed)
        learned = learn(self, rows, spec.horizon, spec.levels, context, seed, deadline)
        return FittedXGBoost(spec, recipe, learned, self.threads(context))

    def matrix(self, history: Panel, context: FitContext) -> FeatureRecipe:
        """Which columns a fit on this history learns from. Raises SettingsError as FeatureRecipe.of does."""
        return FeatureRecipe.of(history, context.features, self.features, context.season, without=self.without_features)

    def threads(self, context: FitContext) -> int:
        """Numeric threads of a fit: never more than the context allows."""
        return context.threads if self.n_jobs == -1 else min(self.n_jobs, context.threads)

    def booster_params(self, threads: int, seed: int, bins: int) -> dict[str, Any]:
        """What is handed to the library, without the objective."""
        same = (
            "max_depth", "learning_rate", "booster", "gamma", "min_child_weight", "max_delta_step", "subsample",
            "colsample_bytree", "colsample_bylevel", "colsample_bynode", "reg_alpha", "reg_lambda",
        )  # fmt: skip
        own = {name: getattr(self, name) for name in same}
        return own | {"nthread": threads, "seed": seed, "tree_method": "hist", "max_bin": bins, "verbosity": 0}


class FittedXGBoost(FittedForecaster):
    """The pooled boosters. Any series can be forecast, also one that the fit never saw: only features are asked for."""

    kind: ClassVar[str] = "xgboost"

    def __init__(self, spec: ForecastSpec, recipe: FeatureRecipe, learned: Learned, threads: int) -> None:
        self.spec, self.recipe, self.learned, self.threads = spec, recipe, learned, threads

    @property
    def left_out(self) -> Mapping[str, str]:
        """Configured features the matrix does not have, and why."""
        return self.recipe.left_out

    def forecast(self, history: Panel) -> Forecast:
        """See FittedForecaster. A series that never sold within the lookback is forecast as 0."""
        plan, horizon = self.recipe.plan, self.spec.horizon
        if history.freq != plan.freq:
            raise OriginError("the history is on another calendar", expected=plan.freq, found=history.freq)
        missing = [name for name in plan.past if name not in history.past]
        missing += [name for name in plan.planned if name not in history.future]
        missing += [name for name in plan.categories if name not in history.static]
        if missing:
            raise SchemaError("the history lacks columns the model was fitted with", missing=missing)
        mean = np.zeros((history.n_series, horizon))
        quantiles = np.zeros((history.n_series, horizon, len(self.spec.levels)))
        if history.n_series:
            for view in views(history, [history.end], horizon, plan.spans, plan.least_scale):
                slab = max(1, ROWS_AT_ONCE // horizon)
                for low in range(0, view.n_series, slab):
                    part = view.take(slice(low, low + slab))
                    mean[part.series], quantiles[part.series] = self._answer(part)
        notes = dict.fromkeys(range(history.n_series), self._note) if self._note else None
        return Forecast.build(history, self.spec, self.kind, mean, quantiles, notes=notes)

    def _answer(self, view: OriginView) -> tuple[Floats, Floats]:
        """Mean [n, H] and quantiles [n, H, Q] of the series of a view, in the source's unit."""
        learned, n, horizon = self.learned, view.n_series, self.spec.horizon
        row, step = every_row(view)
        x = self.recipe.rows(view, row, step)
        terms = anchor_terms(view, self.recipe.plan.spans, row, step)
        anchor = learned.anchor.at(terms)
        mean = learned.label.back(predict(learned.point, x), anchor)
        boosted = predict(learned.quantile, x) + anchor[:, None]
        quantiles = learned.spread.quantiles(boosted, terms.sparse)
        scale = view.scale[:, None]
        return mean.reshape(n, horizon) * scale, quantiles.reshape(n, horizon, -1) * scale[:, :, None]

    @property
    def _note(self) -> str:
        return "; ".join(f"{name} left out: {why}" for name, why in self.recipe.left_out.items())

    def importances(self) -> dict[str, float]:
        """Feature -> share of the point booster's total gain; they sum to 1 unless no tree ever split."""
        return total_gain(self.learned.point, self.recipe.names)

    @property
    def objective(self) -> str:
        """What the point booster was trained for, as the library names it."""
        return objective_of(self.learned.point)

    def drivers(self, history: Panel) -> Drivers:
        """See FittedForecaster: the drivers of every series, by TreeSHAP."""
        return drivers_of(self, history)

    def reads_ahead(self) -> tuple[str, ...]:
        """The columns that were planned in the panel of the fit."""
        return self.recipe.plan.planned

    def save(self, folder: Path) -> None:
        """card.json, mean.ubj and quantiles.ubj, with the sha256 of both boosters in the card."""
        learned = self.learned
        sums = {name: write_booster(folder / name, booster) for name, booster in self._boosters().items()}
        write_card(
            folder,
            self.kind,
            {
                "spec": asdict(self.spec),
                "features": self.recipe.as_json(),
                "names": list(self.recipe.names),
                "left_out": dict(self.recipe.left_out),
                "anchor": asdict(learned.anchor),
                "label": asdict(learned.label),
                "spread": asdict(learned.spread),
                "threads": self.threads,
                "facts": dict(learned.facts),
                "sha256": sums,
            },
        )

    def _boosters(self) -> dict[str, Any]:
        return {"mean.ubj": self.learned.point, "quantiles.ubj": self.learned.quantile}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved model. Raises VersionUnreadable when a file is missing, changed or not of this kind."""
        card = read_card(folder)
        try:
            spec = ForecastSpec(int(card["spec"]["horizon"]), tuple(card["spec"]["levels"]))
            recipe = FeatureRecipe.from_json(card["features"])
            anchor = Anchor(*(tuple(card["anchor"][name]) for name in ("with_year", "without_year")))
            label = Label(**card["label"])
            spread = Spread(*(tuple(card["spread"][name]) for name in ("levels", "dense", "sparse")))
            threads, sums, facts = int(card["threads"]), dict(card["sha256"]), dict(card["facts"])
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise VersionUnreadable("the card of an xgboost model is not complete", cause=repr(error)) from None
        point, quantile = (
            read_booster(folder / name, str(sums.get(name)), threads) for name in ("mean.ubj", "quantiles.ubj")
        )
        return cls(spec, recipe, Learned(anchor, point, label, quantile, spread, facts), threads)
