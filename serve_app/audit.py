"""The audit log: what was asked for and how it ended, of each call that may change something."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demand.durable import append_whole
from demand.moments import now_utc, stamp
from serve_app.limits import address_of
from serve_app.problems import Refused
from serve_app.tokens import Principal

log = logging.getLogger(__name__)
AUDIT = "audit.jsonl"
AGAIN_S = 30
UNHEARD = 499  # how a call ended whose client was gone, or whose time was up, before there was an answer


class Audit:
    """`<storage.root>/audit.jsonl`: what was asked (status null) and how it ended, of each call that operates or
    administers; the two lines share a request_id. No token, no body."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, **facts: Any) -> None:
        """Appends one line in one write. Raises OSError when it does not reach the file whole."""
        at = stamp(now_utc(), "milliseconds")
        line = (json.dumps({"at": at, **facts}, ensure_ascii=True) + "\n").encode("ascii")
        append_whole(self.path, line)


async def audited(app: ASGIApp, audit: Audit, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
    """A call that may change something is noted before it is done, and with how it ended before the client hears of
    it; a call that is cancelled, too, as `UNHEARD`: what it set off may still have been done. What cannot be noted is
    not done; what was done is answered as it ended, whatever the log takes."""
    ended = False

    def note(status: int | None) -> None:
        audit.note(
            request_id=scope["state"]["request_id"], who=principal.name, role=principal.role.name,
            method=scope["method"], path=scope["path"], status=status,
            client=address_of(scope),
        )  # fmt: skip

    def note_end(status: int) -> None:
        nonlocal ended
        if ended:
            return
        ended = True
        try:
            note(status)
        except OSError as error:
            log.error("%s: how it ended (%d) is not in the audit log: %s", scope["state"]["request_id"], status,
                      error)  # fmt: skip

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            note_end(message["status"])
        await send(message)

    try:
        note(None)
    except OSError as error:
        log.error("nothing is changed while the audit log cannot be written: %s", error)
        raise Refused(
            503, "audit_unwritable", "Nothing was done: what changes something is noted first, and the audit log "
            "cannot be written. The log of the service says why", retry_after=AGAIN_S,
        ) from None  # fmt: skip
    try:
        await app(scope, receive, noted)
    except Refused as refused:
        note_end(refused.status_code)
        raise
    except Exception:  # the edge makes a 500 of it
        note_end(500)
        raise
    finally:
        note_end(UNHEARD)  # unless it was said already
