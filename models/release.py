"""A release: one immutable version of the whole fleet - models, weights, forecasts and the figures behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demand.errors import VersionUnreadable
from models.files import read_json, write_json

MANIFEST = "manifest.json"
FORMAT = 1
# What a release may hold. Nothing here can run code when it is read.
SUFFIXES = (".json", ".jsonl", ".npz", ".parquet", ".ubj", ".keras", ".h5", ".yaml")


def seal(folder: Path, facts: Mapping[str, Any]) -> str:
    """Writes manifest.json: the facts, and size and sha256 of every file in `folder`. Returns the manifest's sha256.

    Raises VersionUnreadable when the folder holds a link or a file of a kind a release may not hold.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or path.suffix not in SUFFIXES:
            raise VersionUnreadable("a release holds plain data files only", file=name, expected=SUFFIXES)
        files[name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    write_json(folder / MANIFEST, {"format": FORMAT, **facts, "files": files})
    return sha256_of(folder / MANIFEST)


def read_config(folder: Path) -> dict[str, Any]:
    """The settings of the run that made a release, as plain containers; `models` is among them.

    Raises VersionUnreadable when config.yaml cannot be read or holds none.
    """
    try:
        found = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise VersionUnreadable("config.yaml cannot be read", folder=folder.name, cause=str(error)) from None
    if not isinstance(found, dict) or not isinstance(found.get("models"), dict):
        raise VersionUnreadable(
            "config.yaml holds no settings", folder=folder.name, hint="Run python -m jobs.pipeline for another release"
        )
    return found


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Release:
    """A release on disk, its manifest read and its files compared with it."""

    path: Path
    number: int
    manifest: Mapping[str, Any]
    manifest_sha256: str

    @classmethod
    def open(cls, path: Path, number: int) -> Release:
        """Raises VersionUnreadable when a file is missing, added, changed, of another format or cannot be read, before
        it is parsed."""
        try:
            raw = (path / MANIFEST).read_bytes()
            manifest = json.loads(raw)
            _compare(path, number, manifest)
        except (OSError, ValueError) as error:
            raise VersionUnreadable("a stored file cannot be read", release=number, cause=str(error)) from None
        return cls(path, number, manifest, hashlib.sha256(raw).hexdigest())

    def file(self, name: str) -> Path:
        return self.path / name

    def json(self, name: str) -> Any:
        return read_json(self.path / name)

    def config(self) -> dict[str, Any]:
        """The settings of the run that made the release; see `read_config`."""
        return read_config(self.path)


def listed_files(manifest: Any, number: int) -> dict[str, Mapping[str, Any]]:
    """{file below the release: {bytes, sha256}}. Raises VersionUnreadable when the manifest is of another format, or
    names a file that a release cannot hold."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise VersionUnreadable("the release has another format", release=number, expected=FORMAT)
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(fact, dict) and {"bytes", "sha256"} <= fact.keys() for fact in files.values()
    ):
        raise VersionUnreadable("the manifest does not say what the files are", release=number)
    for name in files:
        parts = name.split("/")
        if Path(name).suffix not in SUFFIXES or "\\" in name or "\0" in name or {"", ".", ".."} & {*parts}:
            raise VersionUnreadable("a release holds plain data files only", file=name, expected=SUFFIXES)
    return files


def _compare(path: Path, number: int, manifest: Any) -> None:
    """Raises VersionUnreadable where the files below `path` are not those of the manifest."""
    files = listed_files(manifest, number)
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir() or p.is_symlink()}
    odd = sorted(found ^ {*files, MANIFEST})
    if odd:
        raise VersionUnreadable("files were added or are missing", release=number, files=odd)
    for name, fact in files.items():
        file = path / name
        if file.is_symlink() or file.stat().st_size != fact["bytes"] or sha256_of(file) != fact["sha256"]:
            raise VersionUnreadable("a file was changed after it was released", release=number, file=name)
