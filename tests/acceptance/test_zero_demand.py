"""Demand that divides by zero: nothing sold, one sale, returns only, no variation; every number finite or null."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.acceptance.made import Ran, frame_of, run_job, strict_json, written

pytestmark = pytest.mark.slow

DAYS = 60
TWO = (
    "models.prophet.enabled=false",
    "models.lstm.enabled=false",
    "models.tide.enabled=false",
)  # and no `only`: what declines the data is skipped
NOT_MEASURES = {"baseline", "interval", "evaluation_id"}


def sale(day: int) -> np.ndarray:
    return np.where(np.arange(DAYS) == day, 9.0, 0.0)


FLEETS = {
    "all_zero": {f"s{i}": np.zeros(DAYS) for i in range(3)},
    "single_sale": {f"s{i}": sale(20 + 9 * i) for i in range(3)},
    "negative": {f"s{i}": -5.0 - np.arange(DAYS) % 3 - i for i in range(3)},
    "constant": {f"s{i}": np.full(DAYS, 5.0 + i) for i in range(3)},
    "mixed": {
        "constant": np.full(DAYS, 4.0), "length_1": np.array([7.0]), "minus": np.full(DAYS, -3.0),
        "newest": sale(DAYS - 1), "oldest": sale(0), "short": np.array([0.0, 0.0, 0.0, 9.0, 0.0]),
        "zero": np.zeros(DAYS),
    },
}  # fmt: skip


def measures(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary of measures in a file: those with reasons."""
    if isinstance(value, dict):
        if "reasons" in value and "wape" in value:
            yield value
        for item in value.values():
            yield from measures(item)
    elif isinstance(value, list):
        for item in value:
            yield from measures(item)


def finite_or_explained(ran: Ran, name: str) -> int:
    """How many measures were null, all of them with a reason."""
    n_null = 0
    found = list(measures(ran.json(name)))
    assert found
    for one in found:
        for key, value in one.items():
            if isinstance(value, float):
                assert math.isfinite(value), key
            elif value is None and key not in NOT_MEASURES:
                assert one["reasons"].get(key), key
                n_null += 1
    return n_null


# Two of them in every check, all in the whole suite.
EACH = [pytest.param(name, marks=[] if name in ("all_zero", "mixed") else pytest.mark.slow) for name in FLEETS]


@pytest.fixture(scope="module", params=EACH)
def ran(request, tmp_path_factory):
    """(name of the fleet, the finished pipeline)"""
    root = tmp_path_factory.mktemp(request.param)
    return request.param, run_job("pipeline", root, written(frame_of(FLEETS[request.param]), root / "s.parquet"), *TWO)


def test_when_demand_is_degenerate_then_the_run_ends_well_and_every_style_has_its_forecast(ran):
    name, run = ran
    assert run.code == 0
    forecast = run.table("forecast")
    assert set(forecast["unique_id"]) == set(FLEETS[name])
    numbers = forecast.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy()).all()
    assert (numbers.to_numpy() >= 0).all()
    expected = {"all_zero": 0.0, "negative": 0.0}
    if name in expected:
        assert (forecast["mean"] == expected[name]).all()
    if name == "constant":
        assert np.allclose(forecast["mean"], forecast["unique_id"].map(lambda s: 5.0 + int(s[1:])))


def test_when_a_measure_is_undefined_then_it_is_null_with_a_reason_and_nothing_is_infinite(ran):
    name, run = ran
    nulls = finite_or_explained(run, "backtest")
    assert nulls > 0 or name == "negative"  # where every measure is defined
    if name == "all_zero":
        assert run.json("backtest")["results"]["mean"]["metrics"]["wape"] is None
    for table in ("leaderboard", "outcomes", "forecasts"):
        numbers = run.table(table).select_dtypes("number").to_numpy(dtype=float)
        assert not np.isinf(numbers).any()


def test_when_a_file_is_json_then_a_strict_parser_reads_it(ran, tmp_path):
    _, run = ran
    storage = run.folder.parents[1]
    files = sorted(storage.rglob("*.json"))
    assert {"backtest.json", "summary.json", "card.json", "manifest.json", "cleaning.json"} <= {f.name for f in files}
    for path in files:
        strict_json(path)
    lines = [line for path in storage.rglob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines
    for number, line in enumerate(lines):
        one = tmp_path / f"{number}.json"
        one.write_text(line, encoding="utf-8")
        strict_json(one)


def test_when_nothing_can_be_told_apart_then_a_baseline_is_best_and_served_and_no_nan_is_shown(ran):
    _, run = ran
    summary = run.json("summary")
    board = run.board
    assert board.loc[summary["best_model"], "n_fell_back"] < board.loc[summary["best_model"], "n_rows"]
    assert summary["best_model"] != "zero"
    assert summary["served"] not in ("zero", "ensemble")
    assert summary["gate"]["passed"] is False
    assert summary["models_failed"] == 0
    html = (run.folder / "report.html").read_text(encoding="utf-8")
    visible = html[html.index("<body") :].split("<script")[0]
    assert ">nan<" not in visible.lower()


def test_when_nothing_was_sold_then_the_summary_says_undefined_and_not_nan(tmp_path, capsys):
    run_job("backtest", tmp_path, written(frame_of(FLEETS["all_zero"]), tmp_path / "s.parquet"), "enable_ml=false")
    printed = capsys.readouterr().out
    assert "Baseline  seasonal naive: WAPE undefined, MASE undefined, bias undefined" in printed
    assert "nan" not in printed.lower().replace("naive", "")
