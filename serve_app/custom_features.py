"""Custom features over HTTP: a table in, made in a process of its own, fetched as CSV until it expires."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, Response

from serve_app.auth import check_csrf, role
from serve_app.feature_child import CSV
from serve_app.schemas.custom import CustomAnswer, CustomParameters, read_parameters
from serve_app.schemas.parameters import openapi_parameters, takes_none
from serve_app.schemas.uploads import UploadDeleted
from serve_app.upload_routes import FILE_BODY, NEVER, json_answer, received
from serve_app.uploads import Uploads, unknown


class Csv(Response):
    """Its media type is what OpenAPI shows."""

    media_type = "text/csv"


_EXAMPLE = "date,style,quantity,year,month,quantity_rolling_mean_7\n2025-06-01,A,4,2025,6,\n2025-06-02,A,0,2025,6,4.0\n"


class CustomTables(Uploads[CustomParameters]):
    """The made tables of one storage: `<storage>/features/<data_id>/{features.csv, report.json}`."""

    folder: ClassVar[str] = "features"
    child: ClassVar[str] = "serve_app.feature_child"
    form: ClassVar[type[BaseModel]] = CustomAnswer

    def csv(self, data_id: str) -> Path:
        """The made table. Raises Refused (404)."""
        if self._report(data_id) is None:
            raise unknown()
        return self.root / data_id / CSV

    def _told(self, asked: CustomParameters) -> dict[str, Any]:
        plain = asked.model_dump()
        return {**plain, "columns": asked.listed("columns"), "categories": asked.listed("categories")}

    def _shown(self, data_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
        return {"download_url": f"/api/custom-features/{data_id}", **report}


def custom_features_router(tables: CustomTables) -> APIRouter:
    """POST /api/custom-features, GET and DELETE /api/custom-features/{data_id}."""
    router = APIRouter(tags=["uploads"])

    @router.post(
        "/api/custom-features", dependencies=[role("operate"), Depends(check_csrf)], response_model=CustomAnswer,
        summary="A table in (CSV, Excel, JSON, Parquet; gzip), its custom features out: a summary, a CSV to fetch",
        openapi_extra={"parameters": openapi_parameters(CustomParameters), "requestBody": FILE_BODY},
    )  # fmt: skip
    async def make(request: Request) -> Response:
        async with received(request) as (pieces, fields):
            # a page's form sends its fields beside the file; what was left empty was not said, and the query wins
            query = request.query_params.multi_items()
            known = CustomParameters.model_fields.keys() - {name for name, _ in query}
            told = [*query, *[(name, value) for name, value in fields if value and name in known]]
            return json_answer(await tables.add(pieces, read_parameters(told)))

    @router.get(
        "/api/custom-features/{data_id}", dependencies=[role("read"), Depends(takes_none)], response_class=Csv,
        summary="A made table as CSV",
        responses={200: {"content": {"text/csv": {"example": _EXAMPLE}}}},
    )  # fmt: skip
    def fetch(data_id: str) -> Response:
        return FileResponse(tables.csv(data_id), media_type="text/csv", filename=CSV, headers=NEVER)

    @router.delete(
        "/api/custom-features/{data_id}", dependencies=[role("operate"), Depends(check_csrf), Depends(takes_none)],
        response_model=UploadDeleted, summary="Removes a made table before it expires",
    )  # fmt: skip
    def delete(data_id: str) -> Response:
        tables.delete(data_id)
        return json_answer({"status": "success", "data_id": data_id, "deleted": True})

    return router
