"""A service without Ray: a state over a small made-up book, and a client that calls the application directly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter
from starlette.types import ASGIApp

from serve_app.app import make_app
from serve_app.following import Following
from serve_app.settings import ServeSettings
from serve_app.state import Config, State


@dataclass(frozen=True)
class MadeBook:
    """As little of a book as the service itself looks at."""

    number: int

    @property
    def etag(self) -> str:
        return f"{self.number:016d}"


class Shelf:
    """Stands in for the registry: `head` is the champion's number, opening `broken` fails."""

    def __init__(self, head: int | None = 1) -> None:
        self.head, self.broken = head, set[int | None]()

    def open(self) -> MadeBook:
        from demand.errors import VersionUnreadable

        if self.head is None or self.head in self.broken:
            raise VersionUnreadable("a file was changed after it was released", release=self.head)
        return MadeBook(self.head)


def state_of(root: Path, shelf: Shelf | None = None, **settings: Any) -> State:
    """A state that looked at the shelf once; `state.following.look()` looks again."""
    shelf = shelf or Shelf()
    following = Following(lambda: shelf.head, shelf.open)
    state = State(Config(ServeSettings(**settings), str(root), "registry"), following)
    following.look()
    return state


class Client:
    """Calls the application in this process, as from this machine; a fault inside becomes the answer it becomes."""

    def __init__(self, app: ASGIApp, **headers: str) -> None:
        self._app, self._headers = app, headers

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=("127.0.0.1", 50000))
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=self._headers)
            async with client:
                return await client.request(method, path, **more)

        return asyncio.run(call())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.request("DELETE", path, **more)


def client_of(state: State, routers: Sequence[APIRouter] = (), **headers: str) -> Client:
    """The application of a state, to be called."""
    return Client(make_app(state, routers), **headers)
