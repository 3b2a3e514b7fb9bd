"""Releases beside the one that answers: opened when asked for, a few kept, and of each one what a list shows."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demand.errors import VersionUnreadable
from evaluation.monitoring_folder import MonitoringFolder
from models.proposals import Proposals
from models.registry import Registry
from serve_app.book import Book
from serve_app.problems import public

KEPT = 6
DAMAGE_KEPT_S = 60.0  # a release whose files do not match is compared again after so long: it may have been mended


@dataclass(frozen=True)
class Listed:
    """What a list of releases shows of one; of a damaged one nothing is known but why.

    metrics: the stored evaluation of the served model.
    """

    generated_at: str | None = None
    served: str | None = None
    total_styles: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    damaged: str | None = None

    @classmethod
    def of(cls, book: Book) -> Listed:
        """From the release, opened."""
        return cls(
            book.generated_at, book.served, book.styles(book.served).num_rows, dict(book.card["metrics"][book.served])
        )


def open_book(registry: Registry, which: int | str) -> Book:
    """A release by number or alias as a book: every file is compared with the manifest before anything is parsed.

    Raises VersionNotFound or VersionUnreadable.
    """
    release = registry.open(which)
    return Book.open(release.path, release.number, release.manifest_sha256)


@dataclass(frozen=True, eq=False)
class Releases:
    """What the answers about releases read: the registry, each release as a book, and what the monitor found."""

    registry: Registry
    monitoring: MonitoringFolder
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[int, Book] = field(default_factory=OrderedDict)
    _listed: dict[int, tuple[float, Listed]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def proposals(self) -> Proposals:
        """What `jobs.replenish` proposed to order."""
        return Proposals(self.storage_root / "orders")

    @property
    def storage_root(self) -> Path:
        """Where the jobs keep what they made."""
        return self.monitoring.root.parent

    def book(self, number: int) -> Book:
        """The release opened. Raises VersionNotFound (also for one that was removed meanwhile) or VersionUnreadable."""
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None and kept.path.is_dir():
                self._kept.move_to_end(number)
                return kept
        book = open_book(self.registry, number)
        with self._lock:
            self._kept[number] = book
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return book

    def listed(self, number: int) -> Listed:
        """What a list shows of a release; its files are compared with the manifest once, not at every ask.

        Raises VersionNotFound.
        """
        with self._lock:
            at, found = self._listed.get(number, (0.0, None))
        if found is not None and (found.damaged is None or self.clock() - at < DAMAGE_KEPT_S):
            return found
        try:
            found = Listed.of(self.book(number))
        except VersionUnreadable as error:
            found = Listed(damaged=public(error))
        with self._lock:
            self._listed[number] = self.clock(), found
        return found
