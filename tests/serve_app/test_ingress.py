"""HAProxy and Ray's own proxy: on loopback alone, and back with the same answer after either was killed."""

from __future__ import annotations

import os
import signal
import time

import httpx
import pytest

from tests.faults.processes import is_loopback, listening, tree
from tests.serve_app.made import make_release
from tests.serve_app.running import DETAILED, Served, serving, until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.alone]
INGRESS = {"proxy": "ray::ProxyActor", "haproxy": "haproxy"}  # what its command line holds
BACK_S = 40.0


def accepting(served: Served) -> dict[int, str]:
    """The processes that accept connections, and their command lines."""
    commands = tree(served.mark)
    return {pid: commands[pid] for _, port, pid in listening(set(commands)) if port == served.port}


def answers(served: Served) -> bool:
    try:
        return served.get(DETAILED).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("ingress", INGRESS)
def test_when_who_accepts_connections_is_killed_then_it_is_back_with_the_same_answer_and_on_loopback_alone(
    tmp_path, ingress
):
    make_release(tmp_path / "s", 4, seed=1, run_id="one")
    with serving(tmp_path / "s", tmp_path / "log", f"serve.ingress={ingress}", "source.path=nowhere.csv") as served:
        before = served.get(DETAILED)
        assert before.status_code == 200
        killed = accepting(served)
        assert killed
        assert all(INGRESS[ingress] in command for command in killed.values())
        assert not [one for one in listening(set(tree(served.mark))) if not is_loopback(one[0])]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not killed.keys() & tree(served.mark).keys(), 20)
        until(lambda: answers(served), BACK_S)
        time.sleep(1)
        again = served.get(DETAILED)
        assert (again.status_code, again.content) == (200, before.content)
        assert not [one for one in listening(set(tree(served.mark))) if not is_loopback(one[0])]
        with httpx.Client(base_url=served.base, timeout=30) as client:
            codes = [client.get(f"{DETAILED}?limit=2").status_code for _ in range(50)]
        assert codes == [200] * 50
