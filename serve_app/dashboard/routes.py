"""The dashboard's routes: one for each page, and the files they need."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

import evaluation
from demand.errors import DemandError
from serve_app.auth import csrf_token, role
from serve_app.dashboard.blocks import Note, Section
from serve_app.dashboard.frame import HERE, Api, Page, frame, pages, render
from serve_app.problems import Refused, refused_of

log = logging.getLogger(__name__)
# Plotly writes its own style rules; scripts stay our own files only.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HTML, WEEK = "text/html; charset=utf-8", "public, max-age=604800, immutable"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def dashboard_router(api_of: Callable[[Request], Api]) -> APIRouter:
    """Every page of `pages/`, and /static; all of them need the role read."""
    router = APIRouter(dependencies=[role("read")], include_in_schema=False)
    for page in pages():
        router.add_api_route(page.path, _route(page, api_of), methods=["GET"], name=page.path)

    @router.get("/static/{name}")
    def static(name: str, request: Request) -> Response:
        found = _files().get(name)
        if found is None:
            raise Refused(404, "unknown_file", f"/static holds {', '.join(sorted(_files()))}", "name")
        return _sent(*found, request)

    @router.get("/favicon.ico")
    def icon(request: Request) -> Response:
        return _sent(*_files()["icon.svg"], request)

    return router


def _route(page: Page, api_of: Callable[[Request], Api]) -> Callable[[Request], Response]:
    def route(request: Request) -> Response:
        query = dict(request.query_params)
        status = 200
        try:
            html = render(page, api_of(request), query, query.pop("part", ""), csrf_token(request))
        except (Refused, DemandError) as error:
            # A page tells people what a program would be told.
            refused = error if isinstance(error, Refused) else refused_of(error)
            status = refused.status_code
            if error is not refused:
                log.error("%s: %s", page.path, error, exc_info=error if status == 500 else None)
            said = Note(f"{refused.error.replace('_', ' ').capitalize()}. {refused.detail}")
            html = frame(page.path, page.title, page.lead, [Section("", [said])])
        headers = {"Content-Security-Policy": CONTENT_POLICY, "Cache-Control": "no-cache"}
        return Response(html, status, headers, media_type=HTML)

    return route


def unknown_page() -> Response:
    """What a person with a browser reads where there is no page: the way to those there are."""
    said = Note("No page has this address. Choose one of those above, or see the API.")
    html = frame("", "Page not found", "", [Section("", [said])])
    headers = {"Content-Security-Policy": CONTENT_POLICY, "Cache-Control": "no-store"}
    return Response(html, 404, headers, media_type=HTML)


@cache
def _files() -> dict[str, tuple[bytes, bytes, str]]:
    """name -> (bytes, the same compressed, media type): our own files, the report's style, Plotly's script."""
    import plotly

    paths = [path for path in (HERE / "static").iterdir() if path.suffix in TYPES]
    paths.append(Path(evaluation.__file__).parent / "templates" / "base.css")
    paths.append(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
    return {path.name: (raw, gzip.compress(raw, 6, mtime=0), TYPES[path.suffix])
            for path in paths for raw in [path.read_bytes()]}  # fmt: skip


def _sent(raw: bytes, small: bytes, media_type: str, request: Request) -> Response:
    long_lived = WEEK if request.url.path.endswith("plotly.min.js") else "no-cache"
    headers = {"Cache-Control": long_lived, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(small, headers={**headers, "Content-Encoding": "gzip"}, media_type=media_type)
    return Response(raw, headers=headers, media_type=media_type)
