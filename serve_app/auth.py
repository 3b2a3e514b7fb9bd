"""Who may call what: the door in front of every route, roles, and what keeps foreign web pages out.

On loopback a call needs no token, and a page of another origin, or another name for this machine (DNS rebinding), is
refused. Elsewhere every call needs a token, in `Authorization: Bearer ..` or in the cookie of a session; never in the
address. A route without a declared role cannot be mounted: see `declared`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from demand.errors import VersionUnreadable
from serve_app.audit import AUDIT, Audit, audited
from serve_app.limits import Buckets, address_of
from serve_app.problems import Refused
from serve_app.settings import ServeSettings
from serve_app.tokens import LOCAL, Principal, Role, TokenFile, Tokens

log = logging.getLogger(__name__)
SESSION = "loomcast_session"  # the cookie of a browser; HttpOnly and SameSite=Strict
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
FORM_LIMITS: dict[str, int] = {"max_files": 1, "max_fields": 100}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
GUESSES_PER_MINUTE = 10
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Needs:
    """The role a route declares; as a dependency it refuses who has less."""

    role: Role
    may_change: bool = False  # open, and yet of a method that changes something

    def __call__(self, request: Request) -> None:
        if self.role is Role.open:
            return
        principal = principal_of(request)
        if principal.role < self.role:
            raise Refused(
                403, "role_too_small", f"The token {principal.name} may {principal.role.name}; this route is "
                f"for {self.role.name}",
            )  # fmt: skip


def role(name: str) -> Any:
    """A dependency that declares who may call a route: open, read, operate or admin."""
    return Depends(Needs(Role[name]))


def open_to_all() -> Any:
    """As role("open"), also for a method that may change something: only where one signs in."""
    return Depends(Needs(Role.open, may_change=True))


def principal_of(request: Request) -> Principal:
    """Who calls. Raises Refused (401) when nobody is known."""
    principal: Principal | None = request.scope["state"].get("principal")
    if principal is None:
        raise unauthorized("This address needs a token")
    return principal


def unauthorized(detail: str) -> Refused:
    """401 for a caller without a valid token: `detail` says what is wrong, the rest how a token is made and sent."""
    hint = "Send it as Authorization: Bearer TOKEN; one is made with python -m jobs.token name=NAME role=read"
    return Refused(401, "no_valid_token", f"{detail}. {hint}", headers={"WWW-Authenticate": "Bearer"})


def declared(routes: Iterable[BaseRoute]) -> dict[str, dict[str, Role]]:
    """path -> method -> role of every route. Raises TypeError for one that declares none: deny by default."""
    found: dict[str, dict[str, Role]] = {}
    for route in routes:
        needs = [] if not isinstance(route, APIRoute) else _needs_of(route)
        if not needs or not isinstance(route, APIRoute):
            raise TypeError(f"the route {getattr(route, 'path', route)!r} declares no role")
        for method in route.methods or ():
            found.setdefault(route.path, {})[method] = max(needs)
    return found


def _needs_of(route: APIRoute) -> list[Role]:
    found = [one.call for one in route.dependant.dependencies if isinstance(one.call, Needs)]
    needs, exempt = [one.role for one in found], any(one.may_change for one in found)
    changes = not (route.methods or set()) <= {*SAFE_METHODS}
    if changes and needs and max(needs) is Role.open and not exempt:
        raise TypeError(f"the route {route.path!r} changes something and is open to everybody")
    form = any(type(field.field_info).__name__ in ("Form", "File") for field in route.dependant.body_params)
    if form and not exempt and not any(one.call is check_csrf for one in route.dependant.dependencies):
        raise TypeError(f"the route {route.path!r} takes a form without Depends(check_csrf)")
    return needs


# ---- forms ----------------------------------------------------------------------------------------------------------


def csrf_token(request: Request) -> str:
    """What a form of ours carries in a hidden field named `csrf`: a foreign page cannot know it."""
    key: bytes = request.scope["state"]["csrf_key"]
    principal = principal_of(request)
    said = f"{principal.name}\n{principal.token_id}"
    return hmac.new(key, said.encode(), sha256).hexdigest()


async def check_csrf(request: Request) -> AsyncIterator[None]:
    """Refuses (403) a form that a browser sends without our token in the field `csrf` or the header X-CSRF-Token.

    Programs (no Origin, no Sec-Fetch-Site, no cookie) need none: no page can make them call. A form is read under the
    limits FORM_LIMITS and its files are closed when the request is over, refused or not.
    """
    try:
        headers = request.headers
        if "origin" in headers or "sec-fetch-site" in headers or "cookie" in headers:
            sent = headers.get(CSRF_HEADER, "")
            if not sent and "form" in headers.get("content-type", ""):
                sent = str((await request.form(**FORM_LIMITS)).get(CSRF_FIELD, ""))
            if not hmac.compare_digest(sent.encode("utf-8", "replace"), csrf_token(request).encode()):
                raise Refused(403, "foreign_form", "Load the page again and send the form from it", CSRF_FIELD)
        yield
    finally:
        await request.close()


def nonce(request: Request) -> str:
    """For an inline script or style of this answer: <script nonce="..">. Asking for it puts it into the policy."""
    state = request.scope["state"]
    if "nonce" not in state:
        state["nonce"] = secrets.token_urlsafe(16)
    return str(state["nonce"])


# ---- the door -------------------------------------------------------------------------------------------------------


class Access:
    """Everything the door knows: settings, tokens, the key of forms, the audit log."""

    def __init__(self, settings: ServeSettings, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.file = TokenFile(root)
        self.tokens = Tokens(self.file)
        self.csrf_key = self.file.secret()
        self.audit = Audit(root / AUDIT)
        self.guesses = Buckets(GUESSES_PER_MINUTE / 60, GUESSES_PER_MINUTE, clock)
        self._any_host = not settings.on_loopback and not settings.allowed_hosts
        self._needs_token = settings.needs_token
        self._hosts = {name.lower() for name in (*LOOPBACK_NAMES, *settings.allowed_hosts)}

    def host_is_ours(self, host: str) -> bool:
        """Whether a Host header names this service; with a token any name will do where none was listed."""
        if self._any_host:
            return True
        bare = host.lower()
        name = bare if bare.endswith("]") else bare.rpartition(":")[0] or bare
        return name in self._hosts or bare in self._hosts

    def principal(self, headers: Headers, client: str) -> Principal:
        """Who calls. Raises Refused: 401 for a wrong token or none where one is needed, 429 after many wrong ones.

        Where none is needed, a cookie left by another service on this machine does no harm.
        """
        token = _bearer(headers)
        if token is None and self._needs_token:
            token = _cookie(headers)
            if token is None:
                raise unauthorized("This address needs a token")
        return LOCAL if token is None else self.of_token(token, client)

    def of_token(self, token: str, client: str) -> Principal:
        """Whose token this is. Raises Refused: 401 when it is nobody's, 429 after many of those from one client.

        Who has a right one comes in whatever others sent from the same address: behind a proxy all share one.
        """
        try:
            principal = self.tokens.principal(token)
        except VersionUnreadable as error:  # nobody comes in, and nobody unknown is told of files
            log.error("%s", error)
            raise Refused(
                503, "tokens_unreadable", "Tokens cannot be checked; the log of the service says why"
            ) from None
        if principal is None:
            wait = self.guesses.take(client)
            if wait:
                raise Refused(429, "too_many_wrong_tokens", "Come again later", retry_after=wait)
            raise unauthorized("The token is unknown or has ended")
        return principal


def _bearer(headers: Headers) -> str | None:
    """The token in the header; "" for what is there but none of ours."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else "" if scheme else None


