"""The answers, mounted: each a pure function of a book and its parameters, kept as bytes, found by the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.auth import role
from serve_app.cache import LONGEST_ALIAS, Answer, Key
from serve_app.prediction_log import FLEET
from serve_app.state import State
from serve_app.trying import Trial


class Question(Protocol):
    """One path that is answered from the book, or from the releases, alone: a line of `serve_app.routes.ROUTES`."""

    @property
    def path(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def asks(self) -> str: ...
    @property
    def answer(self) -> Callable[[Any, Any, date], Mapping[str, Any]]: ...
    def read(self, pairs: Iterable[tuple[str, str]]) -> Any: ...
    def openapi(self) -> dict[str, Any]: ...


def answers_router(state: State, questions: Sequence[Question]) -> APIRouter:
    """A GET route for each, for the role `read`."""
    router = APIRouter(tags=["answers"])
    # the longest path first: a path parameter that holds slashes would take them all
    for question in sorted(questions, key=lambda one: "{" in one.path):
        handler = _kept(state, question) if question.asks == "book" else _asked_anew(state, question)
        router.add_api_route(
            question.path, handler, methods=["GET"], summary=question.summary, dependencies=[role("read")],
            response_class=Response,
        )  # fmt: skip
    return router


def _kept(state: State, question: Question) -> Callable[[Request], Any]:
    """Answers from the book of this moment; the same question to the same book is computed once."""

    async def handle(request: Request) -> Response:
        champion, now, trial = state.book(), today(), state.trying.trial
        parameters = question.read(_pairs(request))

        async def ask(book: Any, kept: bool) -> Answer:
            key = Key(book.number, book.etag, question.path, parameters, now.isoformat())

            def compute() -> Answer:
                value = question.answer(book, parameters, now)
                return Answer.of(value, _what(book.number, question.path, parameters, value))

            return await state.cache.answer(
                key, compute, alias_of(request.scope, champion.number, trial) if kept else None
            )

        answer = await state.trying.answer(trial, getattr(parameters, "style", None), champion, ask)
        state.predictions.note(answer.what, answer.digest)
        return answer.response(request.headers)

    return handle


def _asked_anew(state: State, question: Question) -> Callable[[Request], Any]:
    """Answers about all releases, which change with each promotion: not kept."""

    async def handle(request: Request) -> Response:
        parameters = question.read(_pairs(request))
        value = await asyncio.to_thread(question.answer, state.releases, parameters, today())
        return Answer.of(value).response(request.headers)

    return handle


def _pairs(request: Request) -> list[tuple[str, str]]:
    return [*request.path_params.items(), *request.query_params.multi_items()]


def _what(release: int, path: str, parameters: Any, value: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What the prediction log says of an answer; None where it is no forecast that one asks a model for."""
    if not hasattr(parameters, "model"):
        return None
    used = value.get("model_used")
    horizon = getattr(parameters, "horizon", None) or value.get("forecast_horizon")
    scope = getattr(parameters, "style", None) or FLEET
    return release, path, scope, used if isinstance(used, str) else parameters.model, horizon


def alias_of(scope: Scope, release: int, trial: Trial | None) -> tuple[Any, ...] | None:
    """The raw request as a key, to the champion and the trial it met; None for a long one, which is not worth it."""
    path, query = scope["path"], scope.get("query_string", b"")
    if len(path) + len(query) > LONGEST_ALIAS:
        return None
    return release, None if trial is None else trial.name, path, query, today().toordinal()


def today() -> date:
    """The date, UTC: it decides what is stale, and is part of the key of every answer."""
    return datetime.now(UTC).date()


class Known:
    """ASGI middleware behind the door: a request that was answered before is answered without routing or a place."""

    def __init__(self, app: ASGIApp, state: State, routes: Sequence[APIRoute]) -> None:
        self._app, self._state = app, state
        self._routes = {route.path: route for route in routes if "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            standing = self._state.standing.serving
            route = self._routes.get(scope["path"])
            if route is not None and standing is not None:
                trying = self._state.trying
                answer = self._state.cache.known(alias_of(scope, standing, trying.trial))
                if answer is not None:
                    scope["route"] = route
                    if answer.what is not None and answer.what[2] != FLEET:
                        trying.repeated(answer.what[0], answer.what[2])
                    self._state.predictions.note(answer.what, answer.digest)
                    await answer.response(Headers(scope=scope))(scope, receive, send)
                    return
        await self._app(scope, receive, send)
