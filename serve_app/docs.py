"""/docs and /openapi.json: the reference of the API, made from the routes themselves, readable without a network."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, Response

from models.files import read_json
from serve_app.auth import declared, role
from serve_app.mounted import Question
from serve_app.problems import JSON, strict_json
from serve_app.tokens import Role

OPERATIONS = Path(__file__).parent / "schemas" / "examples" / "operations"
ABOUT = (
    "Demand forecasts of a released fleet. Every number traces to a stored evaluation or forecast; the same request to "
    "the same release gives identical bytes. Percent and fraction: each answer says which in `units`."
)
PROBLEM = {
    "type": "object",
    "required": ["status", "error", "detail", "request_id"],
    "properties": {
        "status": {"type": "string", "enum": ["error", "no_data"]},
        "error": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "A short fixed name of the fault"},
        "detail": {"type": "string", "description": "What was found and what to do"},
        "reason": {"type": "string"},
        "parameter": {"type": "string"},
        "allowed": {"type": "array", "items": {}},
        "request_id": {"type": "string"},
    },
}  # fmt: skip
PROBLEMS = {
    "400": "A bad parameter or body", "401": "No valid token", "403": "A foreign page, host or a role too small",
    "404": "No such style, job or path", "405": "Not with this method", "408": "The body came too slowly",
    "409": "Not in this release", "413": "The body is too large", "415": "The body is of another kind",
    "422": "The history cannot be used", "429": "Too many requests", "500": "A fault of the program",
    "503": "Nothing is released, or too much at once",
}  # fmt: skip
EXAMPLE = {"status": "error", "error": "bad_parameter", "detail": "horizon cannot be '45'. Allowed: 7, 30, 60, 90.",
           "parameter": "horizon", "allowed": [7, 30, 60, 90], "request_id": "5f1c2b"}  # fmt: skip
STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem}
h2{margin-top:2rem}details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}
summary{cursor:pointer;overflow-wrap:anywhere}summary b{display:inline-block;min-width:4rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;background:var(--soft);padding:.5rem}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
"""


def add_docs(app: FastAPI, questions: Sequence[Question], needs_token: bool) -> None:
    """Adds both routes; they describe every route of `app` that is in the schema, `questions` in their own words."""
    made: dict[str, Any] = {}

    def schema() -> dict[str, Any]:
        if not made:
            made.update(openapi_of(app, questions, needs_token))
        return made

    app.openapi = schema  # type: ignore[method-assign]

    @app.get("/openapi.json", dependencies=[role("read")], include_in_schema=False)
    def openapi() -> Response:
        return Response(strict_json(schema()), media_type=JSON)

    @app.get("/docs", dependencies=[role("read")], include_in_schema=False)
    def docs(request: Request) -> Response:
        return HTMLResponse(page(schema(), str(request.base_url).rstrip("/")))

    @app.get("/docs/style.css", dependencies=[role("read")], include_in_schema=False)
    def style() -> Response:
        return Response(STYLE, media_type="text/css")


def openapi_of(app: FastAPI, questions: Sequence[Question], needs_token: bool) -> dict[str, Any]:
    """The OpenAPI description: FastAPI's own, with our errors in the place of its 422 and both ways to show a token."""
    found = get_openapi(title="loomcast", version=app.version, description=ABOUT, routes=app.router.routes)
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = {**PROBLEM, "example": EXAMPLE}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    token: list[dict[str, Any]] = [{"token": []}]
    found["security"] = token if needs_token else [{}, *token]
    for question in questions:
        path = question.path.replace(":path}", "}")
        found["paths"][path]["get"].update(question.openapi())
        found["paths"][path]["get"]["responses"]["304"] = {"description": "The answer you have (If-None-Match) stands"}
    roles = {path.replace(":path}", "}"): methods for path, methods in declared(app.router.routes).items()}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            for told in operation.get("requestBody", {}).get("content", {}).values():
                _exemplified(told, schemas)
            if roles[path][method.upper()] is Role.open:
                operation["security"] = []
            responses = operation.setdefault("responses", {})
            responses.pop("422", None)
            for code in [code for code in responses if code.startswith("2")]:
                _answered_as(responses[code], operation_file(method, path, code))
            for code, words in PROBLEMS.items():
                said = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                responses.setdefault(code, {"description": words, "content": said})
    return found


