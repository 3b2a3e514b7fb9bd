"""Error answers: one shape for everything that can be wrong with a request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.responses import Response

from demand.errors import DataError, DemandError, ModelError, RegistryError, SettingsError, StorageError

JSON = "application/json"
_PLACE = re.compile(r"(?<![\w:/.])/(?:[^\s'\"/]+/)*([^\s'\"/]*)")  # an absolute path, also inside a sentence
STATUS = ((DataError, 422), (SettingsError, 400), (ModelError, 409), (RegistryError, 503), (StorageError, 503))


class Refused(Exception):
    """A request that cannot be answered as asked.

    error: a short fixed name of the fault, snake_case, for programs. detail: a sentence, what was found and what to do.
    parameter, allowed: the one at fault and what it may be. status: `error`, or `no_data` when there is nothing to
    show. retry_after: seconds until it may help to come again.
    """

    def __init__(
        self,
        status_code: int,
        error: str,
        detail: str,
        parameter: str | None = None,
        allowed: Sequence[Any] | None = None,
        *,
        status: str = "error",
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status_code} {error}: {detail}")
        more = {"status": status, "retry_after": retry_after, "headers": headers}
        self._made_of = (status_code, error, detail, parameter, allowed), more
        self.status_code, self.error, self.detail, self.status = status_code, error, detail, status
        self.parameter, self.allowed = parameter, allowed
        self.headers = {**(headers or {}), **({"Retry-After": str(retry_after)} if retry_after is not None else {})}

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels to another process: whole, with the words of its own."""
        arguments, more = self._made_of
        return _again, (type(self), arguments, more)

    def body(self, request_id: str) -> dict[str, Any]:
        """{status, error, detail, parameter?, allowed?, request_id}; `no_data` says its `reason` too."""
        said: dict[str, Any] = {"status": self.status, "error": self.error, "detail": self.detail}
        if self.status == "no_data":
            said["reason"] = self.detail
        if self.parameter is not None:
            said["parameter"] = self.parameter
        if self.allowed is not None:
            said["allowed"] = list(self.allowed)
        return {**said, "request_id": request_id}


def _again(kind: type[Refused], arguments: tuple[Any, ...], more: Mapping[str, Any]) -> Refused:
    found = kind.__new__(kind)
    Refused.__init__(found, *arguments, **more)
    return found


def word_of(error: BaseException) -> str:
    """The name of an error's type as the machine word of an answer: VersionUnreadable -> version_unreadable."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()


def refused_of(error: DemandError) -> Refused:
    """An error of ours as an answer; what is none of the known kinds is a fault (500)."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return Refused(status, word_of(error), public(error))


def public(error: DemandError) -> str:
    """An error of ours for a client, one sentence: files and folders by their names alone, without the machine's own
    part."""
    named = type(error)(error.message, hint=error.hint, **{name: _name(fact) for name, fact in error.facts.items()})
    return named.sentence()


def _name(fact: Any) -> Any:
    if isinstance(fact, list | tuple):
        return [_name(one) for one in fact]
    return without_places(str(fact)) if isinstance(fact, str | Path) else fact


def without_places(text: str) -> str:
    """The text with every absolute path as its last name alone."""
    return _PLACE.sub(r"\1", text)


class NoData(Refused):
    """503: there is no release to answer from."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, "nothing_released", detail, status="no_data", retry_after=5)


def strict_json(value: Any) -> bytes:
    """UTF-8 JSON without blanks. NaN and infinity raise ValueError: they are never sent, not even as null."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half a surrogate pair in a client's own text is no fault of ours


def problem(refused: Refused, request_id: str) -> Response:
    """The error answer; never cached anywhere."""
    headers = {"Cache-Control": "no-store", **refused.headers}
    return Response(strict_json(refused.body(request_id)), refused.status_code, headers, media_type=JSON)
