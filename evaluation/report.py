"""report.html: one page a person can trust, that works from a mail attachment without a network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from demand.panel import Panel
from evaluation import report_charts as charts
from evaluation import report_quality as quality
from evaluation import report_tables as tables
from evaluation.advice import served_warnings
from evaluation.explain import Explanations
from evaluation.metrics import Measures
from evaluation.report_decisions import Decisions, decisions_part
from evaluation.report_explain import explained_part
from evaluation.report_hierarchy import hierarchy_table, newborns_table
from evaluation.report_season import season_part
from evaluation.season import MONTHS
from models.base import Forecast

TEMPLATES = Path(__file__).parent / "templates"
MAX_STYLES = 1_500  # rows of the table of all styles; the rest is in outcomes.parquet


@dataclass(frozen=True, eq=False)
class ReportData:
    """What the report shows; nothing is computed but what can be read off these. Empty parts are named as empty.

    board         `leaderboard`, with its notes. served: the kind whose forecast is released; best: first on the board
    gate          {"passed": bool, "reasons": [..]}: whether the ensemble may be served
    outcomes      a row a style: unique_id, status (ok, fell_back, rejected), cause, made_by, demand_class and, where
                  the style was scored, wape, mae, bias, mase, total_error
    levels, steps {model: `levels`}, {model: `by_step`} of the models to show, the served one first
    history, live the panel the live forecast was made from, and that forecast; members: {kind: its live forecast}
    targets       `targets_table`; weights: a row a style, a column a member; cleaning: the ingest's account
    decisions     `evaluation.report_decisions`: what was decided on the forecast; None where nothing was asked
    hierarchy     `Hierarchy.as_json`: how styles, families and the total add up; None where no levels are set
    newborns      `Newborns.as_json`: styles at the course of their siblings; None where no column is set
    explanations  `evaluation.explain.Explanations` of the live forecast; None where none were kept
    trend_analysis, seasonal_decomposition: whether these parts are shown
    failures      {model: cause}; timings: {stage: seconds}; settings, provenance: label -> value, for "how it was made"
    """

    run_id: str
    created: str
    board: pd.DataFrame
    outcomes: pd.DataFrame
    best: str
    served: str
    history: Panel
    live: Forecast | None = None
    members: Mapping[str, Forecast] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, Measures]] = field(default_factory=dict)
    steps: Mapping[str, Sequence[Measures]] = field(default_factory=dict)
    targets: pd.DataFrame | None = None
    weights: pd.DataFrame | None = None
    recommendations: Sequence[str] = ()
    cleaning: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    decisions: Decisions | None = None
    hierarchy: Mapping[str, Any] | None = None
    newborns: Mapping[str, Any] | None = None
    explanations: Explanations | None = None
    trend_analysis: bool = True
    seasonal_decomposition: bool = True


def write_report(path: Path, data: ReportData) -> None:
    """Writes the page: a few MB, most of it the chart library, no address that is ever fetched.

    Every text that came from data is escaped, in HTML and inside the page's JSON alike; a content security policy
    forbids the browser to load or send anything.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    context = _context(data)
    page = environment.get_template("report.html.j2").render(
        **context,
        style="".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("base.css", "report.css")),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )
    path.write_text(page, encoding="utf-8")


