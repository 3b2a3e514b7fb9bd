"""Releases beside the one that answers: opened when asked for, a few kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.monitoring_folder import MonitoringFolder
from models.registry import Registry
from serve_app.book import Book

KEPT = 6


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
    _kept: OrderedDict[int, Book] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def orders(self) -> Path:
        """Where `jobs.replenish` files the newest proposal."""
        return self.monitoring.root.parent / "orders"

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
