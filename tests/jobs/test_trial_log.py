"""The log of a search: what is in it counts once, what a dying process cut counts as missing."""

from __future__ import annotations

import pytest

from demand.errors import StorageError
from jobs.trial_log import NAME, Outcome, TrialLog


def outcome(number, score=0.5):
    return Outcome(number, {"window": number + 2}, "finished", score, (score,), 0.1)


def test_when_trials_ended_then_they_are_read_back_as_they_were(tmp_path):
    log = TrialLog(tmp_path)
    log.begin({"model": "mean"})
    failed = Outcome(1, {"window": 9}, "failed", None, (), 0.0, "it broke")
    for one in (outcome(0), failed):
        log.append(one)
    assert TrialLog(tmp_path).read() == {0: outcome(0), 1: failed}


def test_when_a_line_was_cut_then_that_trial_is_missing_and_later_lines_count(tmp_path, caplog):
    log = TrialLog(tmp_path)
    log.append(outcome(0))
    whole = log.path.read_bytes()
    log.append(outcome(1))
    log.path.write_bytes(log.path.read_bytes()[:-20])  # as SIGKILL may leave it
    assert log.read() == {0: outcome(0)}
    assert "line 2" in caplog.text
    log.append(outcome(2))
    assert log.read() == {0: outcome(0), 2: outcome(2)}
    assert log.path.read_bytes().startswith(whole)  # nothing that was written is written again


def test_when_two_lines_tell_of_one_trial_then_the_first_counts(tmp_path):
    log = TrialLog(tmp_path)
    log.append(outcome(0, 0.5))
    log.append(outcome(0, 0.1))
    assert log.read() == {0: outcome(0, 0.5)}


@pytest.mark.parametrize(
    "line",
    [
        b'{"trial": {"number": 1}}',
        b'{"trial": 7}',
        b'{"trial": {"number": 1, "parameters": {}, "state": "finished", "score": null, "folds": [], "seconds": 1}}',
        b'{"trial": {"number": 1, "parameters": {}, "state": "won", "score": 1, "folds": [], "seconds": 1}}',
    ],
)
def test_when_a_whole_line_is_no_trial_then_the_log_is_called_damaged(tmp_path, line):
    (tmp_path / NAME).write_bytes(line + b"\n")
    with pytest.raises(StorageError, match="damaged"):
        TrialLog(tmp_path).read()
