"""Training over HTTP: a request makes a job on record, a process of its own runs it, anybody may follow it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Header, Request
from pydantic import ValidationError
from starlette.responses import Response

from demand.company.tables import COLUMNS
from demand.errors import VersionNotFound, VersionUnreadable
from demand.masking import masked
from models.catalog import TRAINABLE
from models.decision_release import KINDS as DECISIONS
from models.decision_release import MORE_TABLES
from models.detached import start_job
from models.ensemble import KIND
from models.files import read_json
from models.job import Ask, Job
from models.ledger import SCHEDULE, KeyReused, Ledger
from models.registry import Registry
from serve_app.auth import principal_of, role
from serve_app.limits import strict_body
from serve_app.problems import JSON, Refused, strict_json
from serve_app.schemas.jobs import UNITS, Accepted, JobList, JobState, RetrainBody, Schedule
from serve_app.schemas.parameters import JobsParameters, RetrainParameters, openapi_parameters, read, takes_none
from serve_app.schemas.shared import NoData
from serve_app.state import Config, State

MAX_BODY = 10_000  # bytes
LOOK_S = 0.25  # while somebody waits: how often the record is read
_NO_TABLES = "there are no tables to learn from: start the service with company.folder="
_KEY = re.compile(r"^[\x21-\x7e]{1,200}$")
_ROOT = Path(__file__).resolve().parents[1]  # where the jobs are that the command names


@dataclass(frozen=True)
class Retraining:
    """What the routes work with.

    command: starts the process of a job; ` job=ID` is added. told: the settings in it, passwords masked. models: those
    that can be trained. everything: those that `all` stands for. refused: those that cannot, and why. runs: where the
    run folders are.
    """

    ledger: Ledger
    command: tuple[str, ...]
    told: tuple[str, ...]
    models: tuple[str, ...]
    everything: tuple[str, ...]
    refused: Mapping[str, str]
    runs: Path

    @classmethod
    def of(cls, config: Config, registry: Registry) -> Retraining:
        """From what the service was told: the jobs get the same settings."""
        root, plain = Path(config.storage_root), config.plain
        configured, storage = plain.get("models", {}), plain.get("storage", {})
        refused = {}
        tables = any(plain.get("company", {}).get(name) for name in ("folder", *COLUMNS))
        fed = {"inventory_optimization": tables or bool(plain.get("inventory", {}).get("table"))}
        for kind in TRAINABLE:
            enabled = configured.get(kind, {}).get("enabled", True)
            refused[kind] = "" if enabled else f"it is disabled: models.{kind}.enabled=false"
            if not plain.get("enable_ml", True):
                refused[kind] = "only baselines are trained: enable_ml=false"
            if kind in DECISIONS and not fed.get(kind, tables):
                refused[kind] = refused[kind] or _NO_TABLES + MORE_TABLES.get(kind, "")
        models = tuple(kind for kind, why in refused.items() if not why)
        only = plain.get("only") or models
        return cls(
            ledger=Ledger(root / "jobs", registry),
            command=(sys.executable, "-m", "jobs.retrain", *config.arguments),
            told=tuple(masked(text) for text in config.arguments),
            models=models,
            everything=tuple(kind for kind in models if kind in only or (KIND in only and kind not in DECISIONS)),
            refused={kind: why for kind, why in refused.items() if why},
            runs=root / storage.get("training_registry", "runs"),
        )  # fmt: skip


def retrain_router(
    state: State, retraining: Retraining | None = None, start: Callable[[Retraining, Job], None] | None = None
) -> APIRouter:
    """POST /api/retrain-ml, GET /api/retrain-ml/{job_id}, GET /api/jobs, GET /api/schedule.

    retraining, start: for tests, what is worked with and how a job's process is started.
    """
    desk = retraining or Retraining.of(state.config, state.registry)
    begin = start or _start
    router = APIRouter(tags=["training"])

    @router.post(
        "/api/retrain-ml", dependencies=[role("operate")], status_code=202, response_model=Accepted,
        summary="Train models now", openapi_extra=_body_told(desk),
        responses={200: {"model": JobState, "description": "wait: the job has ended"}},
    )  # fmt: skip
    async def retrain(
        request: Request,
        idempotency_key: str | None = Header(
            None, description="The same key and body are the same job", json_schema_extra={"pattern": _KEY.pattern}
        ),
    ) -> Response:
        wait = read(RetrainParameters, request.query_params.multi_items()).wait
        if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
            raise Refused(400, "bad_header", "A key is 1 to 200 visible ASCII characters", "Idempotency-Key")
        ask = asked(await _body(request), desk, principal_of(request).name)
        job, new = await asyncio.to_thread(_request, desk, ask, idempotency_key, begin)
        if wait is not None:
            job = await _waited(desk, job, wait)
            if job.finished:
                return _json(state_of_job(job, desk))
        return _json(_accepted(job, new, ask), 202, {"Location": _url(job)})

    @router.get(
        "/api/retrain-ml/{job_id}", dependencies=[role("read"), Depends(takes_none)], response_model=JobState,
        summary="One training job",
    )  # fmt: skip
    async def training_job(job_id: str) -> Response:
        try:
            job = await asyncio.to_thread(desk.ledger.job, job_id)
        except VersionNotFound:
            raise Refused(404, "unknown_job", "There is no job of this id; see GET /api/jobs", "job_id") from None
        return _json(await asyncio.to_thread(state_of_job, job, desk))

    @router.get(
        "/api/jobs", dependencies=[role("read")], response_model=JobList, summary="Training jobs, newest first",
        openapi_extra={"parameters": openapi_parameters(JobsParameters)},
    )  # fmt: skip
    async def training_jobs(request: Request) -> Response:
        part = read(JobsParameters, request.query_params.multi_items())
        return _json(await asyncio.to_thread(listed, desk, part.limit, part.offset))

    @router.get(
        "/api/schedule", dependencies=[role("read"), Depends(takes_none)], response_model=Schedule | NoData,
        summary="What trains when",
    )  # fmt: skip
    async def schedule() -> Response:
        return _json(await asyncio.to_thread(scheduled, desk.ledger.root / SCHEDULE))

    return router


def asked(body: RetrainBody, desk: Retraining, who: str) -> Ask:
    """What a body asks for. Raises Refused: 400 for an unknown model, 409 for one that cannot be trained."""
    cause = {"by": who}
    if body.model == "all":
        if not desk.models:
            raise Refused(409, "nothing_trainable", "; ".join(sorted(set(desk.refused.values()))), "model")
        return Ask(desk.everything, force=body.force, cause=cause, told=desk.told)
    allowed = ("all", *desk.models)
    if body.model in desk.refused:
        detail = f"{body.model}: {desk.refused[body.model]}"
        raise Refused(409, "model_not_trainable", detail, "model", allowed)
    if body.model not in desk.models:
        raise Refused(400, "unknown_model", f"There is no model {body.model[:100]!r}", "model", allowed)
    return Ask((body.model,), only=(body.model,), force=body.force, cause=cause, told=desk.told)


def state_of_job(job: Job, desk: Retraining) -> dict[str, Any]:
    """The job as AP5 answers it."""
    measured = {
        "action_accuracy": None,
        "training_samples": None,
        "top_features": [],
        "evaluation_id": None,
        **(job.metrics or {}),
    }
    return {
        "status": job.status, "job_id": job.job_id, "message": job.message, "timestamp": job.timestamp,
        "models": list(job.ask.models), "metrics": measured, "models_retrained": list(job.models_retrained),
        "errors": list(job.errors), "release": job.release, "run_id": job.run_id, "trigger": job.ask.trigger,
        "cause": dict(job.ask.cause), "created_at": job.created_at, "started_at": job.started_at,
        "ended_at": job.ended_at, "progress": _progress(job, desk.runs), "units": UNITS,
    }  # fmt: skip


def _request(desk: Retraining, ask: Ask, key: str | None, begin: Callable[[Retraining, Job], None]) -> tuple[Job, bool]:
    try:
        job, new = desk.ledger.request(ask, key)
    except KeyReused as error:
        detail = f"This key came with another body, for job {error.facts['job']}"
        raise Refused(409, "key_used_before", detail, "Idempotency-Key") from None
    if new:
        begin(desk, job)
    return job, new


def _start(desk: Retraining, job: Job) -> None:
    start_job(desk.ledger, job, desk.command, _ROOT)


async def _waited(desk: Retraining, job: Job, seconds: float) -> Job:
    """The job when it has ended, or as it is when the time is up; nobody else waits meanwhile."""
    deadline = time.monotonic() + seconds
    while not job.finished and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(LOOK_S, left))
        job = await asyncio.to_thread(desk.ledger.job, job.job_id)
    return job


async def _body(request: Request) -> RetrainBody:
    """The body, checked: strict JSON, an object of known keys; nothing at all is an empty one."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BODY:
            raise Refused(413, "body_too_large", f"This body may have at most {MAX_BODY} bytes", "body", [MAX_BODY])
    if not raw:
        return RetrainBody()
    try:
        return RetrainBody.model_validate(strict_body(raw))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"]) or "body"
        raise Refused(400, "bad_body", f"{name[:100]}: {fault['msg']}", name[:100], list(_KNOWN)) from None


