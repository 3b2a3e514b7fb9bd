"""What a disk keeps when the power goes: nothing that was not synced.

The strictest reading of POSIX: bytes written since a file's last fsync are half there, and a name made, moved or
removed since its folder's last fsync is as it was before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR


@dataclass
class Disk:
    """Told of each call before it is made (`before`) and of each fsync (`synced`); `lose` is the loss of power.

    spare: an empty folder on the same file system, outside of what is watched.
    """

    spare: Path
    dirty: set[str] = field(default_factory=set)  # files with bytes that may be lost
    names: list[tuple[str, Callable[[], None]]] = field(default_factory=list)  # (folder, how its change is undone)
    _kept: int = 0

    def before(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Notes what the call is about to change."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & WRITES:
                return
            path = os.fspath(path)
            self.dirty.add(path)
            if not os.path.exists(path):
                self._named(path, lambda: _gone(path))
        elif event in ("os.rename", "os.link"):
            source, target = (os.fspath(path) for path in arguments[:2])
            old = self._copy(target)
            if event == "os.rename":
                self._moved(source, target)
                self._named(target, lambda: _back(source, target, old))
            elif not os.path.exists(target):  # else it will be refused
                self._named(target, lambda: _gone(target))
        elif event == "os.mkdir" and not os.path.exists(arguments[0]):
            made = os.fspath(arguments[0])
            self._named(made, lambda: _gone(made))
        elif event == "os.remove" and arguments[1] == -1:
            removed = os.fspath(arguments[0])
            old = self._copy(removed)
            if old is not None:
                self._named(removed, lambda: _restored(removed, old))

    def synced(self, handle: Any) -> None:
        """The file's bytes, or the folder's names, are on the disk."""
        path = os.readlink(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}")
        self.dirty.discard(path)
        if os.path.isdir(path):
            self.names = [(folder, undo) for folder, undo in self.names if folder != path]

    def lose(self) -> None:
        """The watched folder becomes what the disk may hold."""
        for path in self.dirty:
            if os.path.isfile(path):
                os.truncate(path, os.path.getsize(path) // 2)
        for _, undo in reversed(self.names):
            undo()

    def _named(self, path: str, undo: Callable[[], None]) -> None:
        self.names.append((os.path.dirname(path), undo))

    def _moved(self, source: str, target: str) -> None:
        inside = [path for path in self.dirty if path == source or path.startswith(source + os.sep)]
        self.dirty.difference_update(inside)
        self.dirty.discard(target)
        self.dirty.update(target + path[len(source) :] for path in inside)

    def _copy(self, path: str) -> Path | None:
        """The file as it is now, under another name; None where there is none."""
        if not os.path.isfile(path):
            return None
        self._kept += 1
        copy = self.spare / str(self._kept)
        shutil.copy2(path, copy)
        return copy


def _gone(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def _back(source: str, target: str, old: Path | None) -> None:
    if os.path.exists(target):
        if os.path.isdir(os.path.dirname(source)):
            os.rename(target, source)
        else:
            _gone(target)
    if old is not None:
        _restored(target, old)


def _restored(path: str, old: Path | None) -> None:
    if old is not None and os.path.isdir(os.path.dirname(path)):
        shutil.copy2(old, path)
