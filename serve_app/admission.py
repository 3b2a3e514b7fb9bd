"""Who is let in by the process that accepts connections: how many connections are open, how many reads are answered.

One Python process carries every request to the replicas. Asked for more than it can carry, it would take everything in
and answer nobody in time; here what is too much is refused at once, at a hundredth of the price of an answer.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.problems import JSON, Refused
from serve_app.settings import ServeSettings

RETRY_AFTER_S = 1
OF_ONE_ADDRESS = 0.75  # of the connections: the rest is left to others. A proxy in front is one address too
READS = ("GET", "HEAD")
ALWAYS = ("/-/healthz", "/health", "/health/ready")  # who asks these restarts what does not answer
# Ray starts the accepting process; what it inherits is the environment.
CONNECTIONS, IN_FLIGHT = "LOOMCAST_MAX_CONNECTIONS", "LOOMCAST_MAX_IN_FLIGHT"

_FULL = Refused(503, "overloaded", "Come again in a moment", retry_after=RETRY_AFTER_S)
_BODY = json.dumps(_FULL.body("")).encode()
# What a connection that is one too many reads, before it is closed.
FULL_ANSWER = (
    f"HTTP/1.1 503 Service Unavailable\r\nretry-after: {RETRY_AFTER_S}\r\ncontent-type: {JSON}\r\n"
    f"content-length: {len(_BODY)}\r\nconnection: close\r\n\r\n"
).encode() + _BODY


def environment(settings: ServeSettings) -> dict[str, str]:
    """What the accepting process is told of the settings."""
    in_flight = settings.replicas * settings.max_concurrent
    return {CONNECTIONS: str(settings.max_connections), IN_FLIGHT: str(in_flight)}


@dataclass(eq=False)
class Admission:
    """The counts of one process. max_connections: open at once; max_in_flight: reads being answered at once.

    Requests with a body are not counted as reads: their bodies may come slowly, so their places are counted where the
    body is whole (serve_app/limits.py).
    """

    max_connections: int
    max_in_flight: int
    in_flight: int = 0
    connections: Counter[str] = field(default_factory=Counter)

    @classmethod
    def told(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """With the limits of the environment, or those of default settings on a cluster that was started before."""
        limits = environment(ServeSettings())
        connections, in_flight = (int(environ.get(name, limits[name])) for name in (CONNECTIONS, IN_FLIGHT))
        return cls(connections, in_flight)

    def enter(self, address: str) -> bool:
        """Counts a connection of this address, unless it is one too many. Whoever entered must `leave`."""
        of_one = max(1, int(self.max_connections * OF_ONE_ADDRESS))
        if self.connections.total() >= self.max_connections or self.connections[address] >= of_one:
            return False
        self.connections[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection of this address is closed."""
        self.connections[address] -= 1
        if self.connections[address] <= 0:
            del self.connections[address]

    def admitted(self, app: ASGIApp, scope: Scope) -> ASGIApp:
        """What answers this request: `app`, counted until it is done, or a refusal when enough are in flight."""
        if scope["method"] not in READS or scope["path"] in ALWAYS:
            return app
        if self.in_flight >= self.max_in_flight:
            return _refuse
        self.in_flight += 1

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.in_flight -= 1

        return counted


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(_BODY, _FULL.status_code, _FULL.headers, media_type=JSON)(scope, receive, send)
