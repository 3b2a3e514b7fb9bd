"""The edge to Ray: loopback only, a token always, and one clear message when a cluster does not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from demand.errors import ClusterError
from jobs.cluster import _answer_or_raise, _state_auth_mode
from tests.faults.processes import ROOT, environment, is_loopback, listening, own_tree, start, tree, wait_for


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No Ray setting in the environment and a home without a token."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # What is set below is taken away again: setenv first, so that monkeypatch knows the names.
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        del os.environ[name]
    return tmp_path


def test_when_a_cluster_is_embedded_then_it_gets_a_token_of_its_own(bare):
    _state_auth_mode(embedded=True)
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert not list(bare.iterdir())  # nothing is written to disk


def test_when_the_user_has_chosen_a_mode_then_it_is_kept(bare, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _state_auth_mode(embedded=True)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("where", ["nowhere", "variable", "path", "home"])
def test_when_a_cluster_exists_then_the_mode_says_whether_there_is_a_token(bare, monkeypatch, where):
    if where == "variable":
        monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    elif where == "path":
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(bare / "token"))
    elif where == "home":
        (bare / ".ray").mkdir()
        (bare / ".ray" / "auth_token").write_text("t")
    _state_auth_mode(embedded=False)
    assert os.environ["RAY_AUTH_MODE"] == ("disabled" if where == "nowhere" else "token")


@pytest.mark.parametrize("address", ["nonsense", "host:", ":", "host:port", "host:-1"])
def test_when_an_address_is_not_one_then_it_is_refused_at_once(address):
    with pytest.raises(ClusterError, match="host:port or auto"):
        _answer_or_raise(address, 1.0)


def test_when_nobody_listens_then_the_knock_fails_in_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(ConnectionError):
        _answer_or_raise(f"127.0.0.1:{port}", 2.0)
    assert time.monotonic() - begun < 5


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("listening", [False, True], ids=["closed port", "silent port"])
def test_when_the_cluster_does_not_answer_then_the_job_is_refused_with_one_message(tmp_path, listening):
    (tmp_path / "sales.csv").write_text(
        "unique_id,ds,y\n" + "".join(f"a,2025-{1 + k // 28:02d}-{1 + k % 28:02d},{k % 5}\n" for k in range(84))
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if not listening:
            server.close()
        begun = time.monotonic()
        job = subprocess.run(
            [sys.executable, "-m", "jobs.backtest", "experiment=smoke", f"source.path={tmp_path / 'sales.csv'}",
             f"storage.root={tmp_path / 'storage'}", f"cluster.address={address}", "cluster.connect_timeout_s=2"],
            cwd=ROOT, env=environment("refused"), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    seconds = time.monotonic() - begun
    assert job.returncode == 2, job.stderr
    assert job.stderr.count("ClusterError: Ray does not answer") == 1
    assert "Traceback" not in job.stderr
    assert "cluster.address" in job.stderr
    assert seconds < 15 * busy()


def busy() -> float:
    """How much longer than alone a process may take now: 1 on an idle machine."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.slow
def test_when_the_storage_cannot_be_written_then_the_job_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "sales.csv").write_text(
        "unique_id,ds,y\n" + "".join(f"a,2025-{1 + k // 28:02d}-{1 + k % 28:02d},{k % 5}\n" for k in range(84))
    )
    (tmp_path / "file").write_text("not a folder")
    before = sorted(path.name for path in tmp_path.iterdir())
    job = subprocess.run(
        [sys.executable, "-m", "jobs.pipeline", "experiment=smoke", f"source.path={tmp_path / 'sales.csv'}",
         f"storage.root={tmp_path / 'file' / 'storage'}"],
        cwd=ROOT, env=environment("unwritable"), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert job.returncode == 2, job.stderr
    assert job.stderr.count("StorageError: the storage cannot be written") == 1
    assert "What to do" in job.stderr
    assert "Traceback" not in job.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


CLIENT = """
import sys
from ray._raylet import GcsClient
try:
    print("LET IN", len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)))
except Exception as error:
    print("refused", type(error).__name__, error)
"""


def answer_of(gcs: str, environment: dict[str, str]) -> str:
    """What a client of the cluster's own port gets to see; a client that is not let in may also wait for ever."""
    with subprocess.Popen([sys.executable, "-c", CLIENT, gcs], env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:  # fmt: skip
        try:
            return client.communicate(timeout=40)[0]
        except subprocess.TimeoutExpired:
            client.kill()
            return "refused: no answer in 40 s"


def status_of(url: str, token: str = "") -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        code = error.code
        error.close()
        return code


@pytest.mark.slow
@pytest.mark.ray
def test_when_a_cluster_is_embedded_then_it_listens_on_loopback_only_and_asks_for_its_token(tmp_path):
    ready = tmp_path / "ready"
    with own_tree("loopback") as mark:
        held = start(["-m", "tests.faults.on_ray", "300", str(ready)], mark, tmp_path / "log")
        wait_for(lambda: ready.exists() or held.poll() is not None, 150, "an embedded cluster")
        assert held.poll() is None, (tmp_path / "log").read_text()
        gcs, dashboard = ready.read_text().split()
        sockets = listening(set(tree(mark)))
        programs = " ".join(tree(mark).values())
        assert "gcs_server" in programs
        assert "raylet" in programs
        assert "dashboard" in programs
        assert len(sockets) >= 5
        assert [one for one in sockets if not is_loopback(one[0])] == []
        assert int(dashboard.rpartition(":")[2]) in {port for _, port, _ in sockets}

        no_token = environment(mark, RAY_AUTH_MODE="disabled")
        wrong = environment(mark, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
        for stranger in (no_token, wrong):
            answer = answer_of(gcs, stranger)
            assert "LET IN" not in answer
            assert "refused" in answer
        assert status_of(f"http://{dashboard}/api/version") == 401
        assert status_of(f"http://{dashboard}/api/version", "0" * 64) == 403
        inside = next(pid for pid, command in tree(mark).items() if "gcs_server" in command)
        with open(f"/proc/{inside}/environ", "rb") as file:
            told = dict(pair.split(b"=", 1) for pair in file.read().split(b"\0") if b"=" in pair)
        assert told[b"RAY_AUTH_MODE"] == b"token"
        token = told[b"RAY_AUTH_TOKEN"].decode()
        assert status_of(f"http://{dashboard}/api/version", token) == 200
        assert "LET IN 1" in answer_of(gcs, environment(mark, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token))


def test_when_addresses_are_read_from_proc_then_only_loopback_counts_as_loopback():
    assert is_loopback("0100007F")
    assert is_loopback("00000000000000000000000001000000")
    assert is_loopback("0000000000000000FFFF00000100007F")
    assert not is_loopback("00000000")
    assert not is_loopback("0" * 32)
    assert not is_loopback("0100A8C0")
    with socket.create_server(("127.0.0.1", 0)) as mine:
        found = {(address, port) for address, port, _ in listening({os.getpid()})}
        assert ("0100007F", mine.getsockname()[1]) in found


@pytest.mark.slow
@pytest.mark.ray
def test_when_ray_was_imported_before_the_mode_was_stated_then_the_embedded_cluster_still_starts():
    program = (
        "import ray, ray.autoscaler._private.util\n"
        "from jobs.cluster import cluster\n"
        "from jobs.sections import ClusterSettings\n"
        "with cluster(ClusterSettings(num_cpus=1)) as cpus:\n"
        "    print('CPUS', cpus)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment("late"), capture_output=True, text=True, timeout=300
    )
    assert "CPUS 1" in done.stdout, done.stderr
