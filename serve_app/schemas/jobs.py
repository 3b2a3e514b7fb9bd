"""The forms of `POST /api/retrain-ml`, `GET /api/retrain-ml/{job_id}` and `GET /api/jobs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.job import Status

STRICT = ConfigDict(extra="forbid", strict=True)
UNITS = {"metrics.action_accuracy": "fraction"}


class RetrainBody(BaseModel):
    """What is to be trained; an empty body stands for all models."""

    model_config = STRICT
    model: Annotated[str, Field(max_length=100, description="all, or the name of one model")] = "all"
    force: Annotated[
        bool, Field(description="true: whether they are due or not; false: only those that the schedule says are due")
    ] = True


class Accepted(BaseModel):
    """202: the job that does it, a new one or the one that is unfinished."""

    status: Literal["accepted"]
    job_id: str
    message: str
    timestamp: Annotated[str, Field(description="When the job was asked for (UTC)")]
    models: list[str]
    status_url: str


class JobMetrics(BaseModel):
    """Of the one model asked for, else of what the new release serves; null until measured."""

    action_accuracy: Annotated[
        float | None, Field(ge=0, le=1, description="max(0, 1 - WAPE) over the scored origins, a fraction")
    ]
    training_samples: Annotated[int | None, Field(description="Cells of history it was fitted on")]
    evaluation_id: Annotated[str | None, Field(description="The stored evaluation that action_accuracy is read from")]
    top_features: Annotated[list[tuple[str, float]], Field(description="Up to ten, with their share, largest first")]


class Progress(BaseModel):
    """How far a running job is, counted in batches of series."""

    batches_done: int
    batches_planned: int


class JobState(BaseModel):
    """One training job."""

    status: Status
    job_id: str
    message: str
    timestamp: Annotated[str, Field(description="Of the last change of status (UTC)")]
    models: list[str]
    metrics: JobMetrics
    models_retrained: Annotated[list[str], Field(description="Those whose stored artefacts changed")]
    errors: list[str]
    release: Annotated[int | None, Field(description="The release it made; null: none")]
    run_id: str | None
    trigger: Annotated[str, Field(description="api, schedule, degradation, drift, new_data or retry")]
    cause: Annotated[dict[str, Any], Field(description="What set it off")]
    created_at: str
    started_at: str | None
    ended_at: str | None
    progress: Annotated[Progress | None, Field(description="null: not running, or its data is still read")]
    units: dict[str, str]


class Firing(BaseModel):
    """A trigger that will fire."""

    at: str
    trigger: str
    models: list[str]


class Tick(BaseModel):
    """A trigger that fired, or an alert, and what came of it."""

    name: str
    trigger: str
    moment: str
    models: list[str]
    status: Literal["pending", "started", "done", "failed", "skipped", "recorded"]
    why: str
    jobs: list[str]


class Schedule(BaseModel):
    """What the scheduler last saw; no_data when none has looked yet."""

    status: Literal["ok"]
    looked_at: str
    timezone: str
    auto_retrain: bool
    counts: Annotated[dict[str, int], Field(description="Rows by status, since the schedule counts")]
    missed: Annotated[int, Field(description="Triggers that were never started because a newer one had come")]
    newest: list[Tick]
    next: list[Firing]


class JobList(BaseModel):
    """Training jobs, newest first."""

    status: Literal["ok"]
    total: int
    limit: int
    offset: int
    jobs: list[JobState]
