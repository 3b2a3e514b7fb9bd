"""Bodies, queries, rates and places: each limit has its answer, and reads go on beside slow callers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, StrictInt

from demand.errors import SettingsError
from serve_app.app import make_app
from serve_app.auth import role
from serve_app.limits import FILES_AT_ONCE, Buckets, strict_body
from serve_app.problems import Refused
from serve_app.settings import ServeSettings
from tests.serve_app import calls


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: StrictInt = 30


def router() -> APIRouter:
    found = APIRouter()

    @found.post("/ask", dependencies=[role("read")])
    async def ask(body: Asked) -> dict[str, int]:
        return {"days": body.days}

    @found.post("/api/upload_csv", dependencies=[role("operate")])
    async def upload(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @found.get("/slow", dependencies=[role("read")])
    async def slow(seconds: float = 0.2) -> dict[str, bool]:
        await asyncio.sleep(seconds)
        return {"ok": True}

    @found.get("/headers", dependencies=[role("read")])
    async def headers(request: Request) -> dict[str, str]:
        return dict(request.headers)

    return found


def client(tmp_path, **settings: Any) -> calls.Client:
    return calls.client_of(calls.state_of(tmp_path, **settings), [router()])


JSON = {"Content-Type": "application/json"}
BAD_BODIES = {
    "not JSON": ("{", 400),
    "NaN": ('{"days": NaN}', 400),
    "infinity": ('{"days": 1e999}', 400),
    "minus infinity": ('{"days": -Infinity}', 400),
    "a huge number": ('{"days": ' + "9" * 4000 + "}", 400),
    "a doubled key": ('{"days": 1, "days": 2}', 400),
    "too deep": ('{"days": ' + "[" * 5000 + "]" * 5000 + "}", 400),
    "deep inside a text": ('{"days": "' + "[" * 5000 + '"}', 400),
    "an unknown key": ('{"dayz": 1}', 400),
    "a number as text": ('{"days": "30"}', 400),
    "true as a number": ('{"days": true}', 400),
    "a fraction": ('{"days": 30.0}', 400),
    "a list": ("[1]", 400),
    "null": ("null", 400),
    "not UTF-8": (b'{"days": "\xff"}', 400),
    "half a surrogate pair": ('{"days": "\\ud800"}', 400),
    "nothing": ("", 400),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_when_a_body_is_bad_then_its_answer_says_so_and_is_strict_json(tmp_path, what):
    body, status = BAD_BODIES[what]
    answer = client(tmp_path).post("/ask", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == "error"
    assert len(answer.content) < 2000


def test_when_a_body_is_good_then_it_arrives(tmp_path):
    found = client(tmp_path).post("/ask", content=json.dumps({"days": 7}), headers=JSON)
    assert (found.status_code, found.json()) == (200, {"days": 7})


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/jsonx", "text/csv"])
def test_when_a_body_is_of_another_kind_then_415(tmp_path, kind):
    answer = client(tmp_path).post("/ask", content="{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["allowed"]


def test_when_a_body_is_too_large_then_413_by_its_length_and_by_its_bytes(tmp_path):
    caller = client(tmp_path, max_body_kb=1, max_upload_mb=1)
    big = json.dumps({"days": "x" * 2000})
    assert caller.post("/ask", content=big, headers=JSON).status_code == 413

    async def endless():
        while True:
            yield b" " * 500

    assert caller.post("/ask", content=endless(), headers=JSON).status_code == 413
    csv = {"Content-Type": "text/csv"}
    assert caller.post("/api/upload_csv", content=b"x" * 2**19, headers=csv).json() == {"bytes": 2**19}
    assert caller.post("/api/upload_csv", content=endless(), headers=csv).status_code == 413
    assert caller.post("/api/upload_csv", content=big, headers=JSON).status_code == 413


@pytest.mark.parametrize("length", ["x", "-1", "1" * 5000, "²"])
def test_when_the_length_is_no_length_then_it_is_refused(tmp_path, length):
    answer = client(tmp_path).post("/ask", content="{}", headers={**JSON, "Content-Length": length.encode("latin-1")})
    assert answer.status_code in (400, 413)


def test_when_a_query_is_too_long_then_400(tmp_path):
    assert client(tmp_path).get("/slow?seconds=" + "0" * 5000).json()["error"] == "query_too_long"


def test_when_a_client_would_steer_ray_then_its_headers_do_not_arrive(tmp_path):
    sent = {"x-request-timeout-seconds": "0", "X-Request-Disconnect-Disabled": "1", "serve_multiplexed_model_id": "m"}
    arrived = client(tmp_path).get("/headers", headers={**sent, "x-mine": "1"}).json()
    assert "x-mine" in arrived
    assert not {name.lower() for name in sent} & arrived.keys()


def test_when_a_client_calls_too_often_then_429_says_when_to_come_again(tmp_path):
    caller = client(tmp_path, rate_per_second=1.0, changes_per_minute=3, replicas=1)
    codes = [caller.get("/headers").status_code for _ in range(4)]
    assert codes[:2] == [200, 200]
    assert codes[-1] == 429
    assert [caller.post("/ask", content="{}", headers=JSON).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert caller.post("/ask", content="{}", headers=JSON).headers["retry-after"] == "20"


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 6])
def test_when_there_are_several_replicas_then_together_they_let_no_more_than_the_rate_through(tmp_path, replicas):
    caller = client(tmp_path, changes_per_minute=6, replicas=replicas)
    codes = [caller.post("/ask", content="{}", headers=JSON).status_code for _ in range(7)]
    assert codes.count(200) == 6 // replicas


def test_when_there_are_more_replicas_than_changes_a_minute_then_the_settings_are_refused():
    with pytest.raises(SettingsError, match="each replica") as refused:
        ServeSettings(changes_per_minute=6, replicas=7)
    assert refused.value.facts["key"] == "serve.changes_per_minute"


def test_when_buckets_are_many_then_the_oldest_clients_are_forgotten_and_time_fills_them(monkeypatch):
    monkeypatch.setattr("serve_app.limits.MAX_CLIENTS", 3)
    now = [100.0]
    buckets = Buckets(1.0, 2, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 1, 1]
    now[0] += 1
    assert [buckets.take("a"), buckets.take("a")] == [0, 1]
    for name in "bcd":
        buckets.take(name)
    assert len(buckets._left) == 3


async def _gather(app: Any, *requests: tuple[str, str, dict[str, Any]]) -> list[tuple[int, float, Any]]:
    """(status, seconds, headers) of each request, all begun at once."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as caller:

        async def one(method: str, path: str, more: dict[str, Any]) -> tuple[int, float, Any]:
            began = time.perf_counter()
            answer = await caller.request(method, path, **more)
            return answer.status_code, time.perf_counter() - began, answer.headers

        return await asyncio.gather(*(one(*request) for request in requests))


