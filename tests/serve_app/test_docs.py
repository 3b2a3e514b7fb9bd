"""The reference's commands: they ask the service they were read from, with a body where one is needed."""

from __future__ import annotations

import html
import json
import re
import shlex

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from serve_app.auth import role
from serve_app.docs import openapi_of, page
from serve_app.predictions import predictions_router
from serve_app.schemas.predictions import read_request


class Told(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "it's"}]})

    name: str


def calls(address: str) -> dict[str, list[str]]:
    """First words of each command on the page, by path."""

    async def never(_):
        raise AssertionError

    app, router = FastAPI(openapi_url=None), APIRouter()

    @router.post("/told", dependencies=[role("read")])
    def told(_: Told) -> Response:
        raise AssertionError

    for one in (router, predictions_router(never)):
        app.router.routes.extend(one.routes)
    text = page(openapi_of(app, (), needs_token=False), address)
    found = [shlex.split(html.unescape(one)) for one in re.findall(r"<pre>(curl .*?)</pre>", text, re.DOTALL)]
    return {call[3].removeprefix(address): call for call in found}


def test_when_the_reference_is_read_at_an_address_then_its_commands_ask_there_with_a_body_that_is_understood():
    address = "https://forecast.example:5006"
    found = calls(address)
    assert found.keys() == {"/told", "/api/predictions"}
    for path, call in found.items():
        assert call[:4] == ["curl", "-X", "POST", f"{address}{path}"]
        assert call[4:7] == ["-H", "Content-Type: application/json", "-d"]
    assert json.loads(found["/told"][7]) == {"name": "it's"}
    assert read_request(json.loads(found["/api/predictions"][7])) is not None
