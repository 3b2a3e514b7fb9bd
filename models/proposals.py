"""Purchase proposals as they are kept for those who serve them: the newest, and the ones before it.

    <root>/latest.json                   the newest proposal: its summary and dearest orders
    <root>/proposals/<run_id>/           proposal.json the same of that run, head.json what a list shows of it,
                                         proposal.csv every order

A name that somebody asks for is compared with those that are there; no path is made from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demand.durable import write_whole, write_whole_folder
from demand.errors import VersionUnreadable
from models.files import read_json, write_json

KEPT = 30  # proposals; the run's own folder holds each as long as that is kept
CSV = "proposal.csv"
_HEAD = ("run_id", "at", "release", "origin", "kind", "unit", "method", "items")


@dataclass(frozen=True)
class Proposals:
    """The folder `orders` of a storage root; it changes with every run."""

    root: Path

    def add(self, told: Mapping[str, Any], write_csv: Callable[[Path], object]) -> bool:
        """Keeps a proposal and makes it the newest; of those before it the KEPT newest stay. Returns whether it is the
        newest now: one in which no item could be decided takes the place of none that decided any.

        told: strict JSON with run_id, at (UTC), the summary and the dearest `orders`, as `jobs.replenish` files it.
        write_csv: writes all orders to the path it is given. A run that is there already is replaced. Raises
        StorageError when the folder cannot be written; then the newest is what it was.
        """

        def fill(folder: Path) -> None:
            write_csv(folder / CSV)
            write_json(folder / "proposal.json", told)
            write_json(folder / "head.json", {name: told[name] for name in _HEAD})

        write_whole_folder(self._folder / told["run_id"], fill)
        newest = not _decided_nothing(told) or not self._decided_before()
        if newest:
            write_whole(self.root / "latest.json", lambda path: write_json(path, told))
        for head in self.heads()[KEPT:]:
            shutil.rmtree(self._folder / head["run_id"], ignore_errors=True)  # another run may remove it as well
        return newest

    def _decided_before(self) -> bool:
        """Whether the newest proposal decided anything; a damaged file did not."""
        try:
            before = self.latest()
        except VersionUnreadable:
            return False
        return before is not None and not _decided_nothing(before)

    def latest(self) -> dict[str, Any] | None:
        """The newest proposal that decided anything, else the newest; None where none was filed. Raises
        VersionUnreadable for a damaged file."""
        return _there(self.root / "latest.json")

    def heads(self) -> list[dict[str, Any]]:
        """run_id, at, release, origin, kind, unit, method and items of each proposal kept, the newest first."""
        found = [head for name in self._names() if (head := _there(self._folder / name / "head.json")) is not None]
        return sorted(found, key=lambda head: (head["at"], head["run_id"]), reverse=True)

    def of(self, run_id: str) -> dict[str, Any] | None:
        """The proposal of a run; None where it is not kept."""
        return _there(self._folder / run_id / "proposal.json") if run_id in self._names() else None

    def csv(self, run_id: str) -> Path | None:
        """The file of all orders of a run; None where it is not kept."""
        return self._folder / run_id / CSV if run_id in self._names() else None

    @property
    def _folder(self) -> Path:
        return self.root / "proposals"

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return [path.name for path in self._folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _decided_nothing(told: Mapping[str, Any]) -> bool:
    items = told["items"]
    return bool(items["no_data"] == items["in"])


def _there(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None where there is none, or no longer. Raises VersionUnreadable for a damaged one."""
    try:
        return dict(read_json(path))
    except VersionUnreadable:
        if path.is_file():
            raise
        return None