def _accepted(job: Job, new: bool, ask: Ask) -> dict[str, Any]:
    left = [model for model in ask.models if model not in job.ask.models]
    if new:
        message = f"training of {', '.join(job.ask.models)} was asked for"
    elif job.finished:
        message = f"this was asked for before: the job ended with {job.status}"
    elif left:
        message = (
            f"a job is {job.status} already and trains {', '.join(job.ask.models)}: no other was started, and "
            f"{', '.join(left)} is not trained by it. Ask again when it has ended"
        )
    else:
        message = f"a job is {job.status} already: this is it, no other was started"
    return {"status": "accepted", "job_id": job.job_id, "message": message, "timestamp": job.created_at,
            "models": list(job.ask.models), "status_url": _url(job)}  # fmt: skip


def _url(job: Job) -> str:
    return f"/api/retrain-ml/{job.job_id}"


def listed(desk: Retraining, limit: int, offset: int) -> dict[str, Any]:
    """`GET /api/jobs`: a part of all jobs, newest first."""
    jobs = [state_of_job(job, desk) for job in desk.ledger.newest(limit, offset)]
    return {"status": "ok", "total": len(desk.ledger.ids()), "limit": limit, "offset": offset, "jobs": jobs}


def scheduled(path: Path) -> dict[str, Any]:
    """`GET /api/schedule`: what the scheduler wrote when it last looked."""
    if not path.is_file():
        reason = "No scheduler has looked yet: start python -m jobs.schedule"
        return {"status": "no_data", "reason": reason}
    return {"status": "ok", **read_json(path)}


def _progress(job: Job, runs: Path) -> dict[str, int] | None:
    """Counted in the run's folder; None while there is nothing to count."""
    if job.status != "running" or job.run_id is None:
        return None
    folder = runs / job.run_id
    try:
        planned = int(read_json(folder / "plan.json")["batches"])
    except (VersionUnreadable, KeyError, TypeError, ValueError):
        return None
    done = sum(1 for _ in folder.glob("timings/*.json"))
    return {"batches_done": min(done, planned), "batches_planned": planned}


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(strict_json(value), status, {"Cache-Control": "no-store", **(headers or {})}, media_type=JSON)


def _body_told(desk: Retraining) -> dict[str, Any]:
    """Parameters and body as OpenAPI describes them, with the names of models that are known here."""
    schema = RetrainBody.model_json_schema()
    schema["properties"]["model"]["enum"] = ["all", *dict.fromkeys((*desk.models, *desk.refused))]
    examples = {"all": {"value": {"model": "all"}}, "one": {"value": {"model": "xgboost", "force": True}}}
    content = {JSON: {"schema": schema, "examples": examples}}
    return {"requestBody": {"required": False, "content": content}, "parameters": openapi_parameters(RetrainParameters)}


_KNOWN = tuple(RetrainBody.model_fields)
