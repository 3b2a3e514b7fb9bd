"""The routes of orders beside the answers: quantities on the champion's forecast, a proposal as a file."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from serve_app.answers.orders import order_quantities, unknown_proposal
from serve_app.auth import role
from serve_app.custom_features import Csv
from serve_app.limits import strict_body
from serve_app.problems import JSON, strict_json
from serve_app.schemas.orders import QuantitiesAnswer, read_order_request, request_schema
from serve_app.schemas.parameters import takes_none
from serve_app.state import State
from serve_app.upload_routes import NEVER

_EXAMPLE = "supplier,item,order_quantity,unit,order_on,expected_on\nMill A,A/1,250,yds,2025-09-01,2025-09-15\n"


def orders_router(state: State) -> APIRouter:
    """POST /api/order-quantities, GET /api/order-proposals/{run_id}."""
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

    @router.get(
        "/api/order-proposals/{run_id}", dependencies=[role("read"), Depends(takes_none)], response_class=Csv,
        summary="All orders of a purchase proposal as CSV",
        responses={200: {"content": {"text/csv": {"example": _EXAMPLE}}}},
    )  # fmt: skip
    def fetch(run_id: str) -> Response:
        path = state.releases.proposals.csv(run_id)
        if path is None:
            raise unknown_proposal()
        return FileResponse(path, media_type=Csv.media_type, filename=f"proposal-{run_id}.csv", headers=NEVER)

    return router
