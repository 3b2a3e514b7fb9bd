"""Training over HTTP: a job on record for every request, one at a time, and honest answers about it."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from models.files import write_json
from models.job import Ask
from models.registry import Registry
from serve_app.app import make_app
from serve_app.retrain import Retraining, retrain_router
from serve_app.schemas.jobs import Accepted, JobList, JobState, Schedule
from serve_app.settings import ServeSettings
from serve_app.state import Config
from serve_app.tokens import LOCAL
from tests.serve_app.calls import Client, client_of, state_of

URL = "/api/retrain-ml"
MODELS = ("arima", "prophet", "lstm", "xgboost", "tide", "ensemble")


class Desk:
    """The routes over a ledger of their own; jobs are noted as started, and end when a test says so."""

    def __init__(self, root, **changes):
        self.started: list[str] = []
        self.state = state_of(root)
        config = Config(ServeSettings(), str(root), "registry", ("source.path=sales.csv",))
        retraining = Retraining.of(config, self.state.registry)
        self.retraining = replace(retraining, **changes)
        self.router = retrain_router(self.state, self.retraining, lambda _, job: self.started.append(job.job_id))
        self.client: Client = client_of(self.state, [self.router])

    @property
    def ledger(self):
        return self.retraining.ledger

    def end(self, job_id, status="success", **facts):
        with self.ledger.running(job_id) as lease:
            self.ledger.finish(lease, status, f"ended with {status}", **facts)


def test_when_the_companys_tables_are_given_then_the_yarn_classifier_can_be_asked_for(tmp_path):
    def models_of(**plain):
        config = Config(ServeSettings(), str(tmp_path), "registry", plain=plain)
        return Retraining.of(config, state_of(tmp_path).registry)

    given = models_of(company={"folder": "exports"})
    assert "yarn_substitution" in given.models
    assert "yarn_substitution" in given.everything
    assert "company.folder" in models_of().refused["yarn_substitution"]
    assert "yarn_substitution" not in models_of(company={"labels": "l.csv"}, only=["ensemble"]).everything
    off = models_of(company={"folder": "exports"}, models={"yarn_substitution": {"enabled": False}})
    assert "disabled" in off.refused["yarn_substitution"]


def test_when_tables_or_a_table_of_items_are_given_then_the_surrogate_can_be_asked_for(tmp_path):
    def models_of(**plain):
        config = Config(ServeSettings(), str(tmp_path), "registry", plain=plain)
        return Retraining.of(config, state_of(tmp_path).registry)

    for plain in ({"company": {"folder": "exports"}}, {"inventory": {"table": "items.csv"}}):
        assert "inventory_optimization" in models_of(**plain).models
        assert "inventory_optimization" in models_of(**plain).everything
    assert "yarn_substitution" not in models_of(inventory={"table": "items.csv"}).models
    assert "inventory.table=" in models_of(inventory={"table": None}).refused["inventory_optimization"]
    assert "inventory.table" not in models_of().refused["yarn_substitution"]
    assert "inventory_optimization" not in models_of(company={"stock": "s.csv"}, only=["ensemble"]).everything


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def ask(desk, body=None, query="", **headers):
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if content is None else {"Content-Type": "application/json"}
    return desk.client.post(f"{URL}{query}", content=content, headers=kind | headers)


@pytest.mark.parametrize("body", [None, b"", {}, {"model": "all"}, {"model": "all", "force": True}])
def test_when_training_is_asked_for_then_202_says_which_job_does_it_and_where_to_look(desk, body):
    answer = ask(desk, body)
    assert answer.status_code == 202
    said = Accepted.model_validate_json(answer.text, extra="forbid")
    assert tuple(said.models) == MODELS
    assert desk.started == [said.job_id] == desk.ledger.ids()
    assert answer.headers["location"] == said.status_url == f"{URL}/{said.job_id}"
    state = JobState.model_validate_json(desk.client.get(said.status_url).text, extra="forbid")
    assert (state.status, state.progress, state.metrics.action_accuracy) == ("queued", None, None)
    kept = desk.ledger.job(said.job_id).ask
    assert kept == Ask(MODELS, force=True, cause={"by": LOCAL.name}, told=("source.path=sales.csv",))


def test_when_one_model_is_asked_for_then_the_job_trains_that_one(desk):
    said = ask(desk, {"model": "xgboost", "force": False}).json()
    kept = desk.ledger.job(said["job_id"]).ask
    assert (kept.models, kept.only, kept.force) == (("xgboost",), ("xgboost",), False)


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        ({"model": "xgbost"}, 400, "model"),
        ({"model": "mean"}, 400, "model"),
        ({"model": ""}, 400, "model"),
        ({"model": "a" * 5000}, 400, "model"),
        ({"model": "../../x"}, 400, "model"),
        ({"model": "arima]'"}, 400, "model"),
        ({"model": None}, 400, "model"),
        ({"model": ["arima"]}, 400, "model"),
        ({"model": "all", "force": "true"}, 400, "force"),
        ({"model": "all", "force": 1}, 400, "force"),
        ({"model": "all", "storage.root": "/tmp"}, 400, "storage.root"),
        ({"model": "yarn_substitution"}, 409, "model"),
        ({"model": "inventory_optimization"}, 409, "model"),
        ([], 400, "body"),
        (b"null", 400, "body"),
        (b"{", 400, "body"),
        (b'{"model": NaN}', 400, "body"),
        (b'{"model": "all", "model": "arima"}', 400, "body"),
        (b"\xff", 400, "body"),
        (b"[" * 5000, 400, "body"),
        (b" ", 400, "body"),
        (b" " * 20_000, 413, "body"),
    ],
)
def test_when_the_body_is_wrong_then_it_is_refused_by_name_and_nothing_starts(desk, body, status, parameter):
    answer = ask(desk, body)
    said = answer.json()
    assert (answer.status_code, said["status"], said["parameter"]) == (status, "error", parameter)
    assert desk.started == desk.ledger.ids() == []
    if parameter == "model" and "unknown" in said["error"]:
        assert said["allowed"] == ["all", *MODELS]


def test_when_a_model_is_disabled_then_it_is_said_and_all_leaves_it_out(tmp_path):
    plain = {"models": {"lstm": {"enabled": False}}, "enable_ml": True, "storage": {"training_registry": "trained"}}
    registry = Registry(tmp_path / "registry")
    desk = Retraining.of(Config(ServeSettings(), str(tmp_path), "registry", plain=plain), registry)
    assert "lstm" not in desk.models
    assert desk.refused["lstm"] == "it is disabled: models.lstm.enabled=false"
    assert desk.runs == tmp_path / "trained"
    assert "arima" in desk.everything
    few = Config(ServeSettings(), str(tmp_path), "registry", plain={"only": ["arima"]})
    assert Retraining.of(few, registry).everything == ("arima",)
    off = Config(ServeSettings(), str(tmp_path), "registry", plain={"enable_ml": False})
    without = Retraining.of(off, registry)
    assert without.models == ()
    answer = Desk(tmp_path, models=(), refused=without.refused).client.post(URL)
    assert (answer.status_code, answer.json()["parameter"]) == (409, "model")


def test_when_a_job_is_unfinished_then_the_same_job_is_the_answer_and_afterwards_a_new_one(desk):
    first = ask(desk).json()
    second = ask(desk, {"model": "arima"})
    assert (second.status_code, second.json()["job_id"]) == (202, first["job_id"])
    assert "no other was started" in second.json()["message"]
    assert second.json()["models"] == list(MODELS)  # of the job that runs
    desk.end(first["job_id"])
    assert ask(desk).json()["job_id"] != first["job_id"]
    assert len(desk.started) == 2


def test_when_a_key_comes_again_then_it_is_the_same_job_even_when_it_ended_and_409_for_another_body(desk):
    key = {"Idempotency-Key": "order-17"}
    first = ask(desk, {"model": "arima"}, **key).json()["job_id"]
    desk.end(first)
    again = ask(desk, {"model": "arima"}, **key)
    assert (again.status_code, again.json()["job_id"]) == (202, first)
    assert "asked for before" in again.json()["message"]
    other = ask(desk, {"model": "xgboost"}, **key)
    assert (other.status_code, other.json()["parameter"]) == (409, "Idempotency-Key")
    assert desk.started == [first]
    assert ask(desk, **{"Idempotency-Key": "k" * 201}).status_code == 400


def test_when_200_requests_come_at_once_then_there_is_one_job(desk):
    app = make_app(desk.state, [desk.router])

    async def flood():
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await asyncio.gather(*[client.post(URL) for _ in range(200)])

    answers = asyncio.run(flood())
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 408, 429, 503}  # beyond the limits, of time too: told so
    assert len(accepted) >= 20
    assert len({said["job_id"] for said in accepted}) == len(desk.started) == len(desk.ledger.ids()) == 1


def test_when_the_caller_waits_then_the_end_is_the_answer_and_other_requests_are_served_meanwhile(desk):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, desk, None, "?wait=20")
        while not desk.started:
            time.sleep(0.02)
        listed = desk.client.get("/api/jobs")
        assert listed.json()["jobs"][0]["status"] == "queued"
        measured = {"action_accuracy": 0.61, "training_samples": 90, "top_features": [["lag_1", 0.4]]}
        desk.end(desk.started[0], release=4, models_retrained=("arima",), metrics=measured)
        answer = waiting.result(timeout=20)
    assert answer.status_code == 200
    state = JobState.model_validate_json(answer.text, extra="forbid")
    assert (state.status, state.release, state.models_retrained) == ("success", 4, ["arima"])
    assert (state.metrics.action_accuracy, state.units) == (0.61, {"metrics.action_accuracy": "fraction"})


@pytest.mark.parametrize(
    ("wait", "status"), [("0", 202), ("0.3", 202), ("-1", 400), ("101", 400), ("1e9", 400), ("nan", 400), ("x", 400)]
)
def test_when_the_time_to_wait_is_up_or_impossible_then_it_is_said(desk, wait, status):
    assert ask(desk, None, f"?wait={wait}").status_code == status


@pytest.mark.parametrize("query", ["modle=arima", "model=arima", "wait=0&wait=0", "Wait=0"])
def test_when_a_query_says_what_is_not_known_then_400_names_what_is_and_nothing_starts(desk, query):
    answer = ask(desk, None, f"?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_parameter")
    assert answer.json()["parameter"] == query.partition("=")[0]
    assert desk.client.get("/api/jobs").json()["total"] == 0


@pytest.mark.parametrize(
    "name", ["000009-00000000", "1", "..%2f..%2fetc%2fpasswd", "%00", "a" * 500, "000001-0000000%0a"]
)
def test_when_a_job_is_unknown_then_404(desk, name):
    answer = desk.client.get(f"{URL}/{name}")
    assert (answer.status_code, answer.json()["status"]) == (404, "error")


def test_when_a_record_is_damaged_then_503_says_so_and_the_list_goes_on(desk):
    first = ask(desk).json()["job_id"]
    desk.end(first)
    second = ask(desk).json()["job_id"]
    (desk.ledger.root / f"{second}.json").write_text("{")
    assert desk.client.get(f"{URL}/{second}").status_code == 503
    assert [job["job_id"] for job in desk.client.get("/api/jobs").json()["jobs"]] == [first]


def test_when_jobs_are_listed_then_the_newest_comes_first_in_pages(desk):
    ids = []
    for _ in range(5):
        ids.append(ask(desk).json()["job_id"])
        desk.end(ids[-1], "failed", errors=("no data",))
    page = JobList.model_validate_json(desk.client.get("/api/jobs?limit=2&offset=1").text, extra="forbid")
    assert (page.total, [job.job_id for job in page.jobs]) == (5, [ids[3], ids[2]])
    assert page.jobs[0].errors == ["no data"]
    for query in ("limit=0", "limit=101", "offset=-1", "limit=x"):
        assert desk.client.get(f"/api/jobs?{query}").status_code == 400


def test_when_a_scheduler_has_looked_then_the_schedule_is_answered_and_before_that_the_next_step(desk):
    before = desk.client.get("/api/schedule")
    assert (before.status_code, before.json()["status"]) == (200, "no_data")
    assert "jobs.schedule" in before.json()["reason"]
    row = {"name": "daily-20250908T0200Z", "trigger": "daily", "moment": "2025-09-08T02:00:00Z", "models": ["xgboost"],
           "status": "done", "why": "", "jobs": []}  # fmt: skip
    value = {"looked_at": "2025-09-08T02:00:01Z", "timezone": "UTC", "auto_retrain": True, "counts": {"done": 1},
             "missed": 0, "newest": [row], "next": []}  # fmt: skip
    desk.ledger.root.mkdir()
    write_json(desk.ledger.root / "schedule.json", value)
    said = Schedule.model_validate_json(desk.client.get("/api/schedule").text, extra="forbid")
    assert said.newest[0].status == "done"


def test_when_a_job_runs_then_its_batches_are_counted(desk):
    job_id = ask(desk).json()["job_id"]
    with desk.ledger.running(job_id) as lease:
        seen = lambda: desk.client.get(f"{URL}/{job_id}").json()["progress"]  # noqa: E731
        assert seen() is None
        folder = desk.retraining.runs / lease.job.run_id
        (folder / "timings").mkdir(parents=True)
        write_json(folder / "plan.json", {"batches": 3})
        assert seen() == {"batches_done": 0, "batches_planned": 3}
        write_json(folder / "timings" / "a.json", {})
        assert seen() == {"batches_done": 1, "batches_planned": 3}
        desk.ledger.finish(lease, "success", "")
    assert seen() is None


def test_when_the_server_starts_anew_then_it_knows_the_job(desk, tmp_path):
    job_id = ask(desk).json()["job_id"]
    desk.end(job_id, "partial", errors=("held back",))
    other = Desk(tmp_path)
    assert other.client.get(f"{URL}/{job_id}").json() == desk.client.get(f"{URL}/{job_id}").json()


def test_when_the_process_cannot_be_started_then_503_and_the_job_is_failed(tmp_path):
    desk = Desk(tmp_path)
    broken = replace(desk.retraining, command=("/nowhere/python",))
    client = client_of(desk.state, [retrain_router(desk.state, broken)])
    assert client.post(URL).status_code == 503
    (job,) = desk.ledger.newest(5)
    assert job.status == "failed"


def test_when_another_model_is_asked_for_while_a_job_waits_then_it_is_said_that_it_is_not_trained(desk):
    first = ask(desk, {"model": "xgboost"}).json()
    other, same = ask(desk, {"model": "arima"}).json(), ask(desk, {"model": "xgboost"}).json()
    assert first["job_id"] == other["job_id"] == same["job_id"]
    assert other["models"] == ["xgboost"]
    assert "arima is not trained by it" in other["message"]
    assert "not trained" not in same["message"]
