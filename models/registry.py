"""Where releases live: numbered folders that never change, aliases that point at them, a history that only grows."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demand.durable import sync_folder, sync_tree, unwritable, write_whole
from demand.errors import RegistryError, SettingsError, VersionNotFound
from models.files import read_json, write_json
from models.release import Release, seal

ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Registry:
    """A registry on a local or shared folder.

    releases/000007/      immutable; a number is given once, by a rename onto a name that did not exist
    aliases/champion.json {release, at, manifest_sha256}; replaced whole
    history.jsonl         one object a line, appended
    registry.json         a view of the champion, for people and older clients
    """

    root: Path

    def publish(self, fill: Callable[[Path], Mapping[str, Any]]) -> int:
        """Makes a release: `fill` writes its files into a hidden folder and returns the manifest's facts.

        Returns the new number. Whatever happens before the last rename, no reader sees anything. Raises StorageError
        when the registry cannot be written.
        """
        staging = self.root / "staging" / uuid.uuid4().hex
        releases = self.root / "releases"
        try:
            staging.mkdir(parents=True)
            releases.mkdir(parents=True, exist_ok=True)
            seal(staging, fill(staging))
            sync_tree(staging)
            number = self.newest() + 1
            while True:
                try:
                    # On POSIX a folder cannot be renamed onto one that holds files: this is a put-if-absent.
                    os.rename(staging, releases / f"{number:06d}")
                    break
                except OSError:
                    if not (releases / f"{number:06d}").exists():
                        raise
                    number += 1
            sync_folder(releases)
            return number
        except OSError as error:
            raise unwritable(self.root, error) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def numbers(self) -> list[int]:
        """All releases, ascending."""
        folder = self.root / "releases"
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []

    def newest(self) -> int:
        """The highest number given so far, 0 when there is none."""
        return max(self.numbers(), default=0)

    def open(self, which: int | str) -> Release:
        """A release by number or alias, checked against its manifest. Raises VersionNotFound or VersionUnreadable."""
        number = which if isinstance(which, int) else self.alias(which)
        if number is None:
            raise VersionNotFound("no release has this alias", alias=which, hint="Run python -m jobs.pipeline first")
        path = self.root / "releases" / f"{number:06d}"
        if not path.is_dir():
            raise VersionNotFound("no such release", release=number, releases=self.numbers())
        return Release.open(path, number)

    def alias(self, name: str) -> int | None:
        """The number an alias points at, None when it points nowhere."""
        _check_alias(name)
        path = self.root / "aliases" / f"{name}.json"
        return int(read_json(path)["release"]) if path.is_file() else None

    def promote(self, number: int, *, expected: int | None, facts: Mapping[str, Any]) -> None:
        """Points `champion` at a release, and `previous` at what it pointed to.

        `expected` is the champion the caller decided against; when another one stands there by now, nothing changes
        and RegistryError says so.
        """
        release = self.open(number)
        with self._lock():
            current = self.alias("champion")
            if current != expected:
                raise RegistryError("the champion changed meanwhile", expected=expected, found=current)
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if current is not None and current != number:
                self._point("previous", {"release": current, "at": now})
            self._point("champion", {"release": number, "at": now})
            view = {
                model: {**entry, "release": number, "deployed_at": now, "previous": current, **facts}
                for model, entry in release.manifest.get("models", {}).items()
            }
            write_whole(self.root / "registry.json", lambda path: write_json(path, view))

    def append_history(self, entries: list[Mapping[str, Any]]) -> None:
        """Adds lines to history.jsonl; safe with several writers. NaN raises ValueError before anything is written."""
        lines = "".join(json.dumps(entry, allow_nan=False, ensure_ascii=False) + "\n" for entry in entries)
        with self._lock(), (self.root / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def releases_in_history(self) -> set[int]:
        """Numbers of the releases that history.jsonl speaks of."""
        path = self.root / "history.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return {entry["release"] for entry in map(json.loads, lines) if "release" in entry}

    def keep_only_newest(self) -> None:
        """`model_versioning=false`: every release but the champion and the newest is removed."""
        keep = {self.newest(), self.alias("champion")}
        for number in self.numbers():
            if number not in keep:
                shutil.rmtree(self.root / "releases" / f"{number:06d}")

    def _point(self, name: str, value: Mapping[str, Any]) -> None:
        _check_alias(name)
        write_whole(self.root / "aliases" / f"{name}.json", lambda path: write_json(path, value))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _check_alias(name: str) -> None:
    if name not in ALIASES:
        raise SettingsError("unknown alias", found=name, expected=ALIASES)
