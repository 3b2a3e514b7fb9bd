"""A run's folder: its own log. What is there was finished; what is missing is done by `resume=RUN_ID`."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demand.durable import staged, sync_folder, sync_tree, unwritable, write_whole
from demand.errors import SettingsError
from models.files import read_json, write_json

MANIFEST = "manifest.json"
STAGING = ".staging"  # below the root: runs that are being begun
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class RunFolder:
    """`<storage>/<training_registry>/<run_id>/`; every file in it is complete or absent."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, root: Path, run_id: str | None, fill: Callable[[RunFolder], object]) -> RunFolder:
        """A new run. `fill` writes what it begins with, manifest.json among it, into a hidden folder that is renamed.

        So a run that is there can be resumed, and one that was killed before has not taken its name. Raises
        SettingsError when the name is taken or odd, StorageError when the folder cannot be made.
        """
        name = run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        path = _inside(root, name)
        _refuse_taken(path)
        try:
            with staged(root / STAGING) as folder:
                (folder / "batches").mkdir()
                fill(cls(folder))
                sync_tree(folder)
                os.rename(folder, path)
                sync_folder(root)
        except OSError as error:
            _refuse_taken(path)  # by another process meanwhile
            raise unwritable(root, error) from None
        return cls(path)

    @classmethod
    def existing(cls, root: Path, run_id: str) -> RunFolder:
        """The run to resume. Raises SettingsError naming the newest runs when there is none of this name."""
        path = _inside(root, run_id)
        if not (path / MANIFEST).is_file():
            newest = sorted((p.name for p in root.glob("*/") if (p / MANIFEST).is_file()), reverse=True)
            raise SettingsError("no such run to resume", key="resume", found=run_id, runs=newest)
        return cls(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """This process alone works on the run. Raises SettingsError while another one does; ends with the process."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SettingsError("another process works on this run", key="resume", found=self.run_id) from None
            yield

    def file(self, name: str) -> Path:
        return self.path / name

    def json(self, name: str) -> Any:
        return read_json(self.path / name)

    def write_json(self, name: str, value: Any) -> Path:
        """Strict JSON, complete or absent."""
        return write_whole(self.path / name, lambda path: write_json(path, value))


def _refuse_taken(path: Path) -> None:
    if (path / MANIFEST).is_file():
        raise SettingsError("a run of this name exists", key="run_id", found=path.name, hint="Use resume=")
    holds = sorted(one.name for one in path.iterdir()) if path.is_dir() else None
    if holds or (os.path.lexists(path) and holds is None):
        raise SettingsError(
            "the name of the run is taken by something that is no run", key="run_id", found=path.name,
            path=str(path), holds=holds, hint="Remove it, or choose another run_id",
        )  # fmt: skip


def _inside(root: Path, name: str) -> Path:
    if not _RUN_ID.fullmatch(name):
        raise SettingsError("a run id has letters, digits, _ . and - only", key="run_id", found=name)
    return root / name
