"""Bad requests to the whole product: each has its status, says which part is at fault, and costs next to nothing."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.contracts.service import Service, strict
from tests.serve_app.calls import Client

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
PREDICT, RETRAIN = "/api/predictions", "/api/retrain-ml"
PROMOTE, ROLLBACK = "/api/releases/promote", "/api/releases/rollback"
LONG = "x" * 100_000


@pytest.fixture(scope="module")
def service(registry_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        made = Service(tmp_path_factory.mktemp("bad"), patch, registry=str(registry_root))
        yield SimpleNamespace(client=Client(made.app), app=made.app, jobs=made.jobs, compute=made.compute)
        made.close()


@pytest.fixture(scope="module")
def guarded(registry_root, tmp_path_factory):
    """The same where everybody needs a token."""
    with pytest.MonkeyPatch.context() as patch:
        made = Service(tmp_path_factory.mktemp("guarded"), patch, registry=str(registry_root), require_token=True)
        yield SimpleNamespace(client=Client(made.app), app=made.app)
        made.close()


def refused(answer, status):
    """What a refusal says: strict JSON of the one form, and short."""
    assert answer.status_code == status, answer.text[:300]
    said = strict(answer.content)
    assert said.keys() <= {"status", "error", "detail", "parameter", "allowed", "request_id"}
    assert said.keys() >= {"status", "error", "detail", "request_id"}
    assert said["status"] == "error"
    assert len(answer.content) < 3000
    return said


def every_route(app):
    """(method, path with something in its places) of every route, pages and files among them."""
    for route in app.router.routes:
        assert isinstance(route, APIRoute)
        path = route.path.replace("{style:path}", "S000").replace("{name}", "app.css")
        path = path.replace("{job_id}", "1").replace("{data_id}", "0" * 64).replace("{run_id}", "r")
        for method in sorted(route.methods):
            yield method, path


def test_when_a_query_name_is_unknown_then_every_route_of_the_api_refuses_it(service):
    jobs = list(service.jobs)
    for method, path in every_route(service.app):
        if path.startswith("/api/") and "openapi" not in path:
            said = refused(service.client.request(method, f"{path}?surprise=1", content=b"{}", headers=JSON), 400)
            assert (said["error"], said["parameter"]) == ("bad_parameter", "surprise"), (method, path)
    assert service.jobs == jobs


# ---- bodies ---------------------------------------------------------------------------------------------------------

FIELDS = {PREDICT: "horizon", PROMOTE: "release", ROLLBACK: "release", RETRAIN: "model"}
BODIES = {
    "NaN": '{"%s": NaN}', "infinity": '{"%s": Infinity}', "beyond a double": '{"%s": 1e999}',
    "a huge number": '{"%s": ' + "9" * 4000 + "}", "a doubled key": '{"%s": 1, "%s": 1}',
    "deep": '{"%s": ' + "[" * 5000 + "]" * 5000 + "}", "deep objects": '{"%s":' * 500 + "1" + "}" * 500,
    "an extra key": '{"%s": 1, "storage.root": "/"}', "true": '{"%s": true}', "a fraction": '{"%s": 1.5}',
    "a list": "[1]", "a number": "1", "a text": '"%s"', "null": "null", "half": '{"%s": ', "not UTF-8": b'{"\xff": 1}',
    "white space": "\r",
    "two values": '{"%s": 1} {"%s": 1}', "a comment": '{"%s": 1 /* one */}', "a leading zero": '{"%s": 01}',
}  # fmt: skip


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("what", BODIES)
def test_when_a_body_is_bad_then_400_whatever_it_was_sent_to(service, path, what):
    body = BODIES[what]
    body = body if isinstance(body, bytes) else body.replace("%s", FIELDS[path]).encode()
    refused(service.client.post(path, content=body, headers=JSON), 400)
    assert service.jobs == []


@pytest.mark.parametrize("path", FIELDS)
def test_when_a_body_is_too_large_or_of_another_kind_then_413_or_415(service, path):
    refused(service.client.post(path, content=b" " * (1024 * 1024 + 1), headers=JSON), 413)
    for kind in ("text/plain", "text/csv", "application/xml", "application/octet-stream", "application/json5", "x"):
        refused(service.client.post(path, content=b"{}", headers={"Content-Type": kind}), 415)
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data"):
        refused(service.client.post(path, content=b"model=all", headers={"Content-Type": kind}), 400)
    assert service.jobs == []


def day(**more):
    return {"date": "2025-08-30", "quantity": 1, **more}


HISTORIES: list[Any] = [
    [], [day()], [day(), day(), day()], [day(quantity=True)], [day(quantity="1")], [day(quantity=1e13)],
    [day(date="2025-02-30")], [day(date="0000-00-00")], [day(date=20250830)], [day(date="../x")], [day(extra=1)],
    [{"date": "2025-08-30"}], [day(columns={"price": True})], [day(columns={"no": 1})] * 3, "x", [[]], [None],
]  # fmt: skip
VALUES: list[tuple[str, Any, int, str | None]] = [
    *[(PREDICT, {"style": "S000", "horizon": bad}, 400, "horizon") for bad in (0, -1, 10**9, 1e9, True, "7", 7.0)],
    (PREDICT, {"style": "S000", "horizon": 31}, 409, "horizon"),
    *[(PREDICT, {"style": bad}, 404, "style") for bad in ("../x", "%2e%2e", "S000\0", "\0", "s000", "y" * 500)],
    *[(PREDICT, {"style": bad}, 400, "style") for bad in ("", LONG, 7, ["S000"])],
    *[(PREDICT, {"data_id": bad}, 400, "data_id") for bad in ("../x", "0" * 63, "0" * 64 + "\n", LONG, 7)],
    (PREDICT, {"data_id": "0" * 64}, 404, "data_id"),
    *[(PREDICT, {"style": "S000", "confidence_level": bad}, 400, "confidence_level") for bad in (0, 1, -1, 2, 1e-300)],
    (PREDICT, {"style": "S000", "planned": {"price": True}}, 400, "planned.price"),
    (PREDICT, {"style": "S000", "planned": {"price": 1}}, 409, "planned"),
    (PREDICT, {"style": "S000", "planned": {LONG: 1}}, 400, None),
    (PREDICT, {}, 400, "body"),
    (PREDICT, {"data_id": "0" * 64, "history": [day()]}, 400, "body"),
    *[(PREDICT, {"history": bad}, 422, None) for bad in HISTORIES],
    *[(path, {"release": bad}, 400, "release")
      for path in (PROMOTE, ROLLBACK) for bad in (0, -1, 10**9 + 1, True, "1", 1.0, [1])],
    *[(path, {"release": 10**9}, 404, "release") for path in (PROMOTE, ROLLBACK)],
    (PROMOTE, {}, 400, "release"),
    (PROMOTE, {"release": 1, "force": 1}, 400, "force"),
    *[(path, {"release": 1, "reason": bad}, 400, "reason")
      for path in (PROMOTE, ROLLBACK) for bad in ("", LONG, "a' force='true", "a\nb", "${x}", "a]", 7)],
    *[(RETRAIN, {"model": bad}, 400, "model") for bad in ("../x", "%2e%2e", "\0", "y" * 100, True, 7)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "parameter"), VALUES,
    ids=[f"{path[5:]}-{json.dumps(body)[:40]}".replace("\\", "") for path, body, *_ in VALUES],
)  # fmt: skip
def test_when_a_value_is_impossible_then_its_status_and_its_name_are_the_answer(service, path, body, status, parameter):
    said = refused(service.client.post(path, content=json.dumps(body), headers=JSON), status)
    assert parameter is None or said["parameter"] == parameter
    assert service.jobs == []


# ---- paths and queries ----------------------------------------------------------------------------------------------

ADDRESSES = [
    *[(f"/api/styles/{bad}", 404) for bad in ("nobody", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff", "S000%00",
                                               "S000%0d%0aX:1", "%252e", "x" * 500)],
    *[(f"/api/styles/{bad}", 400) for bad in ("", "x" * 501)],
    *[(f"/api/styles/S000?history={bad}", 400) for bad in ("0", "-1", "true", "1e3", "7.0", "+7", "1" * 400, "")],
    *[(f"/api/uploads/{bad}", 404) for bad in ("..%2f..", "%2e%2e", "%00", "0" * 64, "x" * 5000)],
    *[(f"{RETRAIN}/{bad}", 404) for bad in ("..%2f..", "%2e%2e", "%00", "true", "-1", "x" * 5000)],
    *[(f"/static/{bad}", 404) for bad in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "app.css%00", "x" * 5000)],
    *[(f"/api/releases/compare?release={bad}&against=1", 400) for bad in ("0", "-1", "true", "1000000000", "1.0", "")],
    ("/api/releases/compare?release=1", 400),
    ("/api/releases/compare?release=1&against=9", 404),
    *[(f"/api/jobs?{bad}", 400) for bad in ("limit=0", "limit=true", "offset=-1", "lmit=2", "limit=1&limit=2")],
    ("/api/styles?search=" + "x" * 5000, 400),
    ("/api/monitoring?limit=0", 400),
    *[(bad, 404) for bad in ("/api", "/api/", "//etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%00", "/.env", "/-/routes",
                             "/-/healthz", "/api/insights/", "/" + "x" * 5000)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "status"), ADDRESSES, ids=[one[:60].replace("%", "_") for one, _ in ADDRESSES]
)  # fmt: skip
def test_when_an_address_is_bad_then_it_has_its_status(service, address, status):
    refused(service.client.get(address), status)


def test_when_a_name_is_a_hundred_thousand_characters_long_then_it_costs_as_little_as_a_short_one(service):
    """Longer than an HTTP client would send it: the application is called directly."""

    async def call(path):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
                 "scheme": "http", "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"}}  # fmt: skip
        await service.app(scope, receive, send)
        return SimpleNamespace(status_code=sent[0]["status"], content=sent[1]["body"], text=str(sent[1]["body"]))

    for before, status in (
        ("/api/styles/", 400),
        ("/api/uploads/", 404),
        (f"{RETRAIN}/", 404),
        ("/static/", 404),
        ("/", 404),
    ):
        began = time.perf_counter()
        refused(asyncio.run(call(before + LONG)), status)
        assert time.perf_counter() - began < 1


# ---- methods and headers --------------------------------------------------------------------------------------------


def test_when_only_the_head_is_asked_then_every_get_route_answers_it_without_a_body(service):
    for method, path in every_route(service.app):
        if method == "GET":
            path += "?release=1&against=1" if path.endswith("compare") else ""
            head, got = service.client.request("HEAD", path), service.client.get(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"])
def test_when_a_method_is_not_served_then_405_on_every_route(service, method):
    for _, path in every_route(service.app):
        answer = service.client.request(method, path)
        refused(answer, 405)
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""}, {"Host": "10.1.2.3:8000"},
     {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9"},
     {"Sec-Fetch-Site": "cross-site"}],
    ids=str,
)  # fmt: skip
def test_when_a_foreign_page_or_name_calls_then_403_on_every_route_of_the_product(service, headers):
    for method, path in every_route(service.app):
        assert refused(service.client.request(method, path, headers=headers), 403)["parameter"] in headers
    assert service.jobs == []


def test_when_a_token_is_needed_then_every_route_of_the_product_refuses_without_one_but_the_few_that_are_open(guarded):
    without = {path for method, path in every_route(guarded.app)
               if guarded.client.request(method, path).status_code != 401}  # fmt: skip
    assert without == {"/health", "/health/ready", "/session", "/session/style.css"}
    for address in ("/", "/docs", "/openapi.json", "/metrics", "/nowhere", "/api/retrain-ml/1"):
        refused(guarded.client.get(address), 401)


@pytest.mark.parametrize(
    "name", ["x-request-timeout-seconds", "X-Request-Disconnect-Disabled", "serve_multiplexed_model_id"]
)
def test_when_a_client_would_steer_the_server_then_the_answer_is_the_same(service, name):
    for address in ("/api/insights", "/api/styles/S000"):
        plain, steered = service.client.get(address), service.client.get(address, headers={name: "0"})
        assert (plain.status_code, plain.content) == (steered.status_code, steered.content)
        assert plain.status_code == 200


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "ä".encode(), b"\xff"])
def test_when_a_key_of_a_request_is_no_key_then_400_and_nothing_starts(service, key):
    refused(service.client.post(RETRAIN, headers={"Idempotency-Key": key}), 400)
    assert service.jobs == []


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "1e9", "true", "", "1&wait=1e9"])
def test_when_the_time_to_wait_is_no_time_then_400_and_nothing_starts(service, wait):
    refused(service.client.post(f"{RETRAIN}?wait={wait}"), 400)
    assert service.jobs == []
