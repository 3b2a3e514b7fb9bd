"""The release that answers: the champion's, opened and verified aside, put in place in one step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from demand.errors import DemandError
from serve_app.problems import NoData, Refused, public

log = logging.getLogger(__name__)
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
NEXT_STEP = "Make one with python -m jobs.pipeline, or make run for a demo with made data"


class Opened(Protocol):
    """A release that was opened: its number and what names its bytes."""

    @property
    def number(self) -> int: ...

    @property
    def etag(self) -> str: ...


B = TypeVar("B", bound=Opened)


@dataclass(frozen=True)
class Standing:
    """What answers now and what should. head: the champion's number, None when nothing was promoted (or it cannot be
    read); problem: why `book` is not the head's, "" when it is; damage: the same for clients, without places of the
    machine, "" unless something that is there cannot be read."""

    serving: int | None
    head: int | None
    problem: str
    damage: str = ""

    @property
    def ready(self) -> bool:
        """Whether the champion itself answers."""
        return self.serving is not None and self.serving == self.head


class Following(Generic[B]):
    """Keeps `book` at the champion's release.

    head: the champion's number, None when there is none. open_head: opens and verifies the champion. A release that
    cannot be opened, whatever the error, leaves the one before in place, is logged and counted, and is tried again,
    less and less often.
    """

    def __init__(
        self,
        head: Callable[[], int | None],
        open_head: Callable[[], B],
        *,
        every_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._head, self._open_head, self._every_s = head, open_head, every_s
        self._clock = clock
        self.on_swap: Callable[[B], None] = lambda book: None  # another release answers from now on
        self.on_look: Callable[[Standing, bool], None] = lambda standing, failed: None
        self._book: B | None = None
        self._standing = Standing(None, None, NEXT_STEP)
        self._failed: tuple[int | None, float, float] = (None, 0.0, FIRST_RETRY_S)  # head, not before, wait
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def standing(self) -> Standing:
        """What answers and what should, as of the last look."""
        return self._standing

    def book(self) -> B:
        """The book of this moment; a request asks once and uses it to its end. Raises Refused (503) when there is none:
        NoData when nothing was released, an error when what was released cannot be read."""
        book = self._book
        if book is None:
            damage = self._standing.damage
            raise Refused(503, "release_unreadable", damage, retry_after=5) if damage else NoData(NEXT_STEP)
        return book

    def look(self) -> None:
        """One look at the champion: opens it when another one answers now. A bad release is noted, never raised."""
        with self._looking:
            head: int | None = None
            try:
                head = self._head()
                if head is None:
                    self._stand(head, "" if self._book is None else "nothing is promoted any more")
                    return
                if self._book is not None and self._book.number == head:
                    self._stand(head, "")
                    return
                failed, not_before, _ = self._failed
                if failed == head and self._clock() < not_before:
                    return
                book = self._open_head()
            except (DemandError, OSError, ValueError) as error:
                self._fail(head, error)
                return
            except Exception as error:  # what nobody foresaw: stored answers go on beside a release that breaks
                if self._fail(head, error):
                    log.error("nobody foresaw this", exc_info=error)
                return
            self._book = book
            self._failed = (None, 0.0, FIRST_RETRY_S)
            self._stand(head, "" if book.number == head else "the champion moved meanwhile")
            log.info("release %d answers now", book.number)
            self.on_swap(book)

    def start(self) -> None:
        """Looks now, and from then on every `every_s` seconds in a thread of its own."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def alive(self) -> bool:
        """Whether the thread still looks."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def lost(self) -> bool:
        """Whether a thread that looked does so no more."""
        return self._thread is not None and not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.look()
            except Exception as error:  # a fault of ours: the thread lives on, and readiness tells of it
                if self._fail(None, error):
                    log.error("the look at the champion failed", exc_info=error)

    def _stand(self, head: int | None, problem: str, damage: str = "") -> None:
        if head is None and self._book is None and not damage:
            problem = NEXT_STEP
        self._standing = Standing(None if self._book is None else self._book.number, head, problem, damage)
        self.on_look(self._standing, bool(damage))

    def _fail(self, head: int | None, error: Exception) -> bool:
        """Notes a failure and when to try again; whether it is another one than before."""
        failed, not_before, wait = self._failed
        wait = min(2 * wait, LAST_RETRY_S) if failed == head and not_before else FIRST_RETRY_S
        self._failed = (head, self._clock() + wait, wait)
        what = "the registry cannot be read" if head is None else f"release {head} cannot be opened"
        why = f"{what}: {error if isinstance(error, DemandError) else repr(error)}"
        new = why != self._standing.problem
        if new:
            log.error("%s; what answered before goes on", why)
        said = public(error) if isinstance(error, DemandError) else f"{type(error).__name__}; the log tells more"
        self._stand(head, why, f"{what}: {said}")
        return new
