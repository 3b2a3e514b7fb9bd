"""Where releases live: numbered, never changed; a log says which one serves; a history only grows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from demand.errors import RegistryError, SettingsError, StorageError, VersionNotFound, VersionUnreadable
from demand.moments import now_utc, stamp
from models.buckets import S3Bucket
from models.log import CHALLENGED, PROMOTED, Log
from models.object_store import ObjectStore
from models.pointers import (
    ALIASES,
    Head,
    as_json,
    as_lines,
    check_alias,
    read_lines,
    read_object,
    refuse_another,
)
from models.release import Release, seal
from models.stores import LocalStore, Store
from models.views import VIEW, refresh

__all__ = ["ALIASES", "Registry", "registry_at"]
log = logging.getLogger(__name__)
HISTORY = "history.jsonl"


def registry_at(place: str, cache: Path) -> Registry:
    """The registry in a folder or at s3://bucket/prefix; cache: where copies of an object store's releases are kept.

    Touches nothing. Raises SettingsError when the address is none.
    """
    if "://" not in place:
        return Registry(Path(place))
    return Registry(ObjectStore(S3Bucket(place), cache))


class Registry:
    """A registry on a folder (local or shared) or an object store.

    releases/000007/      immutable; a number is given once, by a put-if-absent
    log/..7.json          what changed, one entry a change, made by a put-if-absent: this is the truth. Each entry holds
                          the whole state after it: the aliases, and what was removed
    history.jsonl         what was trained, one object a line, appended
    head.json             views of the newest entry, replaced whole: read first, and never behind it for a reader, who
    aliases/*.json        looks for newer entries of the log; for people and older clients
    registry.json
    """

    def __init__(self, where: Path | Store) -> None:
        self.store: Store = LocalStore(where) if isinstance(where, Path) else where
        self.log = Log(self.store)

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return self.store.name

    @property
    def root(self) -> Path:
        """The folder of a registry that has one. Raises SettingsError on an object store."""
        if isinstance(self.store, LocalStore):
            return self.store.root
        raise SettingsError("this registry is not a folder", key="storage.registry_url", found=self.name)

    @property
    def view_path(self) -> Path:
        return self.root / VIEW

    @property
    def history_path(self) -> Path:
        return self.root / HISTORY

    def place(self, key: str) -> str:
        """The whole address of one of its files, for people."""
        return self.store.place(key)

    # ---- releases ---------------------------------------------------------------------------------------------------

    def publish(self, fill: Callable[[Path], Mapping[str, Any]]) -> int:
        """Makes a release: `fill` writes its files into a hidden folder and returns the manifest's facts.

        Returns the new number. Whatever happens before that number is given, no reader sees anything. Raises
        StorageError when the registry cannot be written.
        """
        with self.store.room() as (folder, found_by):
            seal(folder, {**fill(folder), **found_by})
            self.store.send(folder)
            number = self.newest() + 1
            while True:
                if self.store.give(folder, number):
                    if not self.log.head().removed(number):
                        break
                    self.store.withdraw(folder, number)  # its number was given and removed while this one was chosen
                number += 1
        try:
            self._clear()
            self.store.tidy()
        except (StorageError, RegistryError) as error:
            log.warning("release %d is made; what others left could not be removed: %s", number, error)
        return number

    def numbers(self) -> list[int]:
        """All releases, ascending."""
        head = self.log.head()
        return [number for number in self.store.numbers() if not head.removed(number)]

    def newest(self) -> int:
        """The highest number given so far, 0 when there is none."""
        return max([*self.store.numbers(), self.log.head().through])

    def open(self, which: int | str) -> Release:
        """A release by number or alias, checked against its manifest. Raises VersionNotFound or VersionUnreadable."""
        if isinstance(which, int):
            return self._open(which)
        pointer = self.log.head().pointer(which)
        if pointer is None:
            raise VersionNotFound("no release has this alias", alias=which, hint="Run python -m jobs.pipeline first")
        release = self._open(int(pointer["release"]))
        refuse_another(release, pointer)
        return release

    def _open(self, number: int, anew: bool = False) -> Release:
        """anew: as the store holds it now, whatever copies there are; a damaged copy is made anew in any case."""
        path = self.store.take(number, anew)
        if path is None:
            raise VersionNotFound("no such release", release=number, releases=self.numbers())
        try:
            return Release.open(path, number)
        except VersionUnreadable:
            if anew:
                raise
        return self._open(number, anew=True)

    # ---- aliases ----------------------------------------------------------------------------------------------------

    def alias(self, name: str) -> int | None:
        """The number an alias points at, None when it points nowhere."""
        check_alias(name)
        pointer = self.log.head().pointer(name)
        return None if pointer is None else int(pointer["release"])

    def champion_pointer(self) -> dict[str, Any] | None:
        """What serves: {release, at, manifest_sha256, previous, facts}; None when nothing does.

        Cheap enough to be asked every second: one small read, and a look for the log's next entry. Never behind a
        promotion that was confirmed before.
        """
        return self.pointers()["champion"]

    def pointers(self) -> dict[str, dict[str, Any] | None]:
        """All aliases of one moment, at the same price: {champion, challenger, previous}, each a pointer or None."""
        head = self.log.head()
        return {name: None if (one := head.pointer(name)) is None else dict(one) for name in ALIASES}

    def promote(self, number: int, *, expected: int | None, facts: Mapping[str, Any]) -> None:
        """Points `champion` at a release, and `previous` at what it pointed to.

        `expected` is the champion the caller decided against; when another one stands there by now, nothing changes
        and RegistryError says so. `facts` (strict JSON) are kept with the pointer, in the log and in the view.
        """
        release = self._open(number, anew=True)
        as_json(dict(facts))  # before anything is written

        def change(head: Head) -> Head:
            current = head.champion
            champion = None if current is None else current["release"]
            if champion != expected:
                raise RegistryError("the champion changed meanwhile", expected=expected, found=champion)
            self._refuse_gone(head, number)
            if (served := self.log.served(head, number)) is not None:  # it served before: only the same bytes may again
                refuse_another(release, served)
            at = stamp(now_utc())
            kept = head.previous
            if current is not None and champion != number:
                kept = {"release": champion, "manifest_sha256": current["manifest_sha256"], "at": at}
            pointer = {"release": number, "at": at, "manifest_sha256": release.manifest_sha256,
                       "previous": champion, "facts": dict(facts)}  # fmt: skip
            challenger = head.challenger
            if challenger is not None and challenger["release"] == number:
                challenger = None
            return replace(head, champion=pointer, previous=kept, challenger=challenger,
                           highest=max(head.highest, number))  # fmt: skip

        self._commit(PROMOTED, change)

    def point(self, name: str, number: int | None, facts: Mapping[str, Any] | None = None) -> None:
        """Points `challenger` at a release, or nowhere. The other aliases are moved by `promote` alone."""
        check_alias(name)
        if name != "challenger":
            raise SettingsError(
                "only the challenger can be set by itself", found=name, hint="Promote a release instead"
            )
        pointer = None
        if number is not None:
            sha256 = self._open(number, anew=True).manifest_sha256
            pointer = {"release": number, "at": stamp(now_utc()), "manifest_sha256": sha256, "facts": dict(facts or {})}

        def change(head: Head) -> Head | None:
            if number is not None:
                self._refuse_gone(head, number)
            return None if head.challenger == pointer else replace(head, challenger=pointer)

        self._commit(CHALLENGED, change, facts)

    def withdraw(self, number: int, facts: Mapping[str, Any]) -> bool:
        """Points `challenger` nowhere if it points at this release; `facts` (strict JSON) say why, in the log.

        False, and nothing is written, when it points elsewhere by then: of several at once one is told True.
        """
        as_json(dict(facts))  # before anything is written

        def change(head: Head) -> Head | None:
            mine = head.challenger is not None and head.challenger["release"] == number
            return replace(head, challenger=None) if mine else None

        return self._commit(CHALLENGED, change, {"withdrawn": number, **facts})

    def trials(self) -> list[dict[str, Any]]:
        """Each time a challenger was set or withdrawn by itself, oldest first: {at, release (None: none), facts}."""
        return list(self.log.challengers())[::-1]

    def ever_served(self) -> set[int]:
        """The releases that were champion at any time."""
        return {int(pointer["release"]) for pointer in self.promotions()}

    def promotions(self) -> list[dict[str, Any]]:
        """Each pointer `champion` ever was, oldest first, today's last: {release, at, previous, facts, ..}."""
        return [dict(pointer) for pointer in self.log.champions()][::-1]

    def keep_only_newest(self) -> None:
        """`model_versioning=false`: every release but the champion, the challenger and the newest is removed, and
        `previous` with its release."""

        def change(head: Head) -> Head | None:
            numbers = [number for number in self.store.numbers() if not head.removed(number)]
            used = {pointer["release"] for pointer in (head.champion, head.challenger) if pointer is not None}
            keep = (used | {max(numbers, default=0)}) & set(numbers)
            previous = head.previous if head.previous is not None and head.previous["release"] in keep else None
            if keep == set(numbers) and previous == head.previous:
                return None
            return replace(head, previous=previous, through=max(numbers), survivors=tuple(sorted(keep)))

        self._commit("collected", change)
        self._clear()

    def _clear(self) -> None:
        """Removes the files of releases that the log calls removed: now, or where a killed process did not."""
        head = self.log.head()
        self.store.drop([number for number in self.store.numbers() if head.removed(number)])

    def _commit(self, kind: str, change: Callable[[Head], Head | None], facts: Mapping[str, Any] | None = None) -> bool:
        """Adds what `change` makes of the newest state to the log, then shows it; whether there was anything to do."""
        entry = self.log.commit(kind, change, facts)
        if not entry:
            return False
        try:
            self.refresh_view()
        except (StorageError, RegistryError) as error:
            # It has happened; saying that it failed would be wrong.
            log.warning("entry %d of the log is made; a view of it is not: %s", entry, error)
        return True

    @staticmethod
    def _refuse_gone(head: Head, number: int) -> None:
        if head.removed(number):
            raise VersionNotFound("the release was removed meanwhile", release=number)

    # ---- views and the history --------------------------------------------------------------------------------------

    def refresh_view(self) -> None:
        """Writes head.json, aliases/ and registry.json anew where they are behind the log (a process was killed)."""
        refresh(self.store, self.log)

    def view(self) -> dict[str, Any] | None:
        """registry.json: {model: {path, release, metrics, ..}}; None while nothing was promoted."""
        found = self.store.read(VIEW)
        return None if found is None else read_object(found[0], VIEW)

    def append_history(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Adds lines to history.jsonl, all or none; safe with several writers.

        NaN raises ValueError before anything is written; StorageError when the file cannot be written.
        """
        if entries:
            self.store.append(HISTORY, as_lines(entries))

    def history(self) -> list[dict[str, Any]]:
        """The entries of history.jsonl, oldest first; a line that a killed writer left unfinished is only logged.

        Raises VersionUnreadable when the file cannot be read.
        """
        return read_lines(self.store.lines(HISTORY), HISTORY)

    def releases_in_history(self) -> set[int]:
        """Numbers of the releases that history.jsonl speaks of."""
        return {entry["release"] for entry in self.history() if "release" in entry}
