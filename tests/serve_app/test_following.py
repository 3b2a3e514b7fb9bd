"""The champion is followed: opened aside, put in place at once; an unreadable one leaves the one before."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter

import pytest

from models.registry import Registry
from serve_app.compute import Compute
from serve_app.following import Following
from serve_app.problems import NoData, Refused
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.serve_app import calls
from tests.serve_app.made import make_release

PATH = "/api/ml-forecast-detailed?detail=summary"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A storage root with two releases, the second the champion."""
    root = tmp_path_factory.mktemp("two")
    make_release(root, 3, seed=1, run_id="one")
    make_release(root, 5, seed=2, run_id="two")
    return root


def following(shelf: calls.Shelf, now: list[float]) -> Following[calls.MadeBook]:
    return Following(lambda: shelf.head, shelf.open, clock=lambda: now[0])


def test_when_nothing_is_promoted_then_there_is_no_book_and_the_next_step_is_said():
    found = following(calls.Shelf(None), [0.0])
    found.look()
    with pytest.raises(NoData, match=r"jobs\.pipeline"):
        found.book()
    assert not found.standing.ready


def test_when_the_champion_moves_then_the_next_look_swaps_and_going_back_too():
    shelf, swapped = calls.Shelf(1), []
    found = following(shelf, [0.0])
    found.on_swap = lambda book: swapped.append(book.number)
    for head in (1, 2, 2, 1):
        shelf.head = head
        found.look()
        assert found.book().number == head
        assert found.standing.ready
    assert swapped == [1, 2, 1]


def test_when_the_new_one_is_unreadable_then_the_old_one_answers_and_it_is_tried_less_and_less_often():
    shelf, now, failures = calls.Shelf(1), [0.0], Counter[bool]()
    found = following(shelf, now)
    found.look()
    found.on_look = lambda standing, failed: failures.update([failed])
    shelf.head = 2
    shelf.broken = {2}
    for _ in range(100):
        found.look()
        now[0] += 0.5
    assert found.book().number == 1
    assert not found.standing.ready
    assert found.standing.head == 2
    assert "changed after it was released" in found.standing.problem
    assert 3 <= failures[True] <= 7
    shelf.broken = set()
    now[0] += 60
    found.look()
    assert (found.book().number, found.standing.problem) == (2, "")


def test_when_the_registry_cannot_be_read_for_a_while_then_the_book_stays():
    shelf = calls.Shelf(1)

    def head():
        if shelf.head == 9:
            raise OSError("the disk is away")
        number: int | None = shelf.head
        return number

    found = Following(head, shelf.open)
    found.look()
    shelf.head = 9
    found.look()
    assert found.book().number == 1
    assert not found.standing.ready
    assert "the disk is away" in found.standing.problem


def test_when_a_look_fails_in_an_unforeseen_way_then_readiness_tells_the_cause_and_the_next_look_mends_it(caplog):
    shelf = calls.Shelf(1)
    broken = threading.Event()

    def head() -> int | None:
        if broken.is_set():
            raise ZeroDivisionError("nobody thought of this")
        number: int | None = shelf.head
        return number

    found = Following(head, shelf.open, every_s=0.01)
    found.start()
    try:
        assert found.standing.ready
        broken.set()
        deadline = time.monotonic() + 10
        while found.standing.ready:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "nobody thought of this" in found.standing.problem
        assert "ZeroDivisionError" in caplog.text
        assert found.alive
        assert found.book().number == 1
        broken.clear()
        while not found.standing.ready:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        found.stop()


@pytest.mark.parametrize("error", [KeyError("weights"), AttributeError("x"), RecursionError(), MemoryError()])
def test_when_opening_fails_in_an_unforeseen_way_then_it_is_a_damaged_release_and_tried_less_and_less_often(
    error, caplog
):
    now, tries = [0.0], []

    def broken() -> calls.MadeBook:
        tries.append(now[0])
        raise error

    found = Following(lambda: 1, broken, clock=lambda: now[0])
    for _ in range(100):  # the first look is the start: it must not raise
        found.look()
        now[0] += 0.5
    assert 3 <= len(tries) <= 7
    assert caplog.text.count("Traceback") == 1
    with pytest.raises(Refused) as caught:
        found.book()
    refused = caught.value
    assert (refused.status_code, refused.error, refused.status) == (503, "release_unreadable", "error")
    assert type(error).__name__ in refused.detail
    assert "jobs.pipeline" not in refused.detail
    found._open_head = lambda: calls.MadeBook(1)
    now[0] += 60
    found.look()
    assert found.book().number == 1


def test_when_the_models_of_the_champion_break_then_predictions_say_why_and_the_process_lives(two, monkeypatch):
    def warm(self) -> None:
        raise KeyError("trees")

    monkeypatch.setattr("serve_app.computing.Computing.warm", warm)
    compute = Compute(Config(ServeSettings(), str(two), "registry"))
    try:
        said = compute.predict({"style": "S000"})["refused"]
        assert (said["status_code"], said["error"]) == (503, "release_unreadable")
        assert "KeyError" in said["detail"]
    finally:
        compute.close()


