"""Files that are whole or absent: written under another name, synced, renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from demand.errors import StorageError


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Lets `write` make a file under a temporary name, syncs it and renames it: readers see all of it or nothing.

    Raises StorageError when the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # nothing to clean up where nothing could be written
            temporary.unlink(missing_ok=True)
        raise unwritable(path.parent, error) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def write_whole_folder(path: Path, fill: Callable[[Path], object]) -> Path:
    """The same for a folder: filled under a temporary name beside `path`, synced, renamed. An older one is replaced."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        sync_tree(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise unwritable(path.parent, error) from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return path


def sync_tree(folder: Path) -> None:
    """Every file and folder below `folder` reaches the disk."""
    for inside, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(inside, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(inside))


def sync_folder(folder: Path) -> None:
    """The folder's own entries reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritable(folder: Path, error: OSError) -> StorageError:
    """The one message for a place that cannot be written."""
    return StorageError(
        "the storage cannot be written", folder=str(folder), cause=error.strerror or str(error),
        hint="Set storage.root= to a folder you may write to, with enough room",
    )  # fmt: skip
