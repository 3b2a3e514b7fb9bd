"""What one client may cost: ASGI middleware in front of everything, so that slow or greedy callers harm nobody else."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.problems import Refused
from serve_app.settings import ServeSettings

MAX_QUERY = 4096  # bytes
MAX_DEPTH = 32  # of JSON
MAX_DIGITS = 18  # of a whole number in JSON: beyond it no reader agrees
MAX_CLIENTS = 10_000
SLOWEST = 100_000  # bytes a second of an upload, beyond the first `body_seconds`
SHED_AFTER_S = 1
FILES_AT_ONCE = 16  # bodies that are files, a replica: they flow for as long as their clients like, so not in `Places`
UPLOADS = ("/api/upload_csv", "/api/custom-features")  # paths whose body may be a file
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
FILES = ("multipart/form-data", "text/csv", "application/octet-stream")


class Buckets:
    """Token buckets by client: `rate` a second, `burst` at once; the least recently seen clients are forgotten."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def full_in(self, client: str) -> int:
        """Whole seconds until this client may come again; 0 = now."""
        left = self._level(client)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._rate))

    def take(self, client: str) -> int:
        """Counts one call; returns as `full_in` did before it, and counts nothing when that is not 0."""
        wait = self.full_in(client)
        if not wait:
            self._left[client] = (self._level(client) - 1, self._clock())
            self._left.move_to_end(client)
            if len(self._left) > MAX_CLIENTS:
                self._left.popitem(last=False)
        return wait

    def _level(self, client: str) -> float:
        left, at = self._left.get(client, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - at) * self._rate)


class Rates:
    """ASGI middleware: bounds the query and how often one client may call, before anything is read.

    The ingress spreads one client's requests over the replicas, so each lets an equal share of the rates through.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        on_refused: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._on_refused = app, on_refused
        rate = settings.rate_per_second
        rate = (math.inf if not settings.needs_token else 200.0) if rate == "auto" else float(rate)
        rate, changes = rate / settings.replicas, settings.changes_per_minute / settings.replicas
        self._reads = None if math.isinf(rate) else Buckets(rate, max(1.0, 2 * rate), clock)
        self._changes = Buckets(changes / 60, max(1.0, changes), clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if len(scope.get("query_string", b"")) > MAX_QUERY:
                raise Refused(
                    400, "query_too_long", f"A query may have at most {MAX_QUERY} bytes", "query", [MAX_QUERY]
                )
            buckets = self._reads if scope["method"] in ("GET", "HEAD", "OPTIONS") else self._changes
            wait = buckets.take(client_of(scope)) if buckets else 0
            if wait:
                self._on_refused("rate")
                raise Refused(429, "too_many_requests", f"Come again in {wait} s", retry_after=wait)
        await self._app(scope, receive, send)


class Places:
    """ASGI middleware: bounds a body in size and time, and the number of requests worked on at once.

    Bodies are read here, counted and against a deadline, before the request takes one of the `max_concurrent` places;
    a file flows to its route, and has one of `FILES_AT_ONCE` places of its own: a slow body costs a socket, never a
    place that a read could have. Who finds no place is told so at once (503, Retry-After).
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        on_refused: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._settings, self._on_refused, self._clock = app, settings, on_refused, clock
        self._taken = {True: 0, False: 0}  # by whether the body is a file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        has_body = scope["method"] not in ("GET", "HEAD")
        is_file = has_body and scope["path"] in UPLOADS and kind in FILES
        if has_body:
            receive = await self._body(scope, receive, kind, is_file)
        if self._taken[is_file] >= (FILES_AT_ONCE if is_file else self._settings.max_concurrent):
            self._on_refused("places")
            raise Refused(503, "overloaded", "Come again in a moment", retry_after=SHED_AFTER_S)
        self._taken[is_file] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._taken[is_file] -= 1

    async def _body(self, scope: Scope, receive: Receive, kind: str, is_file: bool) -> Receive:
        """A receive of the whole body, read and judged; a file's body is only counted while it flows."""
        headers = Headers(scope=scope)
        limit = self._settings.max_upload_mb * 2**20 if is_file else self._settings.max_body_kb * 1024
        length = headers.get("content-length", "")
        if length and not length.isdecimal():
            raise Refused(400, "bad_length", "It must be a whole number of bytes", "Content-Length")
        if length and int(length[:20]) > limit:
            raise _too_large(limit)
        counted = self._counted(receive, limit, slowest=SLOWEST if is_file else None)
        if is_file:
            return counted
        parts: list[bytes] = []
        while True:
            message = await counted()
            if message["type"] == "http.disconnect":
                raise Refused(400, "body_not_whole", "The connection ended before the body")
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        whole = b"".join(parts)
        if whole.strip():
            _refuse_kind(kind, whole)
        return _replayed(whole, receive)

    def _counted(self, receive: Receive, limit: int, slowest: int | None) -> Receive:
        deadline, size, ended = self._clock() + self._settings.body_seconds, 0, False

        async def counted() -> Message:
            nonlocal size, ended
            if ended:  # only the end of the connection is still to come
                return await receive()
            allowed = deadline + (size / slowest if slowest else 0) - self._clock()
            try:
                message = await asyncio.wait_for(receive(), max(allowed, 0))
            except TimeoutError:
                self._on_refused("slow")
                raise Refused(
                    408, "body_too_slow", f"Send it within {self._settings.body_seconds:g} s",
                    headers={"Connection": "close"},
                ) from None  # fmt: skip
            ended = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > limit:
                raise _too_large(limit)
            return message

        return counted


