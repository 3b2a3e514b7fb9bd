"""The whole application over a real release: curl lines, bytes, caches, logs, counts, the reference."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.app import make_app
from serve_app.prediction_log import KEPT_DAYS, PredictionLog
from serve_app.routes import ROUTES
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.serve_app import calls

DETAILED, VALIDATION = "/api/ml-forecast-detailed", "/api/ml-validation-summary"


@pytest.fixture
def serving(ensemble_root, tmp_path):
    """Makes (state, client) over the ensemble's release, with settings; logs and tokens go into another folder."""

    def make(**settings):
        config = Config(ServeSettings(**settings), str(tmp_path), str(ensemble_root))
        state = State(config)
        state.following.look()
        return state, calls.client_of(state)

    return make


def strict(text: bytes):
    def refuse(token):
        raise ValueError(token)

    return json.loads(text, parse_constant=refuse)


def test_when_every_question_is_asked_then_it_answers_strictly_and_twice_with_the_same_bytes(serving):
    _, client = serving()
    for route in ROUTES:
        path = route.path.replace("{style:path}", "A/1")
        path += "?release=1&against=1" if path.endswith("compare") else ""
        first, second = client.get(path), client.get(path)
        assert first.status_code == 200, (path, first.text[:300])
        assert first.content == second.content
        assert strict(first.content)["status"] in ("success", "no_data")
        assert first.headers["etag"] == second.headers["etag"]
        assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_when_only_the_head_is_asked_then_it_is_the_gets_without_its_body(serving):
    _, client = serving()
    got, head = client.get(DETAILED), client.request("HEAD", DETAILED)
    assert head.content == b""
    assert (head.status_code, head.headers["etag"]) == (200, got.headers["etag"])


def test_when_the_same_is_asked_in_other_words_then_it_is_one_answer_and_a_hit(serving):
    state, client = serving()
    one = client.get(f"{DETAILED}?detail=summary&horizon=30")
    two = client.get(f"{DETAILED}?horizon=30&detail=summary")
    three = client.get(f"{DETAILED}?detail=summary&horizon=30")
    assert one.content == two.content == three.content
    assert len(state.cache) == 1
    text = client.get("/metrics").text
    assert 'loomcast_cache_total{outcome="miss"} 1.0' in text
    assert 'loomcast_cache_total{outcome="hit"} 2.0' in text


def test_when_predictions_are_not_cached_then_each_is_computed_with_the_same_bytes(serving):
    state, client = serving(cache_predictions=False)
    assert client.get(DETAILED).content == client.get(DETAILED).content
    assert len(state.cache) == 0
    assert 'loomcast_cache_total{outcome="off"} 2.0' in client.get("/metrics").text


def test_when_the_time_of_the_cache_is_up_then_it_is_computed_anew(ensemble_root, tmp_path):
    now = [0.0]
    state = State(Config(ServeSettings(cache_ttl_hours=2.0), str(tmp_path), str(ensemble_root)))
    state.cache._clock = lambda: now[0]
    state.following.look()
    client = calls.client_of(state)
    for moment in (0.0, 7199.0, 7200.0, 7201.0):
        now[0] = moment
        client.get(VALIDATION)
    text = client.get("/metrics").text
    assert 'loomcast_cache_total{outcome="miss"} 2.0' in text


def test_when_predictions_are_logged_then_a_line_says_release_scope_and_hash_and_nothing_of_who_asked(
    serving, tmp_path
):
    state, client = serving()
    for _ in range(3):
        client.get(f"{DETAILED}?horizon=30", headers={"User-Agent": "somebody"})
    answer = client.get("/api/styles/A/1")
    client.get(VALIDATION)
    state.predictions.flush()
    (path,) = (tmp_path / "predictions").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(set(line) == {"at", "release", "route", "scope", "model", "horizon", "hash", "count"} for line in lines)
    assert [(line["scope"], line["count"]) for line in lines] == [("fleet", 3), ("A/1", 1)]
    assert lines[1]["hash"] == answer.headers["etag"].strip('"').removesuffix("-gz")
    assert "somebody" not in path.read_text()
    assert "127.0.0.1" not in path.read_text()


def test_when_predictions_are_not_logged_then_there_is_no_log(serving, tmp_path):
    state, client = serving(log_predictions=False)
    client.get(DETAILED)
    state.predictions.stop()
    assert not (tmp_path / "predictions").exists()


