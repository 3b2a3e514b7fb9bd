"""A mapping from outside becomes a typed object, or an error that names the key."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, field
from typing import Annotated, Literal

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT, build, nearest_name, refuse_unknown


@dataclass(frozen=True, config=STRICT)
class Inner:
    depth: int = 1


@dataclass(frozen=True, config=STRICT)
class Example:
    horizon: Annotated[int, Field(ge=1)] = 90
    level: float = 0.95
    method: Literal["iqr", "zscore"] = "iqr"
    inner: Inner = field(default_factory=Inner)


def test_when_values_fit_then_the_object_has_them_and_is_frozen():
    made = build(Example, {"horizon": 7, "inner": {"depth": 3}}, "models.x")
    assert made == Example(horizon=7, inner=Inner(depth=3))
    with pytest.raises(FrozenInstanceError):
        made.horizon = 8


def test_when_a_key_is_unknown_then_it_and_the_nearest_known_one_are_named():
    with pytest.raises(SettingsError) as caught:
        build(Example, {"horizont": 7, "zzz": 1}, "models.x")
    text = str(caught.value)
    assert "unknown key in models.x" in text
    assert "'horizont': did you mean 'horizon'?" in text
    assert "zzz" in text
    assert "did you mean" not in text.split("zzz")[1]
    assert "horizon, level, method, inner" in text


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"horizon": 0}, "models.x.horizon"),
        ({"horizon": "many"}, "models.x.horizon"),
        ({"horizon": 1.5}, "models.x.horizon"),
        ({"level": float("nan")}, "models.x.level"),
        ({"level": float("inf")}, "models.x.level"),
        ({"method": "mad"}, "models.x.method"),
        ({"inner": {"depth": "deep"}}, "models.x.inner.depth"),
        ({"inner": {"dept": 1}}, "models.x.inner.dept"),
    ],
)
def test_when_a_value_is_wrong_then_its_dotted_key_and_what_was_found_are_named(values, key):
    with pytest.raises(SettingsError) as caught:
        build(Example, values, "models.x")
    assert key in str(caught.value)
    assert caught.value.facts["count"] == 1
    assert "found" in caught.value.facts["first"][0]


def test_when_several_values_are_wrong_then_all_are_named_at_once():
    with pytest.raises(SettingsError) as caught:
        build(Example, {"horizon": -1, "level": "high"}, "")
    assert caught.value.facts["count"] == 2
    assert {text.split(":")[0] for text in caught.value.facts["first"]} == {"horizon", "level"}


def test_when_the_kind_is_no_dataclass_then_that_is_a_programming_error():
    with pytest.raises(TypeError, match="not a dataclass"):
        build(dict, {}, "")


def test_when_names_are_all_known_then_nothing_is_raised():
    refuse_unknown(["a"], ["a", "b"], "here")


@pytest.mark.parametrize(("name", "near"), [("lokback", "lookback"), ("seed", "seed"), ("qqqqqq", None)])
def test_when_a_name_is_misspelt_then_the_nearest_one_is_found_or_none(name, near):
    assert nearest_name(name, ["lookback", "seed", "units"]) == near
