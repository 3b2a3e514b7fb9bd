"""The weighted ensemble: one forecast from the members' forecasts of the same origin and horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.panel import Floats, Panel
from demand.settings import STRICT, build, refuse_unknown
from models.base import Forecast, ForecastSpec
from models.catalog import FORECASTERS
from models.config import ModelConfig

KIND = "ensemble"
Aggregation = Literal["weighted_mean", "mean", "median", "stacking"]
_HYPER = ("models", "weights", "voting", "aggregation", "confidence_threshold", "extra_members")
TRAINING = ("retrain_base_models", "optimize_weights", "weight_optimization_method")


@dataclass(frozen=True, config=STRICT)
class EnsembleSettings:
    """How members become one forecast.

    models, weights: the members and the weights they have until out-of-fold errors exist; `weights` is normalised.
    extra_members: further members (weight 0 until measured). aggregation: weighted_mean (measured weights), mean (equal
    weights), median (of the members, step by step), stacking (non-negative least squares). optimize_weights false:
    `weights` as they are. weight_optimization_method: grid_search over the weight simplex, or inverse_error.
    confidence_threshold: measured confidence (1 - WAPE of a style's horizon total) below which a row is marked.
    retrain_base_models false: members keep their newest stored version.
    """

    models: tuple[str, ...] = ("arima", "prophet", "lstm", "xgboost")
    weights: tuple[Annotated[float, Field(ge=0)], ...] = (0.2, 0.25, 0.35, 0.2)
    voting: Literal["soft", "hard"] = "soft"
    aggregation: Aggregation = "weighted_mean"
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    extra_members: tuple[str, ...] = ("tide", "exponential_smoothing", "seasonal_naive")
    retrain_base_models: bool = True
    optimize_weights: bool = True
    weight_optimization_method: Literal["grid_search", "inverse_error"] = "grid_search"

    def __post_init__(self) -> None:
        if self.voting == "hard":
            raise SettingsError(
                "hard voting has no meaning for quantiles",
                key="models.ensemble.hyperparameters.voting", expected="soft",
            )  # fmt: skip
        if len(self.models) != len(self.weights) or not sum(self.weights) > 0:
            raise SettingsError(
                "models and weights must be of the same number, with a positive sum",
                key="models.ensemble.hyperparameters", models=self.models, weights=self.weights,
            )  # fmt: skip
        names = (*self.models, *self.extra_members)
        refuse_unknown(names, FORECASTERS, "models.ensemble.hyperparameters.models")
        if len(set(names)) < len(names):
            raise SettingsError("a member is named twice", key="models.ensemble.hyperparameters", found=names)

    @classmethod
    def from_config(cls, config: ModelConfig) -> EnsembleSettings:
        """From the 13 fields. Raises SettingsError on unknown keys."""
        refuse_unknown(config.hyperparameters, _HYPER, "models.ensemble.hyperparameters")
        refuse_unknown(config.training_params, TRAINING, "models.ensemble.training_params")
        return build(cls, {**config.hyperparameters, **config.training_params}, "models.ensemble")

    @property
    def members(self) -> tuple[str, ...]:
        return (*self.models, *self.extra_members)

    def configured_weights(self, members: Sequence[str]) -> Floats:
        """The configured weights of these members [M], summing to 1; equal when all of them are 0."""
        known = dict(zip(self.models, self.weights, strict=True))
        raw = np.array([known.get(member, 0.0) for member in members])
        return raw / raw.sum() if raw.sum() > 0 else np.full(len(members), 1 / max(1, len(members)))


def combine(
    history: Panel,
    spec: ForecastSpec,
    members: Sequence[Forecast],
    weights: Floats,
    aggregation: Aggregation,
    trimmed: NDArray[np.bool_] | None = None,
) -> Forecast:
    """One forecast from M members' forecasts of `history`.

    weights [N, M]: 0 = the member takes no part in this row; a row without any member is not made and says so. Means
    and quantiles are averaged level by level (Vincentization: Ratcliff 1979), so quantiles cannot cross; with
    `median`, the middle of the members that take part. trimmed [N]: rows of `middle_mean`s instead, mean and quantiles.
    """
    mean = means_of = np.stack([member.mean for member in members])  # [M, N, H]
    quantiles = quantiles_of = np.stack([member.quantiles for member in members])  # [M, N, H, Q]
    takes_part = weights.T > 0  # [M, N]
    if aggregation == "median":
        joint = np.concatenate([mean[..., None], quantiles], axis=3)
        joint = np.where(takes_part[:, :, None, None], joint, np.nan)
        anyone = takes_part.any(axis=0)
        middle = np.full(joint.shape[1:], np.nan)
        middle[anyone] = np.nanmedian(joint[:, anyone], axis=0)
        mean, quantiles = middle[..., 0], middle[..., 1:]
    else:
        total = weights.sum(axis=1, keepdims=True)
        share = np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0).T  # [M, N]
        usable = np.where(takes_part, share, 0.0)
        mean = np.einsum("mn,mnh->nh", usable, np.where(takes_part[:, :, None], mean, 0.0))
        quantiles = np.einsum("mn,mnhq->nhq", usable, np.where(takes_part[:, :, None, None], quantiles, 0.0))
        nobody = ~takes_part.any(axis=0)
        if trimmed is not None and (rows := np.flatnonzero(trimmed & ~nobody)).size:
            of_rows = usable[:, rows, None]
            quantiles[rows] = middle_mean(np.nan_to_num(quantiles_of[:, rows]), of_rows)
            mean[rows] = middle_mean(np.nan_to_num(means_of[:, rows, :, None]), of_rows)[..., 0]
        mean[nobody], quantiles[nobody] = np.nan, np.nan
    reasons = {int(i): "no member made this row" for i in np.flatnonzero(~takes_part.any(axis=0))}
    return Forecast.build(history, spec, KIND, mean, quantiles, reasons=reasons)


def middle_mean(values: Floats, weights: Floats) -> Floats:
    """The weighted mean of the middle half of M values [M, .., Q] -> [.., Q]: a quarter of the weight is left out at
    each end. weights [M, ..] (or of a shape that broadcasts to it) sum to 1 over M. Source: the interquartile mean
    (Jose and Winkler 2008, "Simple robust averages of forecasts"), with weights.

    One member far from the others moves it little: on sparse demand the mean of medians is seldom near any of them.
    """
    shares = np.broadcast_to(weights[..., None], values.shape)
    order = np.argsort(values, axis=0)
    ordered, shares = np.take_along_axis(values, order, axis=0), np.take_along_axis(shares, order, axis=0)
    upper = np.cumsum(shares, axis=0)
    inside = np.clip(np.minimum(upper, 0.75) - np.maximum(upper - shares, 0.25), 0.0, None)
    result: Floats = (inside * ordered).sum(axis=0) / inside.sum(axis=0)
    return result
