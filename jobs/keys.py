"""The 43 global keys: where each one lives in the tree and what it is by default."""

from __future__ import annotations

from typing import Any, NamedTuple


class GlobalKey(NamedTuple):
    """path: dotted, its last part is the key's name. room: where it acts."""

    path: str
    room: str
    default: Any


GLOBAL_KEYS: dict[str, GlobalKey] = {
    key.path.rpartition(".")[2]: key
    for key in (
        GlobalKey("enable_ml", "jobs", True),
        GlobalKey("schedule.auto_retrain", "jobs", True),
        GlobalKey("parallel_training", "jobs", True),
        GlobalKey("max_parallel_jobs", "jobs", "auto"),
        GlobalKey("serve.cache_predictions", "serve_app", True),
        GlobalKey("serve.cache_ttl_hours", "serve_app", 24),
        GlobalKey("min_training_samples", "models", 100),
        GlobalKey("max_training_samples", "models", 10_000_000),
        GlobalKey("cleaning.handle_missing_data", "demand", "interpolate"),
        GlobalKey("cleaning.outlier_detection", "demand", True),
        GlobalKey("cleaning.outlier_method", "demand", "iqr"),
        GlobalKey("cleaning.outlier_threshold", "demand", 3),
        GlobalKey("features.auto_feature_engineering", "features", True),
        GlobalKey("features.create_lag_features", "features", True),
        GlobalKey("features.create_rolling_features", "features", True),
        GlobalKey("features.create_time_features", "features", True),
        GlobalKey("features.lag_periods", "features", (1, 7, 14, 30)),
        GlobalKey("features.rolling_windows", "features", (7, 14, 30)),
        GlobalKey("features.polynomial_features", "features", False),
        GlobalKey("features.interaction_features", "features", False),
        GlobalKey("selection.auto_model_selection", "evaluation", True),
        GlobalKey("selection.model_selection_metric", "evaluation", "wape"),
        GlobalKey("cross_validation_folds", "evaluation", 5),
        GlobalKey("tuning.hyperparameter_tuning", "jobs", True),
        GlobalKey("tuning.tuning_method", "jobs", "bayesian"),
        GlobalKey("tuning.tuning_iterations", "jobs", 50),
        GlobalKey("monitoring.track_performance", "evaluation", True),
        GlobalKey("monitoring.performance_window_days", "evaluation", 30),
        GlobalKey("monitoring.alert_on_degradation", "evaluation", True),
        GlobalKey("monitoring.degradation_threshold", "evaluation", 0.1),
        GlobalKey("serve.log_predictions", "serve_app", True),
        GlobalKey("log_level", "all", "INFO"),
        GlobalKey("default_forecast_horizon", "jobs", 90),
        GlobalKey("confidence_intervals", "models", True),
        GlobalKey("confidence_level", "models", 0.95),
        GlobalKey("report.seasonal_decomposition", "evaluation", True),
        GlobalKey("report.trend_analysis", "evaluation", True),
        GlobalKey("releases.model_versioning", "models", True),
        GlobalKey("releases.rollback_on_failure", "serve_app", True),
        GlobalKey("serve.a_b_testing", "serve_app", False),
        GlobalKey("serve.canary_deployment", "serve_app", False),
        GlobalKey("storage.model_registry", "models", "registry"),
        GlobalKey("storage.training_registry", "jobs", "runs"),
    )
}


def value_at(tree: Any, path: str) -> Any:
    """The value at a dotted attribute path."""
    for part in path.split("."):
        tree = getattr(tree, part)
    return tree
