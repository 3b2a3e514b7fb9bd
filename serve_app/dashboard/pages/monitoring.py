"""How the released forecasts turned out, and what changed since: the newest look of `jobs.monitor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Chart, Note, Section, Table, Tile, Tiles, Tone
from serve_app.dashboard.charts import line, over_time
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import no_data, style_link, unit_of
from serve_app.dashboard.shown import NOTHING, moment, number, out_of_100, percent, quantity, ratio, share

SHOWN = 20
LOOKS = 100
LIVE = 10  # seconds
CAUSES: dict[str, Tone] = {"degradation": "bad", "drift": "bad", "data_stale": "warn", "new_data": "good"}


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/monitoring", limit=SHOWN)
    empty = no_data(answer)
    if empty:
        return [Section("", [empty], name="now", live_seconds=LIVE)]
    unit = unit_of(answer)
    sections = [Section("", [_tiles(answer), *_unmatured(answer)], name="now", live_seconds=LIVE),
                Section("Alerts", [_alerts(answer["alerts"])], name="alerts", live_seconds=LIVE)]  # fmt: skip
    if answer["matured"]:
        sections += [
            Section("Matured accuracy", [_models(answer["models"], unit)]),
            Section("Where it went worst", [_styles(answer["styles"], unit)]),
        ]
    sections.append(Section("Has demand changed?", _drift(answer["drift"])))
    if answer["trial"] is not None:
        sections.append(Section("Champion against challenger", [Note(_trial(answer["trial"]), "good")]))
    return [*sections, Section("Over time", [_history(api)])]


def _tiles(answer: Mapping[str, Any]) -> Tiles:
    lead = next((one for one in answer["models"] if one["model"] == "champion"), None)
    fresh = answer["freshness"]
    window = answer["window"]
    stale = fresh["limit"] is not None and fresh["days_old"] > fresh["limit"]
    tiles = [
        Tile("Newest data", str(fresh["newest"]), f"{fresh['days_old']:,} days old when looked at",
             "warn" if stale else "good"),
        Tile("Data quality", out_of_100(answer["quality_score"])),
        Tile("Looked at", moment(answer["generated_at"]), f"release {answer['release']}, {answer['served']}"),
    ]  # fmt: skip
    if answer["matured"] and lead is not None:
        promised = percent(lead["backtest"]["wape"])
        tiles.insert(
            0,
            Tile(
                "Error (WAPE) as it turned out",
                percent(lead["wape"]),
                f"promised {promised}; {window['first']} to {window['last']}",
            ),
        )
        tiles.insert(1, Tile("Inside the interval", share(lead["coverage"], 1), f"stated {share(lead['interval'])}"))
    return Tiles(tiles)


def _unmatured(answer: Mapping[str, Any]) -> Sequence[Block]:
    return [] if answer["matured"] else [Note(f"Nothing has matured yet: {answer['reason']}")]


def _alerts(alerts: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [Cell(one["cause"].replace("_", " "), tone=CAUSES.get(one["cause"], "")), Cell(one["detail"]),
         Cell(", ".join(one["models"]) or "load newer orders first, then train again"), Cell(moment(one["at"]))]
        for one in alerts
    ]  # fmt: skip
    columns = (("cause", False), ("what was found", False), ("to train", False), ("found", False))
    return Table("alerts", columns, rows, "Alerts of the newest look", "No alert: nothing asks for action.")


def _models(models: Sequence[Mapping[str, Any]], unit: str) -> Table:
    columns = (("model", False), ("WAPE", True), ("promised", True), ("seasonal naive", True), ("bias", True),
               (f"MAE ({unit})", True), ("RMSSE", True), ("coverage", True), ("cells", True))  # fmt: skip
    rows = [
        [Cell("what was served" if one["model"] == "champion" else one["model"]),
         number(one["wape"], percent(one["wape"])),
         number(one["backtest"]["wape"], percent(one["backtest"]["wape"])),
         number(one["baseline_wape"], percent(one["baseline_wape"])),
         number(one["bias_rel"], percent(one["bias_rel"], signed=True)), number(one["mae"], quantity(one["mae"])),
         number(one["rmsse"], ratio(one["rmsse"])), number(one["coverage"], share(one["coverage"], 1)),
         number(one["n"], f"{one['n']:,}")]
        for one in models
    ]  # fmt: skip
    marked = frozenset(i for i, one in enumerate(models) if one["model"] == "champion")
    return Table("models", columns, rows, "Errors over what has matured", "Nothing has matured yet.", marked)


def _styles(styles: Sequence[Mapping[str, Any]], unit: str) -> Table:
    columns = (("style", False), ("class", False), ("WAPE", True), ("bias", True), (f"MAE ({unit})", True),
               ("cells", True))  # fmt: skip
    rows = [
        [Cell(one["style"], href=style_link(one["style"])), Cell(one["demand_class"]),
         number(one["wape"], percent(one["wape"])), number(one["bias_rel"], percent(one["bias_rel"], signed=True)),
         number(one["mae"], quantity(one["mae"])), number(one["n"], f"{one['n']:,}")]
        for one in styles
    ]  # fmt: skip
    return Table("styles", columns, rows, "Styles with the largest total error", "Nothing has matured yet.")


def _drift(drift: Mapping[str, Any]) -> Sequence[Block]:
    if not drift["measures"]:
        return [Note(f"Not judged: {drift['reason']}")]
    columns = (("measure", False), ("before", True), ("now", True), ("limit", True), ("", False))
    rows = []
    for one in drift["measures"]:
        word = NOTHING if one["drifted"] is None else "changed" if one["drifted"] else "as before"
        tone: Tone = "" if one["drifted"] is None else "bad" if one["drifted"] else "good"
        rows.append([
            Cell(one["measure"].replace("_", " ")), number(one["before"], quantity(one["before"])),
            number(one["now"], quantity(one["now"])), number(one["limit"], quantity(one["limit"])),
            Cell(word, tone=tone),
        ])  # fmt: skip
    return [Table("drift", columns, rows, f"{drift['first']} to {drift['last']} beside earlier windows", "")]


def _trial(trial: Mapping[str, Any]) -> str:
    return f"Release {trial['challenger']} against {trial['champion']}: {trial['outcome']}. {trial['words']}"


def _history(api: Api) -> Block:
    answer = api.get("/api/monitoring/history", limit=LOOKS)
    looks = [] if answer["status"] == "no_data" else answer["looks"][::-1]
    measured = [one for one in looks if one["wape"] is not None]
    if len(measured) < 2:
        return Note("One look makes no line: run python -m jobs.monitor after each delivery of data.")
    x = [one["generated_at"] for one in measured]
    traces = [line(x, [one["wape"] for one in measured], "WAPE", mode="lines+markers"),
              line(x, [one["baseline_wape"] for one in measured], "seasonal naive", "@soft")]  # fmt: skip
    said = f"Matured WAPE over {len(measured)} looks, {percent(measured[-1]['wape'])} at the newest."
    return Chart("history", over_time(traces, "percent of demand"), said)


PAGE = Page("/monitoring", "Monitoring", 55, build, "What was promised, beside what came.")