def address_of(scope: Scope) -> str:
    """Where a request came from, as its connection says."""
    return str((scope.get("client") or ("unknown", 0))[0])


def client_of(scope: Scope) -> str:
    """What a client is known by: its address, and its token where there is one."""
    return f"{address_of(scope)} {hash(Headers(scope=scope).get('authorization', ''))}"


def strict_body(raw: bytes) -> Any:
    """The value of a JSON body. Raises Refused (400) for doubled keys, NaN, huge numbers, depth and what is no JSON."""

    def no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is there more than once")
        return found

    def whole(text: str) -> int:
        if len(text.lstrip("-")) > MAX_DIGITS:
            raise ValueError(f"a whole number has more than {MAX_DIGITS} digits")
        return int(text)

    def number(text: str) -> float:
        found = float(text)
        if not math.isfinite(found):
            raise ValueError("a number is out of range")
        return found

    def constant(text: str) -> Any:
        raise ValueError(f"{text} is no number of JSON")

    try:
        text = raw.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        return json.loads(
            text, object_pairs_hook=no_doubles, parse_int=whole, parse_float=number, parse_constant=constant
        )
    except (ValueError, RecursionError) as error:
        cause = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise Refused(400, "bad_json", cause, "body") from None


def _depth(text: str) -> int:
    """How deep brackets nest; those inside texts do not count."""
    # possessive, and an unclosed text ends with the body: no second look at any sign
    bare = re.sub(r'(?s)"(?:[^"\\]++|\\.?)*+(?:"|$)', "", text)
    depth = deepest = 0
    for sign in re.findall(r"[\[\]{}]", bare):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_kind(kind: str, body: bytes) -> None:
    if kind == "application/json" or kind.endswith("+json"):
        strict_body(body)
    elif kind not in FORMS:
        raise Refused(
            415, "unsupported_media_type", f"Found {kind or 'no Content-Type'}", "Content-Type",
            ["application/json", *FORMS],
        )  # fmt: skip


def _too_large(limit: int) -> Refused:
    return Refused(413, "body_too_large", f"This body may have at most {limit} bytes", "body", [limit], headers={
        "Connection": "close"})  # fmt: skip


def _replayed(whole: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": whole, "more_body": False}

    return replayed
