"""The small files of a release that tell how its models were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from demand.errors import VersionUnreadable
from models.files import read_json


def run_settings(folder: Path) -> Mapping[str, Any]:
    """The settings of the run that made the release. Raises VersionUnreadable: config.yaml holds none."""
    try:
        found = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise VersionUnreadable("config.yaml cannot be read", folder=folder.name, cause=str(error)) from None
    if not isinstance(found, dict) or not isinstance(found.get("models"), dict):
        raise VersionUnreadable(
            "config.yaml holds no settings", folder=folder.name, hint="Run python -m jobs.pipeline for another release"
        )
    return found


def importances(folder: Path, model: str) -> dict[str, float]:
    """Feature -> share of a model's live fit, largest first, equal ones by name; empty when it has none."""
    for path in sorted(folder.glob(f"models/{model}/*/importances.json")):
        found: dict[str, float] = read_json(path)
        if found:
            return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return {}
