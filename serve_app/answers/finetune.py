"""`GET /api/finetune`: what `jobs.finetune` last found, as it filed it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Protocol

from demand.errors import VersionUnreadable
from evaluation.finetune_report import headline
from models.tabular.results import newest
from serve_app.answers.asked import Answer
from serve_app.schemas.parameters import NoParameters
from serve_app.schemas.units import percent

NEXT_STEP = "no table was learned from yet. Run python -m jobs.finetune source.path=FILE target=COLUMN"
_UNITS = {"mse": "target squared", "rmse": "target", "r2_score": "fraction", "accuracy": "percent"}
_ROWS = ("rows_in", "used", "left_out", "training_rows", "outliers_left_out", "test_rows", "split")


class Stored(Protocol):
    """Where the runs are."""

    @property
    def storage_root(self) -> Path: ...


def finetune(stored: Stored, asked: NoParameters, today: date) -> Answer:
    """The newest run. Raises VersionUnreadable for a damaged one."""
    found = newest(stored.storage_root)
    if found is None:
        return {"status": "no_data", "reason": NEXT_STEP}
    try:
        return _answer(found)
    except (KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise VersionUnreadable("a stored result of fine-tuning is not whole", cause=cause) from None


def _answer(found: dict[str, Any]) -> Answer:
    metrics = found["metrics"]
    task, folds, search = metrics["task"], metrics["cross_validation"], metrics["tuning"]
    measured, base, train = metrics[task["chosen"]], metrics["baseline"], metrics["train"]
    return {
        "status": "success",
        "finetune_id": found["finetune_id"],
        "generated_at": found["at"],
        "source": found["source"],
        "target": task["target"],
        "task": task["chosen"],
        "why": task["why"],
        "classes": list(task["classes"]),
        "summary": headline(metrics),
        "baseline_rule": base["rule"],
        "measures": [
            {"name": name, "unit": unit, "test": _figure(measured[name], unit), "baseline": _figure(base[name], unit),
             "training": _figure(train[name], unit)}
            for name, unit in _UNITS.items() if name in measured
        ],
        "gap": metrics["gap"]["value"],
        "importance": [{"feature": name, "importance": float(value)} for name, value in metrics["importance"]],
        "problems": [{name: one[name] for name in ("cause", "found", "remedy")} for one in metrics["problems"]],
        "rows": {name: metrics["rows"][name] for name in _ROWS},
        "cross_validation": None if folds is None else {name: folds[name] for name in ("mean", "std", "worst")},
        "trials": None if search is None else len(search["trials"]),
    }  # fmt: skip


def _figure(value: float | None, unit: str) -> float | None:
    return percent(value) if unit == "percent" else None if value is None else float(value)
