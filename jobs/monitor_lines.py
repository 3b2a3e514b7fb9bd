"""What `jobs.monitor` prints, within 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.matured import CHAMPION

WIDTH = 80
_SHOWN_MODELS = 4  # beside what was served


def lines(report: Mapping[str, Any], path: Path) -> list[str]:
    """The report in words, wrapped; paths stay whole."""
    return [*(part for line in _said(report) for part in _wrapped(line)), f"Report    {path}"]


def _wrapped(line: str) -> list[str]:
    if len(line) <= WIDTH:  # rows of the table keep their columns
        return [line]
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)


def _said(report: Mapping[str, Any]) -> Iterator[str]:
    fresh = report["freshness"]
    yield (f"Release   {report['release']} ({report['served']}), knew data to {report['origin']}; "
           f"data to {report['data_to']}")  # fmt: skip
    if report["status"] == "no_data":
        yield f"Matured   nothing yet: {report['reason']}"
    else:
        window = report["window"]
        yield f"Window    {window['days']} days, {window['first']} .. {window['last']}"
        yield f"          {'':<21}{'WAPE':>7}{'backtest':>10}{'naive':>7}{'bias %':>8}{'in band':>8}{'cells':>9}"
        ranked = sorted(
            (one for one in report["models"] if one["model"] != CHAMPION and one["wape"] is not None),
            key=lambda one: one["wape"],
        )
        served = [one for one in report["models"] if one["model"] == CHAMPION]
        for one in (*served, *ranked[:_SHOWN_MODELS]):
            name = "served" if one["model"] == CHAMPION else one["model"]
            yield (f"          {name:<21}{_of(one['wape']):>7}{_of(one['backtest_wape']):>10}"
                   f"{_of(one['naive_wape']):>7}{_percent(one['bias_rel']):>8}{_of(one['coverage']):>8}"
                   f"{one['n']:>9,}")  # fmt: skip
    if report["trial"] is not None:
        yield f"Trial     {report['trial']['words']}"
    for note in report["notes"][:1]:
        yield f"Note      {note}"
    if not report["alerts"]:
        changed = {True: "changed", False: "as before", None: report["drift"]["reason"]}[report["drift"]["drifted"]]
        yield f"Alerts    none; demand: {changed}; newest data {fresh['days_old']} days old"
    for alert in report["alerts"]:
        yield f"Alert     {alert['cause']}: {alert['detail']}"


def _of(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"
