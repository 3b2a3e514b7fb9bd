"""The outermost layer: each request gets a name, each answer safe headers, each failure the one shape of a problem."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.problems import Refused, problem

log = logging.getLogger(__name__)
# Headers by which a client would steer Ray Serve itself.
STRIPPED = {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve_multiplexed_model_id"}
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self'{nonce}; style-src 'self'{nonce}; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# As ASGI has them.
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_POLICY = CONTENT_POLICY.format(nonce="").encode()
# (request, status, seconds) of every answer
Seen = Callable[[Scope, int, float], None]


class Edge:
    """ASGI middleware. What is raised inside becomes an answer here and is logged under the request's name."""

    def __init__(self, app: ASGIApp, seen: Seen, named: bool = True) -> None:
        self._app, self._seen, self._named = app, seen, named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = request_id_of(Headers(scope=scope))
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in STRIPPED]
        bare = scope["method"] == "HEAD"  # answered as a GET whose body stays here
        if bare:
            scope["method"] = "GET"
        status = 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = f" 'nonce-{state['nonce']}'" if "nonce" in state else ""
                policy = CONTENT_POLICY.format(nonce=said).encode() if said else _POLICY
                headers = list(message.get("headers", ()))
                there = {name for name, _ in headers}
                more = [*_HEADERS, (b"content-security-policy", policy)]
                if self._named:
                    more.append((b"x-request-id", request_id.encode()))
                headers += [pair for pair in more if pair[0] not in there]
                message = {**message, "headers": headers}
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception as error:  # the outermost door: whatever happened becomes an answer
            refused = error if isinstance(error, Refused) else None
            if refused is None:
                log.error("%s: %s %s failed", request_id, scope["method"], shown(scope["path"]), exc_info=error)
                refused = Refused(500, "internal_fault", f"{type(error).__name__}; the log tells more")
            if status:  # too late for another answer
                raise
            await problem(refused, request_id)(scope, receive, marked)
        finally:
            self._seen(scope, status, time.perf_counter() - began)


def request_id_of(headers: Mapping[str, str]) -> str:
    """The client's own id when it is a plain short word, else a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid.uuid4().hex


def shown(text: str) -> str:
    """Text of a client, safe in a line of a log: quoted, no line ends, no control characters, not long."""
    return json.dumps(text[:200], ensure_ascii=True)
