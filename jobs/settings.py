"""The typed settings tree: what a job may be told, checked once, frozen, plain Python from here on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, field, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from demand.calendar import Calendar
from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.company.settings import CompanySettings
from demand.errors import SettingsError
from demand.masking import masked
from demand.moments import stamp
from demand.settings import STRICT, build, refuse_unknown
from demand.sources import SourceSettings
from evaluation.hierarchy import HierarchySettings
from features.settings import FeatureSettings
from features.yarn_settings import SubstitutionSettings
from jobs.budget import seconds_of
from jobs.due import ScheduleSettings
from jobs.keys import GLOBAL_KEYS, value_at
from jobs.sections import (
    AutoOrWhole,
    Benchmark,
    ClusterSettings,
    Count,
    ExportSettings,
    Flag,
    FoldSettings,
    GateSettings,
    MonitoringSettings,
    OutputSettings,
    ReleaseSettings,
    ReportSettings,
    Seconds,
    SelectionSettings,
    Share,
    StorageSettings,
    WhichRelease,
    Whole,
)
from jobs.tuning_settings import TuningSettings
from models.catalog import BASELINES, CLOSED_LIST, LEARNED, TRAINABLE
from models.config import ModelConfig
from models.decision_release import KINDS as DECISIONS
from models.ensemble import EnsembleSettings
from models.inventory.settings import InventorySettings
from models.siblings import NewbornSettings
from models.tabular.settings import FineTuneSettings
from serve_app.settings import ServeSettings

__all__ = ["ClusterSettings", "FoldSettings", "Settings", "as_config_json", "as_plain", "chosen_models", "config_hash",
           "horizon_periods", "scored_periods", "season_periods", "spec_levels"]  # fmt: skip

# A run id such as 20250902 arrives from YAML as a number.
Name = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(min_length=1)]
DEFAULT_FOLDS = 5


def _names(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


# Where, when and how loudly a run happens changes no number in it: resuming may change these.
_NOT_IN_HASH = ("storage", "cluster", "output", "serve", "parallel_training", "max_parallel_jobs", "run_id", "resume",
                "force", "max_seconds", "plot", "validate", "log_level", "progress", "show", "due_on", "release",
                "reason", "promoted_model", "styles", "name", "role", "days", "revoke", "due", "job", "once", "dry",
                "until", "finetune", "alias", "yarn", "top", "inventory", "decisions",
                "tuned", "budget")  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class Settings:
    """Everything one job was told; YAML keys are these attribute paths.

    models: kind -> its 13 fields, baselines first. only: the kinds asked for (None = all that are enabled).
    freq: the panel's calendar ("auto" = from the data). season, horizon: periods (None = the calendar's season;
    `default_forecast_horizon` days). levels: quantile levels (None = from `confidence_level`). local_cpu_seconds: CPU
    budget planned for each local model. batch_seconds: planned length of one task. max_seconds: wall time of the run.
    tuned: runs of `jobs.tune` and `jobs.automl` whose accepted parameters are used; see `jobs.tuned`. budget: wall
    seconds that `jobs.automl` may take, also said as 90s, 10m or 1h.
    """

    source: SourceSettings
    columns: ColumnSettings
    cleaning: CleaningSettings
    features: FeatureSettings
    models: dict[str, ModelConfig]
    company: CompanySettings = field(default_factory=CompanySettings)
    substitution: SubstitutionSettings = field(default_factory=SubstitutionSettings)
    inventory: InventorySettings = field(default_factory=InventorySettings)
    folds: FoldSettings = field(default_factory=FoldSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    hierarchy: HierarchySettings = field(default_factory=HierarchySettings)
    newborns: NewbornSettings = field(default_factory=NewbornSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    tuning: TuningSettings = field(default_factory=TuningSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    releases: ReleaseSettings = field(default_factory=ReleaseSettings)
    finetune: FineTuneSettings = field(default_factory=FineTuneSettings)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    freq: str = "auto"
    season: Whole | None = None
    horizon: Whole | None = None
    levels: tuple[Share, ...] | None = None
    default_forecast_horizon: Whole = 90
    confidence_intervals: Flag = True
    confidence_level: Share = 0.95
    cross_validation_folds: Whole = DEFAULT_FOLDS
    only: tuple[str, ...] | None = None
    force: Flag = False
    enable_ml: Flag = True
    parallel_training: Flag = True
    max_parallel_jobs: AutoOrWhole = "auto"
    min_training_samples: Whole = 100
    max_training_samples: Whole = 10_000_000
    run_id: Name | None = None
    resume: Name | None = None
    seed: Count = 42
    max_seconds: Seconds | None = None
    local_cpu_seconds: Seconds = 300.0
    batch_seconds: Seconds = 4.0
    plot: Flag = False
    validate: Flag = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    progress: Literal["auto"] | Flag = "auto"
    show: str | None = None
    due_on: date | None = None
    release: WhichRelease | None = None
    reason: Name | None = None
    name: Name | None = None
    role: Literal["read", "operate", "admin"] | None = None
    days: Annotated[float, Field(gt=0, le=3660)] = 90.0
    revoke: Name | None = None
    due: tuple[str, ...] | None = None
    job: Name | None = None
    once: Flag = False
    dry: Flag = False
    until: date | None = None
    promoted_model: str | None = None
    styles: tuple[Name, ...] | None = None
    alias: Literal["champion", "challenger"] = "champion"
    yarn: Name | None = None
    decisions: Flag = False
    top: Whole = 10
    tuned: Annotated[tuple[Name, ...], BeforeValidator(_names)] | None = None
    budget: Annotated[float | None, BeforeValidator(seconds_of)] = None

    def __post_init__(self) -> None:
        if self.freq != "auto":
            object.__setattr__(self, "freq", Calendar(self.freq).freq)
        if self.cross_validation_folds not in (DEFAULT_FOLDS, self.folds.n):
            raise SettingsError(
                "folds.n and cross_validation_folds disagree", cross_validation_folds=self.cross_validation_folds,
                n=self.folds.n, mode=self.folds.mode, hint="Set one of them; a holdout has one origin",
            )  # fmt: skip
        object.__setattr__(self, "cross_validation_folds", self.folds.n)
        if self.folds.blanks is None:
            forward = self.cleaning.handle_missing_data == "forward_fill"
            folds = replace(self.folds, blanks="forward_fill" if forward else "interpolate")
            object.__setattr__(self, "folds", folds)
        if self.run_id and self.resume:
            raise SettingsError("a run is new or resumed, not both", run_id=self.run_id, resume=self.resume)
        if self.min_training_samples > self.max_training_samples:
            raise SettingsError(
                "min_training_samples is above max_training_samples",
                min_training_samples=self.min_training_samples, max_training_samples=self.max_training_samples,
            )  # fmt: skip
        if self.due is not None:
            refuse_unknown(self.due, TRAINABLE, "due")
        if self.show is not None:
            refuse_unknown([self.show], self.models, "show")
        if self.promoted_model is not None:
            refuse_unknown([self.promoted_model], self.models, "model")
        spec_levels(self)
        chosen_models(self)

    @property
    def ensemble(self) -> EnsembleSettings:
        """The ensemble's own settings. Raises SettingsError when the model `ensemble` is not configured."""
        if "ensemble" not in self.models:
            raise SettingsError("the ensemble is not configured", key="models.ensemble", known=", ".join(self.models))
        return EnsembleSettings.from_config(self.models["ensemble"])

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The tree from plain containers. Raises SettingsError; several faults are gathered in its fact `faults`."""
        hints = get_type_hints(cls, include_extras=True)
        refuse_unknown(values, [f.name for f in fields(cls)], "")
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        missing = [name for name in missing if name not in values]
        if missing:
            raise SettingsError("sections are missing", missing=missing)
        built: dict[str, Any] = {}
        faults: list[SettingsError] = []
        for name, value in values.items():
            try:
                built[name] = _section(hints[name], name, value)
            except SettingsError as error:
                faults.append(error)
        if not faults:
            try:
                settings = build(cls, built, "")
            except SettingsError as error:
                faults.append(error)
        raise_all(faults)
        return settings


def raise_all(faults: list[SettingsError]) -> None:
    """Raises the one fault as it is, several as one SettingsError; nothing when there is none."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise SettingsError("several settings are not valid", count=len(faults), faults=[str(one) for one in faults])


