"""One training job as it is kept: what was asked, by whom, how far it came, what it changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, Self, get_args

from demand.errors import VersionUnreadable

Status = Literal["queued", "running", "success", "partial", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)
JOB_ID = re.compile(r"[0-9]{6,12}-[0-9a-f]{8}")


@dataclass(frozen=True)
class Ask:
    """What a job is to do.

    models: the names as they are shown. only: trained whether they are due or not, when `force` is set (None = all that
    are enabled). due: trained because their trigger fired, the other members are taken over (None = no trigger).
    trigger: api, schedule, degradation, drift, new_data or retry; cause: facts about it. told: the settings the job is
    started with, passwords masked.
    """

    models: tuple[str, ...]
    only: tuple[str, ...] | None = None
    due: tuple[str, ...] | None = None
    force: bool = False
    trigger: str = "api"
    cause: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number: pid, its start in clock ticks, the boot."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True)
class Job:
    """The record of one job; see `Ask` for what was asked.

    timestamp: of the last change of status. fence: rises with every job that ran. process: who is to run it.
    metrics: {action_accuracy, training_samples, top_features, evaluation_id}; action_accuracy is a fraction, null when
    not measured; evaluation_id names the stored evaluation it is read from.
    models_retrained: those whose stored artefacts changed. errors: one text a cause.
    """

    job_id: str
    ask: Ask
    status: Status
    message: str
    created_at: str
    timestamp: str
    process: Process | None = None
    fence: int | None = None
    run_id: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    release: int | None = None
    metrics: Mapping[str, Any] | None = None
    models_retrained: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        return self.status in ("success", "partial", "failed")

    @property
    def number(self) -> int:
        """Its place in the order of creation."""
        return int(self.job_id.partition("-")[0])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """The record in a file's JSON. Raises VersionUnreadable when it is none."""
        try:
            ask = Ask(**_typed(Ask, value["ask"]))
            process = Process(**value["process"]) if value["process"] else None
            job = cls(**(_typed(cls, value) | {"ask": ask, "process": process}))
            for at in (job.created_at, job.timestamp):
                datetime.fromisoformat(at)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VersionUnreadable("a job's record cannot be read", file=name, cause=str(error)) from None
        if job.status not in STATUSES or job.job_id != name or not JOB_ID.fullmatch(job.job_id):
            raise VersionUnreadable("a job's record cannot be read", file=name, status=job.status, job=job.job_id)
        return job


def _typed(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their lists as tuples, as the frozen types hold them."""
    known = {one.name for one in fields(kind)}
    if value.keys() - known:
        raise ValueError(f"unknown fields {sorted(value.keys() - known)}")
    return {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
