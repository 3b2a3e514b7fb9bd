"""The route of forecasts on demand: reads the request, and lets another process compute."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_app.auth import role
from serve_app.cache import digest_of
from serve_app.limits import strict_body
from serve_app.prediction_log import PredictionLog
from serve_app.problems import JSON, Refused
from serve_app.schemas.parameters import takes_none
from serve_app.schemas.predictions import PredictionAnswer, read_request, request_schema

# {"body": bytes} or {"refused": {..}}, see `serve_app.computing.plainly`
ComputeCall = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]


PATH = "/api/predictions"
OF_A_HISTORY = "history"  # the scope of an answer about no style of the release


def predictions_router(compute_call: ComputeCall, log: PredictionLog | None = None) -> APIRouter:
    """POST /api/predictions. compute_call: hands the request to whoever holds the models and awaits the answer.

    log: where what was answered is noted.
    """
    router = APIRouter(tags=["predictions"])
    content = {"application/json": {"schema": request_schema()}}
    extra = {"requestBody": {"required": True, "content": content}}

    @router.post(
        PATH, dependencies=[role("read"), Depends(takes_none)],
        summary="A forecast made now, from a history or a what-if", response_model=PredictionAnswer,
        openapi_extra=extra,
    )  # fmt: skip
    async def predict(request: Request) -> Response:
        asked = read_request(strict_body(await request.body()))
        made = await compute_call(asked.model_dump(mode="json", exclude_defaults=True))
        if log is not None and "body" in made:
            log.note(_what(json.loads(made["body"])), digest_of(made["body"]))
        return answered(made)

    return router


def _what(answer: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the prediction log says of it."""
    scope = answer["style"] or OF_A_HISTORY
    return answer["release"], PATH, scope, answer["made_by"], answer["forecast_horizon"]


def answered(made: Mapping[str, Any]) -> Response:
    """The answer that another process made. Raises Refused when it refused."""
    if "refused" in made:
        raise Refused(**made["refused"])
    return Response(made["body"], headers={"Cache-Control": "no-store"}, media_type=JSON)