def spec_levels(settings: Settings) -> tuple[float, ...]:
    """The quantile levels to forecast: `levels`, else .1, .5, .9 and both bounds of `confidence_level`.

    Only the median when `confidence_intervals` is false.
    """
    if settings.levels is not None:
        if not settings.confidence_intervals:
            raise SettingsError("levels cannot act while confidence_intervals is false", levels=settings.levels)
        if 0.5 not in settings.levels:
            raise SettingsError("levels must hold the median 0.5", key="levels", found=settings.levels)
        return tuple(sorted(set(settings.levels)))
    if not settings.confidence_intervals:
        return (0.5,)
    outside = round((1 - settings.confidence_level) / 2, 6)
    return tuple(sorted({0.1, 0.5, 0.9, outside, round(1 - outside, 6)}))


def season_periods(settings: Settings, calendar: Calendar) -> int:
    """Periods in a season: as configured, else the calendar's."""
    return settings.season or calendar.season


def horizon_periods(settings: Settings, calendar: Calendar) -> int:
    """Periods of a live forecast: as configured, else `default_forecast_horizon` days in whole periods."""
    return settings.horizon or calendar.periods_in(settings.default_forecast_horizon)


def scored_periods(settings: Settings, calendar: Calendar, longest: int) -> int:
    """Periods scored at each past origin: `folds.test_size`, else the horizon of the live forecast.

    In a holdout without `test_size`: the models' `test_split` share of the longest history (`longest` periods). Raises
    SettingsError when the models that run name different shares: all are scored on the same window.
    """
    if settings.folds.test_size or settings.folds.mode == "rolling":
        return settings.folds.test_size or horizon_periods(settings, calendar)
    shares = {kind: settings.models[kind].test_split for kind in chosen_models(settings)}
    if len(set(shares.values())) > 1:
        raise SettingsError(
            "in a holdout all models are scored on the same window, so their test_split must be the same",
            test_split=[f"models.{kind}: {share:g}" for kind, share in shares.items()],
            hint="Set the same test_split for each, or folds.test_size",
        )  # fmt: skip
    return max(1, round(next(iter(shares.values())) * longest))


