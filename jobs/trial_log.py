"""The log of a search, `trials.jsonl` in its run folder: a line a trial that ended, which is never done again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from demand.durable import append_whole, unwritable
from demand.errors import StorageError

log = logging.getLogger(__name__)
NAME = "trials.jsonl"
State = Literal["finished", "pruned", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How one trial ended.

    number: 0 = the defaults. score: over all inner folds, lower is better (None unless finished). folds: the score of
    each fold that was scored, newest first. seconds: wall time. cause: why it was pruned or failed.
    """

    number: int
    parameters: Mapping[str, Any]
    state: State
    score: float | None
    folds: tuple[float, ...]
    seconds: float
    cause: str = ""


class TrialLog:
    """Append-only. Its first line says what the search was told; a line that a dying process cut counts as missing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Writes the first line."""
        self._append({"search": dict(facts)})

    def append(self, outcome: Outcome) -> None:
        """Raises StorageError when the line cannot be written: a trial that is not in the log has not been."""
        self._append({"trial": asdict(outcome)})

    def note_spent(self, seconds: float) -> None:
        """Writes how much of a budget has been spent by now, for whoever goes on with the search."""
        self._append({"spent_s": round(seconds, 3)})

    def spent(self) -> float:
        """Seconds spent by the newest note; 0 without one. Raises StorageError."""
        return max((float(value["spent_s"]) for _, value in self._lines() if "spent_s" in value), default=0.0)

    def note_end(self, why: str) -> None:
        """Writes that the search has ended: no trial follows. why: "" when every trial was made."""
        self._append({"ended": why})

    def ended(self) -> str | None:
        """Why the search ended; None when it has not. Raises StorageError."""
        return next((str(value["ended"]) for _, value in self._lines() if "ended" in value), None)

    def read(self) -> dict[int, Outcome]:
        """The trials that ended, by number; of two lines about one trial the first counts. Raises StorageError."""
        found: dict[int, Outcome] = {}
        for number, value in self._lines():
            if "trial" in value:
                outcome = self._outcome(value["trial"], number)
                found.setdefault(outcome.number, outcome)
        return found

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and content of each whole line."""
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise StorageError("the log of the trials cannot be read", file=str(self.path), cause=str(error)) from None
        for number, line in enumerate(lines, start=1):
            try:
                yield number, json.loads(line)
            except ValueError:
                log.warning("line %d of %s was cut: that trial is done again", number, self.path)

    def _outcome(self, value: Any, line: int) -> Outcome:
        try:
            outcome = Outcome(**{**value, "folds": tuple(value["folds"])})
            if outcome.state not in get_args(State) or (outcome.state == "finished") is (outcome.score is None):
                raise ValueError(f"state {outcome.state} with score {outcome.score}")
        except (TypeError, KeyError, ValueError) as error:
            raise StorageError(
                "the log of the trials is damaged", file=str(self.path), line=line, cause=str(error),
                hint="The run cannot go on: start a new one",
            ) from None  # fmt: skip
        return outcome

    def _append(self, value: Mapping[str, Any]) -> None:
        try:
            append_whole(self.path, json.dumps(value, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise unwritable(self.path.parent, error) from None
