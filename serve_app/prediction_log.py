"""What was answered: one line a release, style and horizon, for those who later ask what the screens showed."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demand.durable import append_whole
from demand.moments import stamp

log = logging.getLogger(__name__)
FOLDER = "predictions"
KEPT_DAYS = 90
FLEET = "fleet"  # the scope of an answer over all styles
FIELDS = ("release", "route", "scope", "model", "horizon", "hash")


class PredictionLog:
    """`<storage.root>/predictions/<day>.jsonl`: {at, release, route, scope, model, horizon, hash, count} a line.

    scope is a style, `fleet`, or `history` of a forecast whose history came with its request. hash names the bytes of
    the answer. Nothing is kept about who asked. Lines are gathered for `every_s` seconds, equal ones as one with a
    count, and written by a thread; files older than 90 days go.
    """

    def __init__(
        self,
        root: Path,
        *,
        enabled: bool = True,
        every_s: float = 1.0,
        logged: Callable[[int], None] = lambda count: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._enabled, self._every_s, self._logged, self._now = (
            root / FOLDER,
            enabled,
            every_s,
            logged,
            now,
        )
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, what: tuple[Any, ...] | None, digest: str) -> None:
        """One answer: what = (release, route, scope, model, horizon)."""
        if self._enabled and what is not None:
            with self._lock:
                self._seen[(*what, digest)] += 1

    def start(self) -> None:
        if self._enabled:
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Writes what is left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self.flush()

    def flush(self) -> None:
        """Writes what was gathered, in one append; what cannot be written is gathered again and logged."""
        with self._lock:
            seen, self._seen = self._seen, Counter()
        if not seen:
            return
        now = self._now()
        at = stamp(now)
        rows = ({"at": at, **dict(zip(FIELDS, what, strict=True)), "count": n} for what, n in seen.items())
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        path = self._folder / f"{now:%Y-%m-%d}.jsonl"
        try:
            if not path.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._remove_old(now)
            append_whole(path, lines.encode())
        except OSError as error:
            log.error("the prediction log cannot be written: %s", error)
            with self._lock:
                if len(self._seen) < 10_000:  # a full disk must not fill the memory too
                    self._seen.update(seen)
            return
        self._logged(sum(seen.values()))

    def _remove_old(self, now: datetime) -> None:
        oldest = f"{now - timedelta(days=KEPT_DAYS):%Y-%m-%d}"
        for path in self._folder.glob("????-??-??.jsonl"):
            if path.stem < oldest:
                path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.flush()