def chosen_models(settings: Settings) -> tuple[str, ...]:
    """The kinds that run, in the catalog's order, `ensemble` last when it is among them.

    Enabled baselines always run: they are the yardstick. `only` chooses among the other models; asking for the ensemble
    brings its enabled members. Without `only`: every enabled model that can be trained. enable_ml false: baselines
    alone. Models that do not forecast are never among them, see `chosen_decisions`. Raises SettingsError when `only`
    names a model that is unknown or disabled.
    """
    enabled = [kind for kind, config in settings.models.items() if config.enabled]
    baselines = [kind for kind in BASELINES if kind in enabled]
    learned = [kind for kind in (*LEARNED, "ensemble") if kind in enabled]
    if settings.only is not None:
        if not settings.only:
            raise SettingsError(
                "no model is asked for", key="only", found="[]", hint="Leave it out for all enabled models"
            )
        refuse_unknown(settings.only, settings.models, "only")
        for kind in settings.only:
            if kind not in enabled:
                raise SettingsError("a disabled model is asked for", only=kind, hint=f"Set models.{kind}.enabled=true")
            if kind not in BASELINES and not settings.enable_ml:
                raise SettingsError("only baselines run while enable_ml is false", only=kind)
        asked = set(settings.only)
        if "ensemble" in asked:
            asked.update(settings.ensemble.members)
        learned = [kind for kind in learned if kind in asked]
    return (*baselines, *learned) if settings.enable_ml else tuple(baselines)


def chosen_decisions(settings: Settings) -> tuple[str, ...]:
    """The models that do not forecast and may train: those that `only` names, without it all that are enabled."""
    if not settings.enable_ml:
        return ()
    able = [kind for kind in DECISIONS if kind in settings.models and settings.models[kind].enabled]
    return tuple(kind for kind in able if settings.only is None or kind in settings.only)


def as_plain(settings: Settings) -> dict[str, Any]:
    """The whole tree as JSON-ready containers, defaults included; passwords in addresses are masked."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    masked: dict[str, Any] = mask(plain)
    return masked


def mask(value: Any) -> Any:
    """The same containers with *** for passwords in every text, see `demand.masking`."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {key: mask(item) for key, item in value.items()}
    return [mask(item) for item in value] if isinstance(value, list | tuple) else value


def config_hash(settings: Settings) -> str:
    """sha256 (hex) of everything that can change a number in a run; the same for a run and its resumption."""
    # As it is stored, with passwords masked: a resumed run finds the same hash.
    chosen = {name: value for name, value in as_plain(settings).items() if name not in _NOT_IN_HASH}
    chosen["pooled_cpus"] = settings.cluster.pooled_cpus  # threads of a pooled fit can move its last digits
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def as_config_json(settings: Settings, now: datetime | None = None) -> dict[str, Any]:
    """The content of config.json: {global: 43 keys, models: {kind: 13 fields}, schedule, benchmarks, updated_at}."""
    plain = as_plain(settings)
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return {
        "global": mask({name: value_at(settings, key.path) for name, key in GLOBAL_KEYS.items()}),
        "models": plain["models"],
        "schedule": {name: list(models) for name, models in settings.schedule.cadences.items()},
        "benchmarks": plain["benchmarks"],
        "updated_at": stamp(moment),
    }


def _section(kind: Any, name: str, value: Any) -> Any:
    """One top-level field, typed."""
    if name in ("models", "benchmarks"):
        one, known = (ModelConfig, [*BASELINES, *TRAINABLE]) if name == "models" else (Benchmark, CLOSED_LIST)
        refuse_unknown(_mapping(value, name), known, name)
        return {key: _checked(one, item, f"{name}.{key}") for key, item in _mapping(value, name).items()}
    if is_dataclass(kind):
        return _checked(kind, value, name)  # type: ignore[arg-type]
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        raise SettingsError(f"{name}: {fault['msg']}", found=value) from None


def _checked(kind: type[Any], value: Any, where: str) -> Any:
    built = build(kind, _mapping(value, where), where)
    _refuse_converted(value, asdict(built), where)
    return built


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where} is a section of keys", found=value)
    return value


def _refuse_converted(given: Any, built: Any, where: str) -> None:
    """Raises SettingsError where a text became a number or a number a truth value: that is a mistake, not a setting."""
    if isinstance(given, Mapping) and isinstance(built, Mapping):
        for key in given.keys() & built.keys():
            _refuse_converted(given[key], built[key], f"{where}.{key}")
    elif isinstance(given, list) and isinstance(built, list | tuple):
        for item, typed in zip(given, built, strict=False):
            _refuse_converted(item, typed, where)
    elif isinstance(built, bool | int | float) and (
        isinstance(given, str) or isinstance(given, bool) is not isinstance(built, bool)
    ):
        raise SettingsError(f"{where}: the wrong type", found=given, expected=type(built).__name__)
