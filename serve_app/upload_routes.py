"""The routes of uploads: a body in pieces, or a form's file."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from serve_app.auth import check_csrf, role
from serve_app.problems import JSON, Refused, strict_json
from serve_app.schemas.parameters import openapi_parameters, takes_none
from serve_app.schemas.uploads import UploadAnswer, UploadDeleted, UploadParameters, read_parameters
from serve_app.uploads import Uploads

CHUNK = 1 << 18
NEVER = {"Cache-Control": "no-store"}


def uploads_router(uploads: Uploads) -> APIRouter:
    """POST /api/upload_csv, GET and DELETE /api/uploads/{data_id}."""
    router = APIRouter(tags=["uploads"])
    file = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": file}, "required": ["file"]}
    content = {
        "multipart/form-data": {"schema": form}, "text/csv": {"schema": file},
        "application/octet-stream": {"schema": file},
    }  # fmt: skip

    @router.post(
        "/api/upload_csv", dependencies=[role("operate"), Depends(check_csrf)], response_model=UploadAnswer,
        summary="A file of sales in (CSV, Excel, JSON, Parquet; gzip), its quality report and a data_id out",
        openapi_extra={"parameters": openapi_parameters(UploadParameters),
                       "requestBody": {"required": True, "content": content}},
    )  # fmt: skip
    async def upload(request: Request) -> Response:
        asked = read_parameters(request.query_params.multi_items())
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            return _json(await uploads.add(_body(request), asked))
        async with request.form(max_files=1, max_fields=8) as fields:
            files = [value for value in fields.values() if isinstance(value, UploadFile)]
            if len(files) != 1:
                raise Refused(400, "bad_body", "the form must hold one file", "file")
            return _json(await uploads.add(_pieces(files[0]), asked))

    @router.get("/api/uploads/{data_id}", dependencies=[role("read"), Depends(takes_none)],
                response_model=UploadAnswer, summary="The quality report of an upload again")  # fmt: skip
    def report(data_id: str) -> Response:
        return _json(uploads.report(data_id))

    @router.delete("/api/uploads/{data_id}", response_model=UploadDeleted,
                   dependencies=[role("operate"), Depends(check_csrf), Depends(takes_none)],
                   summary="Removes an upload before it expires")  # fmt: skip
    def delete(data_id: str) -> Response:
        uploads.delete(data_id)
        return _json({"status": "success", "data_id": data_id, "deleted": True})

    return router


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Refused(400, "body_not_whole", "The connection ended before the body") from None


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(CHUNK):
        yield piece


def _json(value: object) -> Response:
    return Response(strict_json(value), headers=NEVER, media_type=JSON)
