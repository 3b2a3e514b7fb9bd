"""`GET /health` and `/health/ready`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.shared import Body


class _Standing(Body):
    release: Annotated[int | None, Field(description="The release that answers; null: none")]
    champion: Annotated[int | None, Field(description="The release that should; null: nothing was promoted")]
    release_loaded: bool
    ready: Annotated[bool, Field(description="Whether the champion itself answers")]
    problem: Annotated[str, Field(description="Why not, and what to do; absent where it does")] = ""


class Health(_Standing):
    """The process lives, whatever it has to answer from."""

    status: Literal["ok"]
    alive: Literal[True]


class Readiness(_Standing):
    """Whether requests should be sent here."""

    status: Literal["ready", "not ready"]
