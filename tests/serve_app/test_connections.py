"""A connection's head is bounded in size and in time, by the server's own parser, whoever sends it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

from serve_app import connections, deployment

LIMIT = connections.MAX_HEAD


async def app(scope, receive, send):
    """Answers with the length of the body."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
    headers = [(b"content-length", str(len(str(size))).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def port():
    """A server as Ray makes it, with our connections; the time for a head is shortened."""
    with pytest.MonkeyPatch.context() as patched, socket.socket() as listening:
        patched.setattr(connections, "HEAD_S", 0.2)
        patched.setattr(connections, "GRACE_S", 0.05)
        patched.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
        (inside,) = connections.bounded()
        listening.bind(("127.0.0.1", 0))
        told = uvicorn.Config(inside.cls(app), lifespan="off", log_config=None, timeout_keep_alive=90)
        server = uvicorn.Server(told)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def said(port, *pieces, pause=0.0):
    """What the server says to these pieces until it closes, and after how many seconds."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:  # it was closed meanwhile
                break
            time.sleep(pause)
        heard = b""
        try:
            while more := connection.recv(65536):
                heard += more
        except ConnectionResetError:
            pass
    return heard, time.monotonic() - began


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nX: " + b"a" * 20_000_000,
        b"GET /health HTTP/1.1\r\nX: " + b"a" * LIMIT + b"\r\n\r\n",
        b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(LIMIT // 8)) + b"\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"a" * (LIMIT * 8),
    ],
    ids=["endless", "one header", "path", "many headers", "trailer"],
)
def test_when_a_head_is_too_large_then_431_and_the_connection_ends(port, head):
    heard, _ = said(port, head)
    assert b"HTTP/1.1 431 " in heard
    assert b"200 OK" not in heard
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200


def test_when_a_head_is_dripped_then_408_and_the_connection_ends(port):
    heard, _ = said(port, *(bytes([one]) for one in b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), pause=0.05)
    assert heard.startswith(b"HTTP/1.1 408 ")
    heard, _ = said(port)  # not a byte
    assert heard == b""
    first = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    heard, _ = said(port, first, *[b"\r\n"] * 20, pause=0.05)  # blank lines between requests are no request
    assert heard.count(b"200 OK") == heard.count(b"408 Request") == 1


def test_when_heads_are_ordinary_then_bodies_and_connections_may_last(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        large = {"X": "a" * (LIMIT - 2000)}
        assert client.get("/", headers=large).text == "0"
        time.sleep(0.5)  # idle between two requests is not a slow head
        assert client.post("/", content=b"a" * 3_000_000).text == "3000000"

        def slowly():
            for _ in range(4):
                yield b"a" * 100_000
                time.sleep(0.1)

        assert client.post("/", content=slowly()).text == "400000"
        assert client.get("/slow").text == "0"
    two = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    heard, _ = said(port, two[:-2], two[-2:])  # the second one waits for the first
    assert heard.count(b"200 OK") == 2


def test_when_the_table_of_rays_routes_is_asked_for_then_it_is_not_there(port):
    assert httpx.get(f"http://127.0.0.1:{port}/-/routes").status_code == 404


def test_when_ray_is_told_how_its_ingress_works_then_the_limits_are_part_of_it():
    assert deployment.ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == connections.CALLBACK
