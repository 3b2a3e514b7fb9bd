"""Where releases live: numbered folders that never change, aliases that point at them, a history that only grows."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from demand.durable import staged, sync_folder, sync_tree, unwritable, write_whole
from demand.errors import RegistryError, SettingsError, VersionNotFound, VersionUnreadable
from models.files import read_json, write_json
from models.release import Release, seal

log = logging.getLogger(__name__)
ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Registry:
    """A registry on a local or shared folder.

    releases/000007/      immutable; a number is given once, by a rename onto a name that did not exist
    aliases/champion.json {release, at, manifest_sha256, ..}; replaced whole
    history.jsonl         what was trained, one object a line, appended
    promotions.jsonl      what `champion` ever pointed at, one pointer a line, appended
    registry.json         a view of the champion, for people and older clients
    staging/              releases in the making, each held by a lock; what a killed process left is removed
    """

    root: Path

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def view_path(self) -> Path:
        return self.root / "registry.json"

    @property
    def history_path(self) -> Path:
        return self.root / "history.jsonl"

    @property
    def promotions_path(self) -> Path:
        return self.root / "promotions.jsonl"

    def publish(self, fill: Callable[[Path], Mapping[str, Any]]) -> int:
        """Makes a release: `fill` writes its files into a hidden folder and returns the manifest's facts.

        Returns the new number. Whatever happens before the last rename, no reader sees anything. Raises StorageError
        when the registry cannot be written.
        """
        releases = self.root / "releases"
        try:
            with staged(self.staging) as folder:
                releases.mkdir(parents=True, exist_ok=True)
                seal(folder, fill(folder))
                sync_tree(folder)
                number = self.newest() + 1
                while True:
                    try:
                        # On POSIX a folder cannot be renamed onto one that holds files: this is a put-if-absent.
                        os.rename(folder, self._folder(number))
                        break
                    except OSError:
                        if not self._folder(number).exists():
                            raise
                        number += 1
                sync_folder(releases)
                return number
        except OSError as error:
            raise unwritable(self.root, error) from None

    def numbers(self) -> list[int]:
        """All releases, ascending."""
        folder = self.root / "releases"
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []

    def newest(self) -> int:
        """The highest number given so far, 0 when there is none."""
        return max(self.numbers(), default=0)

    def open(self, which: int | str) -> Release:
        """A release by number or alias, checked against its manifest. Raises VersionNotFound or VersionUnreadable."""
        if isinstance(which, int):
            return self._open(which)
        pointer = self._pointer(which)
        if pointer is None:
            raise VersionNotFound("no release has this alias", alias=which, hint="Run python -m jobs.pipeline first")
        release = self._open(int(pointer["release"]))
        _refuse_another(release, pointer)
        return release

    def _open(self, number: int) -> Release:
        path = self._folder(number)
        if not path.is_dir():
            raise VersionNotFound("no such release", release=number, releases=self.numbers())
        return Release.open(path, number)

    def alias(self, name: str) -> int | None:
        """The number an alias points at, None when it points nowhere."""
        pointer = self._pointer(name)
        return None if pointer is None else int(pointer["release"])

    def promote(self, number: int, *, expected: int | None, facts: Mapping[str, Any]) -> None:
        """Points `champion` at a release, and `previous` at what it pointed to.

        `expected` is the champion the caller decided against; when another one stands there by now, nothing changes
        and RegistryError says so. `facts` (strict JSON) are kept with the pointer, in promotions.jsonl and in the view.
        """
        release = self.open(number)
        with self._lock():
            self._remove_parts()
            self._note_champion()
            for pointer in self.promotions():
                if pointer["release"] == number:  # it served before: only the same bytes may again
                    _refuse_another(release, pointer)
            before = self._pointer("champion")
            current = None if before is None else before["release"]
            if current != expected:
                raise RegistryError("the champion changed meanwhile", expected=expected, found=current)
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if before is not None and current != number:
                kept = {name: before[name] for name in ("release", "manifest_sha256")}
                self._point("previous", {**kept, "at": now})
            value = {"release": number, "at": now, "manifest_sha256": release.manifest_sha256}
            self._point("champion", {**value, "previous": current, "facts": dict(facts)})
            self._note_champion()
            self._write_view(release)

    def refresh_view(self) -> None:
        """Writes registry.json anew: a process killed while promoting may have left it at the champion before."""
        with self._lock():
            if self._pointer("champion") is not None:
                self._write_view(self.open("champion"))

    def promotions(self) -> list[dict[str, Any]]:
        """Each pointer `champion` ever was, oldest first, today's last: {release, at, previous, facts, ..}."""
        kept, missing = self._noted()
        return kept + missing

    def _noted(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The lines of promotions.jsonl, and the one it lacks: a champion that nobody has noted yet."""
        kept, champion = self._lines(self.promotions_path), self._pointer("champion")
        return kept, [] if champion is None or champion in kept[-1:] else [champion]

    def _note_champion(self) -> None:
        """Adds the champion's pointer to promotions.jsonl unless it is the last line; the caller holds the lock.

        Before each change too: a process killed after it moved the pointer left that line to the next one.
        """
        _, missing = self._noted()
        if missing:
            self._append(self.promotions_path, missing)

    def _write_view(self, champion: Release) -> None:
        pointer = self._pointer("champion") or {}
        shared = {"release": champion.number, "deployed_at": pointer["at"], "previous": pointer["previous"]}
        models = champion.manifest.get("models", {})
        view = {model: {**entry, **shared, **pointer["facts"]} for model, entry in models.items()}
        write_whole(self.view_path, lambda path: write_json(path, view))

    def append_history(self, entries: list[Mapping[str, Any]]) -> None:
        """Adds lines to history.jsonl, all or none; safe with several writers.

        NaN raises ValueError before anything is written; StorageError when the file cannot be written.
        """
        with self._lock():
            self._append(self.history_path, entries)

    def _append(self, path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
        """Adds a line an entry, all or none; the caller holds the lock."""
        lines = "".join(json.dumps(entry, allow_nan=False, ensure_ascii=False) + "\n" for entry in entries).encode()
        try:
            with path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                if size and not self._ends_with_a_line(file, size):
                    lines = b"\n" + lines  # what a killed writer left stays a line of its own
                try:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), size)
                    raise
        except OSError as error:
            raise unwritable(self.root, error) from None

    @staticmethod
    def _ends_with_a_line(file: BinaryIO, size: int) -> bool:
        file.seek(size - 1)
        return file.read(1) == b"\n"

    def history(self) -> list[dict[str, Any]]:
        """The entries of history.jsonl, oldest first; a line that a killed writer left unfinished is only logged.

        Raises VersionUnreadable when the file cannot be read.
        """
        return self._lines(self.history_path)

    @staticmethod
    def _lines(path: Path) -> list[dict[str, Any]]:
        """The objects of a file that grows by lines, oldest first."""
        try:
            whole = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise VersionUnreadable("the history cannot be read", file=str(path), cause=str(error)) from None
        entries = []
        for number, line in enumerate(whole.split(b"\n"), start=1):
            if not line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict):
                entries.append(entry)
            else:
                log.warning("%s: line %d is not whole and is left out", path.name, number)
        return entries

    def releases_in_history(self) -> set[int]:
        """Numbers of the releases that history.jsonl speaks of."""
        return {entry["release"] for entry in self.history() if "release" in entry}

    def keep_only_newest(self) -> None:
        """`model_versioning=false`: every release but the champion and the newest is removed, with aliases of them."""
        with self._lock():
            keep = {self.newest(), self.alias("champion")}
            try:
                for name in ALIASES:
                    if self.alias(name) not in keep:
                        (self.root / "aliases" / f"{name}.json").unlink(missing_ok=True)
                with staged(self.staging) as bin_:
                    for number in self.numbers():
                        if number not in keep:  # moved away whole first: no reader sees half of it
                            os.rename(self._folder(number), bin_ / str(number))
            except OSError as error:
                raise unwritable(self.root, error) from None

    def _folder(self, number: int) -> Path:
        return self.root / "releases" / f"{number:06d}"

    def _pointer(self, name: str) -> dict[str, Any] | None:
        """What an alias's file says, None when there is none."""
        _check_alias(name)
        path = self.root / "aliases" / f"{name}.json"
        if not path.is_file():
            return None
        pointer = read_json(path)
        if not isinstance(pointer, dict) or not isinstance(pointer.get("release"), int):
            raise VersionUnreadable("an alias names no release", alias=name)
        return {"at": None, "manifest_sha256": None, "previous": None, "facts": {}, **pointer}

    def _point(self, name: str, value: Mapping[str, Any]) -> None:
        _check_alias(name)
        write_whole(self.root / "aliases" / f"{name}.json", lambda path: write_json(path, value))

    def _remove_parts(self) -> None:
        """Files under temporary names that killed processes left: who holds the lock is their only writer."""
        try:
            for part in (*self.root.glob(".*.part"), *self.root.glob("aliases/.*.part")):
                part.unlink()
        except OSError as error:
            raise unwritable(self.root, error) from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                file = held.enter_context((self.root / ".lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                raise unwritable(self.root, error) from None
            yield


def _refuse_another(release: Release, pointer: Mapping[str, Any]) -> None:
    """Raises VersionUnreadable when the release is not the one this pointer was given (its manifest was replaced)."""
    promised = pointer["manifest_sha256"]
    if promised is not None and promised != release.manifest_sha256:
        raise VersionUnreadable("the release is not the one that was promoted", release=release.number)


def _check_alias(name: str) -> None:
    if name not in ALIASES:
        raise SettingsError("unknown alias", found=name, expected=ALIASES)
