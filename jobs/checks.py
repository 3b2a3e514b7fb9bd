"""What can only be checked across rooms: recipes, features, values that cannot act; and what deserves a warning."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import fields

from demand.cleaning import CleaningSettings
from demand.errors import SettingsError
from demand.masking import masked
from demand.sources import DATABASE_SCHEMES, SourceSettings
from features.calendar import holidays_of
from features.settings import FeatureSettings
from jobs.settings import FoldSettings, Settings, raise_all
from models import yarn_substitution
from models.catalog import MODELS, recipe_class
from models.config import ModelConfig
from models.ensemble import EnsembleSettings
from models.inventory import surrogate

log = logging.getLogger(__name__)
TARGET = "demand"
# Fixed by the kind: another word here would be believed and not obeyed.
_FIXED = {
    "arima": ("timeseries", "arima"),
    "prophet": ("timeseries", "prophet"),
    "lstm": ("timeseries", "lstm"),
    "xgboost": ("regression", "xgboost"),
    "tide": ("timeseries", "tide"),
    "ensemble": ("ensemble", "voting"),
    "yarn_substitution": ("classification", "random_forest"),
    "inventory_optimization": ("regression", "gradient_boosting"),
}


def check(settings: Settings) -> None:
    """Raises SettingsError for every model whose configuration is impossible or could not act."""
    faults: list[SettingsError] = [*_capping(settings.cleaning), *_source(settings.source), *_cluster(settings)]
    faults += _country(settings.features.country)
    for kind, config in settings.models.items():
        try:
            _check_model(kind, config, settings)
        except SettingsError as error:
            faults.append(error)
    raise_all(faults)


def check_lengths(settings: Settings, longest: int, year: int) -> None:
    """Raises SettingsError when a length that was set is beyond the longest history (`longest` periods).

    A season of up to a `year` may be longer than a young history: it is known to be there, though not seen yet.
    """
    season = settings.season if (settings.season or 0) > year else None
    lengths = {"season": season, "folds.gap": settings.folds.gap}  # the others are part of a fold's length
    raise_all(
        [
            SettingsError("longer than the longest history", key=key, found=length, longest_history=longest,
                          hint="Use fewer periods or a longer history")
            for key, length in lengths.items() if length is not None and length > longest
        ]
    )  # fmt: skip


def check_inner(folds: FoldSettings, planned: int) -> None:
    """Raises SettingsError when the gap leaves no inner origin; fewer of them than were set are logged."""
    if folds.inner and folds.gap and not planned:
        raise SettingsError(
            "no inner origin fits before this gap", key="folds.gap", found=folds.gap, inner=folds.inner,
            hint="Use a smaller gap, or folds.inner=0",
        )  # fmt: skip
    if planned < folds.inner and folds.inner != FoldSettings.inner:
        log.warning("the history has room for %d inner origins, not %d", planned, folds.inner)


def warnings(settings: Settings, cpus: int | None = None) -> list[str]:
    """What is allowed but deserves a look, as sentences; `cpus` are this machine's unless given."""
    return list(_warnings(settings, cpus or os.cpu_count() or 1))


def _source(source: SourceSettings) -> Iterator[SettingsError]:
    scheme = source.path.partition(":")[0].partition("+")[0].lower()
    is_database = source.format == "sql" or (":" in source.path and scheme in DATABASE_SCHEMES)
    idle = ("sheet",) if is_database else ("query", "table")
    acts = "a workbook" if is_database else "a database"
    for name in idle:
        if getattr(source, name) is not None:
            yield SettingsError(f"this acts on {acts} only", key=f"source.{name}", found=getattr(source, name),
                                path=masked(source.path))  # fmt: skip


def _cluster(settings: Settings) -> Iterator[SettingsError]:
    if settings.cluster.address is not None and not settings.parallel_training:
        yield SettingsError(
            "no cluster is used while parallel_training is false", key="cluster.address",
            found=settings.cluster.address, hint="Leave out one of the two",
        )  # fmt: skip


def _country(country: str) -> Iterator[SettingsError]:
    if country in ("", FeatureSettings.country):  # known without the package, which takes a while to load
        return
    try:
        holidays_of(country, 2020, 2020)
    except SettingsError as error:
        yield SettingsError(error.message, key="features.country", found=country, hint=error.hint)


