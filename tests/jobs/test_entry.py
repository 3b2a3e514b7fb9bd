"""The door of a job: exit codes, one clear message, no secrets."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from demand import errors
from demand.errors import DemandError, SettingsError
from jobs import compose, entry
from jobs.own_folder import CONF


@pytest.fixture
def composed(monkeypatch):
    """Settings without the half second of composing; what is given decides the log level."""

    class Told:
        log_level = "INFO"

    monkeypatch.setattr(compose, "load", lambda job, argv: Told())
    return Told


def body_raising(error):
    def body(settings):
        raise error

    return body


def kinds(of=DemandError):
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


REFUSED = (
    errors.SettingsError, errors.DataError, errors.StorageError, errors.ClusterError, errors.VersionNotFound,
)  # fmt: skip


@pytest.mark.parametrize("kind", sorted(kinds(), key=str))
def test_when_an_error_of_ours_ends_a_job_then_its_kind_decides_the_exit_code(composed, capsys, kind):
    code = entry.exit_code("train", body_raising(kind("it is so", hint="Do this", found=3)), [])
    assert code == (2 if issubclass(kind, REFUSED) else 1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"{kind.__name__}: it is so", "  found: 3", "  What to do: Do this"]


@pytest.mark.parametrize("code", [0, 1])
def test_when_a_job_ends_then_its_own_code_is_the_exit_code(composed, code):
    with pytest.raises(SystemExit) as ended:
        entry.run("train", lambda settings: code, [])
    assert ended.value.code == code


def test_when_a_job_is_interrupted_then_the_code_is_130(composed, capsys):
    assert entry.exit_code("train", body_raising(KeyboardInterrupt()), []) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_when_settings_are_wrong_then_the_body_never_runs_and_the_code_is_2(capsys):
    assert entry.exit_code("train", body_raising(AssertionError()), ["--model"]) == 2
    assert "SettingsError" in capsys.readouterr().err


def test_when_the_program_itself_fails_then_the_cause_is_told_without_a_traceback(composed, capsys):
    error = ZeroDivisionError("division by zero")
    error.__cause__ = KeyError("size")
    assert entry.exit_code("train", body_raising(error), []) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert "caused by KeyError: 'size'" in shown
    assert "Traceback" not in shown


def test_when_the_level_is_debug_then_the_traceback_is_there_too(composed, capsys):
    composed.log_level = "DEBUG"
    assert entry.exit_code("train", body_raising(ZeroDivisionError("x")), []) == 1
    assert "Traceback" in capsys.readouterr().err


def test_when_an_error_crossed_ray_then_ours_inside_it_decides(composed, capsys):
    class Carried(Exception):
        cause = errors.StorageError("disk full")

    assert entry.exit_code("train", body_raising(Carried("a long remote traceback")), []) == 2
    assert capsys.readouterr().err.startswith("StorageError: disk full")


def test_when_an_address_with_a_password_is_logged_or_failed_on_then_it_is_masked(composed, capsys):
    def body(settings):
        logging.getLogger("jobs.x").info("reading %s", "postgresql://me:secret@host/db")
        raise errors.StorageError("no answer", path="postgresql://me:secret@host/db")

    entry.exit_code("train", body, [])
    shown = capsys.readouterr().err
    assert shown.count("me:***@host") == 2
    assert "secret" not in shown


def test_when_a_message_is_long_then_no_line_is_wider_than_80_and_no_fault_is_cut():
    faults = [f"fault number {k}: " + "words and more words " * 8 for k in range(12)]
    lines = list(entry.message_lines(SettingsError("several " * 30, hint="try " * 40, faults=faults, ids=["a"] * 9)))
    assert max(map(len, lines)) <= 80
    assert sum("fault number" in line for line in lines) == 12
    assert lines.count("    - a") == errors.SHOWN
    assert "    .. 9 in all" in lines


def test_when_help_is_asked_then_the_job_does_not_run(monkeypatch, capsys):
    monkeypatch.setattr(compose, "help_text", lambda job: f"help of {job}")
    assert entry.exit_code("ingest", body_raising(AssertionError()), ["horizon=3", "--help"]) == 0
    assert capsys.readouterr().out == "help of ingest\n"


@pytest.mark.slow
def test_when_the_reader_of_the_output_goes_away_then_the_job_ends_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "jobs.config", f"storage.root={tmp_path}"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, cwd=CONF.parent, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "The reader of the output has gone.\n")
    assert (tmp_path / "config.json").is_file()


def test_when_a_long_address_is_wrapped_then_its_password_is_masked_before():
    secret = "S3cretPw" * 12
    lines = list(
        entry.message_lines(SettingsError("x", found=f"postgresql://bob:{secret}@h/db", first=[f"a://b:{secret}@c"]))
    )
    assert "S3cretPw" not in "".join(line.strip() for line in lines)
