"""The route of yarn substitutes, and the release of yarns that answers it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from models.decision_release import decision_registry
from models.yarn_substitution import KIND
from serve_app.answers.asked import Answer
from serve_app.answers.substitutes import YarnBook, substitutes
from serve_app.auth import role
from serve_app.limits import strict_body
from serve_app.problems import JSON, strict_json
from serve_app.schemas.parameters import takes_none
from serve_app.schemas.shared import NoData
from serve_app.schemas.substitutes import EXAMPLES, SubstitutesAnswer, SubstitutesRequest, read_substitutes
from serve_app.state import Config

PATH = "/api/yarn-substitutes"


class YarnDesk:
    """The champion of the yarns' own registry, opened once; another one is opened when it is promoted."""

    def __init__(self, config: Config) -> None:
        place, cache = config.registry_place
        self._registry = decision_registry(place, cache, KIND)
        self._lock = threading.Lock()
        self._book: YarnBook | None = None

    def book(self) -> YarnBook | None:
        """None when nothing was released. Raises RegistryError when what was cannot be read."""
        number = self._registry.alias("champion")
        with self._lock:
            if number is None:
                self._book = None
            elif self._book is None or self._book.number != number:
                self._book = YarnBook.open(self._registry.open("champion"))
            return self._book

    def answer(self, asked: SubstitutesRequest) -> Answer:
        """The answer of the moment's release; the same request to the same release gives the same bytes."""
        return substitutes(self.book(), asked)

    def of_pairs(self, pairs: Sequence[tuple[str, str]]) -> Answer:
        """The same for the pages, whose questions are (name, value) pairs."""
        whole = ("top", "limit", "offset")
        told = {name: int(value) if name in whole and value.isdecimal() else value for name, value in pairs}
        return self.answer(read_substitutes(told))


def substitutes_router(desk: YarnDesk) -> APIRouter:
    """POST /api/yarn-substitutes, for the role `read`."""
    router = APIRouter(tags=["decisions"])
    schema: dict[str, Any] = SubstitutesRequest.model_json_schema()
    examples = {"one yarn": {"value": EXAMPLES[0]}, "all that are short": {"value": EXAMPLES[1]}}
    extra = {"requestBody": {"required": False, "content": {JSON: {"schema": schema, "examples": examples}}}}

    @router.post(
        PATH, dependencies=[role("read"), Depends(takes_none)], response_model=SubstitutesAnswer | NoData,
        summary="Which yarns may stand in for one that is short", openapi_extra=extra,
    )  # fmt: skip
    async def yarn_substitutes(request: Request) -> Response:
        raw = await request.body()
        asked = read_substitutes(strict_body(raw)) if raw else SubstitutesRequest()
        answer = await asyncio.to_thread(desk.answer, asked)
        return Response(strict_json(answer), headers={"Cache-Control": "no-store"}, media_type=JSON)

    return router
