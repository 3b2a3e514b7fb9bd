"""`GET /api/leaderboard`, `/api/accuracy`, `/api/features`, `/api/data-quality`: how good it is, and from what."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.leaderboard import best_model
from serve_app.answers.asked import Answer, head, model_of, no_data
from serve_app.answers.columns import numbers, rows, values
from serve_app.answers.model_rows import accuracy_by_level, board_rows, errors_of, measured, model_statuses, target_of
from serve_app.answers.summaries import quality_word
from serve_app.book import Book
from serve_app.problems import Refused
from serve_app.schemas.parameters import AccuracyParameters, FeaturesParameters, NoParameters
from serve_app.schemas.units import listed, number, percent, percents

_BOARD_NUMBERS = ("bias", "mae", "rmse", "mase", "rmsse", "r2", "coverage", "interval", "wape_std", "wape_worst")
_BOARD_FLAGS = ("unstable", "beats_baseline", "below_threshold", "eligible")
_BOARD_COUNTS = ("n", "n_zero", "n_fell_back", "n_rows")
_PERCENT = ("wape", "accuracy", "mape", "bias_rel", "baseline_wape", "target_mape", "accuracy_by_level")


def leaderboard(book: Book, asked: NoParameters, today: date) -> Answer:
    """Every model beside the baselines, on the same origins, best first; what is served, and why."""
    statuses = model_statuses(book)
    gate = book.card["gate"]
    return {
        **head(book, book.served, _PERCENT, ("coverage", "interval", "wape_std", "wape_worst")),
        "served": book.served,
        "best_model": best_model(book.board),
        "gate": {"passed": gate["passed"], "reasons": list(gate["reasons"]), "tests": list(gate["tests"])},
        "leaderboard": [_board_row(book, row, statuses) for row in board_rows(book)],
    }


def _board_row(book: Book, row: dict[str, Any], statuses: dict[str, str]) -> dict[str, Any]:
    model = str(row["model"])
    errors = errors_of(book, model)
    target, met = target_of(book, model)
    return {
        "model": model,
        "status": statuses[model],
        **{name: errors[name] for name in ("wape", "accuracy", "mape", "bias_rel", "baseline_wape")},
        **{name: number(row[name]) for name in _BOARD_NUMBERS},
        "worst_cutoff": str(row["worst_cutoff"]),
        **{name: bool(row[name]) for name in _BOARD_FLAGS},
        **{name: int(row[name]) for name in _BOARD_COUNTS},
        "target_mape": target,
        "target_met": met,
        "accuracy_by_level": accuracy_by_level(book, row),
        "evaluation_id": errors["evaluation_id"],
    }


def accuracy(book: Book, asked: AccuracyParameters, today: date) -> Answer:
    """One model's errors by step ahead and by demand class, what its intervals hold, and all targets beside what was
    measured. Raises Refused (409): the release holds no forecast of it."""
    model = model_of(book, asked.model)
    errors, table = errors_of(book, model), book.accuracy(model)
    board = {row["model"]: row for row in board_rows(book)}
    steps, classes = (table.filter(pc.equal(table["part"], part)) for part in ("step", "class"))
    return {
        **head(book, model, (*_PERCENT, "confidence"), ("coverage", "stated")),
        "model_used": model,
        **{name: errors[name] for name in ("accuracy", "wape", "baseline_wape")},
        "accuracy_by_level": accuracy_by_level(book, board[model]),
        "by_step": rows({"step": [int(key) for key in values(steps, "key")], **_errors(steps)}),
        "by_class": rows({"demand_class": values(classes, "key"), **_classes(book, model, values(classes, "key")),
                          "scored": values(classes, "n_styles"), **_errors(classes)}),
        "intervals": [
            {"stated": one["stated"], "coverage": number(one["coverage"]), "width": number(one["width"])}
            for one in measured(book, model)["intervals"]
        ],
        "targets": [_target(book, row) for name, row in board.items() if target_of(book, name)[0] is not None],
    }  # fmt: skip


def _errors(table: pa.Table) -> dict[str, list[Any]]:
    return {
        **{name: percents(numbers(table, name)) for name in ("wape", "accuracy", "bias_rel")},
        **{name: listed(numbers(table, name)) for name in ("mae", "coverage")},
        "n": values(table, "n"),
    }


def _classes(book: Book, model: str, classes: list[str]) -> dict[str, list[Any]]:
    """How many live styles each class has, and their mean confidence."""
    table = book.styles(model)
    kinds, confidence = np.array(values(table, "demand_class")), numbers(table, "confidence")
    of_class = [confidence[kinds == kind] for kind in classes]
    known = [found[~np.isnan(found)] for found in of_class]
    return {
        "styles": [len(found) for found in of_class],
        "confidence": [percent(found.mean()) if len(found) else None for found in known],
    }


def _target(book: Book, row: dict[str, Any]) -> dict[str, Any]:
    model = row["model"]
    target, met = target_of(book, model)
    return {
        "model": model,
        "target_mape": target,
        "mape": errors_of(book, model)["mape"],
        "target_met": met,
        "accuracy_by_level": accuracy_by_level(book, row),
    }


def features(book: Book, asked: FeaturesParameters, today: date) -> Answer:
    """Which features the models rest on, most important first. Raises Refused (409): no such model here."""
    if asked.model is not None and asked.model not in book.manifest["models"]:
        raise Refused(
            409, "model_not_in_release", f"release {book.number} keeps no model called {asked.model[:60]!r}",
            parameter="model", allowed=tuple(book.manifest["models"]),
        )  # fmt: skip
    found = []
    for model in (asked.model,) if asked.model else tuple(book.manifest["models"]):
        shares = book.importances(model)
        if shares:
            ranked = [{"feature": name, "importance": float(share)} for name, share in shares.items()]
            trained = (book.entry(model) or {}).get("trained_at")
            found.append({"model": model, "last_trained": trained, "features": ranked})
    if not found:
        return no_data(book, "no model of this release has feature importances. Train xgboost: python -m jobs.train")
    return {**head(book, book.served, (), ("importance",)), "models": found}


def data_quality(book: Book, asked: NoParameters, today: date) -> Answer:
    """What cleaning found in the data this release was trained on; its source by name, not where it lies."""
    report = dict(book.quality)
    if isinstance(report.get("source"), str):
        report["source"] = Path(report["source"]).name
    return {
        **head(book, book.served, ()),
        "data_quality": quality_word(book),
        "quality_score": number(book.quality.get("quality_score")),
        "report": report,
    }
