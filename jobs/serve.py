"""`python -m jobs.serve`: the HTTP service over what was released, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from demand.durable import unwritable
from demand.errors import SettingsError
from jobs.cluster import cluster, require
from jobs.entry import INTERRUPTED, OK, run
from jobs.fleet import registry_of
from jobs.kept import keep, restarts, this_again
from jobs.settings import Settings, as_plain
from jobs.show import show
from serve_app.state import Config
from serve_app.tokens import TOKENS, TokenFile

log = logging.getLogger(__name__)
LET_GO_S = 60.0


def body(settings: Settings, told: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM (exit code 0) or Ctrl-C (130); ends what was begun first. Killed, it is started again.

    `told` are this process's arguments, which jobs that the service starts get as well. Raises SettingsError when the
    address is not this machine's, is in use, or would be open to others without a token; ClusterError when Ray does not
    start. That nothing is released yet is no error: the service says so, and serves what comes.
    """
    serve = settings.serve
    root = _writable(Path(settings.storage.root))
    _refuse_open_door(settings, root)
    _refuse_taken(serve.host, serve.port, patience_s=LET_GO_S if restarts() else 0)
    if serve.ingress == "haproxy" and settings.cluster.address is not None:
        raise SettingsError(
            "HAProxy needs a cluster of its own: Ray reads its settings when a cluster starts", key="serve.ingress",
            found=serve.ingress, address=settings.cluster.address, hint="Set cluster=local or serve.ingress=proxy",
        )  # fmt: skip
    require(settings.cluster)
    if restarts() is None:
        return keep(this_again())
    from serve_app import deployment

    arguments = tuple(text for text in (sys.argv[1:] if told is None else told) if not text.startswith("serve."))
    config = Config(
        serve, str(root), settings.storage.registry_url or settings.storage.model_registry, arguments,
        as_plain(settings), settings.storage.cache or "",
    )  # fmt: skip
    asked = Asked()
    with tempfile.TemporaryDirectory(prefix="loom-") as scratch, _signals(asked):
        deployment.state_environment(serve, Path(scratch))
        shared = Path(scratch) / "counts"
        shared.mkdir()
        show("Starting  Ray and the service, some 15 s ..")
        with cluster(settings.cluster), _signals(asked):  # anew: Ray has put handlers of its own in their place
            deployment.start(config, settings.log_level, shared)
            try:
                show(*_hello(settings))
                while not asked.wait(1.0):
                    pass
                show("Stopping  after what was begun ..")
            finally:
                deployment.stop()
    show("Stopped")
    return INTERRUPTED if asked.by == signal.SIGINT else OK


class Asked(threading.Event):
    """Set when the process is asked to stop; `by`: the signal."""

    by: int | None = None


@contextmanager
def _signals(asked: Asked) -> Iterator[None]:
    """SIGTERM and SIGINT set `asked`; both do as before afterwards."""

    def stop(number: int, _: FrameType | None) -> None:
        if asked.is_set():  # asked twice: do not wait for anything
            raise KeyboardInterrupt
        asked.by = number
        asked.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hello(settings: Settings) -> list[str]:
    """What to read and what to try."""
    serve = settings.serve
    host = "localhost" if serve.on_loopback else serve.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{serve.port}"
    champion = registry_of(settings).alias("champion")
    with_token = ' -H "Authorization: Bearer TOKEN"' if serve.needs_token else ""
    nothing = "none yet: answers say no_data until python -m jobs.pipeline has made one"
    return [
        f"Serving   {address}  ({serve.replicas} replicas, {serve.ingress}); Ctrl-C stops it",
        f"Release   {nothing if champion is None else champion}",
        f"Try       curl{with_token} {address}/api/ml-forecast-detailed",
        f"          curl{with_token} {address}/api/ml-validation-summary",
        f"          {address}/docs tells the rest",
    ]


def _writable(root: Path) -> Path:
    """The storage root, made when it is missing. Raises StorageError when it cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise unwritable(root, error) from None
    return root.resolve()


def _refuse_open_door(settings: Settings, root: Path) -> None:
    serve = settings.serve
    if serve.needs_token and not TokenFile(root).valid():
        raise SettingsError(
            "this address is open to others, and there is no token", key="serve.host", found=serve.host,
            tokens=str(root / TOKENS),
            hint=f"Make one first: python -m jobs.token name=erp role=read storage={settings.storage.root}",
        )  # fmt: skip


def _refuse_taken(host: str, port: int, patience_s: float) -> None:
    """Raises SettingsError when nothing can listen there for `patience_s`: known before Ray starts."""
    deadline = time.monotonic() + patience_s  # what was killed lets go of its port in a moment
    while not _free(host, port, last=time.monotonic() >= deadline):
        time.sleep(0.5)


def _free(host: str, port: int, last: bool) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
            return True
        except OSError as error:
            if not last:
                return False
            raise SettingsError(
                "the service cannot listen there", key="serve.port", found=f"{host}:{port}", cause=error.strerror,
                hint="Set serve.port= to another port, or end what listens there",
            ) from None  # fmt: skip


if __name__ == "__main__":
    run("serve", body)