def _netloc(origin: str) -> str | None:
    """Host and port of an origin, lower case; None for what is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as an IPv6 address without its end
        return None


def _cookie(headers: Headers) -> str | None:
    """The token in the cookie of a session."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(SESSION)
    except CookieError:
        return None
    return morsel.value if morsel is not None and morsel.value else None


class Door:
    """ASGI middleware: refuses foreign hosts, origins and callers before a body is read, and notes what changes."""

    def __init__(self, app: ASGIApp, access: Access, roles: Mapping[str, Mapping[str, Role]]) -> None:
        self._app, self._access = app, access
        self._open = {path for path, methods in roles.items() if set(methods.values()) == {Role.open}}
        self._reading = {(m, path) for path, methods in roles.items() for m, least in methods.items()
                         if least <= Role.read or m in SAFE_METHODS}  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, state = Headers(scope=scope), scope["state"]
        state["csrf_key"] = self._access.csrf_key
        self._refuse_foreign(scope["method"], headers)
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        try:
            principal = state["principal"] = self._access.principal(headers, address_of(scope))
        except Refused as refused:
            if refused.status_code != 401 or scope["method"] != "GET" or "text/html" not in headers.get("accept", ""):
                raise
            await RedirectResponse("/session", 303)(scope, receive, send)  # a person with a browser
            return
        if scope["method"] in SAFE_METHODS or (scope["method"], scope["path"]) in self._reading:
            await self._app(scope, receive, send)
        else:
            await audited(self._app, self._access.audit, principal, scope, receive, send)

    def _refuse_foreign(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._access.host_is_ours(host):
            raise Refused(
                403, "foreign_host", "The Host header names another machine; known names are those of "
                "loopback and of serve.allowed_hosts", "Host",
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            raise Refused(403, "foreign_origin", "Only pages of this service may call it", "Origin")
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if site in (None, "same-origin", "none") or (method == "GET" and mode == "navigate"):
            return
        raise Refused(403, "foreign_origin", "Only pages of this service may call it", "Sec-Fetch-Site")
