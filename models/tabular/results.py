"""Fine-tuning runs on disk, `<storage>/finetune/<id>/`: result.json, report.html, model/; the newest is found again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demand.durable import write_whole_folder
from demand.errors import SettingsError, VersionUnreadable
from models.files import read_json, write_json

FOLDER, RESULT, REPORT, MODEL = "finetune", "result.json", "report.html", "model"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def keep(root: Path, name: str, result: dict[str, Any], fill: Callable[[Path], object]) -> Path:
    """Writes a run's folder whole or not at all; `fill` adds to it. Raises SettingsError for a name that is taken."""
    if not _NAME.fullmatch(name):
        raise SettingsError("a run id has letters, digits, _ . and - only", key="run_id", found=name)
    folder = root / FOLDER / name
    if folder.exists():
        raise SettingsError("a run of this name exists", key="run_id", found=name, hint="Choose another, or none")

    def write(path: Path) -> None:
        fill(path)
        write_json(path / RESULT, result)

    return write_whole_folder(folder, write)


def newest(root: Path) -> dict[str, Any] | None:
    """The result of the newest run, None when there is none. Raises VersionUnreadable for a damaged one."""
    folder = root / FOLDER
    found = [read(path) for path in folder.glob(f"*/{RESULT}") if _NAME.fullmatch(path.parent.name)] \
        if folder.is_dir() else []  # fmt: skip
    return max(found, key=lambda one: (one["at"], one["finetune_id"])) if found else None


def read(path: Path) -> dict[str, Any]:
    """One result.json. Raises VersionUnreadable when it is none."""
    found = read_json(path)
    if not isinstance(found, dict) or not {"finetune_id", "at", "metrics"} <= found.keys():
        raise VersionUnreadable("a stored file is no result of fine-tuning", file=f"{path.parent.name}/{path.name}")
    return found
