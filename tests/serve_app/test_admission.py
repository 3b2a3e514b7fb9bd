"""The accepting process refuses what is too much at once, keeps who is inside, and lets others in when one leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

from serve_app import admission, connections, deployment
from serve_app.admission import Admission
from serve_app.settings import ServeSettings


def test_when_an_address_holds_its_share_then_another_still_gets_in():
    door = Admission(8, 1)
    assert [door.enter("10.0.0.1") for _ in range(8)] == [True] * 6 + [False] * 2
    assert [door.enter("10.0.0.2") for _ in range(3)] == [True, True, False]  # 8 in all
    door.leave("10.0.0.1")
    assert door.enter("10.0.0.2")


def test_when_everybody_has_left_then_nothing_is_remembered():
    door = Admission(8, 1)
    for address in ("a", "b", "a"):
        door.enter(address)
    for address in ("a", "b", "a"):
        door.leave(address)
    assert not door.connections


def test_when_settings_are_told_by_the_environment_then_the_process_has_their_limits():
    told = admission.environment(ServeSettings(replicas=3, max_concurrent=5, max_connections=77))
    door = Admission.told(told)
    assert (door.max_connections, door.max_in_flight) == (77, 15)
    assert Admission.told({}).max_connections == ServeSettings().max_connections


def test_when_an_answer_fails_then_its_place_is_free_again():
    door = Admission(8, 1)

    async def failing(scope, receive, send):
        raise ValueError("no")

    scope = {"type": "http", "method": "GET", "path": "/"}
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            asyncio.run(door.admitted(failing, scope)(scope, None, None))
    assert door.in_flight == 0


def test_when_ray_is_told_how_its_ingress_works_then_the_limits_are_those_of_the_settings(monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr(deployment.os, "environ", told)
    deployment.state_environment(ServeSettings(max_connections=99, replicas=2, max_concurrent=10), tmp_path)
    assert (told[admission.CONNECTIONS], told[admission.IN_FLIGHT]) == ("99", "20")
    deployment.state_environment(ServeSettings(max_connections=99, ingress="haproxy"), tmp_path)
    assert told["RAY_SERVE_HAPROXY_MAXCONN"] == "99"


# ---- a real server -----------------------------------------------------------------------------------------------


class Slow:
    """An application that answers when it is let go."""

    def __init__(self):
        self.go, self.asked = threading.Event(), 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        while scope["path"] == "/slow" and not self.go.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def server(max_connections, max_in_flight):
    """(the address, the application) of a server as Ray makes it, with these limits."""
    app = Slow()
    with pytest.MonkeyPatch.context() as patched, socket.socket() as listening:
        patched.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
        (inside,) = connections.bounded()
        patched.setattr(connections.Connection, "admission", Admission(max_connections, max_in_flight))
        listening.bind(("127.0.0.1", 0))
        told = uvicorn.Config(inside.cls(app), lifespan="off", log_config=None, timeout_keep_alive=90)
        running = uvicorn.Server(told)
        thread = threading.Thread(target=lambda: asyncio.run(running.serve([listening])))
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", app
        finally:
            app.go.set()
            running.should_exit = True
            thread.join()


def until(said, seconds=20.0):
    """Waits until `said()` is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_when_too_many_connections_are_open_then_the_next_is_told_so_and_those_inside_are_answered():
    with server(max_connections=8, max_in_flight=100) as (base, _), ExitStack() as opened:
        inside = [opened.enter_context(httpx.Client(base_url=base)) for _ in range(6)]
        assert [client.get("/").status_code for client in inside] == [200] * 6
        with httpx.Client(base_url=base) as late:
            refused = late.get("/")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"] == "overloaded"
            assert [client.get("/").status_code for client in inside] == [200] * 6
            inside[0].close()
            until(lambda: late.get("/").status_code == 200)


def test_when_enough_reads_are_in_flight_then_more_are_refused_at_once_and_later_ones_are_answered():
    with server(max_connections=100, max_in_flight=2) as (base, app):
        answers = []
        waiting = [
            threading.Thread(target=lambda: answers.append(httpx.get(f"{base}/slow").status_code)) for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        until(lambda: app.asked == 2)
        with httpx.Client(base_url=base) as client:
            began = time.monotonic()
            refused = client.get("/")
            assert time.monotonic() - began < 5  # and not when the others are done
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert json.loads(refused.content)["error"] == "overloaded"
            assert app.asked == 2  # the application never heard of it
            assert client.get("/health").status_code == 200  # whoever watches it does not restart it
            assert client.post("/", content=b"x").status_code == 200  # counted where its body is whole
            app.go.set()
            for thread in waiting:
                thread.join()
            assert answers == [200, 200]
            assert client.get("/").status_code == 200


def test_when_a_client_leaves_before_its_answer_then_its_place_is_free_again():
    with server(max_connections=100, max_in_flight=1) as (base, app):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{base}/slow", timeout=httpx.Timeout(10, read=0.2))
        app.go.set()
        until(lambda: httpx.get(f"{base}/").status_code == 200)
