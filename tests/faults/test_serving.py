"""The service while its parts are killed and its releases swapped: what is lost, what comes back, what is kept."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from serve_app.tokens import TokenFile
from tests.bench.swaps import swapped
from tests.faults.processes import free_port, own_tree, tree, wait_for
from tests.serve_app.made import make_release
from tests.serve_app.running import DETAILED, RETRAIN, Load, Served, ended, serving, started, until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.alone]
READERS = 4


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Two releases of other demand; the second one serves."""
    root = tmp_path_factory.mktemp("serving") / "s"
    for k in (1, 2):
        make_release(root, 6, seed=k, run_id=f"r{k}")
    return root


@pytest.fixture(scope="module")
def served(storage) -> Iterator[Served]:
    with serving(storage, storage.parent / "log") as found:
        yield found


def test_when_releases_take_turns_during_2000_requests_then_none_fails_and_no_answer_is_mixed(served):
    found = swapped(served, requests=2_000, swaps=20, clients=READERS)
    assert (found.requests, found.swaps) == (2_000, 20)
    assert (found.failed, found.mixed, found.late) == (0, 0, 0), found
    assert set(found.by_release) == {1, 2}
    assert len(found.replicas_mb_before) == len(found.replicas_mb_after) == 2
    for before, after in zip(found.replicas_mb_before, found.replicas_mb_after, strict=True):
        assert after < before + 40, found  # MB: two books and two texts an answer, not one a swap


def test_when_the_controller_is_killed_then_no_request_notices_and_it_is_back(served):
    (controller,) = served.actors("ServeController")
    replicas = served.replicas()
    with Load(served, READERS) as load:
        time.sleep(0.5)
        os.kill(controller, signal.SIGKILL)
        until(lambda: bool(served.actors("ServeController") - {controller}), 60)
        time.sleep(2)
    assert set(load.codes) == {200}, load.codes
    assert load.codes[200] > 50
    assert served.replicas() == replicas  # nothing is started anew for it
    victim = min(replicas)
    os.kill(victim, signal.SIGKILL)  # and it does its work: a lost replica is replaced
    until(lambda: len(served.replicas()) == 2 and victim not in tree(served.mark), 90)


def test_when_the_whole_service_is_killed_then_it_starts_again_where_it_was(tmp_path):
    root, log, port = tmp_path / "s", tmp_path / "log", free_port()
    for k in (1, 2):
        make_release(root, 4, seed=k, run_id=f"r{k}")
    secret = TokenFile(root).make("planner", "operate", days=1)
    header = {"Authorization": f"Bearer {secret}"}
    told = ("serve.require_token=true", "source.path=nowhere.csv")
    with own_tree("server") as mark:
        first = started(root, log, mark, port, told)
        before = first.get(DETAILED, headers=header)
        assert (before.status_code, before.json().get("release")) == (200, 2), before.text
        said = first.get("/health").json()
        assert said["ready"]
        job = _posted(first, header)
        until(lambda: first.get(job["status_url"], headers=header).json()["status"] == "failed", 120)
        record = first.get(job["status_url"], headers=header)
        for pid in sorted(pid for pid, command in tree(mark).items() if "-m jobs.serve" in command):
            os.kill(pid, signal.SIGKILL)  # also the one that would start it again, as when the machine stops
        assert first.process.wait(10) == -signal.SIGKILL
        wait_for(lambda: not first.replicas(), 30, "the end of what it had started")
        second = started(root, log, mark, port, told)
        until(lambda: second.champion_everywhere(2), 15)
        after = second.get(DETAILED, headers=header)
        assert (after.status_code, after.content, after.headers["etag"]) == (
            200,
            before.content,
            before.headers["etag"],
        )
        assert second.get(DETAILED).status_code == 401
        assert second.get(job["status_url"], headers=header).content == record.content
        second.registry.promote(1, expected=2, facts={})
        until(lambda: second.champion_everywhere(1), 5)
        ended(second)


def _posted(served: Served, header: dict[str, str]) -> dict[str, str]:
    import httpx

    answer = httpx.post(f"{served.base}{RETRAIN}", headers=header, timeout=30)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, str] = json.loads(answer.content)
    return accepted
