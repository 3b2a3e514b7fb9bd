"""One record a job, one job at a time, whoever asks and whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demand.errors import RegistryError, StorageError, VersionNotFound, VersionUnreadable
from models import ledger as ledgers
from models.detached import start_detached, start_job
from models.files import create_json
from models.job import Ask, Process
from models.ledger import ENDED, START_S, JobBusy, KeyReused, Ledger
from models.processes import has_ended, this_process
from tests.faults.processes import ROOT, wait_for

ARIMA = Ask(("arima",), only=("arima",), force=True)
ALL = Ask(("arima", "xgboost"), force=True)
HOLD = """
import sys, time
from pathlib import Path
from models.ledger import Ledger
with Ledger(Path(sys.argv[1])).running(sys.argv[2]) as lease:
    print("runs", flush=True)
    time.sleep(60)
"""
ASK = """
import sys
from pathlib import Path
from models.job import Ask
from models.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
for _ in range(25):
    print(ledger.request(Ask(("arima",)))[0].job_id)
"""


class Clock:
    def __init__(self):
        self.now = datetime(2025, 9, 1, 2, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    return Ledger(tmp_path / "jobs", clock=clock)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def events(ledger: Ledger, job_id: str) -> list[str]:
    lines = (ledger.root / f"{job_id}.events.jsonl").read_text().splitlines()
    return [json.loads(line)["status"] for line in lines]


def test_when_a_job_is_asked_for_then_it_is_queued_and_another_process_reads_the_same(ledger):
    job, new = ledger.request(ARIMA)
    assert (new, job.status, job.ask) == (True, "queued", ARIMA)
    assert Ledger(ledger.root, clock=ledger.clock).job(job.job_id) == job
    assert ledger.newest(10) == [job]
    assert ledger.unfinished() == job


def test_when_a_job_is_unfinished_then_whoever_asks_gets_it_and_afterwards_a_new_one(ledger):
    first, _ = ledger.request(ARIMA)
    assert ledger.request(ALL) == (first, False)
    with ledger.running(first.job_id) as lease:
        assert ledger.request(ALL)[0].job_id == first.job_id
        assert ledger.request(ALL)[0].status == "running"
        done = ledger.finish(lease, "success", "release 2 serves", release=2, models_retrained=("arima",))
    assert (done.status, done.release, done.run_id) == ("success", 2, f"job-{first.job_id}")
    second, new = ledger.request(ALL)
    assert new
    assert second.number == first.number + 1
    assert [job.job_id for job in ledger.newest(10)] == [second.job_id, first.job_id]
    assert ledger.newest(1, offset=1) == [done]
    assert events(ledger, first.job_id) == ["queued", "running", "success"]


def test_when_the_same_key_comes_again_then_it_is_the_same_job_and_another_request_is_refused(ledger):
    job, _ = ledger.request(ARIMA, key="k")
    with ledger.running(job.job_id) as lease:
        ledger.finish(lease, "failed", "no data")
    again, new = ledger.request(ARIMA, key="k")
    assert (again.job_id, new, again.status) == (job.job_id, False, "failed")
    with pytest.raises(KeyReused):
        ledger.request(ALL, key="k")
    assert ledger.request(ARIMA, key="other")[1]


def test_when_200_requests_come_at_once_then_there_is_one_job(ledger):
    with ThreadPoolExecutor(50) as pool:
        jobs = {job.job_id for job, _ in pool.map(lambda _: ledger.request(ARIMA), range(200))}
    assert len(jobs) == 1
    assert ledger.ids() == list(jobs)


def test_when_processes_ask_at_once_then_there_is_one_job(ledger):
    asking = [python(ASK, ledger.root) for _ in range(4)]
    said = {line for process in asking for line in process.communicate(timeout=60)[0].split()}
    assert all(process.returncode == 0 for process in asking)
    assert said == set(ledger.ids())
    assert len(said) == 1


def test_when_the_process_of_a_running_job_is_killed_then_the_job_is_failed_and_that_is_noted_once(ledger):
    job, _ = ledger.request(ARIMA)
    holder = python(HOLD, ledger.root, job.job_id)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "runs\n"
    assert ledger.job(job.job_id).status == "running"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    for _ in range(3):
        dead = ledger.job(job.job_id)
        assert (dead.status, dead.message, dead.errors) == ("failed", ENDED, (ENDED,))
    assert events(ledger, job.job_id) == ["queued", "running", "failed"]
    assert ledger.request(ALL)[1]  # the next one may run


def test_when_a_job_runs_then_no_second_process_runs_it_and_it_cannot_be_finished_twice(ledger, monkeypatch):
    monkeypatch.setattr(ledgers, "LEASE_S", 0.2)
    job, _ = ledger.request(ARIMA)
    with ledger.running(job.job_id) as lease:
        with pytest.raises(JobBusy), ledger.running(job.job_id):
            pass
        ledger.finish(lease, "partial", "held back")
        with pytest.raises(RegistryError, match="another process"):
            ledger.finish(lease, "success", "no")
    with pytest.raises(RegistryError, match="not queued"), ledger.running(job.job_id):
        pass
    assert ledger.job(job.job_id).status == "partial"


def test_when_jobs_follow_each_other_then_their_fences_rise(ledger):
    fences = []
    for _ in range(3):
        job, _ = ledger.request(ARIMA)
        with ledger.running(job.job_id) as lease:
            fences.append(lease.job.fence)
            ledger.finish(lease, "success", "")
    assert fences == [1, 2, 3]


def test_when_no_process_takes_a_job_up_then_it_is_failed_after_a_while(ledger, clock):
    job, _ = ledger.request(ARIMA)
    clock.now += timedelta(seconds=START_S)
    assert ledger.job(job.job_id).status == "queued"
    clock.now += timedelta(seconds=1)
    assert ledger.job(job.job_id).status == "failed"


def test_when_the_process_of_a_queued_job_ends_before_it_begins_then_that_is_known_at_once(ledger):
    job, _ = ledger.request(ARIMA)
    start_job(ledger, job, [sys.executable, "-c", "raise SystemExit('no such setting')"])
    wait_for(lambda: ledger.job(job.job_id).finished, 20, "the failure")
    assert "ended before it began" in ledger.job(job.job_id).message
    assert "no such setting" in ledger.log_path(job.job_id).read_text()


def test_when_the_command_cannot_be_started_then_the_job_is_failed_and_the_caller_is_told(ledger):
    job, _ = ledger.request(ARIMA)
    with pytest.raises(StorageError, match="cannot be started"):
        start_job(ledger, job, ["/nowhere/python"])
    assert ledger.job(job.job_id).status == "failed"


def test_when_a_process_is_detached_then_it_is_nobodys_child_and_lives_on(tmp_path):
    process = start_detached([sys.executable, "-c", "import time; time.sleep(30)"], tmp_path / "log")
    try:
        parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent != os.getpid()
        assert os.getsid(process.pid) == process.pid
        assert has_ended(process) is False
        assert (tmp_path / "log").stat().st_mode & 0o077 == 0  # others do not read what a job printed
    finally:
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: has_ended(process), 10, "its end")


def test_when_a_pid_is_given_anew_then_it_is_not_taken_for_the_old_process():
    here = this_process()
    assert has_ended(here) is False
    assert has_ended(Process(here.pid, here.started - 1, here.boot)) is True
    assert has_ended(Process(here.pid, here.started, "another machine")) is None


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "1", "000001-zzzzzzzz", "000001-00000000/..", "", "000001-0000000\n"]
)
def test_when_an_id_is_odd_or_unknown_then_there_is_no_such_job(ledger, name):
    with pytest.raises(VersionNotFound):
        ledger.job(name)


def test_when_a_record_is_damaged_then_it_is_a_clear_error_and_the_others_stay(ledger, caplog):
    kept, _ = ledger.request(ARIMA)
    ledger.never_started(kept.job_id, "no")
    job, _ = ledger.request(ARIMA)
    path = ledger.root / f"{job.job_id}.json"
    for text in ("", "{", "[]", "{}", json.dumps({**json.loads(path.read_text()), "status": "done"})):
        path.write_text(text)
        with pytest.raises(VersionUnreadable):
            ledger.job(job.job_id)
        assert [one.job_id for one in ledger.newest(5)] == [kept.job_id]
    following, new = ledger.request(ARIMA)
    assert new
    assert following.number == job.number + 1


def test_when_there_are_many_jobs_then_the_oldest_go(ledger, monkeypatch):
    monkeypatch.setattr(ledgers, "KEPT", 3)
    for _ in range(5):
        job, _ = ledger.request(ARIMA)
        ledger.never_started(job.job_id, "no")
    assert [int(name[:6]) for name in ledger.ids()] == [5, 4, 3]
    assert not list(ledger.root.glob("000001-*"))


def test_when_a_file_of_the_name_exists_then_it_stays_as_it_is(tmp_path):
    assert create_json(tmp_path / "a.json", {"a": 1})
    assert not create_json(tmp_path / "a.json", {"a": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]
