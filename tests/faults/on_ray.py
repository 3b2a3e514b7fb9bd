"""`python -m tests.faults.on_ray SECONDS PORTFILE`: an embedded cluster with its dashboard, held open for a while."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from jobs.cluster import Call, cluster, fan_out
from jobs.settings import ClusterSettings


def touch(path: str) -> str:
    """A task, so that workers exist."""
    Path(path).touch()
    return path


if __name__ == "__main__":
    with cluster(ClusterSettings(num_cpus=2, dashboard=True)):
        import ray

        told = Path(sys.argv[2])
        for done in fan_out(touch, [Call(f"t{i}", 1, (f"{told}.{i}",)) for i in range(4)], 2):
            assert not done.crash
        dashboard = ray._private.worker.global_worker.node.webui_url
        ready = told.with_suffix(".part")
        ready.write_text(f"{ray.get_runtime_context().gcs_address} {dashboard}")
        ready.rename(told)
        time.sleep(float(sys.argv[1]))
