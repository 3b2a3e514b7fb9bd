"""Retraining is real: asked for over HTTP, run by processes of its own, killed in the middle, found again by others."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from demand.moments import stamp
from jobs.retrain import masked_arguments
from jobs.trained import fingerprints
from models.files import write_json
from models.job import Job
from models.ledger import ENDED
from models.processes import has_ended
from models.registry import Registry
from serve_app.retrain import Retraining, retrain_router
from serve_app.settings import ServeSettings
from serve_app.state import Config
from tests.acceptance.made import strict_json
from tests.faults.driver import DRIVER
from tests.faults.processes import MARK, own_tree, start, tree, wait_for
from tests.jobs.stand_in import JOURNAL, PAUSE_S
from tests.serve_app.calls import Client, client_of, state_of

pytestmark = pytest.mark.slow
URL = "/api/retrain-ml"


class Site:
    """One storage with its sales file; `server()` is a service over it, as often as it is started."""

    def __init__(self, root: Path) -> None:
        self.root, self.storage = root, root / "storage"
        self.sales = root / "sales.csv"
        self.told = (
            "experiment=smoke", "only=null", f"source.path={self.sales}", f"storage.root={self.storage}",
            "parallel_training=false", "models.prophet.enabled=false",
            "models.lstm.enabled=false", "models.tide.enabled=false",
            "models.xgboost.enabled=false", "models.exponential_smoothing.enabled=false", "models.tsb.enabled=false",
            "batch_seconds=0.91", "log_level=WARNING", "schedule.daily=[arima]", "schedule.weekly=[]",
            "schedule.biweekly=[]",
        )  # fmt: skip
        self.mark = ""
        self.registry = Registry(self.storage / "registry")
        self.retraining = Retraining.of(self.config, self.registry)

    @property
    def config(self) -> Config:
        plain = {"models": {kind: {"enabled": False} for kind in ("prophet", "lstm", "xgboost")}}
        return Config(ServeSettings(), str(self.storage), "registry", self.told, plain)

    def sell(self, days: int) -> None:
        """The export of the first so many days."""
        rng = np.random.default_rng(5)
        dates = np.arange("2025-01-01", "2025-12-31", dtype="datetime64[D]")[:days]
        lines = ["unique_id,ds,y"]
        for i in range(12):
            demand = rng.poisson(5 + 3 * (i % 5) + 4 * (np.arange(364) % 7), 364)[:days]
            lines += [f"S{i:03d},{day},{units}" for day, units in zip(dates, demand.tolist(), strict=True)]
        self.sales.write_text("\n".join(lines) + "\n")

    def server(self) -> Client:
        command = (sys.executable, *DRIVER, "retrain", *self.told)
        desk = replace(Retraining.of(self.config, self.registry), command=command)
        self.storage.mkdir(exist_ok=True)
        state = state_of(self.storage)
        return client_of(state, [retrain_router(state, desk)])

    def job(self, job_id: str) -> Job:
        return self.retraining.ledger.job(job_id)

    def ended(self, job_id: str) -> Job:
        wait_for(lambda: self.job(job_id).finished, 120, "the job's end")
        return self.job(job_id)

    def log(self, job_id: str) -> str:
        return self.retraining.ledger.log_path(job_id).read_text()

    def production(self) -> dict[str, bytes]:
        """Every file of the registry but locks and staging."""
        root = self.storage / "registry"
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*"))
                if p.is_file() and p.name != ".lock" and "staging" not in p.parts}  # fmt: skip


@contextmanager
def site_at(root: Path) -> Iterator[Site]:
    """A site whose processes carry the mark of their tree; whatever they leave behind is ended."""
    found = Site(root)
    found.sell(100)
    with own_tree("retrain") as mark, pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        patch.setenv("OMP_NUM_THREADS", "1")
        found.mark = mark
        yield found


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    """The storage of a site whose first job ended well; copied, never written to."""
    with site_at(tmp_path_factory.mktemp("once")) as found:
        first = found.ended(posted(found.server())["job_id"])
        assert (first.status, first.release) == ("success", 1), found.log(first.job_id)
        return found.storage


@pytest.fixture
def released(once, site):
    """A site with a release, as its first job left it."""
    shutil.copytree(once, site.storage)
    assert site.registry.alias("champion") == 1
    return site


def posted(client: Client, **body: object) -> dict:
    answer = client.post(URL, json=body) if body else client.post(URL)
    assert answer.status_code == 202, answer.text
    said: dict = answer.json()
    return said


def test_when_training_is_asked_for_over_http_then_artefacts_history_and_data_change_and_nothing_is_said_too_much(site):
    client = site.server()
    first = site.ended(posted(client)["job_id"])
    assert first.status == "success", site.log(first.job_id)
    assert (first.release, site.registry.alias("champion")) == (1, 1)
    assert set(first.models_retrained) == {"arima", "ensemble"}
    before, history = site.registry.open("champion"), len(site.registry.history())

    site.sell(107)
    said = posted(client, model="arima")
    assert said["models"] == ["arima"]
    second = site.ended(said["job_id"])
    assert second.status == "success", (second.message, site.log(second.job_id))
    after = site.registry.open("champion")
    assert (second.release, after.number) == (2, 2)
    assert fingerprints(site.registry)["arima"] != fingerprints(site.registry, 1)["arima"]
    assert after.manifest["data_hash"] != before.manifest["data_hash"]
    assert len(site.registry.history()) > history
    entry = strict_json(site.registry.view_path)["arima"]
    assert entry["trained_at"] >= second.started_at
    assert after.manifest["run_id"] == second.run_id

    answer = client.get(said["status_url"]).json()
    run = strict_json(site.storage / "runs" / second.run_id / "summary.json")
    measured = run["results"]["arima"]["metrics"]
    assert answer["metrics"]["action_accuracy"] == measured["accuracy"]
    assert answer["metrics"]["training_samples"] == measured["train_size"]
    assert (answer["status"], answer["release"], answer["models_retrained"]) == ("success", 2, ["arima", "ensemble"])

    third = site.ended(posted(client, model="arima")["job_id"])  # the same data once more
    assert third.status == "partial"
    assert "came out as they were" in third.message
    idle = site.ended(posted(client, model="arima", force=False)["job_id"])
    assert idle.status in ("partial", "success")


def test_when_the_data_is_missing_then_the_job_is_failed_with_the_cause_and_no_password_is_kept(site):
    client = site.server()
    site.sales.unlink()
    job = site.ended(posted(client)["job_id"])
    assert job.status == "failed"
    assert "sales.csv" in job.message
    assert "what serves is unchanged" in job.message
    assert job.release is None
    assert not (site.storage / "registry" / "releases").exists()
    secret = "source.path=postgresql://me:hunter2secret@localhost:1/db?query"
    told = site.told = (*(text for text in site.told if not text.startswith("source.path=")), secret)
    job = site.ended(posted(site.server())["job_id"])
    assert job.status == "failed"
    assert job.ask.told == masked_arguments(told)
    for path in (site.storage / "jobs").rglob("*"):
        assert not path.is_file() or b"hunter2secret" not in path.read_bytes(), path


def running(site, run_id: str) -> list[int]:
    """The processes that train this run."""
    return [pid for pid, command in tree(site.mark).items() if f"run_id={run_id}" in command]


def in_the_middle(site, monkeypatch) -> tuple[Client, Job]:
    """A client of a released site whose second job is fitting, and that job."""
    client = site.server()
    site.sell(107)
    journal = site.root / "journal"
    journal.mkdir()
    monkeypatch.setenv(PAUSE_S, "0.2")
    monkeypatch.setenv(JOURNAL, str(journal))
    job_id = posted(client)["job_id"]
    wait_for(lambda: len(list(journal.iterdir())) > 1 or site.job(job_id).finished, 120, "fits")
    job = site.job(job_id)
    assert job.status == "running", site.log(job_id)
    return client, job


@pytest.mark.parametrize("victim", ["the training", "the job's process"])
def test_when_a_job_is_killed_in_the_middle_then_it_is_failed_and_production_is_unchanged(
    victim, released, monkeypatch
):
    site = released
    client, job = in_the_middle(site, monkeypatch)
    before = site.production()
    progress = client.get(f"{URL}/{job.job_id}").json()["progress"]
    assert 0 <= progress["batches_done"] < progress["batches_planned"]
    (training,) = running(site, job.run_id)
    assert job.process is not None
    os.kill(training if victim == "the training" else job.process.pid, signal.SIGKILL)
    dead = site.ended(job.job_id)
    assert dead.status == "failed"
    if victim == "the training":
        assert "ended by SIGKILL" in dead.message
    else:
        assert dead.message == ENDED
    wait_for(lambda: not running(site, job.run_id), 10, "the end of the training")  # nobody goes on behind the scenes
    assert has_ended(job.process) or victim == "the training"
    assert site.production() == before
    answer = client.get(f"{URL}/{job.job_id}").json()
    assert (answer["status"], answer["release"], answer["models_retrained"]) == ("failed", None, [])
    monkeypatch.setenv(PAUSE_S, "0")
    assert site.ended(posted(client)["job_id"]).status == "success"


def test_when_the_server_starts_anew_then_the_job_goes_on_and_is_still_the_only_one(released, monkeypatch):
    site = released
    client, job = in_the_middle(site, monkeypatch)
    answer = client.post(f"{URL}?wait=0.1")
    assert answer.json()["job_id"] == job.job_id
    again = site.server()  # the first one is gone
    assert again.get(f"{URL}/{job.job_id}").json()["status"] == "running"
    assert posted(again)["job_id"] == job.job_id
    done = again.post(f"{URL}?wait=100").json()
    assert (done["job_id"], done["status"], done["release"]) == (job.job_id, "success", 2)


def test_when_a_job_takes_too_long_then_it_is_ended_and_says_so(site, monkeypatch):
    site.told = (*site.told, "schedule.timeout_s=4")
    monkeypatch.setenv(PAUSE_S, "2")
    job = site.ended(posted(site.server())["job_id"])
    assert job.status == "failed"
    assert "longer than schedule.timeout_s = 4 s" in job.message
    assert not running(site, str(job.run_id))


def test_when_two_schedulers_run_at_once_then_each_job_starts_once_and_they_stop_when_told(site):
    arguments, log = due_since_yesterday(site), site.root / "schedulers"
    services = [start(arguments, site.mark, log) for _ in range(2)]
    ticks = site.storage / "jobs" / "ticks"

    def states() -> list[str]:
        return sorted(strict_json(path)["status"] for path in ticks.glob("daily-*.json"))

    wait_for(lambda: "done" in states(), 150, "the job of the schedule")
    for service in services:
        service.send_signal(signal.SIGTERM)
    assert [service.wait(timeout=30) for service in services] == [0, 0], log.read_text()
    (job,) = site.retraining.ledger.newest(10)
    assert (job.status, job.ask.trigger, site.registry.numbers()) == ("success", "schedule", [1]), log.read_text()
    assert states() in (["done"], ["done", "skipped"])
    said = log.read_text()
    assert said.count(f"Started   job {job.job_id}") == 1
    assert all(len(line) <= 80 for line in said.splitlines() if line.startswith("  "))
    # What cron calls finds nothing to do.
    cron = start([*arguments, "once=true"], site.mark, site.root / "cron")
    assert cron.wait(timeout=60) == 0
    assert "Skipped   nothing is due" in (site.root / "cron").read_text()
    assert len(site.retraining.ledger.ids()) == 1


def due_since_yesterday(site) -> list[str]:
    """Arguments of a scheduler whose daily trigger has fired once or twice since anybody looked."""
    ticks = site.storage / "jobs" / "ticks"
    ticks.mkdir(parents=True)
    write_json(ticks / "began.json", {"at": stamp(datetime.now(UTC) - timedelta(hours=24, minutes=30))})
    return [*DRIVER, "schedule", *site.told]


def test_when_cron_calls_twice_at_once_then_one_job_runs_to_its_end_and_both_end_well(site):
    arguments = [*due_since_yesterday(site), "once=true"]
    both = [start(arguments, site.mark, site.root / f"cron{n}") for n in range(2)]
    assert [process.wait(timeout=150) for process in both] == [0, 0]
    (job,) = site.retraining.ledger.newest(10)
    assert (job.status, site.registry.numbers()) == ("success", [1])


def test_when_what_cron_started_fails_then_it_is_tried_again_as_told_and_the_code_is_1(site):
    site.sales.unlink()
    arguments = [*due_since_yesterday(site), "once=true", "schedule.retries=1", "schedule.retry_wait_s=0"]
    failing = start(arguments, site.mark, site.root / "failing")
    assert failing.wait(timeout=150) == 1, (site.root / "failing").read_text()
    jobs = site.retraining.ledger.newest(10)
    assert [(job.status, job.ask.trigger) for job in jobs] == [("failed", "retry"), ("failed", "schedule")]
    assert "sales.csv" in (site.root / "failing").read_text()