def _capping(cleaning: CleaningSettings) -> Iterator[SettingsError]:
    if cleaning.outlier_action != "cap":
        return
    if not cleaning.outlier_detection:
        yield SettingsError(
            "nothing is capped while outlier_detection is false", key="cleaning.outlier_action",
            hint="Set cleaning.outlier_detection=true, or outlier_action=flag",
        )  # fmt: skip
    if cleaning.outlier_method == "isolation_forest":
        # It looks at all styles at once: a batch would be capped otherwise than the fleet it was cut from.
        yield SettingsError(
            "capping needs limits of each style", key="cleaning.outlier_method", found=cleaning.outlier_method,
            expected="iqr or zscore",
        )  # fmt: skip


def _check_model(kind: str, config: ModelConfig, settings: Settings) -> None:
    where = f"models.{kind}"
    fixed = _FIXED.get(kind, ("baseline", kind))
    for name, value in zip(("type", "algorithm"), fixed, strict=True):
        if getattr(config, name) != value:
            raise SettingsError(
                "the kind fixes this", key=f"{where}.{name}", found=getattr(config, name), expected=value
            )
    if kind == yarn_substitution.KIND:
        _check_classifier(where, config)
        return
    if kind == surrogate.KIND:
        _check_surrogate(where, config)
        return
    if config.target != TARGET:
        raise SettingsError("forecasters forecast demand", key=f"{where}.target", found=config.target, expected=TARGET)
    if kind == "ensemble":
        EnsembleSettings.from_config(config)
        used: set[str] = set()
    else:
        recipe = recipe_class(kind)
        used = {field.name for field in fields(recipe)}  # type: ignore[arg-type]
        recipe.from_config(config)
    if config.features and "features" not in used:
        raise SettingsError("this model has no features", key=f"{where}.features", found=config.features, expected="[]")
    if config.test_split != ModelConfig.test_split and settings.folds.mode != "holdout":
        raise SettingsError(
            "test_split acts in a holdout only", key=f"{where}.test_split", found=config.test_split,
            expected=ModelConfig.test_split, hint="Set folds=holdout, or folds.test_size for rolling origins",
        )  # fmt: skip
    if "validation_split" not in used and config.validation_split != ModelConfig.validation_split:
        raise SettingsError(
            "validation_split cannot act: this model holds nothing back", key=f"{where}.validation_split",
            found=config.validation_split, expected=ModelConfig.validation_split,
        )  # fmt: skip


def _check_classifier(where: str, config: ModelConfig) -> None:
    if config.target != yarn_substitution.TARGET:
        raise SettingsError(
            "the classifier learns whether a yarn may replace another", key=f"{where}.target", found=config.target,
            expected=yarn_substitution.TARGET,
        )  # fmt: skip
    for name in ("validation_split", "test_split"):
        if getattr(config, name) != getattr(ModelConfig, name):
            raise SettingsError(
                "this cannot act: the yarns are cut into cv_folds, each tested once", key=f"{where}.{name}",
                found=getattr(config, name), expected=getattr(ModelConfig, name),
                hint=f"Set {where}.training_params.cv_folds",
            )  # fmt: skip
    yarn_substitution.YarnSubstitution.from_config(config)


def _check_surrogate(where: str, config: ModelConfig) -> None:
    for name in ("validation_split", "test_split"):
        if getattr(config, name) != getattr(ModelConfig, name):
            raise SettingsError(
                "this cannot act: half of the items judge, at later dates, what the others teach",
                key=f"{where}.{name}", found=getattr(config, name), expected=getattr(ModelConfig, name),
            )  # fmt: skip
    surrogate.OrderSurrogate.from_config(config)


def _warnings(settings: Settings, cpus: int) -> Iterator[str]:
    for kind, config in settings.models.items():
        threshold, days = config.min_accuracy_threshold, config.retrain_frequency_days
        if threshold > 0.95:
            yield f"models.{kind}.min_accuracy_threshold is {threshold:g}: above .95 hardly any model passes"
        if days > 30:
            yield f"models.{kind}.retrain_frequency_days is {days}: in more than 30 days demand moves on"
    if settings.max_parallel_jobs != "auto" and settings.max_parallel_jobs > cpus:
        yield f"max_parallel_jobs is {settings.max_parallel_jobs}, the machine has {cpus} CPUs: more gains nothing"
    for kind in (*MODELS, "ensemble"):
        if kind in settings.models and settings.models[kind].enabled and kind not in settings.schedule.scheduled:
            yield f"{kind} is enabled but in no cadence of schedule: it never trains by itself"
    if "ensemble" in settings.models and settings.models["ensemble"].enabled:
        for member in settings.ensemble.members:
            if member not in settings.models or not settings.models[member].enabled:
                yield f"{member} is a member of the ensemble but not enabled: it is left out"
