"""What a request is told when it cannot be answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Refused(Exception):
    """A request that gets an error answer.

    status_code: the HTTP status. error: a short fixed name of the fault. detail: a sentence, with what to do.
    parameter: the parameter at fault. allowed: what it may be. Survives a pickle round trip (Ray).
    """

    status_code: int
    error: str
    detail: str
    parameter: str | None = None
    allowed: tuple[str | int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.status_code} {self.error}: {self.detail}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status_code, self.error, self.detail, self.parameter, self.allowed)
