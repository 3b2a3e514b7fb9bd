"""The five objectives in one story, by the commands a user types: a raw export, configured, trained, judged, served.

Every figure that an answer tells is looked up in the files of the release that it names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demand.synthetic import SALES_FILE, SyntheticSettings, fleet_panel, write_sales_export
from models.registry import Registry
from tests.acceptance.made import ARIMA, XGBOOST, strict_json
from tests.faults.processes import ROOT, environment
from tests.serve_app.running import DETAILED, REPORT, RETRAIN, VALIDATION, Served, serving, until
from tests.serve_app.stored import Stored, growth, percent, same, trend

pytestmark = [pytest.mark.slow, pytest.mark.ray]
SEVEN = {"arima", "prophet", "lstm", "xgboost", "ensemble", "yarn_substitution", "inventory_optimization"}
FLEET = SyntheticSettings(styles=6, years=1.2, seed=42)
LATER_DAYS = 7  # of sales that arrive after the first release
JOB_S = 240


class Desk:
    """A user at a terminal: one storage, one raw export, the same settings for every command."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.storage, self.log = folder / "raw", folder / "storage", folder / "service.log"
        # Every model small; two members, so that the whole story ends within minutes.
        self.told = (
            f"source.path={self.raw}", f"storage.root={self.storage}", "freq=D", "horizon=90", "only=[arima,xgboost]",
            "cross_validation_folds=2", "folds.inner=1", "parallel_training=false", "log_level=WARNING", *ARIMA,
            *XGBOOST,
        )  # fmt: skip
        self.registry = Registry(self.storage / "registry")

    def run(self, job: str, *more: str, code: int = 0) -> str:
        """What `python -m jobs.JOB` printed; it must end with this exit code."""
        command = [sys.executable, "-m", f"jobs.{job}", *self.told, *more]
        done = subprocess.run(
            command, cwd=ROOT, env=environment("none"), capture_output=True, text=True, timeout=JOB_S, check=False
        )
        assert done.returncode == code, (job, done.stdout[-2000:], done.stderr[-3000:])
        return done.stdout

    def release(self, number: int) -> Stored:
        """The files of a release, each as its manifest says."""
        folder = self.registry.open(number).path
        for name, facts in strict_json(folder / "manifest.json")["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"], name
        return Stored(folder)


