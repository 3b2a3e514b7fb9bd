"""How good the forecasts were: every model on the same past origins, targets met or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Chart, Note, Section, Table
from serve_app.dashboard.charts import line, over_time
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import no_data, unit_of
from serve_app.dashboard.shown import NOTHING, number, percent, quantity, ratio, share

LEVELS = (("style_period", "style, period"), ("style_total", "style, horizon"), ("fleet_period", "fleet, period"),
          ("fleet_total", "fleet, horizon"))  # fmt: skip


def build(api: Api, query: Query) -> Sequence[Section]:
    board = api.get("/api/leaderboard")
    empty = no_data(board)
    if empty:
        return [Section("", [empty])]
    answer = api.get("/api/accuracy")
    unit = unit_of(board)
    return [
        Section("Leaderboard", [_board(board, unit), *_gate(board)]),
        Section("Targets", [_targets(answer["targets"])]),
        Section("By step ahead", [_steps(answer, unit)]),
        Section("By demand class", [_classes(answer["by_class"], unit)]),
        Section("Intervals", [_intervals(answer["intervals"], unit)]),
    ]


def _board(board: Mapping[str, Any], unit: str) -> Table:
    columns = (
        ("model", False),
        ("WAPE", True),
        ("bias", True),
        ("MASE", True),
        ("RMSSE", True),
        (f"MAE ({unit})", True),
        ("MAPE", True),
        ("coverage", True),
        ("fell back", True),
        ("role", False),
    )
    rows = []
    for row in board["leaderboard"]:
        rows.append([
            Cell(row["model"]), number(row["wape"], percent(row["wape"])),
            number(row["bias_rel"], percent(row["bias_rel"], signed=True)), number(row["mase"], ratio(row["mase"])),
            number(row["rmsse"], ratio(row["rmsse"])), number(row["mae"], quantity(row["mae"])),
            number(row["mape"], percent(row["mape"], digits=0)), number(row["coverage"], share(row["coverage"])),
            number(row["n_fell_back"], f"{row['n_fell_back']:,}"), Cell(row["status"]),
        ])  # fmt: skip
    marked = frozenset(i for i, row in enumerate(board["leaderboard"]) if row["status"] == "primary")
    return Table("board", columns, rows, "All models on the same origins and styles", "Nothing was scored.", marked)


def _gate(board: Mapping[str, Any]) -> Sequence[Block]:
    gate, served = board["gate"], board["served"]
    if gate["passed"]:
        return [Note(f"{served} is served: it beats the seasonal naive and the mean beyond chance.", "good")]
    return [Note(f"{served} is served, because {'; '.join(gate['reasons'])}.", "warn")]


def _targets(targets: Sequence[Mapping[str, Any]]) -> Block:
    columns = (("model", False), ("target MAPE", True), ("measured MAPE", True), ("", False),
               *((f"accuracy: {name}", True) for _, name in LEVELS))  # fmt: skip
    rows = []
    for row in targets:
        met = row["target_met"]
        said = Cell(NOTHING) if met is None else Cell("met" if met else "missed", tone="good" if met else "bad")
        levels = [row["accuracy_by_level"][key] for key, _ in LEVELS]
        rows.append([
            Cell(row["model"]), number(row["target_mape"], percent(row["target_mape"], digits=0)),
            number(row["mape"], percent(row["mape"])), said, *(number(value, percent(value)) for value in levels),
        ])  # fmt: skip
    return Table("targets", columns, rows, "Configured targets beside what was measured", "No target is configured.")


def _steps(answer: Mapping[str, Any], unit: str) -> Block:
    steps = answer["by_step"]
    if not steps:
        return Note("Errors by step are not kept in this release: train again to see them.")
    x = [str(row["step"]) for row in steps]
    traces = [line(x, [row["wape"] for row in steps], "WAPE"),
              line(x, [row["bias_rel"] for row in steps], "bias", "@warn")]  # fmt: skip
    layout = {"xaxis": {"title": {"text": "periods ahead"}, "type": "linear"}}
    said = f"{answer['model_used']}: WAPE {percent(steps[0]['wape'])} at the first step, "
    return Chart("steps", over_time(traces, "percent of demand", **layout), said + f"{percent(steps[-1]['wape'])} at "
                 f"step {steps[-1]['step']}.")  # fmt: skip


def _classes(rows_of: Sequence[Mapping[str, Any]], unit: str) -> Block:
    columns = (("class", False), ("styles", True), ("scored", True), ("WAPE", True), ("bias", True),
               (f"MAE ({unit})", True), ("coverage", True), ("confidence", True))  # fmt: skip
    rows = [
        [Cell(row["demand_class"]), number(row["styles"], f"{row['styles']:,}"),
         number(row["scored"], f"{row['scored']:,}"), number(row["wape"], percent(row["wape"])),
         number(row["bias_rel"], percent(row["bias_rel"], signed=True)), number(row["mae"], quantity(row["mae"])),
         number(row["coverage"], share(row["coverage"])), number(row["confidence"], percent(row["confidence"]))]
        for row in rows_of
    ]  # fmt: skip
    return Table("classes", columns, rows, "Errors by demand class", "Nothing was scored by class.")


def _intervals(rows_of: Sequence[Mapping[str, Any]], unit: str) -> Block:
    columns = (("interval states", False), ("held", True), (f"mean width ({unit})", True))
    rows = [[Cell(share(row["stated"])), number(row["coverage"], share(row["coverage"], 1)),
             number(row["width"], quantity(row["width"]))] for row in rows_of]  # fmt: skip
    return Table("intervals", columns, rows, "What intervals state and what they held", "No interval was scored.")


PAGE = Page("/accuracy", "Accuracy", 30, build, "Every model was scored at the same past origins, on the same styles.")
