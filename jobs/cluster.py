"""Ray at the edge: one connection, the panel shipped once, a bounded fan-out that survives dead workers."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demand.errors import ClusterError
from jobs.settings import ClusterSettings

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
START_ATTEMPTS = 3
OOM_RETRIES = 2  # Ray's own default is to try a task that runs out of memory for ever
LOOK_S = 10.0  # while no task ends: how often it is looked whether one can run at all


@contextmanager
def cluster(settings: ClusterSettings) -> Iterator[int]:
    """Connects to Ray (an embedded one unless an address is set) and yields the CPUs it offers.

    An embedded cluster binds to loopback only and is shut down at the end; an existing one is left as it is.
    Raises ClusterError when the address does not answer within `connect_timeout_s`.
    """
    _state_auth_mode(embedded=settings.address is None)
    import ray
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    # Ray reads mode and token when it is first imported, which may have been before they were stated.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    # Values inside tasks are read-only and large arrays leave the object store by reference: nothing to pin per worker.
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if settings.namespace:
        common["namespace"] = settings.namespace
    try:
        if settings.address is None:
            _start_embedded(settings, common)
        else:
            _answer_or_raise(settings.address, settings.connect_timeout_s)
            ray.init(address=settings.address, **common)
    except ClusterError:
        raise
    except Exception as error:  # noqa: BLE001 - a node that does not start in time is a bare Exception of Ray's
        address = settings.address or "embedded"
        raise ClusterError(
            "Ray does not answer", address=address, cause=str(error).splitlines()[0], hint="Check cluster.address"
        ) from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def require(settings: ClusterSettings) -> None:
    """Raises ClusterError when an address is set and does not answer: known before anything is written."""
    if settings.address is None:
        return
    _state_auth_mode(embedded=False)
    try:
        _answer_or_raise(settings.address, settings.connect_timeout_s)
    except ConnectionError as error:
        raise ClusterError(
            "Ray does not answer", address=settings.address, cause=str(error), hint="Check cluster.address"
        ) from None


def _start_embedded(settings: ClusterSettings, common: dict[str, Any]) -> None:
    """Starts Ray in this process. On a busy machine its fixed 30 seconds may not do: then it is tried again."""
    import ray

    _stay_on_loopback()
    memory = settings.object_store_mb and settings.object_store_mb * 2**20
    for attempt in range(START_ATTEMPTS):
        try:
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
            return
        except Exception as error:  # Ray raises no class of its own here
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise
            log.warning("Ray did not start in 30 s, as happens on a busy machine: trying again")


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
    """Asks the cluster for its nodes: ray.init itself waits for ever for one that is silent or refuses our token."""
    host, _, port = address.rpartition(":")
    if address != "auto":
        if not host or not port.isdigit():
            raise ClusterError("an address is host:port or auto", found=address, hint="Check cluster.address")
        try:
            socket.create_connection((host, int(port)), timeout=timeout_s).close()
        except (OSError, OverflowError) as error:
            raise ConnectionError(str(error)) from None
    import ray  # noqa: F401 - here, so that reading Ray's files does not count as waiting for an answer

    outcome: list[str] = []
    # A thread that can be left behind: a call that hangs does so in Ray's own code and cannot be interrupted.
    threading.Thread(target=_ask_for_nodes, args=(address, timeout_s, outcome), daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while not outcome and time.monotonic() < deadline:
        time.sleep(0.02)
    if not outcome:
        raise ConnectionError(f"no answer within {timeout_s:g} s (RAY_AUTH_MODE={os.environ['RAY_AUTH_MODE']})")
    if outcome[0]:
        raise ConnectionError(outcome[0])


def _ask_for_nodes(address: str, timeout_s: float, outcome: list[str]) -> None:
    """Puts "" into `outcome` when the cluster answers, else why it does not."""
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    try:
        found = canonicalize_bootstrap_address(address)
        if found is None:
            raise ConnectionError("no cluster is running on this machine")
        GcsClient(address=found).get_all_node_info(timeout=timeout_s)
        outcome.append("")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told by the thread that waits
        outcome.append(str(error) or type(error).__name__)


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


class Patience:
    """Bears for a while with a cluster on which nothing can run."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._since: float | None = clock()  # nothing has run yet

    def look(self, why: str) -> None:
        """`why` nothing can run, "" when something does: logged, and ClusterError when it has lasted `limit_s`."""
        now = self._clock()
        if not why:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        waited = now - self._since
        if waited >= self._limit_s:
            raise ClusterError(
                "the cluster runs none of the job's tasks", cause=why, waited_s=round(waited),
                hint="Free or add CPUs and go on with resume=, or raise cluster.start_timeout_s",
            )  # fmt: skip
        log.warning("waiting for the cluster: %s (%.0f of at most %.0f s)", why, waited, self._limit_s)


def widest_node() -> int:
    """CPUs of the largest living node, 0 when none has any. A task that asks for more would wait for ever."""
    import ray

    return max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=0)


def _why_nothing_runs(calls: Sequence[Call], worked: bool) -> str:
    """ "" when these calls can run, as far as the cluster tells; `worked`: a task of ours has run already."""
    import ray

    needed, widest = min(call.cpus for call in calls), widest_node()
    if widest < needed:
        return f"a task asks for {needed} CPUs, and the largest node has {widest}"
    if not worked:
        free, total = (int(found.get("CPU", 0)) for found in (ray.available_resources(), ray.cluster_resources()))
        return f"no worker has started; {free} of {total} CPUs are free"
    return ""


def _nothing() -> None:
    """A task that does nothing: once it has ended, workers of this job can start."""


def fan_out(
    function: Callable[..., Any], calls: Sequence[Call], in_flight: int, retries: int = 2, start_timeout_s: float = 600
) -> Iterator[Done]:
    """Runs `function` on every call, at most `in_flight` at once, and yields results as they finish.

    A worker that dies (killed, out of memory, segmentation fault) is retried `retries` times by Ray, then reported as a
    crash: never an exception, so that one bad batch cannot end the run. An exception inside the function is a bug of
    ours and is raised. Raises ClusterError when for `start_timeout_s` no worker starts or no node has the CPUs.
    """
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

    if not calls:
        return
    remote = ray.remote(max_retries=retries, retry_exceptions=False)(function)
    # Submitted first: a long first task must not look like a cluster on which nothing runs.
    first = ray.remote(max_retries=-1)(_nothing).options(num_cpus=min(call.cpus for call in calls)).remote()
    worked, patience, look_s = False, Patience(start_timeout_s), min(LOOK_S, start_timeout_s)
    waiting = list(reversed(calls))
    running: dict[Any, Call] = {}
    while waiting or running:
        while waiting and len(running) < in_flight:
            call = waiting.pop()
            running[remote.options(num_cpus=call.cpus, name=call.name).remote(*call.arguments)] = call
        finished, _ = ray.wait(list(running), num_returns=1, timeout=look_s)
        if not finished:
            worked = worked or bool(ray.wait([first], timeout=0)[0])
            patience.look(_why_nothing_runs(list(running.values()), worked))
            continue
        worked = True
        (done,) = finished
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
