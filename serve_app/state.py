"""What one process of the service holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.monitoring_folder import MonitoringFolder
from models.registry import Registry, registry_at
from serve_app.auth import Access
from serve_app.cache import Cache
from serve_app.following import Following, Opened, Standing
from serve_app.opened import Releases, open_book
from serve_app.prediction_log import PredictionLog
from serve_app.settings import ServeSettings
from serve_app.telemetry import Telemetry
from serve_app.trying import Trial, Trying


@dataclass(frozen=True)
class Config:
    """All that a replica needs to be told; plain values, so that it can be sent to another process.

    storage_root: as the jobs see it. registry: the folder of the releases below it, or their address on an object
    store. arguments: what `python -m jobs.NAME` must be told to use the same settings. plain: the whole settings tree,
    JSON-ready. cache: where copies of an object store's releases are kept ("" = the folder cache below storage_root).
    """

    serve: ServeSettings
    storage_root: str
    registry: str
    arguments: tuple[str, ...] = ()
    plain: Mapping[str, Any] = field(default_factory=dict)
    cache: str = ""

    def open_registry(self) -> Registry:
        """The registry that the jobs write."""
        return registry_at(*self.registry_place)

    @property
    def registry_place(self) -> tuple[str, Path]:
        """What `models.registry.registry_at` takes."""
        root = Path(self.storage_root)
        place = self.registry if "://" in self.registry else str(root / self.registry)
        return place, Path(self.cache) if self.cache else root / "cache"


class State:
    """The process's own: settings, registry, the release that answers, who may call, counters.

    Made with `State.open`; `close` stops its thread.
    """

    def __init__(self, config: Config, following: Following[Any] | None = None) -> None:
        self.config = config
        self.settings = config.serve
        self.storage_root = Path(config.storage_root)
        self.registry = config.open_registry()
        self.releases = Releases(self.registry, MonitoringFolder.under(self.storage_root))
        self.access = Access(config.serve, self.storage_root)
        self.telemetry = count = Telemetry()
        self.cache = Cache(
            config.serve.cache_mb * 2**20, config.serve.cache_ttl_hours * 3600, enabled=config.serve.cache_predictions,
            outcome=lambda how: count.cache.labels(how).inc(),
        )  # fmt: skip
        self.predictions = PredictionLog(
            self.storage_root, enabled=config.serve.log_predictions, logged=count.logged.inc
        )
        self.following = following or Following(
            lambda: self.registry.alias("champion"), lambda: open_book(self.registry, "champion"),
            every_s=config.serve.follow_seconds,
        )  # fmt: skip
        self.following.on_swap, self.following.on_look = self._swapped, self._looked
        self.trying = Trying(
            self.registry, self.releases.monitoring, config.serve, changed=self._another_trial,
            counted=lambda side, outcome: count.trial.labels(side, outcome).inc(),
            noted=lambda answer: self.predictions.note(answer.what, answer.digest),
        )  # fmt: skip

    @classmethod
    def open(cls, config: Config) -> State:
        """Ready to answer, and following the champion."""
        state = cls(config)
        state.following.start()
        state.trying.start()
        state.predictions.start()
        return state

    def close(self) -> None:
        self.following.stop()
        self.trying.stop()
        self.predictions.stop()

    def _swapped(self, book: Opened) -> None:
        """No answer outlives its release."""
        self.cache.clear()
        self.telemetry.swaps.inc()

    def _another_trial(self, trial: Trial | None) -> None:
        """A style may be another release's from now on."""
        self.cache.clear()
        self.telemetry.share.set(0 if trial is None else trial.split.share)

    def _looked(self, standing: Standing, failed: bool) -> None:
        count = self.telemetry
        count.serving.set(standing.serving or 0)
        count.head.set(standing.head or 0)
        count.ready.set(standing.ready)
        count.cache_bytes.set(self.cache.bytes)
        if failed:
            count.unreadable.inc()

    def book(self) -> Any:
        """The book that answers at this moment: ask once a request. Raises NoData (503) when nothing is released."""
        return self.following.book()

    @property
    def standing(self) -> Standing:
        """Which release answers, and whether it is the champion."""
        return self.following.standing
