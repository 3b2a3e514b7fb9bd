"""Where a registry keeps its files: one small interface, and a folder behind it. `object_store.py` is the other one."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from demand.durable import create_whole, part_of, remove_parts, staged, sync_folder, sync_tree, unwritable, write_whole
from demand.errors import StorageError, VersionUnreadable

RELEASES, FOLDERS = "releases", ("aliases", "log", "releases", "staging")
# What a file system says that has no such call, in words that differ from one to the next.
_UNABLE = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.ENOLCK, errno.EXDEV)


class Store(Protocol):
    """Small files by key ("log/..7.json") and the numbered releases.

    Whatever is written is whole or absent, for every reader and after every crash; what was confirmed stays. Writing
    raises StorageError, reading StorageError where the store cannot be reached and VersionUnreadable where it holds
    something that cannot be read.
    """

    @property
    def name(self) -> str:
        """Where it is, for people; holds no credentials."""

    def place(self, key: str) -> str:
        """The whole address of a key, for people."""

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The bytes, and a tag that changes with them; None when there is no such file."""

    def read_all(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The bytes of those keys that are there."""

    def names(self, prefix: str) -> list[str]:
        """The keys below a prefix that ends with /, ascending."""

    def create(self, key: str, data: bytes) -> bool:
        """Put-if-absent: False, and nothing changed, when the key is there. One of several at once is told True."""

    def replace(self, key: str, data: bytes, expected: str | None) -> bool:
        """Compare-and-set: False, and nothing changed, when the tag is another than expected (None: not there)."""

    def remove(self, key: str) -> None:
        """The key is not there afterwards."""

    def append(self, key: str, lines: bytes) -> None:
        """Adds whole lines at the end, all or none; safe with several writers."""

    def lines(self, key: str) -> bytes:
        """All that was appended, in order."""

    def room(self) -> AbstractContextManager[tuple[Path, Mapping[str, Any]]]:
        """An empty local folder to fill with a release, and what its manifest must say for it to be found again."""

    def send(self, folder: Path) -> None:
        """The files of a sealed folder reach the store; nobody sees them yet."""

    def give(self, folder: Path, number: int) -> bool:
        """Makes what was sent release `number`: put-if-absent."""

    def withdraw(self, folder: Path, number: int) -> None:
        """Undoes `give`, so that the folder can be given another number."""

    def take(self, number: int, anew: bool) -> Path | None:
        """A local folder with the release's files, None when there is no such release.

        anew: as they are in the store at this moment, never a copy made before.
        """

    def drop(self, numbers: Sequence[int]) -> None:
        """Removes releases; no reader sees half of one."""

    def numbers(self) -> list[int]:
        """All releases, ascending."""

    def tidy(self) -> None:
        """Removes what killed publishers left; never what a living one has written."""


class LocalStore:
    """A folder, on this machine or shared.

    Nothing relies on locks between machines: numbers and log entries are made by calls that refuse to replace. The lock
    only keeps this machine's writers from doing work twice, and orders replaced and appended files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._able = False

    @property
    def name(self) -> str:
        return str(self.root)

    def place(self, key: str) -> str:
        return str(self.root / key)

    def read(self, key: str) -> tuple[bytes, str] | None:
        try:
            data = (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise VersionUnreadable("a stored file cannot be read", file=self.place(key), cause=str(error)) from None
        return data, hashlib.sha256(data).hexdigest()

    def read_all(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = ((key, self.read(key)) for key in keys)
        return {key: one[0] for key, one in found if one is not None}

    def names(self, prefix: str) -> list[str]:
        return sorted(prefix + name for name in self._listed(prefix) if not name.startswith("."))

    def create(self, key: str, data: bytes) -> bool:
        with self._lock():
            return create_whole(self.root / key, lambda path: path.write_bytes(data), self.root)

    def replace(self, key: str, data: bytes, expected: str | None) -> bool:
        with self._lock():
            found = self.read(key)
            if (None if found is None else found[1]) != expected:
                return False
            write_whole(self.root / key, lambda path: path.write_bytes(data), self.root)
            return True

    def remove(self, key: str) -> None:
        with self._lock(), self._writes():
            (self.root / key).unlink(missing_ok=True)
            sync_folder((self.root / key).parent)

    def append(self, key: str, lines: bytes) -> None:
        with self._lock(), self._writes(), (self.root / key).open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and not _ends_with_a_line(file, size):
                lines = b"\n" + lines  # what a killed writer left stays a line of its own
            try:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise
            if not size:
                sync_folder(self.root)

    def lines(self, key: str) -> bytes:
        found = self.read(key)
        return b"" if found is None else found[0]

    @contextmanager
    def room(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        with self._lock():
            pass  # the folder is there, and able
        with self._writes(), staged(self.root / "staging") as folder:
            yield folder, {}

    def send(self, folder: Path) -> None:
        sync_tree(folder)

    def give(self, folder: Path, number: int) -> bool:
        target = self._folder(number)
        with self._writes():
            try:
                # On POSIX a folder cannot be renamed onto one that holds files: this is a put-if-absent.
                os.rename(folder, target)
            except OSError:
                if not target.exists():
                    raise
                return False
            sync_folder(target.parent)
        return True

    def withdraw(self, folder: Path, number: int) -> None:
        with self._writes():
            os.rename(self._folder(number), folder)

    def take(self, number: int, anew: bool) -> Path | None:
        return folder if (folder := self._folder(number)).is_dir() else None

    def drop(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        with self._writes(), staged(self.root / "staging") as bin_:
            for number in numbers:
                with suppress(FileNotFoundError):  # another process was quicker
                    os.rename(self._folder(number), bin_ / str(number))  # moved away whole: no reader sees half of it
            sync_folder(self.root / RELEASES)

    def numbers(self) -> list[int]:
        return sorted(int(name) for name in self._listed(RELEASES) if name.isdigit())

    def tidy(self) -> None:
        """Nothing is left to do: `staged` collects leftovers before it makes a folder."""

    def _folder(self, number: int) -> Path:
        return self.root / RELEASES / f"{number:06d}"

    def _listed(self, folder: str) -> list[str]:
        try:
            return os.listdir(self.root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise VersionUnreadable("a folder cannot be read", file=self.place(folder), cause=str(error)) from None

    @contextmanager
    def _writes(self) -> Iterator[None]:
        """The one message for whatever the file system refuses inside."""
        try:
            yield
        except OSError as error:
            raise unwritable(self.root, error) from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with ExitStack() as held:
            with self._writes():
                self.root.mkdir(parents=True, exist_ok=True)
                file = held.enter_context((self.root / ".lock").open("w"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                except OSError as error:
                    raise self._unable(error) from None
                if not self._able:
                    self._test()
                    self._able = True
                remove_parts(self.root)
            yield

    def _test(self) -> None:
        """Before the first write: the folders are made, and the calls that nothing is lost by are tried.

        Raises StorageError when the file system lacks one of them.
        """
        for name in FOLDERS:
            (self.root / name).mkdir(exist_ok=True)
        parts = [part_of(self.root / "able") for _ in range(3)]
        try:
            sync_folder(self.root)
            with suppress(PermissionError):  # one may be allowed to write into a folder and not to list the one above
                sync_folder(self.root.parent)
            with parts[0].open("wb") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
            os.link(parts[0], parts[1])
            with suppress(FileExistsError):
                os.link(parts[0], parts[1])
                raise OSError(errno.EPERM, "a link was made over a file that was there")
            parts[0].unlink()
            os.replace(parts[1], parts[2])
            sync_folder(self.root)
        except OSError as error:
            raise self._unable(error) from None
        finally:
            for part in parts:
                part.unlink(missing_ok=True)

    def _unable(self, error: OSError) -> StorageError:
        if error.errno not in _UNABLE:
            return unwritable(self.root, error)
        return StorageError(
            "this folder cannot hold a registry: hard links, renames, syncs and locks must work there",
            folder=str(self.root), cause=error.strerror or str(error),
            hint="Set storage.root= to a local disk or NFS, or storage.registry_url=s3://bucket/prefix",
        )  # fmt: skip


def _ends_with_a_line(file: BinaryIO, size: int) -> bool:
    file.seek(size - 1)
    return file.read(1) == b"\n"
