"""An object store in memory that keeps S3's promises, and one whose calls can be cut, refused or left unanswered."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.buckets import Entry, Stored

WRITES = ("put", "put_files", "remove")
CALLS = ("get", "put", "put_files", "get_files", "listed", "folders", "remove", "now")


class MemoryBucket:
    name = "memory://bucket"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[Stored, datetime]] = {}
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._lock = threading.Lock()
        self.writes = 0

    def get(self, key: str) -> Stored | None:
        found = self.objects.get(key)
        return None if found is None else found[0]

    def put(self, key: str, data: bytes, mark: str, expected: str | None) -> bool:
        with self._lock:
            found = self.get(key)
            if (None if found is None else found.tag) != expected:
                return False
            self.store(key, data, mark)
            return True

    def store(self, key: str, data: bytes, mark: str = "") -> None:
        self.writes += 1
        tag = f"{hashlib.md5(data).hexdigest()}-{self.writes}"
        self.objects[key] = (Stored(data, tag, mark), self.clock)

    def put_files(self, files: Sequence[tuple[str, Path]]) -> None:
        for key, path in files:
            self.store(key, path.read_bytes())

    def get_files(self, files: Sequence[tuple[str, Path]]) -> None:
        for key, path in files:
            found = self.get(key)
            if found is None:
                raise FileNotFoundError(key)
            path.write_bytes(found.data)

    def listed(self, prefix: str) -> list[Entry]:
        found = sorted((key, one) for key, one in list(self.objects.items()) if key.startswith(prefix))
        return [Entry(key, len(stored.data), at) for key, (stored, at) in found]

    def folders(self, prefix: str) -> list[str]:
        below = (one.key.removeprefix(prefix) for one in self.listed(prefix))
        return sorted({key.partition("/")[0] for key in below if "/" in key})

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def now(self) -> datetime:
        return self.clock

    def later(self, hours: float) -> None:
        self.clock += timedelta(hours=hours)

    def copy(self) -> MemoryBucket:
        twin = MemoryBucket()
        twin.objects, twin.clock, twin.writes = dict(self.objects), self.clock, self.writes
        return twin


class Died(BaseException):
    """The process is no more: nothing it would still do happens."""


class FaultyBucket:
    """Passes calls on, but for the n-th of those that count: MODE

    dies before | dies after   the process ends, before or after the store did it; no later call is made
    cut short                  the process ends, and of several files only the first was sent
    fails                      this call and all after it are refused
    no answer                  the store did it, and the answer was lost; later calls go well
    """

    def __init__(self, inner: Any, at: int, mode: str, counted: Sequence[str] = CALLS) -> None:
        self.inner, self.at, self.mode, self.calls, self.name = inner, at, mode, 0, inner.name
        self.counted = counted
        self.cut: str | None = None  # the call that it happened at

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(name)
        return lambda *given: self._called(name, getattr(self.inner, name), given)

    def _called(self, name: str, real: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        self.calls += name in self.counted
        if self.calls < self.at:
            return real(*given)
        now = self.calls == self.at and self.cut is None
        if now:
            self.cut = name
        if self.mode == "fails":
            raise OSError(5, "refused")
        if self.mode == "no answer":
            said = real(*given)
            if now:
                raise OSError(110, "no answer")
            return said
        if now and self.mode == "dies after":
            real(*given)
        if now and self.mode == "cut short" and name in ("put_files", "remove"):
            real(given[0][:1])
        raise Died