def test_when_too_many_come_at_once_then_the_rest_are_told_at_once_and_it_recovers(tmp_path):
    app = make_app(calls.state_of(tmp_path, max_concurrent=4), [router()])
    found = asyncio.run(_gather(app, *[("GET", "/slow?seconds=0.5", {})] * 40))
    shed = [(seconds, headers) for status, seconds, headers in found if status == 503]
    assert len(shed) == 36
    assert all(headers["retry-after"] == "1" for _, headers in shed)
    assert max(seconds for seconds, _ in shed) < 0.4
    assert asyncio.run(_gather(app, ("GET", "/slow", {})))[0][0] == 200


def test_when_bodies_come_slowly_then_reads_go_on_beside_them_and_they_are_ended(tmp_path):
    async def drip():
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.1)

    app = make_app(calls.state_of(tmp_path, max_concurrent=4, body_seconds=1.0), [router()])
    slow = [("POST", "/ask", {"content": drip(), "headers": JSON}) for _ in range(30)]
    found = asyncio.run(_gather(app, *slow, *[("GET", "/headers", {})] * 4))
    assert [status for status, _, _ in found] == [408] * 30 + [200] * 4
    assert all(1.0 <= seconds < 4 for _, seconds, _ in found[:30])
    assert all(seconds < 1.0 for _, seconds, _ in found[30:])


@pytest.mark.parametrize("kind", ["text/csv", "multipart/form-data; boundary=b"])
def test_when_files_come_slowly_then_reads_go_on_beside_them_and_more_files_are_told_to_come_again(tmp_path, kind):
    async def drip():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.1)

    app = make_app(calls.state_of(tmp_path, max_concurrent=4, body_seconds=1.0), [router()])
    told = {"Content-Type": kind}
    slow = [("POST", "/api/upload_csv", {"content": drip(), "headers": told}) for _ in range(FILES_AT_ONCE + 5)]
    found = asyncio.run(_gather(app, *slow, *[("GET", "/headers", {})] * 4))
    codes = [status for status, _, _ in found]
    assert Counter(codes[:-4]) == {408: FILES_AT_ONCE, 503: 5}
    assert codes[-4:] == [200] * 4
    assert asyncio.run(_gather(app, ("POST", "/api/upload_csv", {"content": b"x", "headers": {
        "Content-Type": "text/csv"}})))[0][0] == 200  # fmt: skip


def test_when_a_text_never_ends_then_its_depth_is_judged_in_linear_time():
    began = time.perf_counter()
    for hostile in ('"' + '\\"' * 400_000, '"' * 400_001, "[" * 400_000, '{"a":"' + "\\" * 400_000):
        with pytest.raises(Refused):
            strict_body(hostile.encode())
    assert time.perf_counter() - began < 4
