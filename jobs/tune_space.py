"""The space of a model's parameters: checked against its recipe, and parameters put into its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from demand.errors import SettingsError
from demand.settings import refuse_unknown
from jobs.tuning_settings import Parameter
from models.catalog import recipe, recipe_class
from models.config import ModelConfig
from models.ensemble import KIND, TRAINING

_NOT_SEARCHED = ("features", "validation_split")  # of the 13 fields, not of hyperparameters or training_params
Space = Mapping[str, Parameter]


def checked(kind: str, config: ModelConfig, space: Space) -> dict[str, Any]:
    """The configured value of every parameter of the space: the defaults that a search begins with.

    Raises SettingsError for a parameter that the model does not have (naming the nearest) and for an end of a range
    or a choice that the model refuses.
    """
    where = f"tuning.space.{kind}"
    if not space:
        raise SettingsError("the space has no parameter", key=where, hint=f"Add some, or choose conf/space/{kind}.yaml")
    known = [one.name for one in fields(recipe_class(kind)) if one.name not in _NOT_SEARCHED]  # type: ignore[arg-type]
    refuse_unknown(space, known, where)
    configured = recipe(kind, config)
    for name, parameter in space.items():
        for value in parameter.choices or (parameter.low, parameter.high):
            try:
                recipe(kind, with_parameters(kind, config, {name: value}))
            except SettingsError as error:
                raise SettingsError(
                    "the space holds a value that the model refuses", key=f"{where}.{name}", found=value,
                    cause=str(error), hint="Change the space, or the other parameters of the model",
                ) from None  # fmt: skip
    return {name: _plain(getattr(configured, name)) for name in space}


def with_parameters(kind: str, config: ModelConfig, parameters: Mapping[str, Any]) -> ModelConfig:
    """The configuration with these parameters, each in the section it belongs to."""
    training = TRAINING if kind == KIND else recipe_class(kind).training_params
    trained = {name: value for name, value in parameters.items() if name in training}
    others = {name: value for name, value in parameters.items() if name not in training}
    return replace(
        config,
        hyperparameters={**config.hyperparameters, **others},
        training_params={**config.training_params, **trained},
    )


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
