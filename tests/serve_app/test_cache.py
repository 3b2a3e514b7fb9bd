"""Answers kept as bytes: bounded, for a time, computed once, forgotten with their release."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections import Counter
from typing import Any

import pytest
from starlette.datastructures import Headers

from serve_app.cache import MAX_REFUSALS, OVERHEAD, Answer, Cache, Key
from serve_app.problems import Refused


def key(name: str = "a", release: int = 1) -> Key:
    return Key(release, "data", "/x", name, "2025-09-02")


class Counted:
    """A computation that counts how often it ran."""

    def __init__(self, value: Any = None, wait_s: float = 0.0) -> None:
        self.times, self._value, self._wait_s = 0, value or {"a": 1}, wait_s

    def __call__(self) -> Answer:
        self.times += 1
        time.sleep(self._wait_s)
        if isinstance(self._value, Exception):
            raise self._value
        return Answer.of(self._value)


def ask(cache: Cache, compute: Any, at: Key | None = None, **more: Any) -> Answer:
    return asyncio.run(cache.answer(at or key(), compute, **more))


def test_when_the_same_is_asked_again_then_it_is_computed_once_until_the_time_is_up():
    now, compute = [0.0], Counted()
    cache = Cache(10_000, 24 * 3600, clock=lambda: now[0])
    assert ask(cache, compute).body == ask(cache, compute).body == b'{"a":1}'
    now[0] = 24 * 3600 - 1
    ask(cache, compute)
    assert compute.times == 1
    now[0] += 1
    ask(cache, compute)
    assert compute.times == 2


def test_when_it_is_switched_off_then_every_answer_is_computed():
    seen: Counter[str] = Counter()
    compute = Counted()
    cache = Cache(10_000, 60, enabled=False, outcome=lambda how: seen.update([how]))
    for _ in range(3):
        ask(cache, compute, alias="raw")
    assert (compute.times, dict(seen), len(cache), cache.known("raw")) == (3, {"off": 3}, 0, None)


def test_when_a_thousand_ask_at_once_then_one_computes_and_who_leaves_ends_nothing():
    seen: Counter[str] = Counter()
    compute = Counted(wait_s=0.2)
    cache = Cache(10_000, 60, outcome=lambda how: seen.update([how]))

    async def storm() -> list[Any]:
        tasks = [asyncio.create_task(cache.answer(key(), compute)) for _ in range(1000)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()  # the one that began it
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(storm())
    assert compute.times == 1
    assert {one.body for one in found[1:]} == {b'{"a":1}'}
    assert seen == {"miss": 1, "shared": 999}


def test_when_many_different_are_asked_then_its_bytes_stay_bounded_and_the_oldest_leave():
    cache = Cache(10 * (OVERHEAD + 100), 60)
    for i in range(200):
        ask(cache, Counted({"a": "x" * 90}), key(str(i)))
        assert cache.bytes <= 10 * (OVERHEAD + 100)
    compute = Counted({"a": "x" * 90})
    ask(cache, compute, key("199"))
    assert compute.times == 0
    ask(cache, compute, key("0"))
    assert compute.times == 1
    ask(cache, Counted({"a": "x" * 10**6}), key("too large"))
    assert len(cache) <= 10


@pytest.mark.slow
def test_when_styles_are_unknown_then_the_refusals_are_kept_too_and_bounded():
    compute = Counted(Refused(404, "unknown_style", "no"))
    cache = Cache(10_000, 60)
    for _ in range(3):
        with pytest.raises(Refused, match="unknown_style"):
            ask(cache, compute, alias="raw")
    assert compute.times == 1
    for i in range(MAX_REFUSALS + 50):
        with pytest.raises(Refused):
            ask(cache, compute, key(str(i)))
    assert len(cache._refused) == MAX_REFUSALS
    conflict = Counted(Refused(409, "horizon_not_in_release", "no"))
    for _ in range(2):
        with pytest.raises(Refused):
            ask(cache, conflict, key("other"))
    assert conflict.times == 2


def test_when_another_release_answers_then_everything_is_forgotten_also_what_is_being_computed():
    cache = Cache(10_000, 60)
    ask(cache, Counted(), alias="raw")
    assert cache.known("raw") is not None
    cache.clear()
    assert (len(cache), cache.bytes, cache.known("raw")) == (0, 0, None)
    begun = threading.Event()

    def slow() -> Answer:
        begun.set()
        time.sleep(0.2)
        return Answer.of({"a": "old"})

    async def swap() -> None:
        task = asyncio.create_task(cache.answer(key(), slow))
        await asyncio.to_thread(begun.wait)
        cache.clear()
        await task

    asyncio.run(swap())
    assert len(cache) == 0


def test_when_a_computation_fails_then_each_who_waits_is_told_and_the_next_tries_again():
    failing = Counted(ZeroDivisionError("a bug"))
    cache = Cache(10_000, 60)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            ask(cache, failing)
    assert failing.times == 2


def test_when_a_value_holds_nan_then_there_is_no_answer():
    with pytest.raises(ValueError, match="not JSON compliant"):
        Answer.of({"a": float("nan")})


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("", False), ("identity", False), ("gzip;q=0", False)],
)
def test_when_a_client_reads_gzip_then_it_gets_it_and_the_bytes_are_the_same_inside(accepted, zipped):
    answer = Answer.of({"a": "x" * 5000})
    response = answer.response(Headers({"accept-encoding": accepted}))
    assert (response.headers.get("content-encoding") == "gzip") is zipped
    assert (gzip.decompress(response.body) if zipped else response.body) == answer.body
    assert response.headers["vary"] == "Accept-Encoding"
    assert Answer.of({"a": "x" * 5000}).zipped == answer.zipped


def test_when_a_client_has_the_bytes_already_then_304_in_every_form_of_the_tag():
    answer = Answer.of({"a": "x" * 5000})
    for tag in (f'"{answer.digest}"', f'W/"{answer.digest}"', f'"{answer.digest}-gz"', f'"z", "{answer.digest}"', "*"):
        response = answer.response(Headers({"if-none-match": tag, "accept-encoding": "gzip"}))
        assert (response.status_code, response.body) == (304, b"")
        assert response.headers["etag"].startswith(f'"{answer.digest}')
    assert answer.response(Headers({"if-none-match": '"other"'})).status_code == 200
