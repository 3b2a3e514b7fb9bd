"""The service as a user starts it: real Ray Serve, real HTTP, promotions and killed replicas while it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.faults.processes import is_loopback, listening, tree, wait_for
from tests.serve_app.made import make_release
from tests.serve_app.running import DETAILED, VALIDATION, Load, Served, serving, until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.alone]
REPLICAS = 2


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """Started over an empty storage, as on the first day; must end cleanly when asked to."""
    root = tmp_path_factory.mktemp("served")
    with serving(root / "s", root / "log", "source.path=nowhere.csv", "serve.body_seconds=3") as found:
        yield found


def test_when_nothing_is_released_then_503_no_data_and_the_first_release_arrives_within_2_s(served):
    answer = served.get(DETAILED)
    assert (answer.status_code, answer.json()["status"]) == (503, "no_data")
    assert "jobs.pipeline" in answer.json()["reason"]
    assert served.get("/health").status_code == 200
    assert served.get("/health/ready").status_code == 503
    make_release(served.root, 4, seed=1, run_id="one")
    assert until(lambda: served.champion_everywhere(1), 5) < 2.5
    assert served.get("/health/ready").status_code == 200


def test_when_the_curl_lines_are_typed_then_they_answer_as_written(served):
    for path in (DETAILED, VALIDATION):
        done = subprocess.run(
            ["curl", "--fail", "--silent", f"http://localhost:{served.port}{path}"], capture_output=True, check=True
        )
        assert json.loads(done.stdout)["status"] == "success"
    line = ["curl", "--silent", "-X", "POST", f"http://localhost:{served.port}/api/retrain-ml"]
    accepted = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    assert accepted["status"] == "accepted"
    until(lambda: served.get(accepted["status_url"]).json()["status"] == "failed", 120)  # there is no source
    assert served.get("/health").json()["release"] == 1
    audited = [json.loads(line) for line in (served.root / "audit.jsonl").read_text().splitlines()]
    assert [(one["who"], one["path"], one["status"]) for one in audited] == [
        ("local", "/api/retrain-ml", None), ("local", "/api/retrain-ml", 202)]  # fmt: skip


def test_when_a_foreign_page_or_name_calls_then_it_is_refused_also_by_the_real_server(served):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert served.get("/health", headers=headers).status_code == 403
    answer = served.get(VALIDATION, headers={"x-request-timeout-seconds": "0"})
    assert answer.status_code == 200


def test_when_a_head_is_too_large_or_too_slow_then_the_connection_ends_and_others_are_answered(served):
    def connected() -> socket.socket:
        return socket.create_connection(("127.0.0.1", served.port), timeout=30)

    with connected() as slow, connected() as large:
        slow.sendall(b"GET /health HTTP/1.1\r\nX: ")
        with suppress(OSError):  # it is closed while we send
            large.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 60_000_000)
        assert b" 431 " in large.recv(200)
        assert served.get("/health").status_code == 200
        assert b" 408 " in slow.recv(200)
    assert served.get("/-/routes").status_code == 404


def test_when_its_sockets_are_listed_then_all_are_on_loopback(served):
    sockets = listening(set(tree(served.mark)))
    assert len(sockets) > 5
    assert not [one for one in sockets if not is_loopback(one[0])]


def test_when_releases_are_promoted_and_rolled_back_under_load_then_none_fails_none_is_mixed(served):
    make_release(served.root, 6, seed=2, run_id="two")
    registry = served.registry
    until(lambda: served.champion_everywhere(2), 5)
    promoted = []
    with Load(served) as load:
        for k in range(6):
            target = 1 + k % 2
            registry.promote(target, expected=registry.alias("champion"), facts={})
            promoted.append((time.monotonic(), target))
            time.sleep(3)
    assert set(load.codes) == {200}
    assert sum(load.codes.values()) > 200
    assert {number for number, _ in load.bodies} == {1, 2}
    assert len(load.bodies) == 2  # one text a release, whoever answered
    for at, target in promoted:
        late = [began - at for began, number in load.begun if at + 2 < began < at + 3 and number != target]
        assert not late, (target, late)


def test_when_a_replica_is_killed_then_the_service_goes_on_and_it_comes_back(served):
    before = served.replicas()
    assert len(before) == REPLICAS
    with Load(served) as load:
        time.sleep(0.5)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(served.replicas() - before) == 1 and min(before) not in tree(served.mark), 60)
        time.sleep(1)
    assert load.lost <= 4  # at most the request in flight of each reader
    assert load.codes[200] > 100
    until(lambda: served.champion_everywhere(served.registry.alias("champion")), 10)


def test_when_bodies_come_slowly_then_reads_are_answered_beside_them(served):
    sockets = []
    head = f"POST /api/retrain-ml HTTP/1.1\r\nHost: localhost:{served.port}\r\nContent-Type: application/json\r\n"
    try:
        for _ in range(40):
            slow = socket.create_connection(("127.0.0.1", served.port), timeout=30)
            slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            sockets.append(slow)
        seconds = []
        for _ in range(30):
            began = time.monotonic()
            assert served.get(VALIDATION).status_code == 200
            seconds.append(time.monotonic() - began)
        assert max(seconds) < 3
        assert b" 408 " in sockets[0].recv(200)  # ended by the service itself
    finally:
        for slow in sockets:
            slow.close()


def test_when_the_server_is_killed_then_it_is_back_by_itself_with_the_same_answer(served):
    before, number = served.get(VALIDATION).content, served.registry.alias("champion")
    (inside,) = [pid for pid, command in tree(served.mark).items()
                 if "-m jobs.serve" in command and pid != served.process.pid]  # fmt: skip
    os.kill(inside, signal.SIGKILL)

    def back() -> bool:
        try:
            return bool(served.get("/health").json()["release"] == number and served.get("/health").json()["ready"])
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    wait_for(lambda: inside not in tree(served.mark), 20, "the killed server to be gone")
    until(lambda: served.log.read_text().count("Serving") == 2, 120)
    until(back, 20)
    assert served.get(VALIDATION).content == before
