"""The routes of uploads: a body in pieces, or a form's file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from serve_app.auth import FORM_LIMITS, check_csrf, role
from serve_app.problems import JSON, Refused, strict_json
from serve_app.schemas.parameters import openapi_parameters, takes_none
from serve_app.schemas.uploads import UploadAnswer, UploadDeleted, UploadParameters, read_parameters
from serve_app.uploads import Uploads

CHUNK = 1 << 18
NEVER = {"Cache-Control": "no-store"}


_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
FILE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _FORM},
        "text/csv": {"schema": _FILE, "example": "date,style,quantity\n2025-06-01,A,4\n2025-06-02,A,0\n"},
        "application/octet-stream": {"schema": _FILE},
    },
}  # fmt: skip


def uploads_router(uploads: Uploads[UploadParameters]) -> APIRouter:
    """POST /api/upload_csv, GET and DELETE /api/uploads/{data_id}."""
    router = APIRouter(tags=["uploads"])

    @router.post(
        "/api/upload_csv", dependencies=[role("operate"), Depends(check_csrf)], response_model=UploadAnswer,
        summary="A file of sales in (CSV, Excel, JSON, Parquet; gzip), its quality report and a data_id out",
        openapi_extra={"parameters": openapi_parameters(UploadParameters),
                       "requestBody": FILE_BODY},
    )  # fmt: skip
    async def upload(request: Request) -> Response:
        asked = read_parameters(request.query_params.multi_items())
        async with received(request) as (pieces, _):
            return json_answer(await uploads.add(pieces, asked))

    @router.get("/api/uploads/{data_id}", dependencies=[role("read"), Depends(takes_none)],
                response_model=UploadAnswer, summary="The quality report of an upload again")  # fmt: skip
    def report(data_id: str) -> Response:
        return json_answer(uploads.report(data_id))

    @router.delete("/api/uploads/{data_id}", response_model=UploadDeleted,
                   dependencies=[role("operate"), Depends(check_csrf), Depends(takes_none)],
                   summary="Removes an upload before it expires")  # fmt: skip
    def delete(data_id: str) -> Response:
        uploads.delete(data_id)
        return json_answer({"status": "success", "data_id": data_id, "deleted": True})

    return router


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[tuple[AsyncIterator[bytes], list[tuple[str, str]]]]:
    """(the file's pieces, the texts beside it) of a body that is the file, or of a form that holds one.

    Raises Refused (400) for a form without one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        yield _body(request), []
        return
    async with request.form(**FORM_LIMITS) as fields:
        files = [value for value in fields.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise Refused(400, "bad_body", "the form must hold one file", "file")
        texts = [(name, value) for name, value in fields.multi_items() if isinstance(value, str)]
        yield _pieces(files[0]), texts


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Refused(400, "body_not_whole", "The connection ended before the body") from None


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(CHUNK):
        yield piece


def json_answer(value: object) -> Response:
    """Strict JSON that nobody keeps."""
    return Response(strict_json(value), headers=NEVER, media_type=JSON)
