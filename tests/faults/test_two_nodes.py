"""`ray job submit` on a real cluster of two nodes (of this machine): the job ends well and both nodes worked."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.faults.processes import (
    ROOT,
    as_text,
    environment,
    is_loopback,
    listening,
    own_tree,
    parents_of,
    start,
    tail,
    tree,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.ray]
CLI = ["-m", "ray.scripts.scripts"]
NO_AGENT, BEGUN = "No available agent to submit job", "Running entrypoint for job"
LOGS = ("dashboard_agent*.log", "dashboard_JobHead*.log", "jobs/supervisor-*.log", "job-driver-*.log", "raylet*.err",
        "runtime_env_agent*.log", "gcs_server.err")  # fmt: skip


@dataclass
class TwoNodes:
    """A cluster whose every port is its own, and what one job submitted to it has shown so far."""

    mark: str
    folder: Path  # Ray's own files
    log: Path  # of both nodes
    gcs: int
    dashboard: int
    secure: dict[str, str]
    raylets: set[int]
    job_log: Path
    worked: set[int] = field(default_factory=set)  # raylets whose workers were seen at work

    def run(self, *command: str) -> int:
        """Submits and follows the job until it ends; returns the exit code of `ray job submit`."""
        submit = [*CLI, "job", "submit", "--working-dir", ".", "--address", f"http://127.0.0.1:{self.dashboard}", "--",
                  sys.executable, *command]  # fmt: skip
        job = start(submit, self.mark, self.job_log, **self.secure)
        give_up = time.monotonic() + 60

        def ended() -> bool:
            nonlocal job
            code = job.poll()
            # The agent listens a moment before the dashboard knows it; the dashboard then asks to try again.
            if code and NO_AGENT in self.job_log.read_text() and time.monotonic() < give_up:
                self.job_log.unlink()
                time.sleep(1)
                job = start(submit, self.mark, self.job_log, **self.secure)
                return False
            at_work = {pid for pid, text in tree(self.mark).items() if text.startswith(("ray::local", "ray::arrays"))}
            self.worked.update(parents_of(at_work) & self.raylets)
            return code is not None

        wait_for(ended, 240, "the job's end")
        return int(job.returncode)

    def account(self) -> str:
        """What was going on, for whoever reads the failure."""
        logs = [path for name in LOGS for path in sorted(self.folder.glob(f"session_2*/logs/{name}"))]
        return "\n".join([*(tail(path) for path in (self.job_log, self.log, *logs)), as_text(self.mark)])


@contextmanager
def two_nodes(here: Path) -> Iterator[TwoNodes]:
    """A head and a second node with a CPU each, a token, the dashboard on loopback; logs go to the empty `here`."""
    with ExitStack() as stack:
        # A short name: Ray puts Unix sockets below it, whose paths end at 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="lc", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # In a file that only we can read, never in a command line: every process of the cluster asks for it.
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        secure = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        gcs, dashboard, client, *agents = free_ports(5)
        mark = stack.enter_context(own_tree("nodes"))
        log, address = here / "nodes.log", f"127.0.0.1:{gcs}"
        cluster = TwoNodes(mark, folder, log, gcs, dashboard, secure, set(), here / "job.log")
        # Each agent has a port of its own. By default all of a machine want the same one, and the head's, beaten to it
        # by any other cluster or by the second node, lives on without it: then no job can ever be submitted. Workers
        # take any free port: two nodes of one machine would try the same ones.
        common = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--disable-usage-stats", "--block",
                  "--object-store-memory=200000000", "--min-worker-port=0", "--max-worker-port=0"]  # fmt: skip
        head = [f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
                f"--temp-dir={folder}", f"--dashboard-agent-listen-port={agents[0]}",
                f"--ray-client-server-port={client}"]  # fmt: skip
        second = [f"--address={address}", f"--dashboard-agent-listen-port={agents[1]}"]
        with told_on_failure(cluster):
            start([*CLI, "start", "--head", *head, *common], mark, log, **secure)
            wait_for(lambda: listens(dashboard) and listens(agents[0]), 150, "the head, its dashboard and its agent")
            start([*CLI, "start", *second, *common], mark, log, **secure)
            wait_for(lambda: listens(agents[1]) and n_nodes(gcs, mark, secure) == 2, 150, "two nodes")
            cluster.raylets.update(pid for pid, command in tree(mark).items() if "/raylet/raylet " in command)
            assert len(cluster.raylets) == 2
            yield cluster


@contextmanager
def told_on_failure(cluster: TwoNodes) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{cluster.account()}") from error


@pytest.fixture(scope="module")
def sales(tmp_path_factory) -> Path:
    """30 styles of 100 days, as a long table."""
    rng = np.random.default_rng(1)
    days = np.arange("2025-01-01", "2025-04-11", dtype="datetime64[D]")
    lines = ["unique_id,ds,y"]
    for i in range(30):
        lines += [f"S{i:03d},{day},{rng.poisson(3 + i % 5)}" for day in days]
    path = Path(tmp_path_factory.mktemp("sales")) / "sales.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.timeout(1500)
def test_when_a_job_is_submitted_to_two_nodes_then_it_succeeds_and_both_have_worked(sales, tmp_path):
    try:
        submit_and_check(sales, tmp_path / "first")
    except AssertionError as error:
        # Once more where nothing of ours ever ran: Ray may not start on a machine that is too busy.
        log = tmp_path / "first" / "job.log"
        if BEGUN in f"{error}{log.read_text() if log.is_file() else ''}" or (tmp_path / "first" / "storage").exists():
            raise
        print(f"Ray never began the job, trying once more: {error}")
        submit_and_check(sales, tmp_path / "second")


def submit_and_check(sales: Path, here: Path) -> None:
    here.mkdir()
    root = here / "storage"
    with two_nodes(here) as cluster:
        code = cluster.run(
            "-m", "jobs.pipeline", "experiment=smoke", "cluster.address=auto", "cluster.start_timeout_s=120",
            f"source.path={sales}", f"storage.root={root}", "run_id=two", "batch_seconds=0.5",
            "local_cpu_seconds=1000", "progress=false", "models.exponential_smoothing.enabled=false",
            "models.tsb.enabled=false",
        )  # fmt: skip
        assert code == 0
        assert cluster.worked == cluster.raylets
        sockets = listening(set(tree(cluster.mark)))
        assert [one for one in sockets if not is_loopback(one[0]) and one[1] == cluster.dashboard] == []
        stranger = subprocess.run(
            [sys.executable, *CLI, "job", "list", "--address", f"http://127.0.0.1:{cluster.dashboard}"],
            env=environment(cluster.mark, RAY_AUTH_MODE="disabled"), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert stranger.returncode != 0
        uploads = cluster.folder.glob("session_2*/runtime_resources/working_dir_files/*")
        folders = [path for path in uploads if path.is_dir()]
        assert folders
        for folder in folders:
            assert (folder / "jobs" / "pipeline.py").is_file()
            assert not [name for name in (".git", ".venv", "storage", "demo", "tests") if (folder / name).exists()]
            shipped = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
            assert sum(p.stat().st_size for p in shipped) < 5e6
    summary = json.loads((root / "runs" / "two" / "summary.json").read_text())
    assert summary["styles"] == {"in": 30, "ok": 30, "fell_back": 0, "rejected": 0}
    assert (root / "registry" / "aliases" / "champion.json").is_file()


def free_ports(n: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [int(server.getsockname()[1]) for server in servers]


def listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def n_nodes(gcs: int, mark: str, secure: dict[str, str]) -> int:
    """Living nodes as a client of the cluster sees them."""
    code = (
        "import sys, ray\n"
        "from ray._raylet import GcsClient\n"
        "print(sum(1 for n in GcsClient(address=sys.argv[1]).get_all_node_info().values() if n.state == 0))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code, f"127.0.0.1:{gcs}"], env=environment(f"not-{os.getpid()}", **secure), cwd=ROOT,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return int(asked.stdout) if asked.returncode == 0 else 0
