"""Counters for Prometheus. No label holds a style, a client or an address: their number stays small."""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # a folder that all replicas of a machine count in
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OTHER = "other"  # requests that no route answers


class Telemetry:
    """What a replica counts. Replicas of one machine share their counts where `SHARED` names a folder."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._own = own = CollectorRegistry()
        self.requests = Counter(
            "loomcast_requests", "Answers by route, method and status", ("route", "method", "status"), registry=own
        )
        self.seconds = Histogram(
            "loomcast_request_seconds", "Time to answer", ("route",), buckets=SECONDS, registry=own
        )
        self.refused = Counter("loomcast_refused", "Requests turned away, by limit", ("limit",), registry=own)
        self.cache = Counter("loomcast_cache", "Answers by how they were had", ("outcome",), registry=own)
        self.cache_bytes = Gauge(
            "loomcast_cache_bytes", "Bytes of answers kept", registry=own, multiprocess_mode="livesum"
        )
        self.swaps = Counter("loomcast_release_swaps", "Times another release came to answer", registry=own)
        self.unreadable = Counter("loomcast_release_failures", "Looks that found an unreadable champion", registry=own)
        self.serving = Gauge(
            "loomcast_release_serving",
            "Number of the release that answers",
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self.head = Gauge(
            "loomcast_release_champion", "Number of the champion", registry=own, multiprocess_mode="livemostrecent"
        )
        self.ready = Gauge(
            "loomcast_ready", "1 when the champion itself answers", registry=own, multiprocess_mode="livemin"
        )
        self.trial = Counter(
            "loomcast_trial_answers", "Answers about styles while a challenger is tried", ("side", "outcome"),
            registry=own,
        )  # fmt: skip
        self.share = Gauge(
            "loomcast_challenger_share", "Share of the styles that the challenger answers or shadows",
            registry=own, multiprocess_mode="livemostrecent",
        )  # fmt: skip
        self.logged = Counter("loomcast_predictions_logged", "Answers noted in the prediction log", registry=own)

    def text(self) -> bytes:
        """All counts in Prometheus' text form, over all replicas that share them."""
        if SHARED not in os.environ:
            return generate_latest(self._own)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


class ModelsTelemetry:
    """What the process counts that computes forecasts on demand; the replicas show it with theirs, see `SHARED`."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.release = Gauge(
            "loomcast_models_release", "Release whose models compute forecasts on demand; 0: none", registry=own,
            multiprocess_mode="livemostrecent",
        )  # fmt: skip
