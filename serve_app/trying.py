"""The challenger in one process: which styles it answers, what became of its answers, and when it goes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demand.errors import DemandError
from evaluation.monitoring_folder import MonitoringFolder
from models.files import read_json
from models.registry import Registry
from serve_app.cache import Answer
from serve_app.following import Following, Opened, Standing
from serve_app.opened import open_book
from serve_app.problems import Refused
from serve_app.settings import ServeSettings
from serve_app.split import Canary, CanaryRule, Side, Split, grown

log = logging.getLogger(__name__)
BESIDE = 8  # shadow answers computed at once; what comes meanwhile is not shadowed
KEEP = "keep the champion"  # the stop rule of `evaluation.trial`, as jobs.monitor wrote it
# Asks a book the question of a request; raises Refused. `kept`: whether the raw request may be remembered.
Ask = Callable[[Any, bool], Awaitable[Answer]]


@dataclass(frozen=True)
class Trial:
    """What is tried at this moment: the challenger's book, and which styles are its."""

    book: Any
    split: Split

    @property
    def name(self) -> tuple[int, float]:
        """What decides which side answers a request: part of the key that finds a kept answer by the raw request."""
        return self.book.number, self.split.share


class Trying:
    """Follows the alias `challenger` where `serve.a_b_testing` or `serve.canary_deployment` is on.

    Every replica comes to the same side for a style: the share depends on settings and on the time since the alias was
    set, the side on style and release. A challenger that the monitor's stop rule has decided against gets no style.
    counted: told of each (side, outcome). changed: another trial begins, or none goes on. now: UTC.
    """

    def __init__(
        self,
        registry: Registry,
        monitoring: MonitoringFolder,
        settings: ServeSettings,
        *,
        counted: Callable[[str, str], None] = lambda side, outcome: None,
        changed: Callable[[Trial | None], None] = lambda trial: None,
        noted: Callable[[Answer], None] = lambda answer: None,
        rule: CanaryRule | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry, self._latest, self._settings = registry, monitoring.latest_path, settings
        self._counted, self._changed, self._noted, self._now = counted, changed, noted, now
        self._rule = rule or CanaryRule()
        self._enabled = settings.a_b_testing or settings.canary_deployment
        self.following: Following[Opened] = Following(
            self._head, lambda: open_book(registry, "challenger"), every_s=settings.follow_seconds
        )
        self.following.on_look = self._looked
        self._since = ""
        self._read: tuple[tuple[int, int], int | None] = (0, 0), None  # the monitor's file, and whom it decided against
        self._lock = threading.Lock()
        self._canary, self._tried, self._back = Canary(), (0, ""), ""
        self._trial: Trial | None = None
        self._told: tuple[int, float] | None = None
        self._fault = ""
        self._beside: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        if self._enabled:
            self.following.start()

    def stop(self) -> None:
        self.following.stop()

    @property
    def trial(self) -> Trial | None:
        """What is tried at this moment; a request asks once."""
        return self._trial

    def book_of(self, style: str | None, champion: Any) -> Any:
        """The book that a style is shown from, the champion's for all styles together."""
        trial = self._trial
        if trial is None or style is None or trial.split.shown(style) == "champion":
            return champion
        return trial.book

    async def answer(self, trial: Trial | None, style: str | None, champion: Any, ask: Ask) -> Answer:
        """The answer of whoever answers for this style (None: for all); the champion's where the challenger fails.

        trial: of the moment that the request came. Raises Refused.
        """
        if trial is None or style is None or trial.book.number == champion.number:
            return await ask(champion, True)
        if trial.split.shown(style) == "challenger":
            return await self._challengers(trial, champion, ask)
        try:
            answer = await ask(champion, not trial.split.shadowed(style))
        except Exception as error:
            self._seen(trial, "champion", failed=not isinstance(error, Refused) or error.status_code >= 500)
            raise
        self._seen(trial, "champion", failed=False)
        if trial.split.shadowed(style):
            self._shadow(trial, ask)
        return answer

    def repeated(self, release: int, style: str | None) -> None:
        """A kept answer about a style was given again."""
        trial = self._trial
        if trial is not None and style is not None:
            self._seen(trial, "challenger" if release == trial.book.number else "champion", failed=False)

    async def _challengers(self, trial: Trial, champion: Any, ask: Ask) -> Answer:
        """Whatever is wrong with the challenger, the style has an answer."""
        try:
            answer = await ask(trial.book, True)
        except Refused as refused:
            log.info("release %d does not answer: %s", trial.book.number, refused)
        except Exception:
            log.exception("release %d does not answer", trial.book.number)
        else:
            self._seen(trial, "challenger", failed=False)
            return answer
        try:
            answer = await ask(champion, False)
        except Refused as refused:
            if refused.status_code >= 500:
                self._seen(trial, "challenger", failed=True)
            raise  # else the request is at fault, whoever answers
        self._seen(trial, "challenger", failed=True)
        return answer

    def _seen(self, trial: Trial, side: Side, *, failed: bool) -> None:
        self._counted(side, "failed" if failed else "answered")
        if not self._settings.canary_deployment:
            return
        with self._lock:
            if trial.book.number != self._tried[0] or self._back:
                return
            self._canary = self._canary.seen(side, failed=failed, share=self._canary.traffic(trial.split))
            if failed and (why := self._canary.goes_back(self._rule)):
                self._back = why  # written down by the thread that follows
                self._trial = None

    def _shadow(self, trial: Trial, ask: Ask) -> None:
        if len(self._beside) >= BESIDE:
            self._counted("shadow", "skipped")
            return
        task = asyncio.get_running_loop().create_task(self._asked_beside(trial, ask))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _asked_beside(self, trial: Trial, ask: Ask) -> None:
        try:
            self._noted(await ask(trial.book, False))
        except Exception:  # nobody waits for it
            log.exception("release %d does not answer in shadow", trial.book.number)
            self._counted("shadow", "failed")
            return
        self._counted("shadow", "answered")

    # ---- what is tried, by the thread that follows ------------------------------------------------------------------

    def _head(self) -> int | None:
        pointer = self._registry.pointers()["challenger"]
        self._since = "" if pointer is None else str(pointer["at"] or "")
        return None if pointer is None else int(pointer["release"])

    def _looked(self, standing: Standing, failed: bool) -> None:
        try:
            trial = self._of(standing)
        except (DemandError, OSError, ValueError) as error:
            if str(error) != self._fault:
                log.error("the challenger gets no style: %s", error)
            trial, self._fault = None, str(error)
        self._trial, before = trial, self._told
        self._told = None if trial is None else trial.name
        if self._told != before:
            log.info("no challenger answers" if trial is None else "release %d is tried on %.1f %% of the styles",
                     *(() if trial is None else (trial.book.number, 100 * trial.split.share)))  # fmt: skip
            self._changed(trial)

    def _of(self, standing: Standing) -> Trial | None:
        tried = (standing.head or 0, self._since)  # set anew, a challenger is judged anew
        with self._lock:
            if tried != self._tried:
                self._canary, self._tried, self._back = Canary(), tried, ""
            back, canary = self._back, self._canary
        if not self._enabled or not standing.ready or standing.serving is None:
            return None
        number = standing.serving
        if back:
            self._withdraw(number, back, canary)
            return None
        if self._decided_against() == number:
            return None
        split = Split(self._share(), f"release {number}", shadow=self._settings.challenger_shadow)
        return Trial(self.following.book(), split)

    def _share(self) -> float:
        settings = self._settings
        if not settings.canary_deployment:
            return settings.challenger_share
        since = datetime.fromisoformat(self._since) if self._since else self._now()
        hours = (self._now() - since).total_seconds() / 3600
        return grown(settings.canary_share, settings.challenger_share, hours, settings.canary_hours)

    def _withdraw(self, number: int, why: str, canary: Canary) -> None:
        """The alias goes, for every replica and for good; the log of the registry says why."""
        counts = {name: {"requests": one.requests, "errors": one.errors}
                  for name, one in (("champion", canary.champion), ("challenger", canary.challenger))}  # fmt: skip
        facts = {"automatic": True, "by": "canary", "reason": why, "evidence": canary.evidence, **counts}
        if self._registry.withdraw(number, facts):
            log.error("the canary went back: release %d is no challenger any more: %s", number, why)
            self._counted("challenger", "withdrawn")

    def _decided_against(self) -> int | None:
        """The challenger that the stop rule has decided against, by the monitor's last look."""
        if not self._latest.is_file():
            return None
        found = self._latest.stat()
        if (found.st_mtime_ns, found.st_size) != self._read[0]:
            trial = read_json(self._latest).get("trial") or {}
            against = trial.get("challenger") if trial.get("outcome") == KEEP else None
            self._read = (found.st_mtime_ns, found.st_size), against
        return self._read[1]
