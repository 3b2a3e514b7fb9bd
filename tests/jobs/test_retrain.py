"""What the process of a job refuses, what it tells the training, and how it judges what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import compose
from jobs.entry import FAILED, REFUSED, exit_code
from jobs.fleet import registry_of
from jobs.publish import publish
from jobs.retrain import body, ledger_of, shared_arguments, training_arguments
from jobs.supervised import Ended
from jobs.trained import NOTHING_DUE, fingerprints, metrics, outcome
from models.files import write_json
from models.job import Ask, Job

ALL = Ask(("arima", "xgboost"), force=True)


def job_of(ask=ALL) -> Job:
    at = "2025-09-01T00:00:00Z"
    return Job("000001-00000000", ask, "running", "", at, at, fence=1, run_id="r")


def ran(ask, told, tmp_path):
    """The exit code of a job's process, and the job afterwards."""
    argv = [f"storage.root={tmp_path}", *told]
    ledger = ledger_of(compose.load("retrain", argv))
    job, _ = ledger.request(replace(ask, told=tuple(argv)))
    return exit_code("retrain", lambda settings: body(settings, [*argv, f"job={job.job_id}"]),
                     [*argv, f"job={job.job_id}"]), ledger.job(job.job_id)  # fmt: skip


def test_when_the_training_is_told_then_it_gets_the_settings_of_the_job_and_what_is_asked():
    told = ("--config-dir", "own", "source.path=a b", "only=[xgboost]", "force=false", "run_id=x", "job=1", "once=true")
    shared = shared_arguments(told)
    assert shared == ("--config-dir", "own", "source.path=a b", "only=[xgboost]")
    everything = training_arguments(shared, ALL, "r")
    assert everything == [*shared, "run_id=r", "progress=false", "force=true"]
    one = training_arguments(shared, Ask(("arima",), only=("arima",), force=True), "r")
    assert one == [*shared[:3], "run_id=r", "progress=false", "force=true", "only=[arima]"]
    due = training_arguments((), Ask(("arima", "ensemble"), due=("arima", "ensemble")), "r")
    assert due == ["run_id=r", "progress=false", "force=false", "due=[arima,ensemble]"]
    assert compose.load("train", due).due == ("arima", "ensemble")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], "which job?"),
        (["job=000001-00000000"], "no such job"),
        (["job=../../x"], "no such job"),
        (["job=1"], "job"),
    ],
)
def test_when_no_job_of_the_id_is_queued_then_the_code_is_2_and_nothing_trains(told, says, tmp_path, capsys):
    argv = [f"storage.root={tmp_path}", *told]
    assert exit_code("retrain", lambda settings: body(settings, argv), argv) == REFUSED
    assert says in capsys.readouterr().err


def test_when_the_settings_are_others_than_asked_with_then_nothing_trains_and_the_job_waits(tmp_path, capsys):
    argv = [f"storage.root={tmp_path}"]
    ledger = ledger_of(compose.load("retrain", argv))
    job, _ = ledger.request(replace(ALL, told=(*argv, "source.path=a.csv")))
    other = [*argv, "source.path=b.csv", f"job={job.job_id}"]
    assert exit_code("retrain", lambda settings: body(settings, other), other) == REFUSED
    assert "runs with the settings it was asked with" in " ".join(capsys.readouterr().err.split())
    assert ledger.job(job.job_id).status == "queued"


