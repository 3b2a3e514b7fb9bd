"""The sections of the settings tree that belong to no other room."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT
from models.buckets import parsed
from models.registry import ALIASES


def _as_whole(value: object) -> object:
    """YAML reads 1e7 as a float; a whole one is meant as a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# A number is a number: "5" and true are refused where pydantic would convert them.
Whole = Annotated[int, BeforeValidator(_as_whole), Field(strict=True, ge=1)]
Count = Annotated[int, BeforeValidator(_as_whole), Field(strict=True, ge=0)]
Seconds = Annotated[float, Field(strict=True, gt=0)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
Target = Annotated[float, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]


def _auto_or_whole(value: object) -> object:
    value = _as_whole(value)
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("must be auto or a whole number of at least 1")


def _number_or_alias(value: object) -> object:
    value = _as_whole(value)
    if value in ALIASES or (type(value) is int and value >= 1):
        return value
    raise ValueError(f"must be the number of a release, or {', '.join(ALIASES)}")


# One check of both: a union would tell of its insides.
AutoOrWhole = Annotated[Literal["auto"] | int, PlainValidator(_auto_or_whole)]
WhichRelease = Annotated[str | int, PlainValidator(_number_or_alias)]
Metric = Literal["wape", "mape", "mase", "rmsse", "rmse", "mae", "r2"]


@dataclass(frozen=True, config=STRICT)
class FoldSettings:
    """Which past origins are scored.

    n: origins scored. step: periods between them (None = the horizon). inner: earlier origins that only feed weights
    and intervals. gap: periods between the inner windows and the scored ones. test_size: periods scored at each origin
    (None = the horizon). mode: holdout is one origin, the newest `test_split` share of the history (backtests only).
    blanks: how blank cells are filled inside a history (None = as `cleaning.handle_missing_data` says; filled in when
    settings load).
    """

    n: Whole = 5
    step: Whole | None = None
    inner: Count = 2
    test_size: Whole | None = None
    mode: Literal["rolling", "holdout"] = "rolling"
    gap: Count = 0
    blanks: Literal["interpolate", "forward_fill"] | None = None

    def __post_init__(self) -> None:
        if self.mode == "holdout" and self.n != 1:
            raise SettingsError("a holdout has one origin", key="folds.n", found=self.n, expected=1)


@dataclass(frozen=True, config=STRICT)
class SelectionSettings:
    """How the served model is chosen; auto_model_selection false: the configured model serves every style."""

    auto_model_selection: Flag = True
    model_selection_metric: Metric = "wape"


@dataclass(frozen=True, config=STRICT)
class GateSettings:
    """Whether a model below its accuracy threshold, or one that is not stable, may still be promoted.

    unstable_over: a model is unstable when the standard deviation of its WAPE over the scored origins is more than this
    share of their mean. unstable: whether one that is may still be promoted.
    """

    below_threshold: Literal["warn", "block"] = "warn"
    unstable_over: Annotated[float, Field(strict=True, gt=0)] = 0.5
    unstable: Literal["warn", "block"] = "warn"


@dataclass(frozen=True, config=STRICT)
class ClusterSettings:
    """Which Ray: address None = embedded in this process, auto = the one this machine belongs to, or host:port.

    pooled_cpus: CPUs (and numeric threads) of one pooled fit; part of the plan, so that results do not depend on how
    many CPUs happen to be free. connect_timeout_s: how long an address may be silent. start_timeout_s: how long no
    worker may start, or no node have the CPUs a task asks for, before the job gives up (it can be resumed).
    """

    address: str | None = None
    num_cpus: AutoOrWhole = "auto"
    pooled_cpus: Whole = 1
    dashboard: Flag = False
    namespace: str = "loomcast"
    connect_timeout_s: Seconds = 10.0
    start_timeout_s: Seconds = 600.0
    object_store_mb: Annotated[int, Field(strict=True, ge=100)] | None = None


@dataclass(frozen=True, config=STRICT)
class StorageSettings:
    """Where runs and releases are written; both registries are folders under the root.

    registry_url: s3://bucket/prefix, where releases live instead of `model_registry` (None = in that folder). cache:
    where copies of an object store's releases are kept (None = the folder cache under the root).
    """

    root: str = "storage"
    model_registry: str = "registry"
    training_registry: str = "runs"
    registry_url: str | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        if not self.root.strip():
            raise SettingsError("must name a folder", key="storage.root", found=self.root)
        if self.cache is not None and (not self.cache.strip() or "://" in self.cache):
            raise SettingsError("must name a folder", key="storage.cache", found=self.cache)
        if self.registry_url is not None:
            parsed(self.registry_url)
        for name in ("model_registry", "training_registry"):
            parts = getattr(self, name).replace("\\", "/").split("/")
            if any(part in ("", ".", "..", "~") for part in parts):
                raise SettingsError("must be a folder under storage.root", key=f"storage.{name}", found="/".join(parts))
        releases, runs = (f"{name.replace(chr(92), '/')}/" for name in (self.model_registry, self.training_registry))
        if releases.startswith(runs) or runs.startswith(releases):
            raise SettingsError(
                "runs and releases need folders of their own, neither inside the other",
                key="storage.training_registry", found=self.training_registry,
                model_registry=self.model_registry,
            )  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class OutputSettings:
    """forecasts: a path they are copied to, beside the run folder (None = nowhere else)."""

    forecasts: str | None = None


@dataclass(frozen=True, config=STRICT)
class ExportSettings:
    """earlier_names: also write the files under the names they had before loomcast."""

    earlier_names: Flag = False


@dataclass(frozen=True, config=STRICT)
class Benchmark:
    """A target shown beside measured values, never a gate. mape: fraction; rmse: unit sold; training_time: seconds."""

    mape: Target
    rmse: Target
    training_time: Target


@dataclass(frozen=True, config=STRICT)
class MonitoringSettings:
    """What `jobs.monitor` measures after a release, and when it alarms.

    track_performance: matured accuracy over the newest `performance_window_days`. alert_on_degradation: alarms when
    matured WAPE is more than `degradation_threshold` (relative) above the release's backtest and the rise is beyond
    chance. false_alarm: the chance of an alarm where nothing changed, of the degradation and of the drift as a whole.
    min_cells, min_days: what must have matured before accuracy is judged. alert_on_drift, drift_psi, drift_ratio,
    drift_share: see `evaluation.drift.DriftLimits`. new_data_share: new cells since the origin over those the release
    knew (None = never alarms). stale_after_days: age of the newest data (None = never alarms). trial_*: the stop rule
    of champion against challenger. fail_on_alert: exit code 1 when there is an alert.
    """

    track_performance: Flag = True
    performance_window_days: Whole = 30
    alert_on_degradation: Flag = True
    degradation_threshold: Annotated[float, Field(strict=True, gt=0)] = 0.1
    false_alarm: Share = 0.01
    min_cells: Whole = 100
    min_days: Whole = 7
    alert_on_drift: Flag = True
    drift_psi: Annotated[float, Field(strict=True, gt=0)] = 0.25
    drift_ratio: Annotated[float, Field(strict=True, gt=1)] = 1.5
    drift_share: Share = 0.15
    new_data_share: Annotated[float, Field(strict=True, gt=0)] | None = 0.1
    stale_after_days: Whole | None = 7
    trial_level: Share = 0.05
    trial_min_days: Whole = 14
    trial_max_days: Whole = 90
    fail_on_alert: Flag = False


@dataclass(frozen=True, config=STRICT)
class ReleaseSettings:
    """How many releases are kept, and what happens when a promoted one fails its health check."""

    model_versioning: Flag = True
    rollback_on_failure: Flag = True


@dataclass(frozen=True, config=STRICT)
class ReportSettings:
    """Optional parts of the report."""

    seasonal_decomposition: Flag = True
    trend_analysis: Flag = True
