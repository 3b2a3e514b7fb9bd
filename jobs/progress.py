"""What the person at the terminal sees while a fleet runs: share done, time so far, time to go."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

LINE_EVERY_S = 15.0


class Progress:
    """A bar on a terminal, a line every 15 seconds elsewhere; nothing when switched off.

    Shares and the time to go follow planned CPU seconds, corrected by how fast the work has gone so far.
    """

    def __init__(self, mode: Literal["auto"] | bool, total_s: float, done_s: float) -> None:
        self._shown = mode is not False
        self._bar_wanted = mode is True or (mode == "auto" and sys.stderr.isatty())
        self._total, self._before, self._done = max(total_s, 1e-9), done_s, done_s
        self._started = self._last_line = time.monotonic()
        self.workers = 1
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self._shown and self._bar_wanted:
            self._bar = Bar(
                TextColumn("{task.description:<36.36}"), BarColumn(12), TaskProgressColumn(), TimeElapsedColumn(),
                TextColumn("{task.fields[to_go]}"), console=Console(stderr=True), transient=False,
            )  # fmt: skip
            self._bar.__enter__()
            self._task = self._bar.add_task("forecasting", total=self._total, to_go="")
        return self

    def start(self, workers: int) -> None:
        """The work begins on so many workers: until a task is done, the time to go is what was planned."""
        self.workers = workers
        if self._bar is not None:
            self._bar.update(self._task, to_go=self._to_go())
        elif self._shown:
            print(f"  {self._to_go()}", file=sys.stderr, flush=True)

    def advance(self, planned_s: float, name: str) -> None:
        """One task is done; `planned_s` CPU seconds had been planned for it."""
        self._done += planned_s
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=name, to_go=self._to_go())
        elif self._shown and time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            print(f"  {self._done / self._total:4.0%} done, {self._to_go()}", file=sys.stderr, flush=True)

    def _to_go(self) -> str:
        done = self._done - self._before
        if done <= 0:
            seconds = (self._total - self._done) / self.workers
            return f"planned {int(seconds // 60)}:{int(seconds % 60):02d}"
        seconds = (time.monotonic() - self._started) / done * max(0.0, self._total - self._done)
        return f"about {int(seconds // 60)}:{int(seconds % 60):02d} to go"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
