"""The application: every route with its role, one shape of errors, and the layers in front of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from demand.errors import DemandError
from serve_app.auth import Door, declared
from serve_app.dashboard.routes import unknown_page
from serve_app.docs import add_docs
from serve_app.edge import Edge
from serve_app.limits import Places, Rates
from serve_app.mounted import Known, Question, answers_router
from serve_app.problems import Refused, problem, refused_of
from serve_app.routes import ROUTES
from serve_app.service import service_router
from serve_app.session import session_router
from serve_app.state import State
from serve_app.telemetry import OTHER

log = logging.getLogger(__name__)
WORDS = {400: "bad_request", 404: "unknown_path", 405: "unknown_method"}


def make_app(
    state: State, routers: Sequence[APIRouter] = (), questions: Sequence[Question] | None = None, named: bool = True
) -> FastAPI:
    """The ASGI application of one process.

    routers: more routes, each of which must declare its role (`dependencies=[role("read")]`): one that does not is a
    TypeError here, before anything is served. They find `state` by `state_of(request)`. questions: what is answered
    from the book or the releases alone (None = all of `serve_app.routes`). named: answers carry the
    request's name in a header.
    """
    app = FastAPI(title="loomcast", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.loomcast = state
    questions = ROUTES if questions is None else questions
    answers = answers_router(state, questions)
    for router in (answers, service_router(state), session_router(state), *routers):
        # As they are, not included: one flat table that can be walked.
        app.router.routes.extend(router.routes)
    add_docs(app, questions, state.settings.needs_token)
    for route in app.router.routes:
        if isinstance(route, APIRoute):  # `$` also matches before a line end, which is no part of any path
            route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    roles = declared(app.router.routes)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(DemandError, _explained)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    limited = state.telemetry.refused

    def on_refused(limit: str) -> None:
        limited.labels(limit).inc()

    # The last one added is the outermost.
    app.add_middleware(Places, settings=state.settings, on_refused=on_refused)
    app.add_middleware(Known, state=state, routes=[one for one in answers.routes if isinstance(one, APIRoute)])
    app.add_middleware(Door, access=state.access, roles=roles)
    app.add_middleware(Rates, settings=state.settings, on_refused=on_refused)
    app.add_middleware(Edge, seen=_counter(state), named=named)
    return app


def state_of(request: Request) -> State:
    """The process's state, for routes of other files."""
    state: State = request.app.state.loomcast
    return state


def _counter(state: State) -> Any:
    def seen(scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = route.path if isinstance(route, APIRoute) else OTHER
        state.telemetry.requests.labels(path, scope["method"] if path != OTHER else OTHER, status).inc()
        state.telemetry.seconds.labels(path).observe(seconds)

    return seen


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error, request.scope["state"]["request_id"])


async def _explained(request: Request, error: Exception) -> Response:
    """An error of ours, in its own words."""
    assert isinstance(error, DemandError)
    refused = refused_of(error)
    if refused.status_code >= 500:  # with the whole paths, which a client is not told
        log.error("%s: %s", request.scope["state"]["request_id"], error,
                  exc_info=error if refused.status_code == 500 else None)  # fmt: skip
    return await _refused(request, refused)


async def _invalid(request: Request, error: Exception) -> Response:
    """What FastAPI itself found wrong with parameters or a body."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    where, *path = [str(part) for part in fault["loc"]]
    name = ".".join(path) or where
    allowed = fault.get("ctx", {}).get("expected")
    more = len(error.errors()) - 1
    detail = f"{name}: {fault['msg']}" + (f" (and {more} more)" if more else "")
    words = "bad_body" if where == "body" else "bad_parameter"
    return await _refused(request, Refused(400, words, detail, name, None if allowed is None else [allowed]))


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and _by_a_person(request):
        return unknown_page()
    words = WORDS.get(error.status_code, "http_error")
    detail = f"{request.method} {request.url.path[:200]}" if error.status_code in (404, 405) else str(error.detail)
    hint = "; see /docs" if error.status_code in (404, 405) else ""
    headers = {**(error.headers or {}), **({"Allow": _allowed(request)} if error.status_code == 405 else {})}
    return await _refused(request, Refused(error.status_code, words, detail + hint, headers=headers))


def _by_a_person(request: Request) -> bool:
    """Whether a browser asks for a page; below /api a program's answer is right for it too."""
    path: str = request.scope["path"]
    wanted = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return wanted and path != "/api" and not path.startswith("/api/")


def _allowed(request: Request) -> str:
    """Every method of a path: several routes may share it, and HEAD is answered wherever GET is."""
    same = [route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in same if isinstance(route, APIRoute) for method in route.methods or ()}
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))
