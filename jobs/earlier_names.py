"""`export.earlier_names=true`: what a run wrote, also under the names and in the places of earlier systems."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from demand.durable import write_whole
from jobs.fleet import registry_of
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from models.files import read_json, write_json

FOLDER = "earlier"
KEEP_HISTORY = 100  # the newest entries of the history
_STAMP = "%Y%m%d_%H%M%S"


def write_earlier_names(run: RunFolder, settings: Settings) -> Path:
    """Writes the earlier files below the storage root; returns their folder. The numbers are the same, as fractions.

        ml_config.json                      config.json of the run
        production/model_registry.json      registry.json; absent while nothing is released
        training_history.json               history.jsonl as a list, oldest first, the newest 100; absent as above
        training_summary_<when>.json        summary.json
        backtest_results_<when>.json, .png  backtest.json, and backtest.png where it was drawn

    <when> is the run's beginning in UTC, moved on by seconds while another run of the same second has that name. Raises
    StorageError when the folder cannot be written.
    """
    folder = Path(settings.storage.root) / FOLDER
    registry = registry_of(settings)
    _write(folder / "ml_config.json", run.json("config.json"))
    view = registry.view()
    if view is not None:
        _write(folder / "production" / "model_registry.json", view)
    history = registry.history()
    if history:
        _write(folder / "training_history.json", history[-KEEP_HISTORY:])
    summary = run.json("summary.json")
    when = _free_stamp(folder, summary)
    _write(folder / f"backtest_results_{when}.json", run.json("backtest.json"))
    picture = run.file("backtest.png")
    if picture.is_file():
        write_whole(folder / f"backtest_results_{when}.png", lambda path: shutil.copyfile(picture, path))
    # Last: a stamp whose summary is there belongs to a run that wrote all its files.
    _write(folder / f"training_summary_{when}.json", summary)
    return folder


def _free_stamp(folder: Path, summary: Mapping[str, Any]) -> str:
    moment = datetime.fromisoformat(summary["trained_at"])
    while True:
        taken = folder / f"training_summary_{moment:{_STAMP}}.json"
        if not taken.is_file() or read_json(taken)["run_id"] == summary["run_id"]:
            return f"{moment:{_STAMP}}"
        moment += timedelta(seconds=1)


def _write(path: Path, value: Any) -> None:
    write_whole(path, lambda part: write_json(part, value))
