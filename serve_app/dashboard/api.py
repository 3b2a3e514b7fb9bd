"""The API as pages ask it: the very functions behind its paths, one release from the first number to the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import unquote

from serve_app.book import Book
from serve_app.problems import Refused
from serve_app.routes import ROUTES, Route

# path -> what answers it, from (name, value) pairs
Others = Mapping[str, Callable[[Sequence[tuple[str, str]]], Mapping[str, Any]]]


class InProcess:
    """One page's view of the API: every answer is from the book that answered its first question.

    book: opens it, may raise Refused (503). desk: what questions about releases read. others: further paths. book_of:
    the book of a style (None: of all) while a challenger is tried, from the champion's.
    """

    def __init__(
        self, book: Callable[[], Book], desk: Any, today: date, others: Others,
        book_of: Callable[[str | None, Book], Book] = lambda style, book: book,
    ) -> None:  # fmt: skip
        self._open, self._desk, self._today, self._others, self._book_of = book, desk, today, others, book_of
        self._book: Book | None = None

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """The answer of GET `path`. Raises Refused as the API would answer it; KeyError for a path it has not."""
        pairs = [(name, str(value)) for name, value in parameters.items()]
        if path in self._others:
            return dict(self._others[path](pairs))
        route, inside = _found(path)
        asked = route.read([*inside, *pairs])
        if route.asks == "releases":
            return dict(route.answer(self._desk, asked, self._today))
        champion = self._of_one_book()
        book = self._book_of(getattr(asked, "style", None), champion)
        try:
            return dict(route.answer(book, asked, self._today))
        except Refused:
            if book is champion:
                raise
        return dict(route.answer(champion, asked, self._today))  # the challenger does not know this style

    def _of_one_book(self) -> Book:
        if self._book is None:
            self._book = self._open()
        return self._book


def _found(path: str) -> tuple[Route[Any], list[tuple[str, str]]]:
    """The route of a path, and the parameters that are part of it."""
    for route in ROUTES:
        head, brace, name = route.path.partition("{")
        if not brace and route.path == path:
            return route, []
        if brace and path.startswith(head):
            return route, [(name.partition(":")[0].rstrip("}"), unquote(path[len(head) :]))]
    raise KeyError(path)
