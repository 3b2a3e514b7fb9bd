"""Where a copy of the forecasts goes: judged before the work, not after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demand.durable import unwritable
from demand.errors import SettingsError
from jobs.settings import Settings

KEY = "output.forecasts"


def check_output(settings: Settings) -> None:
    """Raises SettingsError or StorageError when `output.forecasts` cannot be written, or would replace other data.

    Only a Parquet file may be replaced, and never one that the run reads. A folder that is missing is made.
    """
    told = settings.output.forecasts
    if told is None:
        return
    if "://" in told:
        raise SettingsError("the copy of the forecasts is a local file", key=KEY, found=told, expected="a path")
    path = Path(told)
    if path.is_dir():
        raise SettingsError("this is a folder", key=KEY, found=told, hint="Name a file, such as forecasts.parquet")
    source = Path(settings.source.path)
    if path.exists() and (path.resolve() == source.resolve() or source.resolve() in path.resolve().parents):
        raise SettingsError("the forecasts would replace the source", key=KEY, found=told, source=str(source))
    if path.is_file() and _begins(path) not in (b"PAR1", b""):
        raise SettingsError(
            "a file that is not Parquet would be replaced", key=KEY, found=told, hint="Name another file"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path.parent, error, KEY) from None


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)
