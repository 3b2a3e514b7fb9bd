"""An empty deployment, to compare with: `python -m tests.bench.empty proxy|haproxy PORT`."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import threading
from pathlib import Path

from jobs.cluster import cluster
from jobs.settings import ClusterSettings
from serve_app.deployment import IN_FLIGHT, KEEP_ALIVE_S, QUEUED, state_environment
from serve_app.settings import ServeSettings


def main() -> None:
    ingress, port = sys.argv[1], int(sys.argv[2])
    asked = threading.Event()
    with tempfile.TemporaryDirectory(prefix="loom-") as scratch:
        state_environment(ServeSettings(ingress=ingress), Path(scratch))  # type: ignore[arg-type]
        with cluster(ClusterSettings(num_cpus=1, object_store_mb=100)):
            from fastapi import FastAPI
            from ray import serve
            from ray.serve.config import HTTPOptions
            from starlette.responses import Response

            signal.signal(signal.SIGTERM, lambda *_: asked.set())
            app = FastAPI()

            @app.get("/")
            async def empty() -> Response:
                return Response(b"{}", media_type="application/json")

            @serve.deployment(
                num_replicas=2, max_ongoing_requests=IN_FLIGHT, max_queued_requests=QUEUED,
                ray_actor_options={"num_cpus": 0},
            )  # fmt: skip
            @serve.ingress(app)
            class Empty:
                pass

            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port, keep_alive_timeout_s=KEEP_ALIVE_S))
            serve.run(Empty.bind(), route_prefix="/")  # type: ignore[attr-defined]
            print("Serving", flush=True)
            asked.wait()
            serve.shutdown()


if __name__ == "__main__":
    main()
