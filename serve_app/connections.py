"""One HTTP connection under limits: whether it may come in, how large a request's head may be, how long it may take.

uvicorn's fast parser (httptools) has neither limit: a header of 60 MB is read whole, on the one thread that serves
everybody. Ray gives no option for it, but calls a function of ours in the process that accepts connections, before it
opens its port: `bounded`, named in `deployment.ENVIRONMENT`.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serve_app.admission import FULL_ANSWER, Admission

CALLBACK = f"{__name__}.bounded"
MAX_HEAD = 64 * 1024  # bytes of a request's first line and headers
HEAD_S = 5.0  # from the first byte, or from the connection, to the end of the headers
GRACE_S = 0.25  # a busy loop may find its timers due before it has read what lies there
LINGER_S = 1.0  # what is still sent after a refusal is thrown away, so that the client reads why


class Connection(HttpToolsProtocol):
    """uvicorn's own connection with a bounded head: 431 for a larger one, 408 for a slower one, then it is closed.

    What follows a body as trailers counts as a head.
    """

    admission: ClassVar[Admission]  # of the process: set by `bounded`
    _address = ""  # as counted by the admission; nothing where it was not let in
    _unread = 0  # bytes that came and were no body, since a head, or a piece of a body, was whole
    _size = 0  # bytes of this head, as parsed
    _in_head = True
    _refused = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        address = self.client[0] if self.client else "unknown"
        if not self.admission.enter(address):
            self._end(FULL_ANSWER)
            return
        self._address = address
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        if self._address:
            self.admission.leave(self._address)
            self._address = ""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head and self._timer is None:
            self._start()
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD and not self._refused:
            self._refuse(b"431 Request Header Fields Too Large")

    def send_400_response(self, msg: str) -> None:
        """uvicorn's word for what cannot be parsed; also for what the callbacks below refuse."""
        if self._size > MAX_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")
        else:
            self._stop()
            super().send_400_response(msg)

    # ---- called by the parser ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._unread = False, 0
        self._stop()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._unread = True, 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """uvicorn's own start of an answer, also of one that waited for the answer before it."""
        super()._start_asgi_task(cycle, self.admission.admitted(app, cycle.scope))  # type: ignore[arg-type]

    def _count(self, n: int) -> None:
        self._size += n
        if self._size > MAX_HEAD:
            raise ValueError("the head is too large")  # ends the parsing: see `send_400_response`

    # ---- time -------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(HEAD_S, self._due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = self.loop.call_later(GRACE_S, self._late)

    def _late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._start()  # the answer before is still being made, and reading may rest for it
        else:
            self._refuse(b"408 Request Timeout" if self._unread else b"")

    def _refuse(self, status: bytes) -> None:
        """Says why, and ends the connection. Without a word where nothing was asked."""
        self._stop()
        head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self._end(head if status else b"")

    def _end(self, answer: bytes) -> None:
        """The last words of a connection; what still comes in is not read."""
        self._refused = True
        if answer:
            self.transport.write(answer)
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self.transport.close()


class OwnPaths:
    """ASGI middleware in front of Ray's proxy: the table of its routes is nobody's business."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/-/routes":
            await PlainTextResponse("not found", 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def bounded() -> list[Any]:
    """Called by Ray Serve in the process that accepts connections; returns what it puts in front of its application."""
    Connection.admission = Admission.told()
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Connection.__name__}"
    return [Middleware(OwnPaths)]
