"""The route of order quantities: reads the request, decides on the champion's forecast."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from serve_app.answers.orders import order_quantities
from serve_app.auth import role
from serve_app.limits import strict_body
from serve_app.problems import JSON, strict_json
from serve_app.schemas.orders import QuantitiesAnswer, read_order_request, request_schema
from serve_app.schemas.parameters import takes_none
from serve_app.state import State


def orders_router(state: State) -> APIRouter:
    """POST /api/order-quantities."""
    router = APIRouter(tags=["orders"])
    content = {"application/json": {"schema": request_schema()}}

    @router.post(
        "/api/order-quantities", dependencies=[role("read"), Depends(takes_none)],
        summary="How much to order now of each style, from the released forecast and the stock and costs given",
        response_model=QuantitiesAnswer, openapi_extra={"requestBody": {"required": True, "content": content}},
    )  # fmt: skip
    async def quantities(request: Request) -> Response:
        asked = read_order_request(strict_body(await request.body()))
        answer = await run_in_threadpool(lambda: order_quantities(state.book(), asked))
        return Response(strict_json(answer), headers={"Cache-Control": "no-store"}, media_type=JSON)

    return router
