"""A registry on an object store: the same promises as on a folder, made of conditional writes."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from demand.durable import STALE_S, staged, unwritable
from demand.errors import StorageError, VersionUnreadable
from models.buckets import Bucket, Stored
from models.pointers import read_object
from models.release import MANIFEST, Release, listed_files, sha256_of
from models.stores import RELEASES

log = logging.getLogger(__name__)
FILES, FILES_AT = "files", "files_at"
KEPT_COPIES = 12  # of releases, in the cache; those used last
_PLACE = re.compile(r"files/(\d{8}T\d{6}Z)-[0-9a-f]{32}")
_STAMP = "%Y%m%dT%H%M%SZ"
T = TypeVar("T")


class ObjectStore:
    """Keys are objects. Releases are read through copies in a local folder, `cache`.

    files/<when>-<unguessable>/..      a release's files; uploaded first, and nothing says they are there
    releases/000007/manifest.json      names that place; made last, by a put-if-absent: the release is whole or absent
    releases/000007/<when>-<..>        an empty mark that saves reading manifests: this place is in use
    history/..7.jsonl                  the lines of one append, made by a put-if-absent
    """

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        self.bucket, self.cache = bucket, cache

    @property
    def name(self) -> str:
        return self.bucket.name

    def place(self, key: str) -> str:
        return f"{self.name}/{key}"

    # ---- small files ------------------------------------------------------------------------------------------------

    def read(self, key: str) -> tuple[bytes, str] | None:
        found = self._asked(lambda: self.bucket.get(key), key)
        return None if found is None else (found.data, found.tag)

    def read_all(self, keys: Sequence[str]) -> dict[str, bytes]:
        """All at once where they are many: each is a round trip."""
        if len(keys) < 3:
            found = ((key, self.read(key)) for key in keys)
            return {key: one[0] for key, one in found if one is not None}
        with self._room() as folder:
            paths = {key: folder / str(number) for number, key in enumerate(keys)}
            self._asked(lambda: self.bucket.get_files(list(paths.items())), keys[0])
            return {key: path.read_bytes() for key, path in paths.items()}

    def names(self, prefix: str) -> list[str]:
        return [entry.key for entry in self._asked(lambda: self.bucket.listed(prefix), prefix)]

    def create(self, key: str, data: bytes) -> bool:
        return self._put(key, data, None)

    def replace(self, key: str, data: bytes, expected: str | None) -> bool:
        return self._put(key, data, expected)

    def _put(self, key: str, data: bytes, expected: str | None) -> bool:
        """A conditional write. When it is refused or its answer is lost, the mark of what stands there says whether it
        was ours: a client that sends a request again is refused by its own first one."""
        mark = uuid.uuid4().hex
        try:
            if self.bucket.put(key, data, mark, expected):
                return True
        except OSError as error:
            if not self._is_ours(key, mark):
                raise self._failed(error, key) from None
            return True
        return self._is_ours(key, mark)

    def _is_ours(self, key: str, mark: str) -> bool:
        found: Stored | None = self._asked(lambda: self.bucket.get(key), key)
        return found is not None and found.mark == mark

    def remove(self, key: str) -> None:
        self._asked(lambda: self.bucket.remove([key]), key)

    def append(self, key: str, lines: bytes) -> None:
        folder = _folder_of(key)
        while True:
            taken = self.names(folder)
            number = int(taken[-1].removeprefix(folder).split(".")[0]) + 1 if taken else 1
            if self.create(f"{folder}{number:020d}.jsonl", lines):
                return

    def lines(self, key: str) -> bytes:
        keys = self.names(_folder_of(key))
        found = self.read_all(keys)
        return b"".join(found[one] for one in keys if one in found)

    # ---- releases ---------------------------------------------------------------------------------------------------

    @contextmanager
    def room(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        now = self._asked(self.bucket.now, FILES).astimezone(UTC)
        with self._room() as folder:
            yield folder, {FILES_AT: f"{FILES}/{now:{_STAMP}}-{uuid.uuid4().hex}"}

    def send(self, folder: Path) -> None:
        manifest = read_object((folder / MANIFEST).read_bytes(), MANIFEST)
        files = [(f"{manifest[FILES_AT]}/{name}", folder / name) for name in manifest["files"]]
        self._asked(lambda: self.bucket.put_files(files), manifest[FILES_AT])

    def give(self, folder: Path, number: int) -> bool:
        data = (folder / MANIFEST).read_bytes()
        if not self.create(_manifest(number), data):
            return False
        try:
            self.create(_mark(number, read_object(data, MANIFEST)[FILES_AT]), b"")
        except StorageError as error:  # the number is given; who finds no mark reads the manifest
            log.warning("release %d has no mark: %s", number, error)
        return True

    def withdraw(self, folder: Path, number: int) -> None:
        place = read_object((folder / MANIFEST).read_bytes(), MANIFEST)[FILES_AT]
        for key in (_manifest(number), _mark(number, place)):
            self.remove(key)

    def take(self, number: int, anew: bool) -> Path | None:
        """The copy of these very bytes in the cache, made now where there is none.

        Raises VersionUnreadable when a file is missing, added, changed or of a kind that a release does not hold.
        """
        key = _manifest(number)
        found = self.read(key)
        if found is None:
            return None
        copy = self.cache / hashlib.sha256(found[0]).hexdigest()
        if copy.is_dir() and not anew:
            with suppress(OSError):  # a cache that may only be read is still a cache
                os.utime(copy)
            return copy
        manifest = read_object(found[0], key)
        files = listed_files(manifest, number)
        place = manifest.get(FILES_AT)
        if not isinstance(place, str) or not _PLACE.fullmatch(place):
            raise VersionUnreadable("the manifest does not say where the files are", release=number)
        stored = {
            one.key.removeprefix(f"{place}/"): one.size
            for one in self._asked(lambda: self.bucket.listed(f"{place}/"), place)
        }
        odd = sorted(stored.keys() ^ files.keys())
        if odd:
            raise VersionUnreadable("files were added or are missing", release=number, files=odd)
        changed = [name for name, fact in files.items() if stored[name] != fact["bytes"]]
        if changed:
            raise VersionUnreadable("a file was changed after it was released", release=number, file=changed[0])
        with self._room() as room:
            made = room / "copy"
            for name in files:
                (made / name).parent.mkdir(parents=True, exist_ok=True)
            made.mkdir(exist_ok=True)
            wanted = [(f"{place}/{name}", made / name) for name in files]
            self._asked(lambda: self.bucket.get_files(wanted), place)
            for name, fact in files.items():
                if sha256_of(made / name) != fact["sha256"]:
                    raise VersionUnreadable("a file was changed after it was released", release=number, file=name)
            (made / MANIFEST).write_bytes(found[0])
            self._keep(made, copy, room, number)
        return copy

    def _keep(self, made: Path, copy: Path, room: Path, number: int) -> None:
        """Puts a copy into the cache, in the place of a damaged one; a good one that is there, and in use, stays."""
        while True:
            try:
                os.rename(made, copy)
                break
            except OSError:
                if not copy.exists():
                    raise
            with suppress(VersionUnreadable):
                Release.open(copy, number)
                break
            with suppress(FileNotFoundError):  # another process was quicker
                os.rename(copy, room / uuid.uuid4().hex)
        copies = [path for path in self.cache.iterdir() if re.fullmatch(r"[0-9a-f]{64}", path.name)]
        newest_first = sorted(copies, key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest_first[KEPT_COPIES:]:
            with suppress(OSError):  # as above; or it is not ours to remove
                os.rename(old, room / old.name)

    def drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            keys = self.names(f"{RELEASES}/{number:06d}/")
            self.remove(_manifest(number))  # from here on nobody finds it
            marks = [key for key in keys if key != _manifest(number)]
            for mark in marks:
                place = f"{FILES}/{mark.rpartition('/')[2]}"
                if _PLACE.fullmatch(place):
                    self._remove_all([*self.names(f"{place}/"), mark])

    def numbers(self) -> list[int]:
        found = (re.fullmatch(rf"{RELEASES}/(\d+)/{MANIFEST}", key) for key in self.names(f"{RELEASES}/"))
        return sorted(int(match.group(1)) for match in found if match)

    def tidy(self) -> None:
        """Removes files that no release names and that nobody has added to for an hour, by the store's own clock."""
        now = self._asked(self.bucket.now, FILES)
        places = [f"{FILES}/{name}" for name in self._asked(lambda: self.bucket.folders(f"{FILES}/"), FILES)]
        old = [place for place in places if (age := _age(place, now)) is not None and age > STALE_S]
        if not old:
            return
        used = self._used()
        for place in old:
            if place not in used:
                entries = self._asked(partial(self.bucket.listed, f"{place}/"), place)
                if all((now - entry.modified).total_seconds() > STALE_S for entry in entries):
                    self._remove_all([entry.key for entry in entries])

    def _used(self) -> set[str]:
        """The places that releases name. A mark without its release is removed."""
        keys = self.names(f"{RELEASES}/")
        given = {key.rpartition("/")[0] for key in keys if key.endswith(f"/{MANIFEST}")}
        used, marked = set(), set()
        for key in keys:
            folder, _, name = key.rpartition("/")
            if name == MANIFEST:
                continue
            if folder in given:
                used.add(f"{FILES}/{name}")
                marked.add(folder)
            else:
                self.remove(key)
        for folder in given - marked:
            found = self.read(f"{folder}/{MANIFEST}")
            if found is not None:
                used.add(str(read_object(found[0], folder).get(FILES_AT)))
        return used

    def _remove_all(self, keys: Sequence[str]) -> None:
        if keys:
            self._asked(lambda: self.bucket.remove(keys), keys[0])

    @contextmanager
    def _room(self) -> Iterator[Path]:
        """An empty local folder. Raises StorageError when the cache cannot be written."""
        try:
            with staged(self.cache / "staging") as folder:
                yield folder
        except OSError as error:
            raise unwritable(self.cache, error, "storage.cache") from None

    def _asked(self, ask: Callable[[], T], key: str) -> T:
        try:
            return ask()
        except OSError as error:
            raise self._failed(error, key) from None

    def _failed(self, error: OSError, key: str) -> StorageError:
        return StorageError(
            "the object store cannot be used", at=self.place(key), cause=str(error) or type(error).__name__,
            hint="Check storage.registry_url, the network and the credentials in the environment",
        )  # fmt: skip


def _manifest(number: int) -> str:
    return f"{RELEASES}/{number:06d}/{MANIFEST}"


def _mark(number: int, place: str) -> str:
    return f"{RELEASES}/{number:06d}/{place.removeprefix(f'{FILES}/')}"


def _folder_of(key: str) -> str:
    """Where the appended parts of a file lie: history.jsonl -> history/."""
    return f"{key.partition('.')[0]}/"


def _age(place: str, now: datetime) -> float | None:
    """Seconds since a place was named, None for what has no such name."""
    match = _PLACE.fullmatch(place)
    return (now - datetime.strptime(match.group(1), _STAMP).replace(tzinfo=UTC)).total_seconds() if match else None
