"""The service as a user starts it: real Ray Serve, real HTTP, promotions and killed replicas while it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.registry import Registry
from tests.faults.processes import free_port, is_loopback, listening, own_tree, start, tree, wait_for
from tests.serve_app.made import make_release

pytestmark = [pytest.mark.ray, pytest.mark.slow]
DETAILED, VALIDATION = "/api/ml-forecast-detailed", "/api/ml-validation-summary"
REPLICAS = 2


@dataclass(frozen=True)
class Served:
    """A running service, its storage root, and what marks its processes."""

    root: Path
    port: int
    mark: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def registry(self) -> Registry:
        return Registry(self.root / "registry")

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30, **more)

    def replicas(self) -> set[int]:
        return {pid for pid, command in tree(self.mark).items() if command.startswith("ray::ServeReplica")}


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """Started over an empty storage, as on the first day; must end cleanly when asked to."""
    root = tmp_path_factory.mktemp("served")
    with own_tree("serve") as mark:
        port, log = free_port(), root / "log"
        told = ["-m", "jobs.serve", f"storage.root={root / 's'}", f"serve.port={port}", "source.path=nowhere.csv",
                "cluster.num_cpus=1", "cluster.object_store_mb=100", "serve.body_seconds=3"]  # fmt: skip
        process = start(told, mark, log)
        wait_for(lambda: "Serving" in log.read_text() or process.poll() is not None, 120, "the service")
        assert process.poll() is None, log.read_text()
        yield Served(root / "s", port, mark, log, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        said = log.read_text()
        assert said.rstrip().endswith("Stopped")
        assert "Traceback" not in said


def until(true: Callable[[], bool], seconds: float) -> float:
    """Seconds until it was true. Fails when it is not in time."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def champion_everywhere(served: Served, number: int) -> bool:
    """Whether many answers in a row come from this release, so that all replicas have it."""
    return all(
        served.get("/health").json()["release"] == number and served.get("/health").json()["ready"] for _ in range(8)
    )


def test_when_nothing_is_released_then_503_no_data_and_the_first_release_arrives_within_2_s(served):
    answer = served.get(DETAILED)
    assert (answer.status_code, answer.json()["status"]) == (503, "no_data")
    assert "jobs.pipeline" in answer.json()["reason"]
    assert served.get("/health").status_code == 200
    assert served.get("/health/ready").status_code == 503
    make_release(served.root, 4, seed=1, run_id="one")
    assert until(lambda: champion_everywhere(served, 1), 5) < 2.5
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
    assert [(one["who"], one["path"], one["status"]) for one in audited] == [("local", "/api/retrain-ml", 202)]


def test_when_a_foreign_page_or_name_calls_then_it_is_refused_also_by_the_real_server(served):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert served.get("/health", headers=headers).status_code == 403
    answer = served.get(VALIDATION, headers={"x-request-timeout-seconds": "0"})
    assert answer.status_code == 200


def test_when_its_sockets_are_listed_then_all_are_on_loopback(served):
    sockets = listening(set(tree(served.mark)))
    assert len(sockets) > 5
    assert not [one for one in sockets if not is_loopback(one[0])]


class Load:
    """Readers that ask for a summary without a pause and keep what they got."""

    def __init__(self, served: Served, readers: int = 4) -> None:
        self._served, self._stop = served, threading.Event()
        self.codes: Counter[int] = Counter()
        self.bodies: Counter[tuple[int, bytes]] = Counter()
        self.begun: list[tuple[float, int]] = []  # when a request began, and the release that answered it
        self._pool = ThreadPoolExecutor(readers)
        self._all = [self._pool.submit(self._read) for _ in range(readers)]

    def _read(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._served.port}", timeout=30) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                answer = client.get(f"{DETAILED}?limit=2")
                self.codes[answer.status_code] += 1
                if answer.status_code == 200:
                    release = answer.json()["release"]
                    self.bodies[release, answer.content] += 1
                    self.begun.append((began, release))

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for one in self._all:
            one.result()


def test_when_releases_are_promoted_and_rolled_back_under_load_then_none_fails_none_is_mixed(served):
    make_release(served.root, 6, seed=2, run_id="two")
    registry = served.registry
    until(lambda: champion_everywhere(served, 2), 5)
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
    lost = sum(count for code, count in load.codes.items() if code != 200)
    assert lost <= 4  # at most the request in flight of each reader
    assert load.codes[200] > 100
    until(lambda: champion_everywhere(served, served.registry.alias("champion")), 10)


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
