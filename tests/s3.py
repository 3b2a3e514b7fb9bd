"""A real S3-protocol server in a process of its own, for tests that need one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}
# moto looks for the object and writes it in two steps without a lock between them: with several threads two writers
# could both be told that they were first, which S3 never does. One request at a time, it keeps S3's promise.
ONE_AT_A_TIME = """
import sys, moto.server as server
real = server.run_simple
server.run_simple = lambda *given, **more: real(*given, **{**more, "threaded": False})
server.main(sys.argv[1:])
"""


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment in which s3fs finds it: `moto_server -H 127.0.0.1 -p PORT`, but for its threads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", ONE_AT_A_TIME, "-H", "127.0.0.1", "-p", port]
    environment = {**os.environ, "MOTO_PORT": port}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as server:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _await(endpoint, server)
            yield {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        finally:
            server.terminate()


def _await(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, "moto_server has ended"
            time.sleep(0.2)
    raise AssertionError("moto_server does not answer")


def make_bucket(environment: dict[str, str], name: str) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    client.create_bucket(Bucket=name)
    client.close()
