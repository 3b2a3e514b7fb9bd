"""One look at the schedule: what has fired is written down, what can start starts, what ended is followed up."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from demand.durable import unwritable, write_whole
from demand.errors import StorageError, VersionNotFound, VersionUnreadable
from jobs.decisions import fed
from jobs.settings import Settings, chosen_decisions, chosen_models
from jobs.ticks import Tick, Ticks, alert_ticks, due_now, view
from models.catalog import BASELINES, TRAINABLE
from models.decision_release import KINDS as DECISIONS
from models.decision_release import MORE_TABLES
from models.ensemble import KIND
from models.files import read_json, write_json
from models.job import Ask, Job
from models.ledger import SCHEDULE, Ledger

log = logging.getLogger(__name__)
LOOKED_AT = 20  # newest jobs: among them is the one a killed scheduler had asked for
OFF = "recorded only: schedule.auto_retrain is false"


@dataclass(frozen=True)
class Looked:
    """What one look did: rows that are new, the job it started, rows that changed."""

    fired: tuple[Tick, ...] = ()
    job: Job | None = None
    changed: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class Rounds:
    """The schedule of one storage; any number of processes may look at any time.

    told: the arguments a job gets, passwords masked. start: starts the process of a queued job, and raises StorageError
    when it cannot.
    """

    settings: Settings
    ledger: Ledger
    start: Callable[[Job], None]
    told: tuple[str, ...] = ()
    ticks: Ticks = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ticks", Ticks(self.ledger.root / "ticks"))

    @property
    def view_path(self) -> Path:
        return self.ledger.root / SCHEDULE

    @property
    def alerts_path(self) -> Path:
        return Path(self.settings.storage.root) / "monitoring" / "latest.json"

    def look(self, now: datetime) -> Looked:
        """Writes down what has fired by `now` and starts at most one job for all that is due.

        While another job runs, what is due waits. Raises StorageError when the storage cannot be written.
        """
        with self._alone():
            fired = tuple(tick for tick in self._new(now) if self.ticks.add(tick))
            changed: list[Tick] = []

            def put(tick: Tick, **changes: object) -> None:
                moved = replace(tick, **changes)  # type: ignore[arg-type]
                if moved != tick:
                    self.ticks.write(moved)
                    changed.append(moved)

            ready = [tick for tick in self._followed(put, now) if self._can_start(tick, put)]
            job = self._started(ready, put) if ready else None
            if fired or changed or not self.view_path.is_file():
                value = view(self.ticks.all(), self.settings.schedule, now)
                write_whole(self.view_path, lambda path: write_json(path, value))
            return Looked(fired, job, tuple(changed))

    def _new(self, now: datetime) -> Iterator[Tick]:
        schedule = self.settings.schedule
        for tick in [*due_now(self.ticks.newest(now), schedule, now), *self._alerts(now)]:
            recorded = tick.status == "pending" and not schedule.auto_retrain
            yield replace(tick, status="recorded", why=OFF) if recorded else tick

    def _alerts(self, now: datetime) -> list[Tick]:
        if not self.alerts_path.is_file():
            return []
        try:
            return alert_ticks(read_json(self.alerts_path), now)
        except VersionUnreadable as error:
            log.warning("%s", error)
            return []

    def _followed(self, put: Callable[..., None], now: datetime) -> list[Tick]:
        """The rows that may start a job now, after those whose job has ended are closed."""
        ready = []
        rows = self.ticks.open()
        jobs = self.ledger.newest(LOOKED_AT) if rows else []
        last: dict[str, str] = {
            tick.trigger: tick.name for tick in rows if tick.trigger in self.settings.schedule.cadences
        }
        for tick in rows:
            superseded = last.get(tick.trigger, tick.name) != tick.name
            job = self._job_of(tick, jobs)
            if job is None and not self.settings.schedule.auto_retrain:
                put(tick, status="recorded", why=OFF)
            elif job is None and superseded:
                put(tick, status="skipped", why=f"it could not start before {last[tick.trigger]} came")
            elif job is None:
                ready.append(tick)
            elif not job.finished:
                put(tick, status="started", jobs=_with(tick.jobs, job.job_id), why=f"job {job.job_id} is {job.status}")
            elif job.status != "failed":
                put(tick, status="done", jobs=_with(tick.jobs, job.job_id), why=f"{job.status}: {job.message}")
            elif superseded or not self._may_retry(tick, job):
                put(tick, status="failed", jobs=_with(tick.jobs, job.job_id), why=f"it waits for its next trigger: "
                    f"{job.message}")  # fmt: skip
            elif now >= datetime.fromisoformat(job.timestamp) + timedelta(seconds=self.settings.schedule.retry_wait_s):
                ready.append(replace(tick, jobs=_with(tick.jobs, job.job_id)))
        return ready

    def _may_retry(self, tick: Tick, job: Job) -> bool:
        attempts = len(_with(tick.jobs, job.job_id))
        return self.settings.schedule.auto_retrain and attempts <= self.settings.schedule.retries

    def _job_of(self, tick: Tick, jobs: Sequence[Job]) -> Job | None:
        """The row's newest job, also one that a killed scheduler asked for without having written it here."""
        for job in jobs:
            if tick.name in job.ask.cause.get("ticks", ()):
                return job
        try:
            return self.ledger.job(tick.jobs[-1]) if tick.jobs else None
        except (VersionNotFound, VersionUnreadable) as error:
            log.warning("%s", error)
            return None

    def _can_start(self, tick: Tick, put: Callable[..., None]) -> bool:
        """Whether any of its models can be trained; when none can, the row is closed."""
        models = self._trained(tick)
        if not models:
            reasons = [f"{model} {_why_not(self.settings, model)}" for model in tick.models]
            put(tick, status="skipped", why="; ".join(reasons))
        return bool(models)

    def _trained(self, tick: Tick) -> tuple[str, ...]:
        """Which of the row's models can be trained. An alert about the ensemble is one about its members."""
        able = [model for model in chosen_models(replace(self.settings, only=None)) if model not in BASELINES]
        able += [kind for kind in chosen_decisions(replace(self.settings, only=None)) if fed(self.settings, kind)]
        wanted = set(tick.models)
        if tick.trigger not in self.settings.schedule.cadences:
            if not wanted - set(BASELINES):
                wanted = set(able) - set(
                    DECISIONS
                )  # what is served is a baseline, or nothing is said: everything may do better now
            if KIND in wanted and self.settings.ensemble.retrain_base_models:
                wanted |= set(self.settings.ensemble.members)
        return tuple(model for model in TRAINABLE if model in wanted and model in able)

    def _started(self, ready: Sequence[Tick], put: Callable[..., None]) -> Job | None:
        """One job for all rows, each model once, the ensemble last; None when another job runs."""
        models = {model for tick in ready for model in self._trained(tick)}
        due = tuple(model for model in TRAINABLE if model in models)
        again = all(tick.jobs for tick in ready)
        alerts = {tick.trigger for tick in ready} - set(self.settings.schedule.cadences)
        scheduled = any(tick.trigger in self.settings.schedule.cadences for tick in ready)
        trigger = "retry" if again else "schedule" if scheduled else sorted(alerts)[0]
        cause = {"ticks": [tick.name for tick in ready], "why": [f"{tick.trigger} of {tick.moment}" for tick in ready]}
        job, new = self.ledger.request(Ask(due, due=due, trigger=trigger, cause=cause, told=self.told))
        if not new:
            for tick in ready:
                put(tick, why=f"waits for job {job.job_id}, which is {job.status}")
            return None
        for tick in ready:
            put(tick, status="started", jobs=(*tick.jobs, job.job_id), why=f"job {job.job_id}")
        try:
            self.start(job)
        except StorageError as error:  # the job is failed, and tried again like any other
            log.error("job %s: %s", job.job_id, error)
        return job

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.ticks.root.mkdir(parents=True, exist_ok=True)
            file = (self.ticks.root / ".lock").open("ab")
        except OSError as error:
            raise unwritable(self.ticks.root, error) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _with(jobs: tuple[str, ...], job_id: str) -> tuple[str, ...]:
    return jobs if job_id in jobs else (*jobs, job_id)


def _why_not(settings: Settings, model: str) -> str:
    if model not in settings.models or not settings.models[model].enabled:
        return "is disabled"
    if model in DECISIONS and settings.enable_ml:
        return "has no tables to learn from: set company.folder" + MORE_TABLES.get(model, "")
    return "is not trained while enable_ml is false" if not settings.enable_ml else "cannot be trained"
