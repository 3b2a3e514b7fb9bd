"""The training jobs there ever were: one record each, one job at a time, whoever asks and whatever dies."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from demand.durable import unwritable, write_whole
from demand.errors import RegistryError, VersionNotFound, VersionUnreadable
from demand.moments import now_utc, stamp
from models.files import create_json, read_json, write_json
from models.job import JOB_ID, Ask, Job, Process, Status
from models.processes import has_ended, this_process
from models.registry import Registry

log = logging.getLogger(__name__)
KEPT = 1000  # records; older ones go with their logs
START_S = 300.0  # a job that no process took up for so long will not begin any more
LEASE_S = 10.0  # how long the lease is waited for: a reader may look at it for a moment
SCHEDULE = "schedule.json"  # what the scheduler last saw
LOOKED_AT = 5  # newest releases that served
ENDED = "the process ended before it finished"


class KeyReused(RegistryError):
    """An idempotency key came again with another request."""


class JobBusy(RegistryError):
    """Another job runs."""


@dataclass(frozen=True)
class Lease:
    """Held by the process that runs a job. handle: of the locked file, to be passed to the process that does the work,
    so that the lease ends when both have ended."""

    job: Job
    handle: int


@dataclass(frozen=True)
class Ledger:
    """`<storage>/jobs/`, on a folder whose locks all its processes see.

    000007-1f2e3d4c.json           the record, replaced whole
    000007-1f2e3d4c.events.jsonl   what happened to it, a line each
    000007-1f2e3d4c.log            what its process printed
    keys/<sha256>.json             idempotency key -> job
    .lease                         locked by the process that runs a job, for as long as it lives
    """

    root: Path
    registry: Registry | None = None
    clock: Callable[[], datetime] = field(default=now_utc, compare=False)

    def request(self, ask: Ask, key: str | None = None) -> tuple[Job, bool]:
        """The job that does what is asked, and whether it is new: while another one is unfinished, it is that one.

        key: the same key and request get the same job again, finished or not. Raises KeyReused when the request is
        another one, StorageError when the ledger cannot be written.
        """
        digest = hashlib.sha256(json.dumps([ask.models, ask.only, ask.force]).encode()).hexdigest()
        named = self.root / "keys" / f"{hashlib.sha256((key or '').encode()).hexdigest()}.json"
        with self._locked():
            known = read_json(named) if key is not None and named.is_file() else None
            if known is not None:
                if known["request"] != digest:
                    raise KeyReused("this idempotency key came with another request", job=known["job_id"])
                with suppress(VersionNotFound):  # so old that it is no longer kept
                    return self._settled(self._read(known["job_id"])), False
            there = self._unfinished()
            job, new = there or self._create(ask), there is None
            if key is not None:
                write_whole(named, lambda path: write_json(path, {"request": digest, "job_id": job.job_id}))
        if new:
            self._collect()
        return job, new

    def unfinished(self) -> Job | None:
        """The job that is queued or runs, if any."""
        with self._locked():
            return self._unfinished()

    def job(self, job_id: str) -> Job:
        """The record; a job whose process died is failed. Raises VersionNotFound, VersionUnreadable."""
        job = self._read(job_id)
        if job.finished:
            return job
        with self._locked():
            return self._settled(self._read(job_id))

    def ids(self) -> list[str]:
        """All jobs, newest first."""
        if not self.root.is_dir():
            return []
        names = (path.stem for path in self.root.glob("*.json") if JOB_ID.fullmatch(path.stem))
        return sorted(names, key=lambda name: int(name.partition("-")[0]), reverse=True)

    def newest(self, limit: int, offset: int = 0) -> list[Job]:
        """Records, newest first; one that cannot be read is logged and left out."""
        jobs = self._readable(self.ids()[offset : offset + limit])
        return [job if job.finished else self.job(job.job_id) for job in jobs]

    def assigned(self, job_id: str, process: Process) -> None:
        """Notes who was started to run a queued job."""
        with self._locked():
            job = self._read(job_id)
            if job.status == "queued":
                self._write(replace(job, process=process))

    def never_started(self, job_id: str, cause: str) -> Job:
        """A queued job whose process could not be started is failed."""
        with self._locked():
            job = self._read(job_id)
            return self._failed(job, cause) if job.status == "queued" else job

    @contextmanager
    def running(self, job_id: str) -> Iterator[Lease]:
        """Runs a queued job in this process: `running` until `finish` is called, failed when it never is.

        Raises JobBusy while another process holds the lease, RegistryError when the job is not queued (any more).
        """
        with self._lease() as handle:
            with self._locked():
                job = self._read(job_id)
                if job.status != "queued":
                    raise RegistryError("the job is not queued", job=job_id, status=job.status, why=job.message)
                fence = self._fence() + 1
                write_whole(self.root / ".fence", lambda path: path.write_text(f"{fence}\n", encoding="ascii"))
                at = stamp(self.clock())
                job = replace(
                    job, status="running", message="training", timestamp=at, started_at=at, fence=fence,
                    process=this_process(), run_id=f"job-{job_id}",
                )  # fmt: skip
                self._write(job)
            yield Lease(job, handle)

    def finish(self, lease: Lease, status: Status, message: str, **facts: Any) -> Job:
        """How a job ended. Raises RegistryError when the record is no longer this lease's."""
        with self._locked():
            job = self._read(lease.job.job_id)
            if job.status != "running" or job.fence != lease.job.fence:
                raise RegistryError("the job is another process's by now", job=job.job_id, status=job.status)
            at = stamp(self.clock())
            job = replace(job, status=status, message=message, timestamp=at, ended_at=at, **facts)
            self._write(job)
            return job

    def log_path(self, job_id: str) -> Path:
        return self.root / f"{job_id}.log"

    def _unfinished(self) -> Job | None:  # this and what follows: with the lock held
        # A job is created only while none is unfinished: it can only be the newest.
        for job in self._readable(self.ids()[:1]):
            return None if self._settled(job).finished else job
        return None

    def _create(self, ask: Ask) -> Job:
        number = max((int(name.partition("-")[0]) for name in self.ids()), default=0) + 1
        at = stamp(self.clock())
        job = Job(f"{number:06d}-{secrets.token_hex(4)}", ask, "queued", "waits for its process", at, at)
        if not create_json(self._path(job.job_id), job.as_json()):
            raise RegistryError("a job of this name exists", job=job.job_id)
        self._note(job)
        return job

    def _settled(self, job: Job) -> Job:
        """The job, failed when the process that was to run it is no more; that is written down once."""
        if job.finished:
            return job
        if job.status == "running":
            return job if self._lease_held() else self._failed(job, ENDED)
        if job.process is not None and has_ended(job.process):
            return self._failed(job, f"its process ended before it began; see {self.log_path(job.job_id).name}")
        late = self.clock() - datetime.fromisoformat(job.timestamp) > timedelta(seconds=START_S)
        return self._failed(job, f"no process took it up within {START_S:.0f} s") if late else job

    def _failed(self, job: Job, cause: str) -> Job:
        at = stamp(self.clock())
        done = replace(job, status="failed", message=cause, timestamp=at, ended_at=at, errors=(*job.errors, cause))
        number = promoted_by(self.registry, job.run_id)
        if number is not None:  # it died after the release was promoted: that cannot be called unchanged
            said = f"{cause}, but release {number} was promoted"
            done = replace(done, status="partial", message=said, release=number)
        self._write(done)
        return done

    def _lease_held(self) -> bool:
        """Whether a living process runs the job that is called running; there is never more than one."""
        try:
            with (self.root / ".lease").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _read(self, job_id: str) -> Job:
        path = self._path(job_id)
        if not path.is_file():
            raise VersionNotFound("no such job", job=job_id)
        return Job.from_json(read_json(path), job_id)

    def _readable(self, job_ids: Iterable[str]) -> Iterator[Job]:
        for job_id in job_ids:
            try:
                yield self._read(job_id)
            except (VersionNotFound, VersionUnreadable) as error:
                log.warning("%s", error)

    def _write(self, job: Job) -> None:
        value = job.as_json()
        write_whole(self._path(job.job_id), lambda path: write_json(path, value))
        self._note(job)

    def _note(self, job: Job) -> None:
        event = {"at": job.timestamp, "status": job.status, "message": job.message, "fence": job.fence,
                 "pid": job.process.pid if job.process else None}  # fmt: skip
        line = (json.dumps(event, allow_nan=False) + "\n").encode()
        try:
            handle = os.open(self.root / f"{job.job_id}.events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise unwritable(self.root, error) from None

    def _fence(self) -> int:
        path = self.root / ".fence"
        text = path.read_text(encoding="ascii").strip() if path.is_file() else "0"
        return int(text) if text.isdigit() else 0

    def _collect(self) -> None:
        """Removes what belongs to records beyond the newest 1000; keys go when their job is asked for in vain."""
        for job_id in self.ids()[KEPT:]:
            for path in self.root.glob(f"{job_id}.*"):
                with suppress(OSError):  # what stays is tried again with the next job
                    path.unlink()

    def _path(self, job_id: str) -> Path:
        if JOB_ID.fullmatch(job_id):
            return self.root / f"{job_id}.json"
        raise VersionNotFound("no such job", job=job_id)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._open(".lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _lease(self) -> Iterator[int]:
        with self._open(".lease") as file:
            deadline = time.monotonic() + LEASE_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise JobBusy("another job runs", hint="See GET /api/jobs") from None
                    time.sleep(0.05)
            yield file.fileno()

    def _open(self, name: str) -> Any:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return (self.root / name).open("ab")
        except OSError as error:
            raise unwritable(self.root, error) from None


def promoted_by(registry: Registry | None, run_id: str | None) -> int | None:
    """The release that a run made and that became the champion, None when there is none."""
    if registry is None or run_id is None:
        return None
    served = registry.ever_served()
    for number in sorted(served, reverse=True)[:LOOKED_AT]:
        try:
            made_by = registry.open(number).manifest.get("run_id")
        except RegistryError:  # collected or damaged: no release that serves now
            continue
        if made_by == run_id:
            return number
    return None
