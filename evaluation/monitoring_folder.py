"""`<storage.root>/monitoring`: one folder a look, what was found last, and a history that only grows."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from demand.durable import staged, sync_folder, sync_tree, unwritable, write_whole
from demand.errors import SettingsError, VersionUnreadable
from models.files import write_json

log = logging.getLogger(__name__)
FOLDER = "monitoring"


@dataclass(frozen=True)
class MonitoringFolder:
    """<monitor_id>/{monitoring.json, by_style.parquet, by_step.parquet}; latest.json; history.jsonl."""

    root: Path

    @classmethod
    def under(cls, storage_root: str | Path) -> MonitoringFolder:
        return cls(Path(storage_root) / FOLDER)

    @property
    def latest_path(self) -> Path:
        return self.root / "latest.json"

    @property
    def history_path(self) -> Path:
        return self.root / "history.jsonl"

    def add(
        self, monitor_id: str, fill: Callable[[Path], object], latest: Mapping[str, Any], line: Mapping[str, Any]
    ) -> Path:
        """Files a look: its folder whole, then its line in history.jsonl, then latest.json. Returns the folder.

        Safe with several writers. Raises SettingsError when the name is taken, StorageError when nothing can be
        written, ValueError for NaN before the history is touched.
        """
        text = json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n"
        path = self.root / monitor_id
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with staged(self.root / "staging") as folder:
                fill(folder)
                sync_tree(folder)
                with self._lock():
                    if path.exists():
                        raise SettingsError("a look of this name was filed before", key="run_id", found=monitor_id)
                    os.rename(folder, path)
                    sync_folder(self.root)
                    self._append(text)
                    write_whole(self.latest_path, lambda file: write_json(file, latest))
        except OSError as error:
            raise unwritable(self.root, error) from None
        return path

    def _append(self, text: str) -> None:
        with self.history_path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            # What a killed writer left unfinished stays a line of its own.
            whole = size == 0 or file.read(1) == b"\n"
            try:
                file.write((text if whole else "\n" + text).encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise

    def history(self) -> list[dict[str, Any]]:
        """The lines of history.jsonl, oldest first; one that a killed writer left unfinished is only logged."""
        try:
            lines = self.history_path.read_bytes().split(b"\n") if self.history_path.is_file() else []
        except OSError as error:
            raise VersionUnreadable(
                "the history cannot be read", file=str(self.history_path), cause=str(error)
            ) from None
        out = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                log.warning("history.jsonl of the monitor: line %d is not whole and is left out", number)
                continue
            out.append(entry)
        return out

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def new_id(now: datetime) -> str:
    """A name that sorts by time and is nobody else's."""
    return f"{now:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
