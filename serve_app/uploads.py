"""Uploaded files: received under limits, cleaned in a process of their own, kept as a panel until they expire.

    <storage.root>/uploads/<data_id>/{panel/, report.json}

No name or path of a request is used. The file itself, which may name people, is removed as soon as it was read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from demand.durable import staged, unwritable, write_whole
from demand.errors import StorageError, VersionUnreadable
from demand.moments import stamp
from demand.panel import Panel
from demand.store import read_panel
from models.files import read_json, write_json
from serve_app.children import run_child
from serve_app.problems import Refused
from serve_app.schemas.uploads import DATA_ID, UploadAnswer, UploadParameters
from serve_app.settings import ServeSettings
from serve_app.upload_child import plain_columns

FOLDER, INCOMING, KEY, REPORT = "uploads", ".incoming", ".key", "report.json"
UNPACKED = 8  # times max_upload_mb: what a compressed file may unpack to
MOST_COLUMNS = 1_000
MEMORY_BYTES = 4 * 2**30  # of address space, of which a library maps more than it uses: 2,000,000 rows take 1.5 GB
CLEAN_SECONDS = 120.0
AT_ONCE, WAITING = 2, 8  # files cleaned at once, and those that may wait, a replica
MOST_KEPT = 500
Asked = TypeVar("Asked", bound=BaseModel)


class Uploads(Generic[Asked]):
    """The uploads of one storage; several processes may share it.

    plain: the settings tree (its `columns` and `cleaning` decide how files are read). clock: seconds since 1970.
    A subclass keeps something else of a file: in another folder, read by another child, answered in another form.
    """

    folder: ClassVar[str] = FOLDER
    child: ClassVar[str] = "serve_app.upload_child"
    form: ClassVar[type[BaseModel]] = UploadAnswer

    def __init__(
        self,
        storage_root: Path,
        settings: ServeSettings,
        plain: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        clean_seconds: float = CLEAN_SECONDS,
    ) -> None:
        self.root = storage_root / self.folder
        self._settings, self._plain, self._clock = settings, plain or {}, clock
        self._clean_seconds = clean_seconds
        self._places: asyncio.Semaphore | None = None
        self._waiting = 0

    # ---- keeping ----------------------------------------------------------------------------------------------------

    async def add(self, chunks: AsyncIterator[bytes], asked: Asked) -> dict[str, Any]:
        """The report of a file that arrives in pieces; the same file and parameters again: the same data_id, kept
        longer.

        Raises Refused (413 too large, also unpacked; 422 not a table of sales; 429 too many kept; 503 too many at once)
        and StorageError when nothing can be written. Whatever happens, nothing of the file stays behind.
        """
        await asyncio.to_thread(self._prepare)
        if self._waiting >= AT_ONCE + WAITING:
            raise Refused(503, "too_many_at_once", "Many files are being read: come again in a moment", retry_after=5)
        self._waiting += 1
        try:
            with staged(self.root / INCOMING) as folder:
                digest = await self._receive(chunks, folder / "upload")
                data_id = self._name(digest, asked)
                known = await asyncio.to_thread(self._again, data_id)
                if known is not None:
                    return known
                if len(self._kept()) >= MOST_KEPT:
                    raise Refused(
                        429, "too_many_uploads", f"{MOST_KEPT} are kept: delete some, or wait until they expire",
                        retry_after=3600,
                    )  # fmt: skip
                await self._clean(folder, asked)
                return await asyncio.to_thread(self._keep, folder / "kept", data_id)
        except OSError as error:  # no space, or the folder is not ours to write
            raise unwritable(self.root, error) from None
        finally:
            self._waiting -= 1

    async def _receive(self, chunks: AsyncIterator[bytes], path: Path) -> str:
        """Writes the file; returns its sha256. Raises Refused (413, 422)."""
        limit, size, digest = self._settings.max_upload_mb * 2**20, 0, hashlib.sha256()
        with path.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise Refused(413, "file_too_large", f"The file may have at most {limit} bytes", "file", [limit])
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if not size:
            raise Refused(422, "bad_file", "the file is empty. Send its bytes as the body, or as a form's file", "file")
        return digest.hexdigest()

    async def _clean(self, folder: Path, asked: Asked) -> None:
        """Lets a process of its own read `folder/upload` into `folder/kept`. Raises Refused (413, 422)."""
        told = {
            **self._told(asked),
            "max_bytes": self._settings.max_upload_mb * 2**20 * UNPACKED,
            "max_rows": self._settings.max_upload_rows,
            "max_columns": MOST_COLUMNS,
            "memory_bytes": MEMORY_BYTES,
            "cpu_seconds": int(self._clean_seconds),
        }
        write_json(folder / "asked.json", told)
        self._places = self._places or asyncio.Semaphore(AT_ONCE)
        async with self._places:
            status = await run_child(folder, self._clean_seconds, self.child)
        (folder / "upload").unlink()
        if (folder / "refused.json").is_file():
            refused = read_json(folder / "refused.json")
            words = "file_too_large" if refused["status_code"] == 413 else "bad_file"
            raise Refused(refused["status_code"], words, refused["detail"], "file")
        if status != 0:
            why = f"reading it took more than {self._clean_seconds:g} s" if status is None else "it cannot be read"
            raise Refused(422, "bad_file", f"{why}. Send a smaller or simpler file", "file")

    def _told(self, asked: Asked) -> dict[str, Any]:
        """What the child is told of a request."""
        assert isinstance(asked, UploadParameters)
        given = asked.model_dump(exclude_none=True, include={"date", "style", "quantity", "date_format"})
        if asked.decimal != "auto":
            given["decimal"] = asked.decimal
        return {
            "columns": plain_columns(self._plain.get("columns", {}), given),
            "cleaning": dict(self._plain.get("cleaning", {})),
            "freq": asked.freq,
            "encoding": asked.encoding,
        }

    def _shown(self, data_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer says of a report, beside its id and when it expires."""
        return dict(report)

    def _answer(self, data_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
        expires = stamp(datetime.fromtimestamp(report["expires"], UTC))
        rest = {name: value for name, value in report.items() if name != "expires"}
        told = {"status": "success", "data_id": data_id, "expires_at": expires, **self._shown(data_id, rest)}
        self.form.model_validate(told)
        return told

    def _keep(self, kept: Path, data_id: str) -> dict[str, Any]:
        """Puts a cleaned upload in its place, whole or not at all."""
        report = {**read_json(kept / REPORT), "expires": self._expiry()}
        write_json(kept / REPORT, report)
        try:
            os.rename(kept, self.root / data_id)
        except OSError as error:
            known = self._again(data_id)  # the same file came twice at once
            if known is None:
                raise unwritable(self.root, error) from None
            return known
        return self._answer(data_id, report)

    def _prepare(self) -> None:
        """A folder for this user alone, without what has expired."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise unwritable(self.root, error) from None
        self.collect()

    def _again(self, data_id: str) -> dict[str, Any] | None:
        """The report of an upload that is there already, kept longer from now on; None when it is not there."""
        report = self._report(data_id)
        if report is None:
            return None
        report = {**report, "expires": self._expiry()}
        with suppress(StorageError):  # collected at this very moment: said by the next look
            write_whole(self.root / data_id / REPORT, lambda path: write_json(path, report))
        return self._answer(data_id, report)

    def _expiry(self) -> float:
        return self._clock() + self._settings.upload_ttl_hours * 3600

    def _name(self, digest: str, asked: Asked) -> str:
        """The data_id: the same for the same bytes and parameters, and nobody can guess it without our key."""
        said = json.dumps([digest, asked.model_dump()], sort_keys=True)
        return hmac.new(self._key(), said.encode(), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        """The key of this storage, made once whoever comes first."""
        path = self.root / KEY
        if not path.is_file():
            temporary = self.root / f"{KEY}.{secrets.token_hex(8)}"
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                os.write(handle, secrets.token_bytes(32))
                os.fsync(handle)
            finally:
                os.close(handle)
            with suppress(FileExistsError):
                os.link(temporary, path)  # put-if-absent
            temporary.unlink()
        return path.read_bytes()

    # ---- asking -----------------------------------------------------------------------------------------------------

    def report(self, data_id: str) -> dict[str, Any]:
        """The quality report again. Raises Refused (404), the same for what never was, has expired or is no id."""
        found = self._report(data_id)
        if found is None:
            raise unknown()
        return self._answer(data_id, found)

    def panel(self, data_id: str) -> Panel:
        """The cleaned demand, blanks not yet filled. Raises Refused (404)."""
        if self._report(data_id) is None:
            raise unknown()
        try:
            return read_panel(self.root / data_id / "panel")
        except StorageError:
            if (self.root / data_id).exists():
                raise
            raise unknown() from None  # it expired while it was read

    def delete(self, data_id: str) -> None:
        """Removes an upload. Raises Refused (404)."""
        if self._report(data_id) is None or not self._remove(data_id):
            raise unknown()

    def collect(self) -> int:
        """Removes what has expired; returns how many."""
        return sum(self._remove(data_id) for data_id in self._kept() if self._report(data_id) is None)

    def _kept(self) -> list[str]:
        names = os.listdir(self.root) if self.root.is_dir() else []
        return sorted(name for name in names if re.fullmatch(DATA_ID, name))

    def _report(self, data_id: str) -> dict[str, Any] | None:
        """None for what is not there, or is past its time."""
        if not re.fullmatch(DATA_ID, data_id):
            return None
        try:
            found: dict[str, Any] = read_json(self.root / data_id / REPORT)
        except VersionUnreadable:
            return None
        return found if found["expires"] > self._clock() else None

    def _remove(self, data_id: str) -> bool:
        """Out of sight in one step, then gone; False when somebody else was first."""
        with staged(self.root / INCOMING) as bin_:
            try:
                os.rename(self.root / data_id, bin_ / data_id)
            except FileNotFoundError:
                return False
            shutil.rmtree(bin_ / data_id, ignore_errors=True)
        return True


def unknown() -> Refused:
    """The 404 of a data_id."""
    return Refused(404, "unknown_data_id", "no upload has this data_id, or it has expired. Upload the file again",
                   "data_id")  # fmt: skip
