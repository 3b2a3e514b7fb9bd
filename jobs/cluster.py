"""Ray at the edge: one connection, the panel shipped once, a bounded fan-out that survives dead workers."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demand.errors import ClusterError
from jobs.settings import ClusterSettings

LOOPBACK = "127.0.0.1"
OOM_RETRIES = 2  # Ray's own default is to try a task that runs out of memory for ever


@contextmanager
def cluster(settings: ClusterSettings) -> Iterator[int]:
    """Connects to Ray (an embedded one unless an address is set) and yields the CPUs it offers.

    An embedded cluster binds to loopback only and is shut down at the end; an existing one is left as it is.
    Raises ClusterError when the address does not answer within `connect_timeout_s`.
    """
    _state_auth_mode(embedded=settings.address is None)  # before the import: Ray reads it once
    import ray
    from ray.exceptions import AuthenticationError

    # Values inside tasks are read-only and large arrays leave the object store by reference: nothing to pin per worker.
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if settings.namespace:
        common["namespace"] = settings.namespace
    try:
        if settings.address is None:
            _stay_on_loopback()
            memory = settings.object_store_mb and settings.object_store_mb * 2**20
            ray.init(
                "local",  # without it a RAY_ADDRESS in the environment would choose another cluster
                num_cpus=None if settings.num_cpus == "auto" else settings.num_cpus,
                include_dashboard=settings.dashboard,
                dashboard_host=LOOPBACK,
                object_store_memory=memory or None,
                _node_ip_address=LOOPBACK,
                _system_config={"task_oom_retries": OOM_RETRIES},
                **common,
            )
        else:
            _answer_or_raise(settings.address, settings.connect_timeout_s)
            ray.init(address=settings.address, **common)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, AuthenticationError) as error:
        address = settings.address or "embedded"
        raise ClusterError(
            "Ray does not answer", address=address, cause=str(error).splitlines()[0], hint="Check cluster.address"
        ) from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _stay_on_loopback() -> None:
    """Ray replaces 127.0.0.1 by the machine's routable address, and then listens there and on all interfaces.

    This constant makes it keep loopback for a one-node cluster, as on desktop systems; a test lists the sockets.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False


def _state_auth_mode(embedded: bool) -> None:
    """RAY_AUTH_MODE is always explicit: left unset, Ray decides by whether a token file happens to lie in the home."""
    if "RAY_AUTH_MODE" in os.environ:
        return
    if embedded:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # this process tree only; never written to disk
        return
    has_token = bool(
        os.environ.get("RAY_AUTH_TOKEN")
        or os.environ.get("RAY_AUTH_TOKEN_PATH")
        or (Path.home() / ".ray" / "auth_token").exists()
    )
    os.environ["RAY_AUTH_MODE"] = "token" if has_token else "disabled"


def _answer_or_raise(address: str, timeout_s: float) -> None:
    """A quick knock at host:port, so that a wrong address fails in seconds and not after Ray's own retries."""
    if address == "auto" or "://" in address:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError("an address is host:port or auto", found=address, hint="Check cluster.address")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError as error:
        raise ConnectionError(str(error)) from None


@dataclass(frozen=True)
class Call:
    """One task: a name for messages, how many CPUs it owns, and its arguments (object references are passed on)."""

    name: str
    cpus: int
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """A finished call: its value, or the reason why its worker died (`crash`)."""

    call: Call
    value: Any = None
    crash: str = ""


def fan_out(function: Callable[..., Any], calls: Sequence[Call], in_flight: int, retries: int = 2) -> Iterator[Done]:
    """Runs `function` on every call, at most `in_flight` at once, and yields results as they finish.

    A worker that dies (killed, out of memory, segmentation fault) is retried `retries` times by Ray, then reported as a
    crash: never an exception, so that one bad batch cannot end the run. An exception inside the function is a bug of
    ours and is raised.
    """
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

    remote = ray.remote(max_retries=retries, retry_exceptions=False)(function)
    waiting = list(reversed(calls))
    running: dict[Any, Call] = {}
    while waiting or running:
        while waiting and len(running) < in_flight:
            call = waiting.pop()
            running[remote.options(num_cpus=call.cpus, name=call.name).remote(*call.arguments)] = call
        (done,), _ = ray.wait(list(running), num_returns=1)
        call = running.pop(done)
        try:
            yield Done(call, value=ray.get(done))
        except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as error:
            yield Done(call, crash=f"{type(error).__name__}: {str(error).splitlines()[0]}")
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause from None


def put(value: Any) -> Any:
    """A reference to `value` in the object store: shipped once, read by every task of a node without a copy."""
    import ray

    return ray.put(value)