def operation_file(method: str, path: str, code: str) -> Path:
    """Where the recorded answer of an operation lies, if there is one."""
    return OPERATIONS / f"{method.lower()}{re.sub(r'[^a-z_]+', '-', path).rstrip('-')}-{code}.json"


def _answered_as(response: dict[str, Any], recorded: Path) -> None:
    """Puts the recorded answer beside a response's schema that has no example yet."""
    told = response.get("content", {}).get(JSON)
    if told is not None and "example" not in told and recorded.is_file():
        told["example"] = read_json(recorded)


def _exemplified(told: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Puts the first example of a body's schema beside it, where the reader of the reference sees it."""
    schema = told.get("schema", {})
    schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    if "example" not in told and "examples" not in told and (schema.get("examples") or "example" in schema):
        told["example"] = schema["examples"][0] if schema.get("examples") else schema["example"]


def page(schema: Mapping[str, Any], address: str) -> str:
    """The reference as one page of HTML: no script, nothing from elsewhere. address: of the service, as the reader's
    browser names it (scheme, host, port): a command that is copied asks the service it was copied from."""
    groups: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(
                _operation(path, method, operation, address)
            )
    parts = [f"<h2>{_text(name)}</h2>{''.join(found)}" for name, found in groups.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>loomcast API</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="stylesheet" '
        f'href="/docs/style.css"></head><body><h1>loomcast API</h1><p>{_text(schema["info"]["description"])}</p>'
        '<p><a href="/openapi.json">openapi.json</a> · <a href="/health">health</a> · '
        f'<a href="/metrics">metrics</a></p>{"".join(parts)}</body></html>'
    )


def _operation(path: str, method: str, operation: Mapping[str, Any], address: str) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(one['name'])}</code></td><td>{_text(_kind(one.get('schema', {})))}</td>"
        f"<td>{_text(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    table = f"<table><tr><th>parameter</th><th>values</th><th>meaning</th></tr>{rows}</table>" if rows else ""
    body = "".join(_body(kind, told) for kind, told in operation.get("requestBody", {}).get("content", {}).items())
    call = _call(path, method, operation, address)
    link = f'<p><a href="{_text(path)}">Try it</a></p>' if method == "get" and "{" not in path else ""
    answers = "".join(
        f"<tr><td>{_text(code)}</td><td>{_text(told.get('description', ''))}{_example(told)}</td></tr>"
        for code, told in operation.get("responses", {}).items()
        if code.startswith("2")
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{_text(path)}</code> {_text(operation.get('summary', ''))}"
        f"</summary><p>{_text(operation.get('description', ''))}</p><pre>{_text(call)}</pre>{link}{table}{body}"
        f"<table><tr><th>status</th><th>answer</th></tr>{answers}</table></details>"
    )


def _call(path: str, method: str, operation: Mapping[str, Any], address: str) -> str:
    """The operation as one command for a shell, with the example of its body."""
    parts = ["curl", *([] if method == "get" else ["-X", method.upper()]), shlex.quote(f"{address}{path}")]
    for kind, told in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "multipart/form-data":
            parts += ["-F", "file=@FILE.csv"]
            break
        value = _example_of(told)
        if value is not None:
            body = json.dumps(value, ensure_ascii=False)
            parts += ["-H", shlex.quote(f"Content-Type: {kind}"), "-d", shlex.quote(body)]
            break
    return " ".join(parts)


def _body(kind: str, told: Mapping[str, Any]) -> str:
    return f"<p>Body: <code>{_text(kind)}</code></p>{_example(told) or _pre(told.get('schema', {}))}"


def _example(told: Mapping[str, Any]) -> str:
    value = _example_of(told)
    return "" if value is None else _pre(value)


def _example_of(told: Mapping[str, Any]) -> Any:
    """The first example that is declared; None without one."""
    for one in (told, *told.get("content", {}).values()):
        if "example" in one:
            return one["example"]
        for example in one.get("examples", {}).values():
            return example.get("value")
    return None


def _pre(value: Any) -> str:
    return f"<pre>{_text(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"


def _kind(schema: Mapping[str, Any]) -> str:
    values = schema.get("enum")
    said = ", ".join(map(str, values)) if values else str(schema.get("type", "text"))
    return said + (f" (default {schema['default']})" if schema.get("default") is not None else "")


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
