"""Frozen, validated settings: the one way a mapping from outside becomes a typed object."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from demand.errors import SettingsError

# Every settings class: `@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)`.
# NaN and infinity are never valid settings; unknown keys are refused.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

T = TypeVar("T")


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the settings dataclass `kind`, from a mapping that came from outside.

    `where` is the dotted key the values were found under, for the message. Raises SettingsError naming every unknown
    key with the nearest known one, and every value of a wrong type or out of range.
    """
    if not is_dataclass(kind):
        raise TypeError(f"{kind} is not a dataclass")
    known = [field.name for field in fields(kind) if field.init]
    refuse_unknown(values, known, where)
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        faults = [f"{_key(where, fault['loc'])}: {fault['msg']}, found {fault['input']!r}" for fault in error.errors()]
        raise SettingsError("settings are not valid", count=len(faults), first=faults) from None


def refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises SettingsError when `given` holds a name outside `known`, naming the nearest known one."""
    known = list(known)
    unknown = [name for name in given if name not in known]
    if unknown:
        nearest = {name: nearest_name(name, known) for name in unknown}
        hints = [f"{name!r}: did you mean {near!r}?" if near else f"{name!r}" for name, near in nearest.items()]
        shown = ", ".join(known) if len(known) <= 30 else known
        raise SettingsError(f"unknown key in {where or 'the settings'}", unknown=hints, known=shown)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return near[0] if near else None


def _key(where: str, loc: tuple[int | str, ...]) -> str:
    return ".".join([*([where] if where else []), *map(str, loc)])
