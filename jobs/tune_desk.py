"""Hands out the trials of a search and files how they ended: the log first, so that none is ever counted twice."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

from demand.errors import StorageError
from jobs.trial_log import Outcome, TrialLog
from jobs.tune_search import Assignment, Search

OUTER_FITS = 2  # of the defaults and of the best, at the end
Next = Assignment | Literal["wait", "over"]


class Desk:
    """The state of a running search. `why`: what ended it, "" while it goes on or when every trial was made.

    deadline: time.monotonic() by which all is done, the two fits of the outer fold included (None: no limit).
    """

    def __init__(self, search: Search, log: TrialLog, n_folds: int, deadline: float | None) -> None:
        self.search, self.log, self.why = search, log, ""
        self.outcomes: dict[int, Outcome] = log.read()
        self.broken: StorageError | None = None
        self._n_folds, self._deadline = n_folds, deadline
        self._first = -search.generation
        self._waiting: list[Assignment] = []
        self._running: dict[int, Assignment] = {}
        self._last = False

    def next(self) -> Next:
        """The next trial; "wait" while the trials of a generation that run decide the next one; "over" at the end."""
        while not self._waiting and not self._running and not self._over():
            self._first += self.search.generation
            chosen = self.search.assignments(self._first, self.outcomes)
            self._last = len(chosen) < self.search.generation
            if self._last and self._first + len(chosen) < self.search.trials:
                self.why = f"the space holds no more than these {self._first + len(chosen)} trials"
            self._waiting = [one for one in chosen if one.number not in self.outcomes]
        if self._over():
            self._waiting = []
            return "over"
        if not self._waiting:
            return "wait"
        one = self._waiting.pop(0)
        if self._deadline is not None:
            left = self._deadline - time.monotonic() - self._outer_seconds()
            one = replace(one, max_seconds=left if 0 in self.outcomes else one.max_seconds)
        self._running[one.number] = one
        return one

    def tell(self, outcome: Outcome) -> None:
        """Files how a trial ended; a log that cannot be written ends the search (`broken`)."""
        self._running.pop(outcome.number, None)
        if outcome.number in self.outcomes:
            return
        try:
            self.log.append(outcome)
        except StorageError as error:
            self.broken, self.why = error, "its log cannot be written"
            return
        self.outcomes[outcome.number] = outcome

    def broke(self, number: int, cause: str) -> Outcome:
        """The worker of a running trial died: files that as how it ended, and returns it."""
        outcome = Outcome(number, self._running[number].parameters, "failed", None, (), 0.0, cause[:300])
        self.tell(outcome)
        return outcome

    def _outer_seconds(self) -> float:
        """What the fits of the outer fold will take, by how long the defaults took; 0 before that is known."""
        first = self.outcomes.get(0)
        return 0.0 if first is None else first.seconds * OUTER_FITS / self._n_folds

    def _over(self) -> bool:
        if self.broken is not None:
            return True
        first = self.outcomes.get(0)
        if first is not None and first.state == "failed":
            self.why = f"the defaults cannot be fitted: {first.cause}"
            return True
        if self._deadline is not None and first is not None and len(self.outcomes) < self.search.trials:
            late = time.monotonic() + first.seconds + self._outer_seconds() > self._deadline
            if late:
                self.why = "max_seconds"
                return True
        made = self._first >= 0 and not self._waiting and not self._running
        return made and (self._last or self._first + self.search.generation >= self.search.trials)
