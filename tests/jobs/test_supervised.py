"""The child that trains: it ends when it is asked to, also where its parent ignores what it is asked with."""

from __future__ import annotations

import signal

import pytest

from jobs import supervised

SLEEPS = ("-c", "import time; print('begun', flush=True); time.sleep(300)")


@pytest.fixture
def in_the_background():
    """As a script's shell starts a process that it does not wait for: SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_when_the_time_is_up_then_the_child_ends_at_the_first_word_also_in_the_background(
    tmp_path, in_the_background, monkeypatch
):
    monkeypatch.setattr(supervised, "GRACE_S", 100.0)  # longer than the test: it is not killed
    with (tmp_path / "lease").open("w") as lease:
        ended = supervised.supervised(SLEEPS, 0.5, lease.fileno())
    assert ended.late
    assert ended.code == -signal.SIGINT
