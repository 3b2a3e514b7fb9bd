"""The release desk over HTTP: promote and roll back, by the very commands an operator would type."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response

from serve_app.auth import principal_of, role
from serve_app.problems import JSON, Refused, strict_json
from serve_app.schemas.parameters import takes_none
from serve_app.state import State

log = logging.getLogger(__name__)
LONGEST_S = 300.0  # the golden prediction loads every model once
SAID = 2_000  # characters of a command's message that an answer repeats
TO_DO = "What to do:"
REFUSED = 2  # the exit code of a job whose inputs were refused

Number = Annotated[StrictInt, Field(ge=1, le=10**9)]
# No quotes, brackets or line ends: the words travel as one argument of a command that reads key=value.
Reason = Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[\w .,:;/()+#%-]+$")]


class PromoteRequest(BaseModel):
    """Which release is to serve; `force` promotes one that the gate holds back, and is recorded as forced."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"release": 7, "reason": "reviewed"}]})

    release: Number
    force: StrictBool = False
    reason: Reason | None = None


class RollbackRequest(BaseModel):
    """Which release is to serve again; without a number the one before the champion."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "orders look wrong"}]})

    release: Number | None = None
    reason: Reason | None = None


class ChampionMoved(BaseModel):
    """What the job said, and which release answers now."""

    status: Literal["success"]
    message: str
    champion_before: int | None
    champion: int | None


def desk_router(state: State) -> APIRouter:
    """POST /api/releases/promote and /api/releases/rollback; each answers when the champion has moved, or why not."""
    router = APIRouter(tags=["releases"], dependencies=[role("operate"), Depends(takes_none)])

    @router.post(
        "/api/releases/promote", response_model=ChampionMoved,
        summary="Point the champion at a release, through the gate",
    )  # fmt: skip
    async def promote(asked: PromoteRequest, request: Request) -> Response:
        told = [f"release={asked.release}", *(["force=true"] if asked.force else [])]
        return await _done(state, request, "promote", asked.release, told, asked.reason)

    @router.post(
        "/api/releases/rollback", response_model=ChampionMoved, summary="A release that served before serves again"
    )
    async def rollback(asked: RollbackRequest, request: Request) -> Response:
        told = [] if asked.release is None else [f"release={asked.release}"]
        return await _done(state, request, "rollback", asked.release, told, asked.reason)

    return router


async def _done(
    state: State, request: Request, job: str, number: int | None, told: list[str], reason: str | None
) -> Response:
    """Runs the job and answers with the champion before and after. Raises Refused: 404 for a release that is not there,
    409 with the job's own words."""
    if number is not None and number not in (known := await asyncio.to_thread(state.registry.numbers)):
        raise Refused(404, "unknown_release", f"there is no release {number}", "release", known[-20:])
    who = principal_of(request).name
    why = f"reason='{reason or 'no reason given'} (by {who} over HTTP)'"
    before = state.registry.alias("champion")
    try:
        code, words = await _run([f"jobs.{job}", *state.config.arguments, *told, why])
    except TimeoutError:
        after = state.registry.alias("champion")
        stands = "the champion did not move" if after == before else f"the champion had moved: release {after} answers"
        raise Refused(503, "job_too_slow", f"It was ended after {LONGEST_S:.0f} s; {stands}") from None
    after = state.registry.alias("champion")
    if code:
        how = "refused" if code == REFUSED else "held_back"
        raise Refused(409, f"{job}_{how}", in_words(words) or f"exit code {code}", "release")
    await asyncio.to_thread(state.following.look)
    answer: dict[str, Any] = {
        "status": "success", "message": " ".join(words.split()), "champion_before": before, "champion": after,
    }  # fmt: skip
    return Response(strict_json(answer), media_type=JSON, headers={"Cache-Control": "no-store"})


_going: set[asyncio.Task[tuple[int, str]]] = set()  # held: a task that nobody holds may vanish


async def _run(command: list[str]) -> tuple[int, str]:
    """(exit code, what the job said) of `python -m ..`. Raises TimeoutError when it takes too long, and ends it then.

    When whoever asked is gone the job goes on to its end, read and bounded as before: a promotion is not cut in two.
    """
    going = asyncio.create_task(_ended(command))
    _going.add(going)
    going.add_done_callback(_forget)
    return await asyncio.shield(going)


def _forget(going: asyncio.Task[tuple[int, str]]) -> None:
    _going.discard(going)
    if not going.cancelled() and going.exception() is not None:
        log.warning("a job of the release desk did not end by itself: %r", going.exception())


async def _ended(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), LONGEST_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode("utf-8", "replace").strip()[:SAID]


def in_words(said: str) -> str:
    """What a job printed as it ended, as a sentence: of an error its message, the facts in brackets, what to do.

    A job prints an error as `Type: message`, then a line `  name: value` a fact, then `  What to do: hint`; what does
    not fit a line goes on in the next. Anything else is joined as it stands.
    """
    error = re.match(r"[A-Z]\w+: (?=.)", said)
    if error is None:
        return " ".join(said.split())
    message, *told = re.split(r"^ {2}(?=[\w ]+:(?:\s|$))", said[error.end() :], flags=re.MULTILINE)
    parts = [" ".join(one.split()) for one in told]
    facts = [one for one in parts if not one.startswith(TO_DO)]
    hint = "".join(f" {one.removeprefix(TO_DO).strip()}" for one in parts if one.startswith(TO_DO))
    text = " ".join(message.split()) + (f" ({'; '.join(facts)})" if facts else "")
    return f"{text[:1].upper()}{text[1:]}.{hint}"
