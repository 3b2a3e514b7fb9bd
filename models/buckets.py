"""What an object store must be able to do for a registry, and S3 doing it through the client of s3fs."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol

from demand.errors import SettingsError
from demand.masking import masked

AT_ONCE = 8  # transfers
_DELETE_AT_ONCE = 1000  # the most S3 takes
_BUSY = ("ConditionalRequestConflict", "OperationAborted")  # 409: another write of the same key is under way
_TRIES = 8
_MARK = "writer"  # the name of the metadata


@dataclass(frozen=True)
class Stored:
    """An object: its bytes, the tag that a conditional write names, and the mark of who wrote it."""

    data: bytes
    tag: str
    mark: str


@dataclass(frozen=True)
class Entry:
    """An object in a listing; modified by the store's own clock."""

    key: str
    size: int
    modified: datetime


class Bucket(Protocol):
    """Objects by key. Every method raises OSError when the store cannot be reached or refuses."""

    @property
    def name(self) -> str:
        """The address, without credentials."""

    def get(self, key: str) -> Stored | None:
        """None when there is no such object."""

    def put(self, key: str, data: bytes, mark: str, expected: str | None) -> bool:
        """Writes if the object's tag is the expected one (None: if there is no object); False when it is not."""

    def put_files(self, files: Sequence[tuple[str, Path]]) -> None:
        """Uploads each file to its key."""

    def get_files(self, files: Sequence[tuple[str, Path]]) -> None:
        """Downloads each key to its path, whose folder is there."""

    def listed(self, prefix: str) -> list[Entry]:
        """All objects whose key begins so, by key."""

    def folders(self, prefix: str) -> list[str]:
        """What stands between the prefix and the next / of the keys."""

    def remove(self, keys: Sequence[str]) -> None:
        """The keys are not there afterwards."""

    def now(self) -> datetime:
        """The store's own clock, to compare `modified` with."""


def parsed(address: str) -> tuple[str, str]:
    """(bucket, prefix) of s3://bucket/prefix. Raises SettingsError for any other address, also one with keys."""
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/?", address)
    prefix = (match.group(2) or "") if match else ""
    if match is None or any(part in ("", ".", "..") for part in prefix.split("/") if prefix) or "?" in prefix:
        raise SettingsError(
            "not an address of a bucket", key="storage.registry_url", found=masked(address),
            expected="s3://bucket/prefix",
            hint="Keys and the endpoint are read from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ..)",
        )  # fmt: skip
    return match.group(1), prefix


class S3Bucket:
    """A bucket that speaks S3 with conditional writes (If-None-Match, If-Match on PutObject).

    Credentials, region and endpoint are those s3fs finds: the environment, ~/.aws, or fsspec's own configuration.
    """

    def __init__(self, address: str) -> None:
        self._bucket, self._prefix = parsed(address)
        self._client: tuple[int, Any] = (0, None)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": (0, None)}

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def _fs(self) -> Any:
        """The client of this process; one that came through a fork does not work."""
        if self._client[0] != os.getpid():
            from fsspec import filesystem

            self._client = (os.getpid(), filesystem("s3", use_listings_cache=False, skip_instance_cache=True))
        return self._client[1]

    def get(self, key: str) -> Stored | None:
        async def got(fs: Any) -> Stored:
            answer = await fs._call_s3("get_object", Bucket=self._bucket, Key=self._key(key))
            try:
                data: bytes = await answer["Body"].read()
            finally:
                answer["Body"].close()
            return Stored(data, answer["ETag"], answer.get("Metadata", {}).get(_MARK, ""))

        try:
            stored: Stored = self._run(got)
        except OSError as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise
        return stored

    def put(self, key: str, data: bytes, mark: str, expected: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}

        async def put(fs: Any) -> None:
            for again in range(_TRIES):
                try:
                    with _only_os_errors():
                        await fs._call_s3(
                            "put_object", Bucket=self._bucket, Key=self._key(key), Body=data, Metadata={_MARK: mark},
                            ContentType="application/json", **condition,
                        )  # fmt: skip
                    return
                except OSError as error:
                    if _code(error) not in _BUSY or again == _TRIES - 1:
                        raise
                    await asyncio.sleep(0.05 * 2**again)

        try:
            self._run(put)
        except OSError as error:
            if _code(error) in ("PreconditionFailed", "412") or (expected and _code(error) in ("NoSuchKey", "404")):
                return False
            raise
        return True

    def put_files(self, files: Sequence[tuple[str, Path]]) -> None:
        self._run(lambda fs: _all(fs._put_file(str(path), self._path(key)) for key, path in files))

    def get_files(self, files: Sequence[tuple[str, Path]]) -> None:
        self._run(lambda fs: _all(fs._get_file(self._path(key), str(path)) for key, path in files))

    def listed(self, prefix: str) -> list[Entry]:
        found = (one for page in self._pages(prefix) for one in page.get("Contents", ()))
        cut = len(self._key(""))
        return [Entry(one["Key"][cut:], one["Size"], one["LastModified"]) for one in found]

    def folders(self, prefix: str) -> list[str]:
        found = (one["Prefix"] for page in self._pages(prefix, Delimiter="/") for one in page.get("CommonPrefixes", ()))
        return [one[len(self._key(prefix)) : -1] for one in found]

    def remove(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            objects = [{"Key": self._key(key)} for key in keys[start : start + _DELETE_AT_ONCE]]
            said = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            if said.get("Errors"):
                raise OSError(f"not removed: {said['Errors'][0].get('Code')} {said['Errors'][0].get('Key')}")

    def now(self) -> datetime:
        said = self._call("list_objects_v2", Prefix=self._key(""), MaxKeys=1)
        date = said["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(date) if date else datetime.now(UTC)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _path(self, key: str) -> str:
        return f"{self._bucket}/{self._key(key)}"

    def _pages(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call("list_objects_v2", Prefix=self._key(prefix), **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        said: dict[str, Any] = self._run(lambda fs: fs._call_s3(method, Bucket=self._bucket, **arguments))
        return said

    def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """What an asynchronous piece of work gives. Raises OSError alone."""
        from fsspec.asyn import sync

        with _only_os_errors():
            fs = self._fs
            return sync(fs.loop, work, fs)


@contextmanager
def _only_os_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    """Awaits everything, a few at a time. The first failure is raised, after the rest has ended."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(piece: Awaitable[Any]) -> None:
        async with slots:
            await piece

    failed = [said for said in await asyncio.gather(*map(one, work), return_exceptions=True) if said is not None]
    if failed:
        raise failed[0]


def _code(error: OSError) -> str:
    """The store's own word for what went wrong, "" when it did not answer."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
