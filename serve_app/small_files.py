"""The small files of a release that tell what its models rest on."""

from __future__ import annotations

from pathlib import Path

from models.files import read_json


def importances(folder: Path, model: str) -> dict[str, float]:
    """Feature -> share of a model's live fit, largest first, equal ones by name; empty when it has none."""
    for path in sorted(folder.glob(f"models/{model}/*/importances.json")):
        found: dict[str, float] = read_json(path)
        if found:
            return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return {}
