"""What the release desk repeats of a job's words, and what becomes of a job that is slow or asked for by nobody."""

from __future__ import annotations

import asyncio
import time

import pytest

from demand.errors import SettingsError, VersionNotFound
from jobs.entry import message_lines
from serve_app import desk
from serve_app.desk import in_words
from tests.serve_app import calls


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsError("this release serves now", key="release", found=1, served=[1]),
         "This release serves now (key: 'release'; found: 1; served: [1])."),
        (VersionNotFound("there is no release before the champion", champion=1, hint="Train another release first"),
         "There is no release before the champion (champion: 1). Train another release first"),
        (SettingsError("no " * 40 + "words", names=["a b", "c"]), "No " + "no " * 39 + "words (names: - a b - c)."),
        (SettingsError("odd"), "Odd."),
    ],
)  # fmt: skip
def test_when_a_job_refuses_then_its_error_is_one_sentence_without_the_name_of_its_type(error, said):
    assert in_words("\n".join(message_lines(error))) == said
    if not error.facts.get("names"):
        assert error.sentence() == said


def test_when_a_job_printed_something_else_then_it_is_joined_as_it_stands():
    assert in_words("Gate      held back\n  worse than release 1") == "Gate held back worse than release 1"
    assert in_words("") == ""


def python(tmp_path, monkeypatch, text: str) -> list[str]:
    """A command as the desk runs them: a module that does this."""
    (tmp_path / "made_job.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ["made_job"]


def test_when_whoever_asked_is_gone_then_the_job_is_read_to_its_end(tmp_path, monkeypatch):
    done = tmp_path / "done"
    text = f"import time\nprint('x' * 10**6, flush=True)\ntime.sleep(.3)\nopen({str(done)!r}, 'w').close()\n"
    command = python(tmp_path, monkeypatch, text)

    async def asked() -> None:
        call = asyncio.create_task(desk._run(command))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        deadline = time.monotonic() + 10
        while desk._going and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    asyncio.run(asked())
    assert done.exists()
    assert not desk._going


@pytest.mark.parametrize("moved", [False, True])
def test_when_a_promotion_takes_too_long_then_it_is_ended_and_the_answer_says_where_the_champion_is(
    tmp_path, monkeypatch, moved
):
    command = python(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    monkeypatch.setattr(desk, "LONGEST_S", 0.2)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(desk._run(command))
    assert time.monotonic() - began < 10

    state, champion = calls.state_of(tmp_path), iter([1, 2 if moved else 1])
    monkeypatch.setattr(state.registry, "numbers", lambda: [1, 2])
    monkeypatch.setattr(state.registry, "alias", lambda name: next(champion))

    async def slow(command):
        raise TimeoutError

    monkeypatch.setattr(desk, "_run", slow)
    answer = calls.client_of(state, [desk.desk_router(state)]).post("/api/releases/promote", json={"release": 2})
    assert (answer.status_code, answer.json()["error"]) == (503, "job_too_slow")
    assert ("release 2 answers" in answer.json()["detail"]) == moved
    assert ("did not move" in answer.json()["detail"]) != moved
