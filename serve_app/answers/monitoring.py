"""`GET /api/monitoring` and `/api/monitoring/history`: what `jobs.monitor` found, as it filed it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demand.errors import VersionUnreadable
from evaluation.matured import CHAMPION
from evaluation.monitoring_folder import MonitoringFolder
from models.files import read_json
from serve_app.answers.asked import Answer, page
from serve_app.schemas.monitoring import HistoryRow
from serve_app.schemas.parameters import MonitoringHistoryParameters, MonitoringParameters
from serve_app.schemas.units import number, percent, units

NEXT_STEP = "nobody has looked yet. Run python -m jobs.monitor"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_PERCENT = ("wape", "accuracy", "bias_rel", "baseline_wape")
_FRACTION = ("coverage", "interval", "change", "lower", "threshold", "share", "gain")


class Watched(Protocol):
    """What these answers read: unlike a Book it changes, with every look."""

    @property
    def monitoring(self) -> MonitoringFolder: ...


def monitoring(watched: Watched, asked: MonitoringParameters, today: date) -> Answer:
    """The newest look, with the styles it went worst for. Raises VersionUnreadable for damaged files."""
    folder = watched.monitoring
    if not folder.latest_path.is_file():
        return {"status": "no_data", "reason": NEXT_STEP}
    path = _folder_of(folder, read_json(folder.latest_path))
    report = read_json(path / "monitoring.json")
    by_style, total = _worst(_of_champion(path / "by_style.parquet"), asked.offset, asked.limit)
    steps = _of_champion(path / "by_step.parquet").to_pylist()
    names = ("monitor_id", "release", "reason", "rule", "served", "origin", "data_to", "complete_to", "notes")
    lead = next((one for one in report["models"] if one["model"] == CHAMPION), None)
    return {
        "status": "success",
        "generated_at": report["at"],
        **{name: report[name] for name in names},
        "evaluation_id": None if lead is None else lead["evaluation_id"],
        "units": units(report["unit"], _PERCENT, _FRACTION),
        "matured": report["status"] == "ok",
        "quality_score": float(report["quality_score"]),
        "window": {name: report["window"][name] for name in ("days", "first", "last")},
        "terms": [{name: one[name] for name in ("release", "first", "last")} for one in report["terms"]],
        "alerts": [{name: one[name] for name in ("cause", "id", "at", "detail", "models")} for one in report["alerts"]],
        "models": [_model(one) for one in report["models"]],
        "by_step": [{"step": int(one["step"]), **_errors(one)} for one in steps],
        "styles": [
            {"style": one["unique_id"], "demand_class": one["demand_class"], **_errors(one)} for one in by_style
        ],
        "pagination": page(total, len(by_style), asked.offset, asked.limit),
        "degradation": _degradation(report["degradation"]),
        "drift": _drift(report["drift"]),
        "freshness": report["freshness"],
        "new_data": {name: report["new_data"][name] for name in ("periods", "cells", "share", "limit")},
        "trial": _trial(report["trial"]),
    }


def monitoring_history(watched: Watched, asked: MonitoringHistoryParameters, today: date) -> Answer:
    """Every look there was, newest first: accuracy, quality and alerts over time. A line that is no look is counted."""
    lines = watched.monitoring.history()[::-1]
    if not lines:
        return {"status": "no_data", "reason": NEXT_STEP}
    looks = [look for line in lines if (look := _look_of(line)) is not None]
    end = None if asked.limit is None else asked.offset + asked.limit
    shown = looks[asked.offset : end]
    return {
        "status": "success",
        "units": units("", _PERCENT, ("coverage",)),
        "looks": shown,
        "left_out": len(lines) - len(looks),
        "pagination": page(len(looks), len(shown), asked.offset, asked.limit),
    }


def _folder_of(folder: MonitoringFolder, latest: Mapping[str, Any]) -> Path:
    """The folder of a look, named by a plain name alone."""
    name = latest.get("monitor_id")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("."):
        raise VersionUnreadable("the newest look names no folder", file=folder.latest_path.name)
    return folder.root / name


def _of_champion(path: Path) -> pa.Table:
    """The rows of a stored table that are of what was served."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise VersionUnreadable("a stored file cannot be read", file=path.name, cause=str(error)) from None
    return table.filter(pc.equal(table["model"], CHAMPION))


def _worst(table: pa.Table, offset: int, limit: int | None) -> tuple[list[dict[str, Any]], int]:
    """Styles by their total absolute error, largest first, then by name; and how many there are."""
    if not table.num_rows:
        return [], 0
    error = np.nan_to_num(table["mae"].to_numpy() * table["n"].to_numpy())
    order = np.lexsort((np.array(table["unique_id"].to_pylist()), -error))
    kept = order[offset : None if limit is None else offset + limit]
    return table.take(kept).to_pylist(), table.num_rows


def _errors(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "wape": percent(one["wape"]),
        "bias_rel": percent(one["bias_rel"]),
        "baseline_wape": percent(one["naive_wape"]),
        **{name: number(one[name]) for name in ("mae", "rmsse", "coverage")},
        "n": int(one["n"]),
        "n_styles": int(one["n_styles"]),
    }


def _model(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: one[name] for name in ("model", "kind", "n_fell_back", "reasons", "evaluation_id")},
        **_errors(one),
        "accuracy": percent(one["accuracy"]),
        "interval": number(one["interval"]),
        "backtest": {"wape": percent(one["backtest_wape"])},
        "by_class": [{"demand_class": part["demand_class"], **_errors(part)} for part in one["by_class"]],
    }


def _degradation(one: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if one is None:
        return None
    names = ("degraded", "change", "lower", "threshold", "since", "reason")
    return {**{name: one[name] for name in names}, "wape": percent(one["wape"]),
            "promised": {"wape": percent(one["promised"])}}  # fmt: skip


def _drift(one: Mapping[str, Any]) -> dict[str, Any]:
    names = ("measure", "before", "now", "limit", "drifted", "reason")
    measures = [{**{name: part[name] for name in names}, "p": part["p_adjusted"]} for part in one["measures"]]
    return {**{name: one[name] for name in ("drifted", "first", "last", "n_windows", "reason")}, "measures": measures}


def _trial(one: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if one is None:
        return None
    names = ("champion", "challenger", "outcome", "words", "n_periods", "gain", "needed", "same_origin")
    return {**{name: one[name] for name in names}, "evidence_for": float(one["evidence"]["for"]),
            "evidence_against": float(one["evidence"]["against"])}  # fmt: skip


def _look_of(line: Any) -> dict[str, Any] | None:
    """The look of a line; None for one that lacks a figure or holds another kind of it."""
    try:
        return HistoryRow.model_validate(_look(line)).model_dump()
    except (KeyError, TypeError, ValueError):
        return None


def _look(line: Mapping[str, Any]) -> dict[str, Any]:
    names = ("monitor_id", "release", "reason", "origin", "data_to", "complete_to", "n", "n_styles", "degraded",
             "drifted", "alerts", "evaluation_id")  # fmt: skip
    return {
        **{name: line[name] for name in names},
        "generated_at": line["at"],
        "matured": line["status"] == "ok",
        "quality_score": float(line["quality_score"]),
        **{name: percent(line[name]) for name in ("wape", "accuracy", "bias_rel")},
        "baseline_wape": percent(line["naive_wape"]),
        "backtest": {"wape": percent(line["backtest_wape"])},
        "coverage": number(line["coverage"]),
    }