def _context(data: ReportData) -> dict[str, Any]:
    targets = data.targets if data.targets is not None and len(data.targets) else None
    counts = {name: int((data.outcomes["status"] == name).sum()) for name in ("ok", "fell_back", "rejected")}
    best: list[str] = []
    worst: list[str] = []
    explorer, hidden, fleet = None, 0, None
    if data.live is not None and data.live.made.any():
        best, worst = charts.highlights(data.outcomes, data.live)
        explorer, hidden = charts.style_charts(data.history, data.live, data.members, [*best, *worst])
        fleet = charts.fleet_chart(data.history, data.live)
    season = season_part(
        data.history, trend_analysis=data.trend_analysis, seasonal_decomposition=data.seasonal_decomposition
    )
    why = explained_part(data.explanations, data.live)
    payload = {
        "drivers": list(why.charts.values()) if why else [],
        "season": season.charts if season else {},
        "explorer": explorer,
        "fleet": fleet,
        "steps": charts.step_chart(data.steps),
        "best": best,
        "worst": worst,
        "unit": data.history.unit,
        "served": data.served,
    }
    return {
        "run_id": data.run_id,
        "created": _moment(data.created),
        "served": data.served,
        "best_model": data.best,
        "unit": data.history.unit,
        "counts": counts,
        "n_styles": len(data.outcomes),
        "headline": _headline(data),
        "cards": _cards(data, counts),
        "served_table": tables.served_table(data.board, data.served, data.best),
        "warnings": served_warnings(data.board, data.served),
        "gate": data.gate,
        "notes": list(data.board.attrs.get("notes", [])),
        "recommendations": list(data.recommendations),
        "board": tables.board_table(data.board, data.served),
        "levels": tables.levels_table(data.levels) if data.levels else None,
        "steps": tables.steps_table(data.steps) if data.steps else None,
        "hierarchy": hierarchy_table(data.hierarchy) if data.hierarchy else None,
        "newborns": newborns_table(data.newborns) if data.newborns else None,
        "targets": tables.targets_rows(targets) if targets is not None else None,
        "targets_summary": tables.targets_summary(targets) if targets is not None else None,
        "heaviest": tables.heaviest_table(data.outcomes),
        "outcomes": tables.outcomes_table(data.outcomes, MAX_STYLES, data.live),
        "weights": tables.weights_table(data.weights) if data.weights is not None and len(data.weights) else None,
        "best": best,
        "worst": worst,
        "explorer_styles": [style["id"] for style in explorer["styles"]] if explorer else [],
        "explorer_hidden": hidden,
        "has_live": explorer is not None,
        "season": season,
        "why": why,
        "quality": data.cleaning.get("quality_score"),
        "rows": quality.rows_sentence(data.cleaning),
        "rules": quality.findings_table(data.cleaning),
        "columns_read": quality.mapping_table(data.cleaning),
        "cleaning": quality.account(data.cleaning),
        "decisions": decisions_part(data.decisions),
        "failures": data.failures,
        "timings": [(name.replace("_", " "), tables.number(seconds, 1).text) for name, seconds in data.timings.items()],
        "settings": tables.facts(data.settings),
        "provenance": tables.facts(data.provenance),
        "payload": script_json(payload),
    }


def script_json(value: Any) -> str:
    """Strict JSON that cannot end the script element it is written into, whatever a style is called."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _moment(text: str) -> str:
    """A time in ISO form with its zone as a reader's date; any other text as it is."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", text):
        return text
    at = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    return f"{at.day} {MONTHS[at.month - 1]} {at:%Y, %H:%M} UTC"


def _row(board: pd.DataFrame, model: str) -> pd.Series | None:
    rows = board[board["model"] == model]
    return rows.iloc[0] if len(rows) else None


def _headline(data: ReportData) -> str:
    """What is served and how good it was against the naive, in one or two sentences."""
    row, naive = _row(data.board, data.served), _row(data.board, "seasonal_naive")
    what = f"The forecast that is served comes from {data.served}" if data.live is not None else (
        f"Nothing is served by this run; {data.served} would be"
    )  # fmt: skip
    if row is None or not math.isfinite(row["wape"]):
        return f"{what}. Its error could not be measured on past origins."
    text = f"{what}. On past origins its error was {row['wape']:.3f} of demand (WAPE)"
    if naive is not None and data.served != "seasonal_naive" and naive["wape"] > 0:
        change = row["wape"] / naive["wape"] - 1
        direction = "lower" if change < 0 else "higher"
        text += f", {abs(change):.0%} {direction} than repeating last season ({naive['wape']:.3f})"
    bias = row["bias_rel"]
    if not math.isfinite(bias):
        return text + "."
    if abs(bias) < 0.005:
        return text + ". In total it was neither too high nor too low."
    return text + f". In total it was {abs(bias):.0%} too {'high' if bias > 0 else 'low'}."


def _cards(data: ReportData, counts: Mapping[str, int]) -> list[dict[str, str]]:
    row, naive = _row(data.board, data.served), _row(data.board, "seasonal_naive")
    level = data.levels.get(data.served, {}).get("fleet_total")
    cards = [
        {
            "label": "Styles",
            "value": f"{len(data.outcomes):,}",
            "detail": f"{counts['ok']:,} ok + {counts['fell_back']:,} fell back + {counts['rejected']:,} rejected",
        }
    ]
    if row is not None:
        against = f"repeating last season: {tables.number(naive['wape']).text}" if naive is not None else ""
        cards.append({"label": "Error per style and period (WAPE)", "value": tables.number(row["wape"]).text,
                      "detail": against})  # fmt: skip
    if level is not None:
        cards.append({"label": "Error of the fleet's whole-horizon total", "value": tables.number(level["wape"]).text,
                      "detail": f"over {level['n']} origins"})  # fmt: skip
    if row is not None and math.isfinite(row["coverage"]):
        cards.append({"label": "Actual values inside the interval", "value": f"{row['coverage']:.0%}",
                      "detail": f"stated: {row['interval']:.0%}"})  # fmt: skip
    return cards
