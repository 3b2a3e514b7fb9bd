"""The service on Ray Serve: one deployment of equal replicas behind one ingress."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from demand.errors import ClusterError
from serve_app import admission
from serve_app.compute import Compute
from serve_app.predictions import ComputeCall
from serve_app.problems import Refused
from serve_app.product import build
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from serve_app.telemetry import SHARED

log = logging.getLogger(__name__)
NAME = "loomcast"
COMPUTED_AT_ONCE = 8  # one is computed, the others wait for it
KEEP_ALIVE_S = 90
REQUEST_S = 120.0  # the longest a request may take, in Ray's own view
IN_FLIGHT = 1000  # of one replica: our own limits (serve_app/limits.py) refuse long before, and faster
QUEUED = 1000
DRAIN_S = 20.0
DEREGISTERED_S = "2"  # HAProxy, run by Ray itself, asks an ending replica no more by then; other balancers get 30
ANSWERS_S, GONE_LOOK_S = 10.0, 0.1
# Ray reads these when it is first imported, also in the processes that the cluster starts.
ENVIRONMENT = {
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a dead proxy is back after 8 s, not 31
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.connections.bounded",  # limits of every connection
}
HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
# Of its own figures; Ray's defaults (9101, 8404) let only one service run on a machine.
HAPROXY_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
LOOPBACK_HAPROXY = Path(__file__).with_name("haproxy_on_loopback.sh")


def state_environment(settings: ServeSettings, scratch: Path) -> None:
    """Says to Ray, before it is imported, how its ingress works. scratch: a folder of this run for HAProxy's files."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(admission.environment(settings))
    if settings.ingress == "haproxy":
        files = {
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(LOOPBACK_HAPROXY),
            "LOOMCAST_PYTHON": sys.executable,  # of which that script asks where the program is
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(scratch / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(scratch / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(scratch),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(scratch / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(scratch / "metrics.sock"),
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": DEREGISTERED_S,
            "RAY_SERVE_HAPROXY_MAXCONN": str(settings.max_connections),
            "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(
                KEEP_ALIVE_S
            ),  # Ray's hour would let a silent client keep a place
        }
        os.environ.update(HAPROXY | files)
        for name, port in zip(HAPROXY_PORTS, _free_ports(len(HAPROXY_PORTS)), strict=True):
            os.environ.setdefault(name, str(port))


def _free_ports(n: int) -> list[int]:
    """Different ports of loopback that nobody listens at now."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(n)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Endpoint:
    """One replica: opens its state, and gives Ray the application to call."""

    def __init__(self, config: Config, log_level: str, computes: Any) -> None:
        for room in ("demand", "models", "evaluation", "serve_app"):
            logging.getLogger(room).setLevel(log_level)
        _on_this_node_alone()
        self._state, self._computes = State.open(config), computes

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build(self._state, through(self._computes), named=False)

    def check_health(self) -> None:
        """Called by Ray; a replica that no longer follows the champion is replaced."""
        if not self._state.following.alive:
            raise RuntimeError("the champion is not followed any more")

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._state.close()


def _on_this_node_alone() -> None:
    """Ray opens a port of every replica for calls between deployments, on all interfaces, without a token, and what
    comes in is unpickled. Here it listens at the node's own address, which is loopback in a cluster of one node."""
    import ray
    from ray.serve._private import replica

    address = ray.util.get_node_ip_address()
    original = replica.add_port_to_grpc_server

    def bound(server: Any, wanted: str) -> Any:
        return original(server, wanted.replace("[::]", f"[{address}]" if ":" in address else address))

    replica.add_port_to_grpc_server = bound


class Computes:
    """The process that holds the models: forecasts on demand, so that no read waits for one."""

    def __init__(self, config: Config, log_level: str) -> None:
        for room in ("demand", "models", "evaluation", "serve_app"):
            logging.getLogger(room).setLevel(log_level)
        _on_this_node_alone()
        self._compute = Compute(config)

    async def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """See `Compute.predict`."""
        return await asyncio.to_thread(self._compute.predict, request)

    def check_health(self) -> None:
        """Called by Ray; a process that no longer follows the champion is replaced."""
        if not self._compute.following.alive:
            raise RuntimeError("the champion is not followed any more")

    def __del__(self) -> None:
        if hasattr(self, "_compute"):
            self._compute.close()


def through(handle: Any) -> ComputeCall:
    """The call of another deployment. Raises Refused (503) when it has no place for one more."""

    async def call(request: dict[str, Any]) -> Mapping[str, Any]:
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import BackPressureError

        try:
            made: Mapping[str, Any] = await handle.predict.remote(request)
        except BackPressureError:
            raise Refused(503, "busy", "Other forecasts are being computed; come again", retry_after=2) from None
        except RayTaskError as error:  # a RayError too, but the process lives: this is a fault of ours
            log.error("the models' process met a fault", exc_info=error)
            raise Refused(
                500, "internal_fault", f"{type(error.cause).__name__}; the log of the models' process tells more"
            ) from None
        except RayError as error:
            log.error("the models' process failed", exc_info=error)
            raise Refused(503, "no_models", "The process that computes forecasts is starting", retry_after=5) from None
        return made

    return call


def application(config: Config, log_level: str, shared: Path) -> Any:
    """What `serve.run` runs. shared: a folder in which the replicas of this machine count together."""
    from ray import serve

    settings = config.serve
    environment = {"num_cpus": 0, "runtime_env": {"env_vars": {SHARED: str(shared)}}}
    computes = serve.deployment(
        Computes, name=f"{NAME}-compute", num_replicas=1, max_ongoing_requests=COMPUTED_AT_ONCE,
        max_queued_requests=COMPUTED_AT_ONCE, graceful_shutdown_timeout_s=DRAIN_S, ray_actor_options=environment,
    ).bind(config, log_level)  # fmt: skip
    deployment = serve.deployment(
        serve.ingress()(Endpoint),
        name=NAME,
        num_replicas=settings.replicas,
        max_ongoing_requests=IN_FLIGHT,
        max_queued_requests=QUEUED,
        graceful_shutdown_timeout_s=DRAIN_S,
        health_check_period_s=5,
        ray_actor_options=environment,
    )
    return deployment.bind(config, log_level, computes)


def start(config: Config, log_level: str, shared: Path) -> None:
    """Starts the ingress and the replicas on the connected cluster; returns when they answer.

    Raises ClusterError when they do not.
    """
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.config import HTTPOptions

    http = HTTPOptions(
        host=config.serve.host, port=config.serve.port, request_timeout_s=REQUEST_S, keep_alive_timeout_s=KEEP_ALIVE_S
    )
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(http_options=http)
        serve.run(application(config, log_level, shared), name=NAME, route_prefix="/", blocking=False)
    except (RayError, RuntimeError) as error:
        cause = (str(error).strip() or repr(error)).splitlines()[-1]
        raise ClusterError(
            "the service does not start on Ray", ingress=config.serve.ingress, cause=cause,
            hint="See the folder logs of Ray's session, in /tmp/ray/session_latest",
        ) from error  # fmt: skip


def stop() -> None:
    """Lets the replicas end what they have begun, then ends Serve."""
    import ray
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
    from ray.serve.context import _get_global_client
    from ray.serve.exceptions import RayServeException

    # serve.shutdown() waits inside a call that the controller never answers: it ends itself, and Ray prints that the
    # call failed. So it is told to end, and seen to be gone.
    try:
        client = _get_global_client()
        client.shutdown_cached_handles()
        ray.get(client._controller.graceful_shutdown.remote(wait=False), timeout=ANSWERS_S)
        deadline = time.monotonic() + DRAIN_S + ANSWERS_S
        while time.monotonic() < deadline:
            ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
            time.sleep(GONE_LOOK_S)
    except ValueError:  # there is no such actor any more
        log.debug("Serve has ended")
    except (RayError, RayServeException, TimeoutError) as error:
        log.warning("Serve did not end as it was told to: %s", error)
    serve.shutdown()  # what is left of it, if anything
