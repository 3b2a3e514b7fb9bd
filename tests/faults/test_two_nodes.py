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
from pathlib import Path

import numpy as np
import pytest

from tests.faults.processes import ROOT, environment, is_loopback, listening, own_tree, start, tree, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.ray]
CLI = ["-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def short_folder():
    """A folder with a short name: Ray puts Unix sockets below it, whose paths end at 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="lc", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def parents_of(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            found.add(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]))
        except FileNotFoundError:
            continue
    return found


def test_when_a_job_is_submitted_to_two_nodes_then_it_succeeds_and_both_have_worked(short_folder, tmp_path):
    rng = np.random.default_rng(1)
    days = np.arange("2025-01-01", "2025-04-11", dtype="datetime64[D]")
    lines = ["unique_id,ds,y"]
    for i in range(30):
        lines += [f"S{i:03d},{day},{rng.poisson(3 + i % 5)}" for day in days]
    sales = tmp_path / "sales.csv"
    sales.write_text("\n".join(lines) + "\n")
    # A token in a file that only we can read, never in a command line: every process of the cluster asks for it.
    token = short_folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    secure = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    gcs, dashboard = free_port(), free_port()
    with own_tree("nodes") as mark:
        common = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--disable-usage-stats", "--block",
                  "--object-store-memory=200000000"]  # fmt: skip
        log = tmp_path / "nodes.log"
        head = [f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        start([*CLI, "start", "--head", *head, f"--temp-dir={short_folder}", *common], mark, log, **secure)
        raylets = lambda: {pid for pid, command in tree(mark).items() if "/raylet/raylet " in command}  # noqa: E731
        wait_for(lambda: len(raylets()) == 1 and listens(dashboard), 150, "the head")
        start([*CLI, "start", f"--address=127.0.0.1:{gcs}", *common], mark, log, **secure)
        wait_for(lambda: n_nodes(gcs, mark, secure) == 2, 150, "two nodes")
        nodes = raylets()
        assert len(nodes) == 2

        root = tmp_path / "shared"
        # A new node's job agent comes up after the node itself; the dashboard then says so and asks to try again.
        submit = lambda: start(  # noqa: E731
            [*CLI, "job", "submit", "--working-dir", ".", "--address", f"http://127.0.0.1:{dashboard}", "--",
             sys.executable, "-m", "jobs.pipeline", "experiment=smoke", "cluster.address=auto", f"source.path={sales}",
             f"storage.root={root}", "run_id=two", "batch_seconds=0.5", "local_cpu_seconds=1000", "progress=false",
             "models.exponential_smoothing.enabled=false", "models.tsb.enabled=false"],
            mark, tmp_path / "job.log", **secure,
        )  # fmt: skip
        worked: set[int] = set()
        job = submit()

        def ended() -> bool:
            nonlocal job
            code = job.poll()
            if code and "No available agent to submit job" in (tmp_path / "job.log").read_text():
                (tmp_path / "job.log").unlink()
                time.sleep(2)
                job = submit()
                return False
            at_work = {pid for pid, command in tree(mark).items() if command.startswith(("ray::local", "ray::arrays"))}
            worked.update(parents_of(at_work))
            return code is not None

        wait_for(ended, 400, "the job's end")
        said = (tmp_path / "job.log").read_text()
        assert job.returncode == 0, said
        assert worked == nodes, said
        assert [one for one in listening(set(tree(mark))) if not is_loopback(one[0]) and one[1] == dashboard] == []
        stranger = subprocess.run(
            [sys.executable, *CLI, "job", "list", "--address", f"http://127.0.0.1:{dashboard}"],
            env=environment(mark, RAY_AUTH_MODE="disabled"), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert stranger.returncode != 0
        uploads = [p for p in short_folder.glob("session_2*/runtime_resources/working_dir_files/*") if p.is_dir()]
        assert uploads
        for folder in uploads:
            assert (folder / "jobs" / "pipeline.py").is_file()
            assert not [name for name in (".git", ".venv", "storage", "demo") if (folder / name).exists()]
            size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            assert size < 5e6
    summary = json.loads((root / "runs" / "two" / "summary.json").read_text())
    assert summary["styles"] == {"in": 30, "ok": 30, "fell_back": 0, "rejected": 0}
    assert (root / "registry" / "aliases" / "champion.json").is_file()


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
