"""Routes about the service itself: is it alive, is it ready, what does it count, how is it called."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve_app.auth import role
from serve_app.following import NEXT_STEP
from serve_app.problems import JSON, strict_json
from serve_app.schemas.service import Health, Readiness
from serve_app.state import State

NEVER = {"Cache-Control": "no-store"}


def service_router(state: State) -> APIRouter:
    """/health, /health/ready, /metrics."""
    router = APIRouter(tags=["service"])

    @router.get(
        "/health", dependencies=[role("open")], response_model=Health, summary="Alive, and which release answers"
    )
    async def health() -> Response:
        return _json({"status": "ok", "alive": True, **_standing(state)})

    @router.get(
        "/health/ready", dependencies=[role("open")], response_model=Readiness,
        summary="Whether the champion itself answers",
        responses={503: {"description": "It does not, or too much at once", "content": {JSON: {"schema": {"anyOf": [
            Readiness.model_json_schema(), {"$ref": "#/components/schemas/Problem"}]}}}}},
    )  # fmt: skip
    async def ready() -> Response:
        said = _standing(state)
        return _json({"status": "ready" if said["ready"] else "not ready", **said}, 200 if said["ready"] else 503)

    @router.get(
        "/metrics", dependencies=[role("read")], summary="Counters for Prometheus", response_class=Response,
        responses={200: {"description": "The text format of Prometheus", "content": {
            state.telemetry.media_type: {
                "schema": {"type": "string"}, "example": "loomcast_ready 1.0\nloomcast_release_serving 2.0\n"}}}},
    )  # fmt: skip
    def metrics(request: Request) -> Response:
        return Response(state.telemetry.text(), headers=NEVER, media_type=state.telemetry.media_type)

    return router


def _standing(state: State) -> dict[str, Any]:
    standing, lost = state.standing, state.following.lost
    # anybody may ask: the cause, which may name files, is in the log
    if lost:
        words = "the champion is not followed any more; see the log"
    elif standing.ready:
        words = ""
    elif standing.damage:
        what = "the registry cannot be read" if standing.head is None else "the champion cannot be opened"
        words = f"{what}; see the log"
    elif standing.head is None:
        words = NEXT_STEP if standing.serving is None else "nothing is promoted any more; what answered before goes on"
    else:
        words = "the champion has just moved"
    said = {"release": standing.serving, "champion": standing.head, "release_loaded": standing.serving is not None}
    return {**said, "ready": standing.ready and not lost, **({"problem": words} if words else {})}


def _json(value: Any, status: int = 200) -> Response:
    return Response(strict_json(value), status, NEVER, media_type=JSON)
