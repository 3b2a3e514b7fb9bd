"""The 43 global keys: where each one lives in the tree, what it is by default, and whether its room is built yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from demand.errors import SettingsError


class GlobalKey(NamedTuple):
    """path: dotted, its last part is the key's name. available false: only the default is accepted."""

    path: str
    room: str
    available: bool
    default: Any


GLOBAL_KEYS: dict[str, GlobalKey] = {
    key.path.rpartition(".")[2]: key
    for key in (
        GlobalKey("enable_ml", "jobs", True, True),
        GlobalKey("schedule.auto_retrain", "jobs", True, True),
        GlobalKey("parallel_training", "jobs", True, True),
        GlobalKey("max_parallel_jobs", "jobs", True, "auto"),
        GlobalKey("serve.cache_predictions", "serve_app", True, True),
        GlobalKey("serve.cache_ttl_hours", "serve_app", True, 24),
        GlobalKey("min_training_samples", "models", True, 100),
        GlobalKey("max_training_samples", "models", True, 10_000_000),
        GlobalKey("cleaning.handle_missing_data", "demand", True, "interpolate"),
        GlobalKey("cleaning.outlier_detection", "demand", True, True),
        GlobalKey("cleaning.outlier_method", "demand", True, "iqr"),
        GlobalKey("cleaning.outlier_threshold", "demand", True, 3),
        GlobalKey("features.auto_feature_engineering", "features", True, True),
        GlobalKey("features.create_lag_features", "features", True, True),
        GlobalKey("features.create_rolling_features", "features", True, True),
        GlobalKey("features.create_time_features", "features", True, True),
        GlobalKey("features.lag_periods", "features", True, (1, 7, 14, 30)),
        GlobalKey("features.rolling_windows", "features", True, (7, 14, 30)),
        GlobalKey("features.polynomial_features", "features", True, False),
        GlobalKey("features.interaction_features", "features", True, False),
        GlobalKey("selection.auto_model_selection", "evaluation", True, True),
        GlobalKey("selection.model_selection_metric", "evaluation", True, "wape"),
        GlobalKey("cross_validation_folds", "evaluation", True, 5),
        GlobalKey("tuning.hyperparameter_tuning", "jobs", True, True),
        GlobalKey("tuning.tuning_method", "jobs", True, "bayesian"),
        GlobalKey("tuning.tuning_iterations", "jobs", True, 50),
        GlobalKey("monitoring.track_performance", "evaluation", True, True),
        GlobalKey("monitoring.performance_window_days", "evaluation", True, 30),
        GlobalKey("monitoring.alert_on_degradation", "evaluation", True, True),
        GlobalKey("monitoring.degradation_threshold", "evaluation", True, 0.1),
        GlobalKey("serve.log_predictions", "serve_app", True, True),
        GlobalKey("log_level", "all", True, "INFO"),
        GlobalKey("default_forecast_horizon", "jobs", True, 90),
        GlobalKey("confidence_intervals", "models", True, True),
        GlobalKey("confidence_level", "models", True, 0.95),
        GlobalKey("report.seasonal_decomposition", "evaluation", True, True),
        GlobalKey("report.trend_analysis", "evaluation", True, True),
        GlobalKey("releases.model_versioning", "models", True, True),
        GlobalKey("releases.rollback_on_failure", "serve_app", True, True),
        GlobalKey("serve.a_b_testing", "serve_app", True, False),
        GlobalKey("serve.canary_deployment", "serve_app", True, False),
        GlobalKey("storage.model_registry", "models", True, "registry"),
        GlobalKey("storage.training_registry", "jobs", True, "runs"),
    )
}

# Further settings that nothing reads yet, by the same rule.
UNREAD: dict[str, Any] = {}


def value_at(tree: Any, path: str) -> Any:
    """The value at a dotted attribute path."""
    for part in path.split("."):
        tree = getattr(tree, part)
    return tree


def not_available() -> dict[str, Any]:
    """Every dotted key that must keep its default, and that default."""
    return {key.path: key.default for key in GLOBAL_KEYS.values() if not key.available} | UNREAD


def refused(tree: Any) -> Iterator[SettingsError]:
    """A SettingsError for each key that was changed although nothing reads it yet: it would be ignored in silence."""
    for path, default in not_available().items():
        found = value_at(tree, path)
        if found != default:
            yield SettingsError(
                f"{path.rpartition('.')[2]} is not available yet", key=path, found=found, expected=default,
                hint=f"Leave {path} at its default",
            )  # fmt: skip