def test_when_the_newest_entry_of_the_log_is_damaged_then_nobody_is_told_to_make_a_release(two, tmp_path):
    root = tmp_path / "s"
    shutil.copytree(two, root)
    newest = max((root / "registry" / "log").iterdir())
    newest.write_bytes(b"{")
    (root / "registry" / "head.json").unlink(missing_ok=True)
    state = State(Config(ServeSettings(), str(root), "registry"))
    state.following.look()
    client = calls.client_of(state)
    ready, answer = client.get("/health/ready"), client.get(PATH)
    assert (ready.status_code, answer.status_code) == (503, 503)
    assert ready.json()["problem"] == "the registry cannot be read; see the log"
    assert answer.json()["error"] == "release_unreadable"
    assert "jobs.pipeline" not in ready.text + answer.text
    assert str(tmp_path) not in ready.text + answer.text


def test_when_the_registry_goes_away_then_what_answered_goes_on_and_readiness_says_so(two, tmp_path):
    root = tmp_path / "s"
    shutil.copytree(two, root)
    state = State(Config(ServeSettings(), str(root), "registry"))
    state.following.look()
    client = calls.client_of(state)
    assert client.get(PATH).status_code == 200
    shutil.rmtree(root / "registry")
    state.following.look()
    assert client.get(PATH).status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert "what answered before goes on" in ready.json()["problem"]


def test_when_it_was_started_then_a_promotion_arrives_within_a_second_and_it_can_be_stopped():
    shelf = calls.Shelf(1)
    found = Following(lambda: shelf.head, shelf.open, every_s=0.05)
    found.start()
    assert found.alive
    shelf.head = 2
    deadline = time.monotonic() + 1
    while found.book().number != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    found.stop()
    assert not found.alive


def test_when_releases_are_swapped_under_reads_then_no_answer_fails_or_mixes_and_none_comes_from_the_old_cache(two):
    registry = Registry(two / "registry")
    state = State.open(Config(ServeSettings(follow_seconds=0.02), str(two), "registry"))
    client = calls.client_of(state)
    stop = threading.Event()
    swaps = []

    def swap() -> None:
        while not stop.wait(0.1):
            target = 1 if registry.alias("champion") == 2 else 2
            registry.promote(target, expected=registry.alias("champion"), facts={})
            swaps.append(target)

    right = {}
    for number in (1, 2):
        registry.promote(number, expected=registry.alias("champion"), facts={})
        state.following.look()
        for path in (PATH, "/api/ml-validation-summary"):
            right[number, path] = client.get(path).content
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen: Counter[int] = Counter()
        ends = time.monotonic() + 60
        while len(swaps) < 6 or seen.total() < 400:  # how long six promotions take is the disk's affair
            assert time.monotonic() < ends
            path = PATH if seen.total() % 2 else "/api/ml-validation-summary"
            answer = client.get(path)
            assert answer.status_code == 200
            number = next((n for n in (1, 2) if answer.content == right[n, path]), None)
            assert number is not None
            seen[number] += 1
    finally:
        stop.set()
        thread.join()
        state.close()
    assert min(seen[1], seen[2]) > 10
    state.following.look()
    assert json.loads(client.get(PATH).content) == json.loads(right[registry.alias("champion"), PATH])


def test_when_a_byte_of_the_new_release_was_flipped_then_the_old_one_answers_and_readiness_says_so(two, tmp_path):
    root = tmp_path / "s"
    shutil.copytree(two, root)
    registry = Registry(root / "registry")
    registry.promote(1, expected=registry.alias("champion"), facts={})
    state = State(Config(ServeSettings(), str(root), "registry"))
    state.following.look()
    client = calls.client_of(state)
    before = client.get(PATH).content
    registry.promote(2, expected=1, facts={})
    path = next((root / "registry" / "releases" / "000002").glob("styles.parquet"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    state.following.look()
    assert client.get(PATH).content == before
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["release"], ready.json()["champion"]) == (503, 1, 2)
    assert "styles.parquet" not in ready.text  # anybody may ask
    assert client.get("/health").status_code == 200
    assert "loomcast_release_failures_total 1.0" in client.get("/metrics").text


def test_when_the_thread_that_follows_has_ended_then_the_service_is_not_ready_and_says_so(two, tmp_path):
    state = State(Config(ServeSettings(), str(tmp_path), str(two / "registry")))
    state.following.start()
    client = calls.client_of(state)
    assert client.get("/health/ready").json()["status"] == "ready"
    state.following.stop()
    ready, health = client.get("/health/ready"), client.get("/health")
    assert (ready.status_code, ready.json()["status"], ready.json()["ready"]) == (503, "not ready", False)
    assert "not followed" in ready.json()["problem"]
    assert (health.status_code, health.json()["ready"]) == (200, False)
