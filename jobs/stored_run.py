"""What a run to resume was told: its stored files, read so that a damaged one is a clear error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from demand.errors import SettingsError, StorageError, VersionUnreadable
from jobs.run_folder import MANIFEST, RunFolder
from jobs.settings import Settings, as_plain

# What a resumed run may be told anew: none of it can change a number.
FRESH = ("cluster", "progress", "log_level", "max_parallel_jobs", "parallel_training", "max_seconds", "output")
# Said to find the run, not to change it.
_FINDS = ("resume", "storage.root", "storage.training_registry")
_INTENT = {"train", "carried", "idle", "notes", "release", "origins"}
_HINT = "The run cannot go on: start a new one"


def runs_root(settings: Settings) -> Path:
    """Where runs are written."""
    return Path(settings.storage.root) / settings.storage.training_registry


def stored_settings(run: RunFolder) -> Settings:
    """The settings the run began with. Raises StorageError when config.yaml is missing, damaged or of another kind."""
    path = run.file("config.yaml")
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _damaged(run, path.name, f"{type(error).__name__}: {error}") from None
    if not isinstance(values, Mapping):
        raise _damaged(run, path.name, "it holds no settings")
    try:
        return Settings.from_mapping(values)
    except SettingsError as error:
        raise _damaged(run, path.name, str(error)) from None


def stored_facts(run: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """manifest.json and cleaning.json of the run. Raises StorageError when one is missing or damaged."""
    manifest, report = (_mapping(run, name) for name in (MANIFEST, "cleaning.json"))
    intent = manifest.get("intent")
    if not isinstance(manifest.get("job"), str) or (
        intent and not (isinstance(intent, dict) and intent.keys() >= _INTENT)
    ):
        raise _damaged(run, MANIFEST, "it does not say what the run set out to do")
    return manifest, report


def changed_keys(settings: Settings, stored: Settings, said: Collection[str]) -> list[str]:
    """The dotted keys among `said` whose value is another than the run began with, as `key=value, the run has ..`."""
    now, then = _leaves(as_plain(settings)), _leaves(as_plain(stored))
    kept = [key for key in said if key.split(".")[0] not in FRESH and key not in _FINDS]
    return [f"{key}={now.get(key)}, the run has {then.get(key)}" for key in kept if now.get(key) != then.get(key)]


def _leaves(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{where}{key}.") if isinstance(value, Mapping) and value else {f"{where}{key}": value}
    return found


def _mapping(run: RunFolder, name: str) -> dict[str, Any]:
    try:
        value = run.json(name)
    except (VersionUnreadable, RecursionError) as error:
        raise _damaged(run, name, str(error)) from None
    if not isinstance(value, dict):
        raise _damaged(run, name, f"it holds a {type(value).__name__}, not facts by name")
    return value


def _damaged(run: RunFolder, name: str, cause: str) -> StorageError:
    return StorageError("a file of the run cannot be used", resume=run.run_id, file=name, cause=cause, hint=_HINT)
