"""A run's folder: its own log. What is there was finished; what is missing is done by `resume=RUN_ID`."""

from __future__ import annotations

import fcntl
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demand.durable import unwritable, write_whole
from demand.errors import SettingsError
from models.files import read_json, write_json

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class RunFolder:
    """`<storage>/<training_registry>/<run_id>/`; every file in it is complete or absent."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, root: Path, run_id: str | None = None) -> RunFolder:
        """A new, empty run. Raises SettingsError when the name is taken or odd, StorageError when it cannot be made."""
        name = run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        path = _inside(root, name)
        try:
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            (path / "batches").mkdir()
        except FileExistsError:
            raise SettingsError("a run of this name exists", key="run_id", found=name, hint="Use resume=") from None
        except OSError as error:
            raise unwritable(root, error) from None
        return cls(path)

    @classmethod
    def existing(cls, root: Path, run_id: str) -> RunFolder:
        """The run to resume. Raises SettingsError naming the newest runs when there is none of this name."""
        path = _inside(root, run_id)
        if not (path / "manifest.json").is_file():
            newest = sorted((p.name for p in root.glob("*/") if (p / "manifest.json").is_file()), reverse=True)
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


def _inside(root: Path, name: str) -> Path:
    if not _RUN_ID.fullmatch(name):
        raise SettingsError("a run id has letters, digits, _ . and - only", key="run_id", found=name)
    return root / name
