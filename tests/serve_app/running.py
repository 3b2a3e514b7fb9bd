"""The service as a user starts it, in a process tree of its own, and readers that ask it without a pause."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from models.registry import Registry
from tests.faults.processes import free_port, own_tree, start, tree, wait_for

DETAILED, VALIDATION = "/api/ml-forecast-detailed", "/api/ml-validation-summary"
REPORT, RETRAIN = "/api/ml-forecast-report", "/api/retrain-ml"
START_S = 180.0


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

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"{self.base}{path}", timeout=30, **more)

    def actors(self, name: str) -> set[int]:
        """Processes of Ray's actors whose class begins with `name`."""
        return {pid for pid, command in tree(self.mark).items() if command.startswith(f"ray::{name}")}

    def replicas(self) -> set[int]:
        """Those that answer; the process that holds the models is none of them."""
        return self.actors("ServeReplica") - self.actors("ServeReplica:loomcast:loomcast-compute")

    def champion_everywhere(self, number: int | None) -> bool:
        """Whether many answers in a row come from this release, so that all replicas have it."""
        said = [self.get("/health").json() for _ in range(8)]
        return all(one["release"] == number and one["ready"] for one in said)


def started(root: Path, log: Path, mark: str, port: int, told: Sequence[str] = ()) -> Served:
    """A service over this storage root that answers; its process carries the mark."""
    arguments = ["-m", "jobs.serve", f"storage.root={root}", f"serve.port={port}", "cluster.num_cpus=1",
                 "cluster.object_store_mb=100", *told]  # fmt: skip
    before = len(log.read_text()) if log.is_file() else 0
    process = start(arguments, mark, log)
    wait_for(lambda: "Serving" in log.read_text()[before:] or process.poll() is not None, START_S, "the service")
    assert process.poll() is None, log.read_text()
    return Served(root, port, mark, log, process)


@contextmanager
def serving(root: Path, log: Path, *told: str) -> Iterator[Served]:
    """A service over this storage root; it must end cleanly when it is asked to, and have said nothing bad."""
    with own_tree("serve") as mark:
        served = started(root, log, mark, free_port(), told)
        yield served
        ended(served)


def ended(served: Served) -> None:
    """Asks the service to end, as systemd or Ctrl-C do."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0, served.log.read_text()
    said = served.log.read_text()
    assert said.rstrip().endswith("Stopped")
    assert "Traceback" not in said
    assert "graceful_shutdown" not in said  # what Ray prints when its controller is waited for


def until(true: Callable[[], bool], seconds: float) -> float:
    """Seconds until it was true. Fails when it is not in time."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


class Load:
    """Readers that ask for a summary without a pause and keep what they got."""

    def __init__(self, served: Served, readers: int = 4) -> None:
        self._served, self._stop = served, threading.Event()
        self.codes: Counter[int | str] = Counter()  # of answers; the error's name where there was none
        self.bodies: Counter[tuple[int, bytes]] = Counter()
        self.begun: list[tuple[float, int]] = []  # when a request began, and the release that answered it
        self._pool = ThreadPoolExecutor(readers)
        self._all = [self._pool.submit(self._read) for _ in range(readers)]

    def _read(self) -> None:
        with httpx.Client(base_url=self._served.base, timeout=30) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    answer = client.get(f"{DETAILED}?limit=2")
                except httpx.TransportError as error:
                    self.codes[type(error).__name__] += 1
                    continue
                self.codes[answer.status_code] += 1
                if answer.status_code == 200:
                    release = answer.json()["release"]
                    self.bodies[release, answer.content] += 1
                    self.begun.append((began, release))

    @property
    def lost(self) -> int:
        """Requests that were not answered, or with anything but 200."""
        return sum(count for code, count in self.codes.items() if code != 200)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for one in self._all:
            one.result()
