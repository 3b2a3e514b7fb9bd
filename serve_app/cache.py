"""Answers kept as bytes, so that the same question to the same release is answered once."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response

from serve_app.problems import JSON, Refused, strict_json

GZIP_FROM = 1024  # bytes; less is not worth it
GZIP_LEVEL = 6
OVERHEAD = 600  # bytes a kept answer costs beside its body
MAX_REFUSALS = 2000
MAX_ALIASES, LONGEST_ALIAS = 10_000, 256


def digest_of(body: bytes) -> str:
    """Names the bytes of an answer."""
    return hashlib.sha256(body).hexdigest()[:32]


class Key(NamedTuple):
    """What an answer depends on. parameters: normalised, hashable. day: some words (`stale`) depend on the date."""

    release: int
    data: str
    route: str
    parameters: Hashable
    day: str


@dataclass(frozen=True)
class Answer:
    """The bytes of one answer; `zipped` is None where it is short. what: for the prediction log, None where it is no
    prediction."""

    body: bytes
    zipped: bytes | None
    digest: str
    what: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, value: Any, what: tuple[Any, ...] | None = None) -> Answer:
        """Strict JSON of a value; the same value gives the same bytes, also zipped. Raises ValueError for a NaN."""
        body = strict_json(value)
        zipped = gzip.compress(body, GZIP_LEVEL, mtime=0) if len(body) >= GZIP_FROM else None
        return cls(body, zipped, digest_of(body), what)

    @property
    def size(self) -> int:
        """Bytes it costs to keep."""
        return len(self.body) + len(self.zipped or b"") + OVERHEAD

    def response(self, headers: Headers) -> Response:
        """200 with the body as the client can read it, or 304 when it has these very bytes already."""
        zipped = self.zipped if self.zipped is not None and _takes_gzip(headers.get("accept-encoding", "")) else None
        told = {
            # kept by the client, asked anew each time: a promotion is seen at once
            "Cache-Control": "private, no-cache",
            "ETag": f'"{self.digest}{"-gz" if zipped else ""}"',
            "Vary": "Accept-Encoding",
        }
        if _has(headers.get("if-none-match", ""), self.digest):
            return Response(status_code=304, headers=told)
        if zipped is not None:
            told["Content-Encoding"] = "gzip"
        return Response(self.body if zipped is None else zipped, headers=told, media_type=JSON)


class Cache:
    """Answers by key: the least recently used leave when `max_bytes` are full, each leaves after `ttl_s`.

    One computation a key at a time (single flight), in a thread. Refusals (404 of an unknown style) are kept too, a
    bounded number of them. enabled false: everything is computed, nothing kept. outcome: told of every answer whether
    it was a hit, a miss, shared (another request was computing it), refused or off.
    """

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        *,
        enabled: bool = True,
        outcome: Callable[[str], None] = lambda how: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes, self._ttl_s, self._enabled = max_bytes, ttl_s, enabled
        self._outcome, self._clock = outcome, clock
        self._lock = threading.Lock()  # emptied by the thread that follows the champion
        self._kept: OrderedDict[Key, tuple[Answer, float]] = OrderedDict()
        self._refused: OrderedDict[Key, tuple[Refused, float]] = OrderedDict()
        self._aliases: OrderedDict[Hashable, Key] = OrderedDict()
        self._flying: dict[Key, asyncio.Task[Answer]] = {}
        self._generation = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def answer(self, key: Key, compute: Callable[[], Answer], alias: Hashable = None) -> Answer:
        """The kept answer, or what `compute` returns. Raises what it raises.

        alias: the raw request; `known` finds the answer by it from now on.
        """
        if not self._enabled:
            self._outcome("off")
            return await asyncio.to_thread(compute)
        found = self._get(key)
        if found is not None:
            self._outcome("hit")
            self._note_alias(alias, key)
            return found
        flying = self._flying.get(key)
        self._outcome("miss" if flying is None else "shared")
        if flying is None:
            flying = asyncio.create_task(self._fly(key, compute, self._generation))
            self._flying[key] = flying
        answer = await asyncio.shield(flying)  # who leaves does not end it for the others
        self._note_alias(alias, key)
        return answer

    def known(self, alias: Hashable) -> Answer | None:
        """The kept answer to a raw request that was answered before; counts as a hit."""
        key = self._aliases.get(alias)
        if key is None:
            return None
        try:
            found = self._get(key)
        except Refused:
            return None
        if found is not None:
            self._outcome("hit")
        return found

    def clear(self) -> None:
        """Forgets everything: another release answers."""
        with self._lock:
            self._generation += 1
            for kept in (self._kept, self._refused, self._aliases):
                kept.clear()
            self.bytes = 0

    async def _fly(self, key: Key, compute: Callable[[], Answer], generation: int) -> Answer:
        try:
            answer = await asyncio.to_thread(compute)
            self._keep(key, answer, generation)
            return answer
        except Refused as refused:
            if refused.status_code == 404:
                with self._lock:
                    self._refused[key] = refused, self._clock()
                    if len(self._refused) > MAX_REFUSALS:
                        self._refused.popitem(last=False)
            raise
        finally:
            self._flying.pop(key, None)

    def _get(self, key: Key) -> Answer | None:
        with self._lock:
            refused = self._refused.get(key)
            if refused is not None and self._clock() - refused[1] < self._ttl_s:
                self._outcome("refused")
                raise refused[0].with_traceback(None)
            found = self._kept.get(key)
            if found is None:
                return None
            answer, at = found
            if self._clock() - at >= self._ttl_s:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return answer

    def _keep(self, key: Key, answer: Answer, generation: int) -> None:
        with self._lock:
            if generation != self._generation or answer.size > self._max_bytes:
                return
            if key in self._kept:
                self._drop(key)
            self._kept[key] = answer, self._clock()
            self.bytes += answer.size
            while self.bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        answer, _ = self._kept.pop(key)
        self.bytes -= answer.size

    def _note_alias(self, alias: Hashable, key: Key) -> None:
        if alias is None:
            return
        with self._lock:
            self._aliases[alias] = key
            if len(self._aliases) > MAX_ALIASES:
                self._aliases.popitem(last=False)


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _has(sent: str, digest: str) -> bool:
    """Whether If-None-Match names these bytes, in whatever encoding the client holds them."""
    tags = (tag.strip().removeprefix("W/").strip('"').removesuffix("-gz") for tag in sent.split(","))
    return any(tag in (digest, "*") for tag in tags)
