"""Files that are whole or absent: written under another name, synced, renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demand.errors import StorageError

STALE_S = 3600.0  # what nothing has touched for so long is nobody's, also where its owner cannot be asked
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def write_whole(path: Path, write: Callable[[Path], object], scratch: Path | None = None) -> Path:
    """Lets `write` make a file under a temporary name, syncs it and renames it: readers see all of it or nothing.

    scratch: where the temporary file lies, on the same file system (None = beside `path`). Raises StorageError when the
    folder cannot be written.
    """
    with _written(path, write, scratch) as part:
        os.replace(part, path)
        sync_folder(path.parent)
    return path


def create_whole(path: Path, write: Callable[[Path], object], scratch: Path | None = None) -> bool:
    """The same where there must be no such file yet: False, and nothing changed, when there is one.

    Of several writers at once exactly one is told True, also on several machines: the name is made by link(2), which
    never replaces (a rename would).
    """
    with _written(path, write, scratch) as part:
        try:
            os.link(part, path)
        except FileExistsError:
            if part.stat().st_nlink < 2:  # two: the link is ours, and a network file system lost its answer
                return False
        part.unlink()
        sync_folder(path.parent)
    return True


@contextmanager
def _written(path: Path, write: Callable[[Path], object], scratch: Path | None) -> Iterator[Path]:
    """A synced file under a temporary name, removed again unless the body moved it away."""
    part = part_of(path, scratch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        yield part
    except OSError as error:
        raise unwritable(path.parent, error) from None
    finally:
        with suppress(OSError):  # nothing to clean up where nothing could be written
            part.unlink(missing_ok=True)


def append_whole(path: Path, lines: bytes) -> None:
    """Appends whole lines to a file that only its owner may read, which several processes append to: all of them or
    none. A line that a dying process cut is ended first. Raises OSError when they do not fit."""
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        cut = size and os.pread(handle, 1, size - 1) != b"\n"
        lines = b"\n" * bool(cut) + lines
        if os.write(handle, lines) != len(lines):
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)


def part_of(path: Path, scratch: Path | None = None) -> Path:
    """A temporary name that says which start of which machine uses it."""
    return (scratch or path.parent) / f".{path.name}.{_boot()[:8]}{uuid.uuid4().hex[:8]}.part"


def remove_parts(folder: Path) -> None:
    """Removes the temporary files in `folder` that nobody writes any more.

    For whoever keeps out this machine's other writers: a file of this very boot is then a dead one's. Others are left
    alone for an hour, as in `collect_leftovers`.
    """
    boot = _boot()[:8]
    for part in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # a writer on another machine has just finished with it
            if (boot and part.suffixes[-2:][0].startswith(f".{boot}")) or _stale(part):
                part.unlink()


def write_whole_folder(path: Path, fill: Callable[[Path], object]) -> Path:
    """The same for a folder: filled under a temporary name beside `path`, synced, renamed. An older one is replaced."""
    temporary = part_of(path)
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


@contextmanager
def staged(parent: Path) -> Iterator[Path]:
    """An empty folder of this process's own below `parent`, to be filled and renamed; what is left of it is removed.

    While the body runs a lock beside the folder is held, so that nobody takes it for a leftover. Leftovers of processes
    that died are removed first. Raises OSError when the folder cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    collect_leftovers(parent)
    folder = parent / uuid.uuid4().hex
    lock = folder.with_suffix(".lock")
    with lock.open("x", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(_boot())
            file.flush()
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # a folder or lock that stays is a leftover that the next one collects
                if not folder.exists():
                    lock.unlink()


def collect_leftovers(parent: Path) -> None:
    """Removes what `staged` left below `parent` when its process died; never the folder of a living one.

    A process of this very boot is dead when its lock is free. Elsewhere (another machine on the same storage, where
    locks may not be seen, or before a restart) nothing is removed until it was left alone for an hour.
    """
    for lock in sorted(parent.glob("*.lock")):
        folder = lock.with_suffix("")
        try:
            with lock.open("r+", encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.read() == _boot() != "" or _stale(folder if folder.is_dir() else lock):
                    if folder.exists():
                        shutil.rmtree(folder)
                    lock.unlink()
        except OSError:  # held by a living process, collected by another one meanwhile, or not ours to touch
            continue
    for folder in sorted(parent.iterdir()):
        with suppress(OSError):  # as above
            if folder.is_dir() and not folder.with_suffix(".lock").exists() and _stale(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _stale(path: Path) -> bool:
    return max(one.stat().st_mtime for one in (path, *path.rglob("*"))) < time.time() - STALE_S


def _boot() -> str:
    """Names this start of this machine's kernel: its own file locks can be trusted. "" where there is no such name."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.is_file() else ""


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


def unwritable(folder: Path, error: OSError, key: str = "storage.root") -> StorageError:
    """The one message for a place that cannot be written; `key` is the setting that names it."""
    return StorageError(
        "the storage cannot be written", folder=str(folder), cause=error.strerror or str(error),
        hint=f"Set {key}= to a place you may write to, with enough room",
    )  # fmt: skip