def test_when_a_job_has_run_then_it_does_not_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jobs.retrain.supervised", lambda *arguments: Ended(0, False, ()))
    code, job = ran(ALL, [], tmp_path)
    assert (code, job.status, job.message) == (FAILED, "partial", NOTHING_DUE)
    argv = [*job.ask.told, f"job={job.job_id}"]
    assert exit_code("retrain", lambda settings: body(settings, argv), argv) == FAILED
    assert "not queued" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (Ended(-9, False, ()), "ended by SIGKILL"),
        (Ended(130, True, ()), "schedule.timeout_s"),
        (Ended(2, False, ("12:00:00 INFO x", "StorageError: no such file", "  path: 'a'", "  What to do: look")),
         "StorageError: no such file path: 'a' What to do: look"),
        (Ended(3, False, ("gone",)), "ended with code 3"),
    ],
)  # fmt: skip
def test_when_the_training_breaks_off_then_the_job_is_failed_with_the_cause(ended, says, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.retrain.supervised", lambda *arguments: ended)
    code, job = ran(ALL, [], tmp_path)
    assert (code, job.status) == (FAILED, "failed")
    assert says in job.message
    assert job.message.endswith("what serves is unchanged")


def test_when_the_job_itself_breaks_then_the_record_says_so_without_passwords(tmp_path, monkeypatch, capsys):
    def broken(*arguments):
        raise ZeroDivisionError("at postgresql://me:secret@host/db")

    monkeypatch.setattr("jobs.retrain.supervised", broken)
    code, job = ran(ALL, [], tmp_path)
    assert (code, job.status) == (FAILED, "failed")
    assert job.message == "ZeroDivisionError: at postgresql://me:***@host/db"


# ---- the verdict --------------------------------------------------------------------------------------------------


@pytest.fixture
def released(judged):
    """(fleet, summary) of a run whose release serves; the summary is written."""
    fleet, race, verdict, styles = judged
    from jobs.outputs import summary

    number = publish(fleet, race, verdict, styles)[0]
    said = summary(fleet, race, verdict, styles, {}, number)
    write_json(fleet.run.file("summary.json"), said)
    return fleet, said


def judgement(fleet, ask=ALL, before=None, code=0):
    return outcome(job_of(ask), fleet.settings, Ended(code, False, ()), before or {})


def test_when_a_new_release_serves_then_it_is_a_success_with_measured_figures(released):
    fleet, said = released
    found = judgement(fleet)
    assert (found.status, found.release, found.errors) == ("success", 1, ())
    assert set(found.models_retrained) == {"arima", "ensemble"}
    served = said["results"][said["served"]]["metrics"]
    assert (found.metrics["action_accuracy"], found.metrics["evaluation_id"]) == (
        served["accuracy"], served["evaluation_id"])  # fmt: skip
    assert metrics(said, ["arima"])["action_accuracy"] == said["results"]["arima"]["metrics"]["accuracy"]


def test_when_nothing_changed_or_the_release_does_not_serve_then_it_is_partial_and_says_why(released):
    fleet, _ = released
    same = judgement(fleet, before=fingerprints(registry_of(fleet.settings)))
    assert (same.status, same.models_retrained) == ("partial", ())
    assert "came out as they were" in same.message
    registry = registry_of(fleet.settings)
    other = registry.publish(lambda folder: {"run_id": "other", "models": {}})
    registry.promote(other, expected=1, facts={"forced": True, "reason": "by hand"})
    gone = judgement(fleet)
    assert gone.status == "partial"
    assert gone.message.startswith("release 2 serves; release 1 was promoted and serves no longer: by hand")


def test_when_a_model_failed_then_it_is_partial_and_when_all_that_was_asked_for_did_failed(released):
    fleet, said = released
    said["failed"] = {"arima": "a bug"}
    said["results"]["arima"] |= {"status": "failed", "error": "a bug", "metrics": None}
    write_json(fleet.run.file("summary.json"), said)
    found = judgement(fleet, code=1)
    assert (found.status, found.errors) == ("partial", ("arima: a bug",))
    only = judgement(fleet, Ask(("arima",), only=("arima",), force=True), code=1)
    assert (only.status, only.metrics) == ("failed", None)
    unknown = judgement(fleet, Ask(("lstm",), only=("lstm",), force=True))
    assert "lstm: it was not trained" in unknown.errors


def test_when_the_process_died_after_the_promotion_then_it_is_partial_not_unchanged(released, tmp_path):
    fleet, _ = released
    fleet.run.file("summary.json").unlink()
    registry = registry_of(fleet.settings)
    run_id = registry.open(1).manifest["run_id"]
    job = replace(job_of(), run_id=run_id)
    found = outcome(job, fleet.settings, Ended(-9, False, ()), {})
    assert (found.status, found.release) == ("partial", 1)
    assert "release 1 serves, but the training was ended by SIGKILL" in found.message
    ledger = ledger_of(fleet.settings)
    queued, _ = ledger.request(ALL)
    with ledger.running(queued.job_id):
        ledger._write(replace(ledger.job(queued.job_id), run_id=run_id))
    dead = ledger.job(queued.job_id)  # nobody said how it ended
    assert (dead.status, dead.release) == ("partial", 1)
