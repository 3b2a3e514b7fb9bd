"""What a scheduler does when it looks: start, wait, retry, give up; written down whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from demand.errors import StorageError, VersionUnreadable
from jobs import compose
from jobs.rounds import Rounds
from jobs.ticks import Tick, Ticks, alert_ticks, due_now
from models.files import read_json
from models.job import Ask
from models.ledger import Ledger
from serve_app.schemas.jobs import Schedule

MONDAY = datetime(2025, 9, 8, tzinfo=UTC)  # daily at 2, weekly at 3
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def shared():
    return compose.load("schedule", ["source.path=nowhere"])


class Desk:
    """A schedule that counts from Monday, midnight; its jobs end when a test says so."""

    def __init__(self, root, settings, **schedule):
        self.now = MONDAY
        self.ledger = Ledger(root / "jobs", clock=lambda: self.now)
        self.started = []
        self.broken = False
        storage = replace(settings.storage, root=str(root))
        changed = replace(settings, storage=storage, schedule=replace(settings.schedule, **schedule))
        self.rounds = Rounds(changed, self.ledger, self.start, ("source.path=nowhere",))
        self.rounds.ticks.began(MONDAY)

    def start(self, job):
        self.started.append(job)
        if self.broken:
            self.ledger.never_started(job.job_id, "no room")
            raise StorageError("no room")

    def look(self, after=timedelta()):
        self.now += after
        return self.rounds.look(self.now)

    def end(self, status="success", message="release 2 serves"):
        with self.ledger.running(self.started[-1].job_id) as lease:
            self.ledger.finish(lease, status, message)

    def rows(self):
        return {tick.name: tick for tick in self.rounds.ticks.all()}

    def alert(self, *alerts):
        path = self.rounds.alerts_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"alerts": list(alerts)}))


@pytest.fixture
def desk(tmp_path, shared):
    return Desk(tmp_path, shared)


DAILY, WEEKLY = "daily-20250908T0200Z", "weekly-20250908T0300Z"


def test_when_nothing_has_fired_then_nothing_is_written(desk):
    assert desk.look(HOUR).job is None
    assert desk.rows() == {}


def test_when_a_trigger_fires_then_one_job_trains_what_is_due_and_the_row_follows_it(desk):
    assert desk.look(2 * HOUR).job == desk.started[0]
    ask = desk.started[0].ask
    assert ask == Ask(
        ("xgboost",), due=("xgboost",), trigger="schedule", told=("source.path=nowhere",),
        cause={"ticks": [DAILY], "why": ["daily of 2025-09-08T02:00:00Z"]},
    )  # fmt: skip
    assert desk.rows()[DAILY].status == "started"
    assert desk.look(MINUTE).job is None
    desk.end()
    desk.look(MINUTE)
    row = desk.rows()[DAILY]
    assert (row.status, row.why, row.jobs) == ("done", "success: release 2 serves", (desk.started[0].job_id,))


def test_when_two_triggers_have_fired_then_each_model_trains_once_members_before_the_ensemble(tmp_path, shared):
    desk = Desk(tmp_path, shared, weekly=("xgboost", "ensemble", "arima"))
    desk.look(4 * HOUR)
    (job,) = desk.started
    assert job.ask.models == ("arima", "xgboost", "ensemble")
    assert {tick.jobs for tick in desk.rows().values()} == {(job.job_id,)}


def test_when_another_job_runs_then_what_is_due_waits_and_says_for_what(desk):
    desk.now = MONDAY + 2 * HOUR
    other, _ = desk.ledger.request(Ask(("arima",), only=("arima",)))
    assert desk.look().job is None
    assert desk.rows()[DAILY].why == f"waits for job {other.job_id}, which is queued"
    assert desk.rows()[DAILY].status == "pending"
    with desk.ledger.running(other.job_id) as lease:
        desk.look(MINUTE)
        assert desk.rows()[DAILY].why.endswith("which is running")
        desk.ledger.finish(lease, "success", "")
    assert desk.look(MINUTE).job is not None


def test_when_another_job_runs_until_the_next_trigger_then_the_one_before_is_skipped_and_that_is_said(desk):
    other, _ = desk.ledger.request(Ask(("arima",), only=("arima",)))
    with desk.ledger.running(other.job_id) as lease:
        desk.look(2 * HOUR)
        desk.look(DAY)
        rows = desk.rows()
        assert rows[DAILY].status == "skipped"
        assert rows[DAILY].why == "it could not start before daily-20250909T0200Z came"
        assert rows["daily-20250909T0200Z"].status == rows[WEEKLY].status == "pending"
        desk.ledger.finish(lease, "success", "")
    assert set(desk.look(MINUTE).job.ask.models) == {"xgboost", "arima", "prophet", "ensemble"}


def test_when_something_happened_then_those_who_only_read_see_it(desk):
    desk.look(2 * HOUR)
    desk.end()
    desk.look(3 * DAY)
    seen = read_json(desk.rounds.view_path)
    Schedule.model_validate({"status": "ok", **seen}, extra="forbid")
    assert (seen["counts"]["done"], seen["counts"]["skipped"], seen["missed"]) == (1, 2, 2)
    assert seen["newest"][0]["name"] == "daily-20250911T0200Z"
    assert seen["next"][0] == {"at": "2025-09-12T02:00:00Z", "trigger": "daily", "models": ["xgboost"]}


def test_when_a_run_fails_then_it_is_retried_as_often_as_told_and_then_waits_for_its_next_trigger(desk):
    desk.look(2 * HOUR)
    for attempt in (1, 2):
        desk.end("failed", "no data")
        assert desk.look(MINUTE).job is None  # retry_wait_s is five minutes
        assert len(desk.started) == attempt
        again = desk.look(5 * MINUTE).job
        assert (again.ask.trigger, again.ask.models) == ("retry", ("xgboost",))
    desk.end("failed", "no data")
    desk.look(MINUTE)
    row = desk.rows()[DAILY]
    assert (row.status, row.why) == ("failed", "it waits for its next trigger: no data")
    assert list(row.jobs) == [job.job_id for job in desk.started]
    desk.look(10 * MINUTE)
    assert len(desk.started) == 3
    desk.look(DAY)
    assert desk.started[-1].ask.trigger == "schedule"


@pytest.mark.parametrize("retries", [0, 1])
def test_when_retries_is_changed_then_a_failed_run_is_tried_so_often_more(tmp_path, shared, retries):
    desk = Desk(tmp_path, shared, retries=retries, retry_wait_s=0.0)
    desk.look(2 * HOUR)
    for _ in range(4):
        if not desk.ledger.job(desk.started[-1].job_id).finished:
            desk.end("failed", "no data")
        desk.look(MINUTE)
    assert len(desk.started) == 1 + retries


def test_when_a_job_was_partly_done_then_it_is_not_retried(desk):
    desk.look(2 * HOUR)
    desk.end("partial", "held back")
    desk.look(10 * MINUTE)
    assert desk.rows()[DAILY].status == "done"
    assert len(desk.started) == 1


def test_when_auto_retrain_is_false_then_what_is_due_is_recorded_and_nothing_starts(tmp_path, shared):
    desk = Desk(tmp_path, shared, auto_retrain=False)
    desk.alert({"cause": "degradation", "models": ["xgboost"], "at": "2025-09-08", "id": "a"})
    desk.look(4 * HOUR)
    assert desk.started == []
    assert len(desk.rows()) == 3
    assert {(tick.status, tick.why) for tick in desk.rows().values()} == {
        ("recorded", "recorded only: schedule.auto_retrain is false")
    }
    assert desk.ledger.ids() == []


def test_when_no_model_of_a_trigger_can_be_trained_then_its_row_says_why(tmp_path, shared):
    desk = Desk(tmp_path, shared, daily=("inventory_optimization", "yarn_substitution"), weekly=())
    desk.look(4 * HOUR)
    assert desk.rows()[DAILY].status == "skipped"
    assert desk.rows()[DAILY].why == (
        "yarn_substitution has no tables to learn from: set company.folder; "
        "inventory_optimization has no tables to learn from: set company.folder or inventory.table="
    )
    given = replace(shared, company=replace(shared.company, folder="exports"))
    able = Desk(tmp_path / "able", given, daily=("yarn_substitution",), weekly=())
    assert able.look(4 * HOUR).job.ask.models == ("yarn_substitution",)
    off = replace(shared, models={**shared.models, "xgboost": replace(shared.models["xgboost"], enabled=False)})
    other = Desk(tmp_path / "other", off)
    other.look(2 * HOUR)
    assert other.rows()[DAILY].why == "xgboost is disabled"


def test_when_a_scheduler_is_killed_between_the_job_and_its_row_then_the_next_one_starts_no_second_job(desk):
    desk.look(2 * HOUR)
    row = desk.rows()[DAILY]
    desk.rounds.ticks.write(replace(row, status="pending", jobs=(), why=""))  # as before the row was written
    desk.look(MINUTE)
    assert len(desk.started) == 1
    assert desk.rows()[DAILY].jobs == row.jobs


def test_when_the_process_cannot_be_started_then_the_run_counts_as_failed_and_is_retried(desk):
    desk.broken = True
    assert desk.look(2 * HOUR).job is not None
    desk.broken = False
    assert desk.look(6 * MINUTE).job.ask.trigger == "retry"


def test_when_the_clock_goes_back_then_nothing_fires_twice(desk):
    desk.look(2 * HOUR)
    desk.end()
    desk.look(-HOUR)
    desk.look(HOUR + MINUTE)
    assert len(desk.started) == 1
    assert len(desk.rows()) == 1


# ---- alerts of the monitoring -------------------------------------------------------------------------------------


def test_when_accuracy_degrades_then_its_models_train_once_however_long_the_alert_stands(desk):
    alert = {"cause": "degradation", "models": ["arima"], "at": "2025-09-08T00:30:00Z", "id": "release 3, arima"}
    desk.alert(alert)
    job = desk.look(HOUR).job
    assert (job.ask.trigger, job.ask.models, job.ask.due) == ("degradation", ("arima",), ("arima",))
    (row,) = desk.rows().values()
    assert (row.trigger, row.status) == ("degradation", "started")
    desk.end()
    for _ in range(3):
        desk.look(MINUTE)
    assert len(desk.started) == 1
    desk.alert(alert, {**alert, "cause": "drift"}, {**alert, "id": "release 4, arima"})
    job = desk.look(MINUTE).job
    assert job.ask.trigger == "degradation"  # of two causes; both are in it
    assert len(job.ask.cause["ticks"]) == 2


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["ensemble"], {"arima", "prophet", "lstm", "xgboost", "tide", "ensemble"}),
        (["seasonal_naive"], {"arima", "prophet", "lstm", "xgboost", "tide", "ensemble"}),
        ([], {"arima", "prophet", "lstm", "xgboost", "tide", "ensemble"}),
        (["lstm", "xgboost"], {"lstm", "xgboost"}),
    ],
)
def test_when_an_alert_names_models_then_these_or_all_that_stand_behind_them_train(desk, named, expected):
    desk.alert({"cause": "new_data", "models": named, "at": "2025-09-08T00:30:00Z", "id": 17})
    assert set(desk.look(HOUR).job.ask.models) == expected


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"alerts": 3}', '{"alerts": [3, {}, {"cause": "mood", "id": 1}]}',
     '{"alerts": [{"cause": "drift", "id": null}, {"cause": "data_stale", "id": "a"}]}', '{"alerts": "drift"}'],
)  # fmt: skip
def test_when_the_monitoring_is_unreadable_then_the_triggers_fire_all_the_same(desk, text):
    desk.rounds.alerts_path.parent.mkdir(parents=True)
    desk.rounds.alerts_path.write_text(text)
    assert desk.look(2 * HOUR).job.ask.models == ("xgboost",)


def test_when_an_id_could_name_a_path_then_the_row_has_a_name_of_its_own(tmp_path):
    (tick,) = alert_ticks({"alerts": [{"cause": "drift", "models": [], "id": "../../../etc/passwd"}]}, MONDAY)
    assert "/" not in tick.name
    assert Ticks(tmp_path).add(tick)
    assert not Ticks(tmp_path).add(tick)
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path]


# ---- rows ---------------------------------------------------------------------------------------------------------


def test_when_a_week_was_missed_then_the_newest_is_started_and_the_others_say_what_caught_them_up(shared):
    schedule = replace(shared.schedule, weekly=(), biweekly=(), monthly=())
    newest = dict.fromkeys(schedule.cadences, MONDAY)
    rows = due_now(newest, schedule, MONDAY + 3 * DAY)
    assert [tick.status for tick in rows] == ["skipped", "skipped", "pending"]
    assert rows[0].why == "missed; caught up once, by the trigger of 2025-09-10T02:00:00Z"
    late = due_now(newest, replace(schedule, catchup_days=0.5), MONDAY + 3 * DAY)
    assert {tick.status for tick in late} == {"skipped"}
    assert late[-1].why == "missed longer ago than schedule.catchup_days = 0.5"


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', '{"name": "daily-20250908T0200Z", "status": "odd"}'])
def test_when_a_row_is_damaged_then_it_is_a_clear_error_and_the_others_are_looked_at(desk, text):
    desk.look(2 * HOUR)
    (desk.rounds.ticks.root / f"{DAILY}.json").write_text(text)
    with pytest.raises(VersionUnreadable):
        desk.rounds.ticks.read(DAILY)
    desk.end()
    assert desk.look(2 * HOUR).job is not None  # weekly; daily is not fired again


def test_when_a_row_is_written_then_it_reads_as_the_same(tmp_path):
    ticks = Ticks(tmp_path)
    tick = Tick(DAILY, "daily", "2025-09-08T02:00:00Z", ("xgboost",), "started", "job x", ("x",))
    assert ticks.add(tick)
    assert ticks.read(DAILY) == tick == ticks.open()[0]
