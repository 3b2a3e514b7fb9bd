"""The answers, mounted: each a pure function of a book and its parameters, kept as bytes, found by the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.auth import role
from serve_app.cache import LONGEST_ALIAS, Answer, Key
from serve_app.prediction_log import FLEET
from serve_app.state import State


@dataclass(frozen=True)
class Question:
    """One path of the API that is answered from the book alone.

    read: (name, value) pairs of path and query -> parameters, hashable; raises Refused (400). answer: a book and those
    parameters -> what is sent, JSON-ready; raises Refused. openapi: parameters and responses as OpenAPI says them.
    """

    path: str
    summary: str
    read: Callable[[Iterable[tuple[str, str]]], Any]
    answer: Callable[[Any, Any], Any]
    openapi: Mapping[str, Any] = field(default_factory=dict)


def answers_router(state: State, questions: Sequence[Question]) -> APIRouter:
    """A GET route for each, open to the role `read`."""
    router = APIRouter(tags=["answers"])
    for question in questions:
        router.add_api_route(
            question.path, _handler(state, question), methods=["GET"], summary=question.summary,
            dependencies=[role("read")], openapi_extra=dict(question.openapi), response_class=Response,
        )  # fmt: skip
    return router


def _handler(state: State, question: Question) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        book = state.book()
        pairs = [*request.path_params.items(), *request.query_params.multi_items()]
        parameters = question.read(pairs)
        key = Key(book.number, book.etag, question.path, parameters, today())

        def compute() -> Answer:
            value = question.answer(book, parameters)
            plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            return Answer.of(plain, _what(book.number, question.path, parameters, plain))

        answer = await state.cache.answer(key, compute, alias_of(request.scope, book.number))
        state.predictions.note(answer.what, answer.digest)
        return answer.response(request.headers)

    return handle


def _what(release: int, path: str, parameters: Any, plain: Any) -> tuple[Any, ...] | None:
    """What the prediction log says of an answer; None where it holds no forecast that was asked for by model."""
    if not hasattr(parameters, "model"):
        return None
    model = parameters.model
    told = plain.get("model_used") if isinstance(plain, Mapping) else None
    scope, horizon = getattr(parameters, "style", None) or FLEET, getattr(parameters, "horizon", None)
    return release, path, scope, told if isinstance(told, str) else model, horizon


def alias_of(scope: Scope, release: int) -> tuple[Any, ...] | None:
    """The raw request as a key; None for a long one, which is not worth keeping."""
    path, query = scope["path"], scope.get("query_string", b"")
    if len(path) + len(query) > LONGEST_ALIAS:
        return None
    return release, path, query, today()


def today() -> str:
    """The date, UTC: part of the key of every answer."""
    return datetime.now(UTC).date().isoformat()


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
                answer = self._state.cache.known(alias_of(scope, standing))
                if answer is not None:
                    scope["route"] = route
                    self._state.predictions.note(answer.what, answer.digest)
                    await answer.response(Headers(scope=scope))(scope, receive, send)
                    return
        await self._app(scope, receive, send)
