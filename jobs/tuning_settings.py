"""What `jobs.tune` is told: which model, how it searches, and the space of each model's parameters."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT
from jobs.sections import AutoOrWhole, Flag, Whole

MOST_TRIALS = 50
Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)]


@dataclass(frozen=True, config=STRICT)
class Parameter:
    """What one parameter may be: a range from low to high, both included, or one of `choices`.

    Two whole numbers are a range of whole numbers. log: equal ratios are equally likely, not equal differences.
    """

    low: Number | None = None
    high: Number | None = None
    log: Flag = False
    choices: tuple[Any, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return type(self.low) is int and type(self.high) is int

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        if self.choices is not None:
            return any(_plain(value) == _plain(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float) or self.low is None or self.high is None:
            return False
        return self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())

    def position(self, value: Any) -> int:
        """Which of the choices a value is."""
        return [_plain(choice) for choice in self.choices or ()].index(_plain(value))


def _plain(value: Any) -> Any:
    """Lists and tuples of the same values are the same choice; 1 and true are not."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    return (type(value) is bool, value)


@dataclass(frozen=True, config=STRICT)
class TuningSettings:
    """The search over hyperparameters, and whether what it found is used.

    hyperparameter_tuning: false = models are fitted as configured, whatever was tuned. tuning_method,
    tuning_iterations: how values are tried and how many trials there are, the defaults among them. model: whose
    parameters are searched. sample: styles that trials are scored on (auto: 200 of a pooled model, as many as a minute
    a fit allows where each style is fitted apart). prune: a trial worse than the median after its first fold ends.
    generation: trials that are chosen together, from the results of those before; it makes a search repeatable on any
    number of CPUs. space: model -> parameter -> what it may be.
    """

    hyperparameter_tuning: Flag = True
    tuning_method: Literal["bayesian", "grid", "random"] = "bayesian"
    tuning_iterations: Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)] = MOST_TRIALS
    model: str | None = None
    sample: AutoOrWhole = "auto"
    prune: Flag = True
    generation: Whole = 4
    space: dict[str, dict[str, Parameter]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, space in self.space.items():
            for name, parameter in space.items():
                _check(parameter, f"tuning.space.{model}.{name}")


def _check(parameter: Parameter, key: str) -> None:
    """Raises SettingsError when there is nothing to choose from."""
    low, high, choices = parameter.low, parameter.high, parameter.choices
    alone = "Leave a parameter that may not change out of the space"
    if choices is not None:
        if (low, high, parameter.log) != (None, None, False):
            raise SettingsError(
                "a parameter has a range or choices, not both", key=key, choices=choices, low=low, high=high,
                log=parameter.log, hint="To choose where conf/space has a range, set all of it: "
                "{low: null, high: null, log: false, choices: [..]}",
            )  # fmt: skip
        if len({repr(_plain(choice)) for choice in choices}) < max(2, len(choices)):
            raise SettingsError("choices are two or more different values", key=key, found=choices, hint=alone)
    elif low is None or high is None:
        raise SettingsError("a range needs low and high", key=key, low=low, high=high, hint="Or give choices")
    elif low >= high:
        raise SettingsError("an empty range: low must be below high", key=key, low=low, high=high, hint=alone)
    elif parameter.log and low <= 0:
        raise SettingsError("a logarithmic range begins above 0", key=key, low=low)
