"""What the trainings of models that do not forecast say in their history and their run's summary (contract 8.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demand.errors import ModelError


def failed(kind: str, error: ModelError, manifest: Mapping[str, Any], run_id: str | None) -> dict[str, Any]:
    """The history's entry of a training that came to nothing."""
    return {
        "model_type": kind, "status": "failed", "error": str(error), "trained_at": manifest["created"],
        "run_id": run_id, "release": None, **{name: manifest[name] for name in ("data_hash", "config_hash")},
    }  # fmt: skip


def succeeded(kind: str, entry: Mapping[str, Any], manifest: Mapping[str, Any], release: int) -> dict[str, Any]:
    """The entry of a training that made a release."""
    return {
        "model_type": kind, "status": "success", "trained_at": manifest["created"],
        "model_path": f"releases/{release:06d}/model", **entry, "release": release,
    }  # fmt: skip


def summary(manifest: Mapping[str, Any], entry: Mapping[str, Any], reasons: Sequence[str]) -> dict[str, Any]:
    """summary.json of the run: one model, trained; `entry` is that of `succeeded`."""
    kind = entry["model_type"]
    return {
        "run_id": entry["run_id"], "trained_at": manifest["created"], "decision": kind, "models_attempted": 1,
        "models_succeeded": 1, "models_failed": 0, "models_skipped": 0, "failed": {}, "skipped": {}, "served": kind,
        "gate": {"passed": not reasons, "reasons": list(reasons)}, "release": entry["release"],
        "results": {kind: entry},
    }  # fmt: skip
