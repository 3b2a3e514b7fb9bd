"""Which release is which: the state of a registry after one entry of its log, and how it is kept as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from demand.errors import SettingsError, VersionUnreadable
from models.release import Release

log = logging.getLogger(__name__)
ALIASES = ("champion", "challenger", "previous")

Pointer = Mapping[str, Any]


@dataclass(frozen=True)
class Head:
    """What stands after the newest entry of the log.

    entry: its number, 0 before the first. champion, challenger, previous: pointers {release, at, manifest_sha256, ..}
    or None. highest: the highest number that was ever the champion. through, survivors: releases up to `through` are
    removed, but for the survivors. earlier: the champions before there was a log, oldest first.
    """

    entry: int = 0
    champion: Pointer | None = None
    challenger: Pointer | None = None
    previous: Pointer | None = None
    highest: int = 0
    through: int = 0
    survivors: tuple[int, ...] = ()
    earlier: tuple[Pointer, ...] = ()

    def pointer(self, name: str) -> Pointer | None:
        """Raises SettingsError when there is no such alias."""
        check_alias(name)
        found: Pointer | None = getattr(self, name)
        return found

    def removed(self, number: int) -> bool:
        """Whether a release counts as removed, also while its files are still being cleared away."""
        return number <= self.through and number not in self.survivors

    def as_json(self) -> dict[str, Any]:
        """Without `earlier`: only the first entry of a log says it."""
        names = ("entry", "champion", "challenger", "previous", "highest", "through", "survivors")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, data: bytes, key: str) -> Self:
        """Raises VersionUnreadable when this is no state of a registry."""
        said = read_object(data, key)
        said = {**said, "survivors": tuple(said.get("survivors") or ())}
        values: dict[str, Any] = {name: said.get(name) for name in cls().as_json()}
        head = cls(**values)
        pointers = (head.champion, head.challenger, head.previous)
        if not all(type(number) is int for number in (head.entry, head.highest, head.through, *head.survivors)) or any(
            not isinstance(one, dict) or type(one.get("release")) is not int for one in pointers if one is not None
        ):
            raise VersionUnreadable("a stored file says no state of the registry", file=key)
        return head


def read_object(data: bytes, key: str) -> dict[str, Any]:
    """The JSON object in these bytes. Raises VersionUnreadable when there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VersionUnreadable("a stored file cannot be read", file=key, cause=str(error)) from None
    if not isinstance(value, dict):
        raise VersionUnreadable("a stored file holds no object", file=key)
    return value


def read_pointer(data: bytes, name: str) -> dict[str, Any]:
    """An alias's file of a registry without a log. Raises VersionUnreadable when it names no release."""
    try:
        pointer = json.loads(data)
    except ValueError as error:
        raise VersionUnreadable("a stored file cannot be read", file=f"{name}.json", cause=str(error)) from None
    if not isinstance(pointer, dict) or type(pointer.get("release")) is not int:
        raise VersionUnreadable("an alias names no release", alias=name)
    return {"at": None, "manifest_sha256": None, "previous": None, "facts": {}, **pointer}


def read_lines(data: bytes, key: str) -> list[dict[str, Any]]:
    """The objects of a file that grows by lines; a line that a killed writer left unfinished is only logged."""
    entries = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict):
            entries.append(entry)
        else:
            log.warning("%s: line %d is not whole and is left out", key, number)
    return entries


def as_lines(entries: Any) -> bytes:
    """Strict JSON, an object a line. NaN raises ValueError."""
    return "".join(json.dumps(entry, allow_nan=False, ensure_ascii=False) + "\n" for entry in entries).encode()


def as_json(value: Any) -> bytes:
    """Strict JSON for people to read. NaN raises ValueError."""
    return (json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n").encode()


def refuse_another(release: Release, pointer: Pointer) -> None:
    """Raises VersionUnreadable when the release is not the one this pointer was given (its manifest was replaced)."""
    promised = pointer.get("manifest_sha256")
    if promised is not None and promised != release.manifest_sha256:
        raise VersionUnreadable("the release is not the one that was promoted", release=release.number)


def check_alias(name: str) -> None:
    """Raises SettingsError when there is no such alias."""
    if name not in ALIASES:
        raise SettingsError("unknown alias", found=name, expected=ALIASES)