def curl(*arguments: str) -> bytes:
    """What the answer holds; curl must not fail."""
    done = subprocess.run(["curl", "--fail", "--silent", "--show-error", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_when_a_raw_export_comes_in_then_the_five_objectives_hold_to_the_last_answer(tmp_path):
    desk = Desk(tmp_path)
    whole = write_sales_export(desk.raw, FLEET).read_text(encoding="utf-8-sig")
    assert " $" in whole
    until_day(desk.raw / SALES_FILE, whole, FLEET.end - timedelta(days=LATER_DAYS))

    configured(desk)
    desk.run("pipeline", "run_id=first", "progress=false")
    first = desk.release(1)
    cleaned(first, FLEET.end - timedelta(days=LATER_DAYS))
    scored(desk)
    desk.run("promote", code=2)  # what was made serves already: the pipeline has asked the gate
    with serving(desk.storage, desk.log, *(text for text in desk.told if not text.startswith("storage.root="))) as seen:
        url = f"http://localhost:{seen.port}"
        assert seen.get("/health/ready").status_code == 200
        answered(url, first, 1)
        before = {path: curl(url + path) for path in (DETAILED, VALIDATION, REPORT)}
        (desk.raw / SALES_FILE).write_text(whole, encoding="utf-8-sig", newline="")
        trained(desk, seen, url)
        second = desk.release(2)
        cleaned(second, FLEET.end)
        until(lambda: seen.champion_everywhere(2), 10)
        answered(url, second, 2)
        assert curl(url + DETAILED) != before[DETAILED]

        desk.run("rollback", "reason=a look at the figures of last week")
        until(lambda: seen.champion_everywhere(1), 10)
        assert {path: curl(url + path) for path in before} == before
        desk.run("promote", "release=2")
        until(lambda: seen.champion_everywhere(2), 10)
    said = desk.run("releases")
    assert "a look at the figures of last week" in " ".join(said.split())
    moved = [(one["release"], one["facts"].get("rolled_back_from")) for one in desk.registry.promotions()]
    assert moved == [(1, None), (2, None), (1, 2), (2, None)]


def until_day(path: Path, text: str, last: Any) -> None:
    """The export as it was on that day: title, header, and the lines with an earlier date."""
    lines = text.splitlines(keepends=True)
    column = next(csv.reader([lines[1]])).index("Invoice Date")
    dates = [datetime.strptime(row[column], "%m-%d-%y").date() for row in csv.reader(io.StringIO("".join(lines[2:])))]
    kept = [line for line, date in zip(lines[2:], dates, strict=True) if date <= last]
    assert 0 < len(kept) < len(lines) - 2
    path.write_text("".join(lines[:2] + kept), encoding="utf-8-sig", newline="")


def configured(desk: Desk) -> None:
    """OB1, OB4, OB5: seven models with all their fields, schedule and targets, in a file that comes back as it was."""
    said = desk.run("config")
    assert "0 errors" in said
    saved = strict_json(desk.storage / "config.json")
    assert {kind for kind in SEVEN if saved["models"][kind]["enabled"]} == SEVEN
    assert {len(saved["models"][kind]) for kind in SEVEN} == {13}
    assert {kind for kinds in saved["schedule"].values() for kind in kinds} == SEVEN
    assert {kind: target["mape"] for kind, target in saved["benchmarks"].items()} == {
        "arima": 0.15, "prophet": 0.12, "lstm": 0.10, "xgboost": 0.11, "ensemble": 0.09,
    }  # fmt: skip
    desk.run("config")
    again = strict_json(desk.storage / "config.json")
    assert {**again, "updated_at": ""} == {**saved, "updated_at": ""}


def cleaned(stored: Stored, last: Any) -> None:
    """OB2: out of the quirks of the export comes the demand that was put in, to the last quarter of a yard."""
    truth = fleet_panel(FLEET)
    styles = stored.styles(stored.card["served"])
    days = (FLEET.end - last).days
    parts = np.split(truth.y, truth.indptr[1:-1])
    sold = {style: y[: len(y) - days] for style, y in zip(truth.ids.tolist(), parts, strict=True) if len(y) > days}
    assert set(styles.index) == set(sold)  # a style of which nothing was sold yet is not there
    for style, y in sold.items():
        assert styles.loc[style, "historical_total"] == y.sum(), style
        assert styles.loc[style, "last_day"] == last.isoformat()


def scored(desk: Desk) -> None:
    """OB3: a backtest is kept in files, with the baselines beside each model."""
    desk.run("backtest", "run_id=scored", "progress=false")
    for run in ("first", "scored"):
        found = strict_json(desk.storage / "runs" / run / "backtest.json")["summary"]["model_comparison"]
        assert {"arima", "seasonal_naive", "mean", "zero"} <= set(found)
        assert all(row["wape"] is not None for row in found.values())
    assert "run scored" in " ".join(desk.run("config").split())  # the newest evaluation is told with the settings


def answered(url: str, stored: Stored, number: int) -> None:
    """The three questions of the brief, for every style at 30, 60 and 90 days; each figure is a stored one."""
    kind = stored.card["served"]
    styles, metrics = stored.styles(kind), stored.card["metrics"]
    for horizon in (30, 60, 90):
        full = json.loads(curl(f"{url}{DETAILED}?horizon={horizon}"))
        assert (full["status"], full["release"], full["forecast_horizon"]) == ("success", number, f"{horizon} days")
        details = {row["style"]: row for row in full["forecast_details"]}
        assert set(details) == set(styles.index)
        for style, row in details.items():
            _style(row, styles.loc[style].to_dict(), horizon, metrics[kind]["evaluation_id"])
        report = json.loads(curl(f"{url}{REPORT}?horizon={horizon}"))
        assert report["forecast_summary"]["total_items"] == len(styles)
        for row in report["top_predictions"]:
            assert same(row["predicted_demand"], styles.loc[row["item"], f"forecast_{horizon}_days"])
        total = stored.totals(kind).loc[horizon, "forecast"]
        assert same(full["summary"]["total_forecasted_qty"], total)
        assert same(styles[f"forecast_{horizon}_days"].sum(), total)
    full = json.loads(curl(url + DETAILED))  # QR6 as it is written: 90 days
    assert full["forecast_horizon"] == "90 days"
    for row in full["models"]:
        measured = metrics[row["model"]]
        assert row["evaluation_id"] == measured["evaluation_id"]
        for name in ("accuracy", "mape", "wape", "bias_rel"):
            assert same(row[name], percent(measured[name])), (row["model"], name)
            assert row["model"] not in (known := report["accuracy_metrics"]) or same(
                known[row["model"]].get(name, row[name]), row[name]
            )
        for name in ("rmse", "mae", "n_used"):
            assert same(row[name], measured[name]), (row["model"], name)
    weeks = stored.weeks(kind)
    for row in full["weekly_forecasts"]:
        assert same(row["forecast"], weeks.loc[row["week"], "forecast"])
    summary = json.loads(curl(url + VALIDATION))  # QR7
    assert (summary["status"], summary["last_validation"]) == ("success", stored.manifest["created"])
    assert same(summary["monthly_forecast"], stored.totals(kind).loc[30, "forecast"])
    for model, row in summary["models"].items():
        assert same(row["wape"], percent(metrics[model]["wape"])), model


def _style(row: Mapping[str, Any], kept: Mapping[Any, Any], horizon: int, evaluation: str) -> None:
    rate = growth(kept["forecast_30_days"], kept["last_30_days"])
    wanted = {
        **{name: kept[name] for name in ("historical_avg", "historical_total", "made_by", "fallback_level")},
        **{f"forecast_{days}_days": kept[f"forecast_{days}_days"] for days in (30, 60, 90, 180)},
        "order_count": kept["n_orders"], "lower": kept[f"lower_{horizon}_days"], "upper": kept[f"upper_{horizon}_days"],
        "confidence": percent(kept["confidence"]), "growth_rate": rate, "trend": trend(rate),
    }  # fmt: skip
    assert row["forecast_90_days"] is not None
    for name, value in wanted.items():
        assert same(row[name], value), (row["style"], name)
    basis = row["confidence_basis"]  # of a style that was never scored there is none
    assert (basis is None) == (row["confidence"] is None)
    assert basis is None or basis["evaluation_id"] == evaluation


def trained(desk: Desk, served: Served, url: str) -> None:
    """QR8: training that was asked for with curl, followed to its end; artefacts, data and history are others then."""
    before, history = desk.registry.open("champion").manifest, len(desk.registry.history())
    accepted = json.loads(curl("-X", "POST", url + RETRAIN))
    assert (accepted["status"], set(accepted["models"])) == ("accepted", {"arima", "xgboost"})
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + JOB_S
    while not seen or seen[-1]["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, seen[-1]
        seen.append(json.loads(curl(url + accepted["status_url"])))
        time.sleep(0.5)
    job = seen[-1]
    log = desk.storage / "jobs" / f"{accepted['job_id']}.log"
    assert (job["status"], job["release"]) == ("success", 2), (job, log.read_text()[-3000:])
    assert "running" in {one["status"] for one in seen}
    assert {"arima", "xgboost"} <= set(job["models_retrained"])
    after = desk.registry.open("champion").manifest
    assert after["data_hash"] != before["data_hash"]
    for kind in ("arima", "xgboost"):
        assert after["models"][kind]["trained_at"] > before["models"][kind]["trained_at"]
    assert len(desk.registry.history()) > history
    run = strict_json(desk.storage / "runs" / after["run_id"] / "summary.json")
    measured = [facts["metrics"] for facts in run["results"].values()]
    assert job["metrics"]["action_accuracy"] in [one["accuracy"] for one in measured]