def test_when_the_prediction_log_is_old_then_it_goes_and_a_full_disk_stops_no_answer(tmp_path):
    now = [datetime(2025, 9, 2, tzinfo=UTC)]
    found = PredictionLog(tmp_path, now=lambda: now[0])
    found.note((1, "/x", "fleet", "auto", 30), "h")
    found.flush()
    now[0] += timedelta(days=KEPT_DAYS + 2)
    found.note((1, "/x", "fleet", "auto", 30), "h")
    found.flush()
    assert [path.stem for path in (tmp_path / "predictions").iterdir()] == [f"{now[0]:%Y-%m-%d}"]
    blocked = PredictionLog(tmp_path / "predictions" / f"{now[0]:%Y-%m-%d}.jsonl")
    blocked.note((1, "/x", "fleet", "auto", 30), "h")
    blocked.flush()
    assert sum(blocked._seen.values()) == 1


def test_when_the_disk_is_full_in_the_middle_of_a_line_then_no_line_is_cut_or_counted_twice(tmp_path, monkeypatch):
    found = PredictionLog(tmp_path)
    write = os.write
    for style in "ab":
        found.note((1, "/x", style, "auto", 30), "h")
    monkeypatch.setattr(os, "write", lambda handle, lines: write(handle, lines[: len(lines) // 2 + 9]))
    found.flush()
    monkeypatch.setattr(os, "write", write)
    found.flush()
    (path,) = (tmp_path / "predictions").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["scope"], line["count"]) for line in lines] == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?horizon=0", 400),
        ("?horizon=-1", 400),
        ("?horizon=1000000000", 400),
        ("?horizon=1e9", 400),
        ("?horizon=٣٠", 400),
        ("?horizon=30&horizon=60", 400),
        ("?horizon=180", 409),
        ("?model=random", 400),
        ("?model=lstm", 409),
        ("?detail=", 400),
        ("?nonsense=1", 400),
        ("?limit=0", 400),
        ("?limit=-1", 400),
        ("?style=NOBODY", 404),
        ("?style=" + "x" * 3000, 400),
        ("?style=..%2F..%2Fetc%2Fpasswd", 404),
        ("?style=%00", 404),
        ("?style=%252e%252e", 404),
        ("?style=%0d%0aSet-Cookie:%20a=b", 404),
        ("?style=%ff%fe", 404),
        ("?style=%ed%a0%80", 404),
        ("?style=<script>alert(1)</script>", 404),
        ("/../x", 404),
        ("/%2e%2e/x", 404),
        ("%00", 404),
    ],
)
def test_when_a_read_is_bad_then_it_has_its_status_and_never_a_5xx(serving, path, status):
    _, client = serving()
    answer = client.get(DETAILED + path)
    assert answer.status_code == status, answer.text[:300]
    said = strict(answer.content)
    assert said["status"] == "error"
    assert {"error", "detail", "request_id"} <= said.keys()
    assert len(answer.content) < 3000
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"] == "application/json"


def test_when_a_style_is_unknown_or_forbidden_then_the_bodies_are_alike(serving):
    _, client = serving()
    bodies = [client.get(f"/api/styles/{name}", headers={"x-request-id": "1"}).json() for name in ("NONE1", "NONE2")]
    assert bodies[0].keys() == bodies[1].keys()
    assert bodies[0]["detail"].replace("NONE1", "NONE2") == bodies[1]["detail"]


def test_when_metrics_are_read_then_no_label_holds_a_style_a_query_or_a_client(serving):
    _, client = serving(changes_per_minute=10_000)
    client.get("/metrics")
    for i in range(30):
        client.get(f"/api/styles/UNKNOWN-{i}")
        client.get(f"/nowhere/{i}")
        client.request(f"METHOD{i}", "/nowhere")
    before = len(client.get("/metrics").text.splitlines())
    for i in range(30, 90):
        client.get(f"/api/styles/UNKNOWN-{i}")
        client.request(f"METHOD{i}", f"/nowhere/{i}")
    text = client.get("/metrics").text
    assert len(text.splitlines()) <= before + 2
    assert "UNKNOWN" not in text
    assert "METHOD" not in text
    assert 'route="/api/styles/{style:path}"' in text
    assert "loomcast_release_serving 1.0" in text
    assert "loomcast_ready 1.0" in text


def test_when_the_reference_is_read_then_every_route_is_there_with_its_errors_and_nothing_comes_from_elsewhere(
    serving,
):
    state, client = serving()
    schema = strict(client.get("/openapi.json").content)
    paths = {route.path.replace(":path}", "}") for route in make_app(state).router.routes if route.include_in_schema}
    assert schema["paths"].keys() == paths
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            assert {"400", "401", "403", "429", "500", "503"} <= operation["responses"].keys()
        if path.startswith("/api/"):
            content = methods["get"]["responses"]["200"]["content"]["application/json"]
            assert content["example"]
            assert content["schema"]
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert "<script" not in page.text
    for path in paths:
        assert path in page.text
    assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")
