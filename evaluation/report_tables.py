"""The report's tables: frames and dictionaries as labelled, sortable text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from evaluation.advice import BASELINES, LEVEL_WORDS
from evaluation.metrics import LEVELS, Measures
from models.base import Forecast

NONE = "–"
LOOKS = {"met": "good", "missed": "bad"}
ENOUGH_FOR_R2 = 10  # over fewer totals their variance, which R² divides by, says nothing
BIAS = ("Bias, % of demand", "sum of (forecast - actual) over total demand; positive is too high", True)


@dataclass(frozen=True)
class Cell:
    """Shown text, the value to sort by ("" sorts last) and a style class."""

    text: str
    sort: str = ""
    look: str = ""


@dataclass(frozen=True)
class Table:
    """columns: (label, explanation, whether it holds numbers); rows: cells in that order; `looks`: a class a row."""

    name: str
    columns: Sequence[tuple[str, str, bool]]
    rows: Sequence[Sequence[Cell]]
    looks: Sequence[str] = ()
    note: str = ""


def number(value: Any, digits: int = 3, *, sign: bool = False) -> Cell:
    """A finite number with fixed digits; a dash for anything undefined."""
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return Cell(NONE)
    shown = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    return Cell(shown.replace("-", "−"), repr(float(value)))


def quantity(value: Any, *, sign: bool = False) -> Cell:
    """An amount in the unit sold: fewer digits the larger it is."""
    size = 0.0 if value is None or not math.isfinite(value) else abs(float(value))
    return number(value, 0 if size >= 100 else 1 if size >= 10 else 2, sign=sign)


def percent(value: Any) -> Cell:
    """A signed fraction in percent, for a column that says so; sorted by the fraction; a dash if undefined."""
    cell = number(value, 3, sign=True)
    return replace(cell, text=number(100 * float(value), 1, sign=True).text) if cell.sort else cell


def words(value: Any, look: str = "") -> Cell:
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return Cell(text or NONE, text.lower(), look)


def yes_no(value: Any, good: bool = True) -> Cell:
    return Cell("yes" if value else "no", "1" if value else "0", "good" if bool(value) == good else "bad")


def board_table(board: pd.DataFrame, served: str) -> Table:
    """Every model, best first; baselines marked."""
    columns = [
        ("Model", "served and baseline models are marked", False),
        ("WAPE", "sum of absolute errors over total demand; 0 is perfect", True),
        ("±", "standard deviation of WAPE over the origins", True),
        ("Worst", "highest WAPE of one origin", True),
        ("MASE", "error relative to the seasonal naive's in-sample error, mean over styles, capped at 10", True),
        ("RMSSE", "squared error relative to the naive's, mean over styles, capped at 10", True),
        BIAS,
        ("MAPE", "mean relative error over periods with demand only", True),
        ("WQL", "weighted quantile loss: how good the intervals are", True),
        ("In interval", "share of actual values inside the widest stated interval", True),
        ("Fleet", "WAPE of the whole fleet's total per period", True),
        ("Fell back", "forecasts that another model had to make", True),
        ("Beats baselines", "better than both the seasonal naive and the mean", True),
        ("Below threshold", "accuracy (1 - WAPE) below the configured minimum", True),
    ]
    rows, looks = [], []
    for row in board.to_dict("records"):
        base = row["model"] in BASELINES
        rows.append([
            words(f"{row['model']}{', served' if row['model'] == served else ', baseline' if base else ''}"),
            number(row["wape"]), number(row["wape_std"]), number(row["wape_worst"]), number(row["mase"]),
            number(row["rmsse"]), percent(row["bias_rel"]), number(row["mape"]), number(row["wql"]),
            number(row["coverage"], 2), number(row["fleet_wape"]), number(row["n_fell_back"], 0),
            Cell(NONE) if base else yes_no(row["beats_baseline"]), yes_no(row["below_threshold"], good=False),
        ])  # fmt: skip
        looks.append("served" if row["model"] == served else "baseline" if base else "")
    return Table("Models", columns, rows, looks)


def served_table(board: pd.DataFrame, served: str, best: str) -> Table | None:
    """What is served beside the best model where they differ, by the same measures; None if neither was measured."""
    columns = [("Model", "", False), ("WAPE", "", True), ("MASE", "", True), BIAS, ("In interval", "", True),
               ("Stated", "", True)]  # fmt: skip
    by_model = {row["model"]: row for row in board.to_dict("records")}
    rows = [
        [words(f"{row['model']}, {role}"), number(row["wape"]), number(row["mase"]), percent(row["bias_rel"]),
         number(row["coverage"], 2), number(row["interval"], 2)]
        for role, row in (("served", by_model.get(served)), ("best", by_model.get(best) if best != served else None))
        if row is not None
    ]  # fmt: skip
    return Table("The served forecast, measured", columns, rows) if rows else None


def levels_table(levels: Mapping[str, Mapping[str, Measures]]) -> Table:
    """The same error at four levels of adding up."""
    columns = [("Model", "", False), ("Level", "how far demand is added up before errors are taken", False),
               ("WAPE", "", True), BIAS, ("MAPE", "over totals with demand", True), ("RMSE", "in the unit sold", True),
               ("R²", f"from {ENOUGH_FOR_R2} totals on", True), ("Totals scored", "", True)]  # fmt: skip
    rows = [
        [words(model), Cell(LEVEL_WORDS[level], str(order)), number(m["wape"]), percent(m["bias_rel"]),
         number(m["mape"]), quantity(m["rmse"]), number(m["r2"] if m["n"] >= ENOUGH_FOR_R2 else None, 2),
         number(m["n"], 0)]
        for model, of_model in levels.items()
        for order, level in enumerate(LEVELS)
        for m in [of_model[level]]
    ]  # fmt: skip
    note = f"R² is shown from {ENOUGH_FOR_R2} totals on: over fewer, what it compares with is chance."
    return Table("Errors by level", columns, rows, note=note)


def steps_table(steps: Mapping[str, Sequence[Measures]]) -> Table:
    """Errors and coverage by step ahead, one row a model and step."""
    columns = [("Model", "", False), ("Step ahead", "in periods", True), ("WAPE", "", True), BIAS,
               ("In interval", "", True), ("Stated", "", True), ("Width", "mean, in the unit sold", True)]  # fmt: skip
    rows = [
        [words(model), number(m["step"], 0), number(m["wape"]), percent(m["bias_rel"]),
         number(m["coverage"], 2), number(m["interval"], 2), quantity(m["width"])]
        for model, of_model in steps.items()
        for m in of_model
    ]  # fmt: skip
    return Table("Accuracy by step ahead", columns, rows)


def targets_summary(targets: pd.DataFrame) -> Table:
    """One row a model, a column a target: whether it is met at the headline level, style per period."""
    headline = targets[targets["level"].isin([LEVEL_WORDS[LEVELS[0]], "-"])]
    names = list(dict.fromkeys(headline["target"]))
    unit = {"training_time": "seconds"}
    columns = [("Model", "", False), *((name.replace("_", " "), unit.get(name, ""), False) for name in names)]
    cells = {(r["model"], r["target"]): _against_target(r) for r in headline.to_dict("records")}
    rows = [
        [words(model), *(cells.get((model, name), Cell(NONE)) for name in names)]
        for model in dict.fromkeys(targets["model"])
    ]
    return Table("Targets at style per period", columns, rows)


def _against_target(row: Mapping[Any, Any]) -> Cell:
    if row["result"] == "not measurable":
        return words(row["result"])
    found, wanted = (
        number(value, 2) if row["target"] == "mape" else quantity(value)
        for value in (row["measured"], row["target_value"])
    )
    said = f"{row['result']}: {found.text}, wanted {wanted.text}"
    return Cell(said, said, LOOKS.get(row["result"], ""))


def targets_rows(targets: pd.DataFrame) -> Table:
    """Targets beside measured values; `targets` of `targets_table`."""
    columns = [("Model", "", False), ("Target", "", False), ("Level", "", False), ("Wanted", "", True),
               ("Measured", "", True), ("Result", "", False), ("Remark", "", False)]  # fmt: skip
    rows = [
        [words(r["model"]), words(r["target"].replace("_", " ")), words(r["level"]),
         number(r["target_value"], 2) if r["target"] == "mape" else quantity(r["target_value"]),
         number(r["measured"], 2) if r["target"] == "mape" else quantity(r["measured"]),
         words(r["result"], LOOKS.get(r["result"], "")), words(r["remark"])]
        for r in targets.to_dict("records")
    ]  # fmt: skip
    return Table("Targets", columns, rows)


STATUS_WORDS = {"ok": "ok", "fell_back": "fell back", "rejected": "rejected"}


def outcomes_table(outcomes: pd.DataFrame, limit: int, live: Forecast | None = None) -> Table:
    """One row a style, those that need attention first; cut at `limit` rows, and the note says so.

    With a live forecast, the sum of its mean over the horizon, without an interval: those of the steps do not add up.
    """
    ahead = {}
    if live is not None:
        ahead = dict(zip(live.ids[live.made].tolist(), live.mean[live.made].sum(axis=1).tolist(), strict=True))
    expected = [
        (f"Expected total, next {live.horizon} periods", "sum of the mean forecast, in the unit sold", True)
    ] if live is not None else []  # fmt: skip
    columns = [
        ("Style", "", False),
        ("Outcome", "ok: the served model made the forecast; fell back: another did; rejected: no forecast", False),
        ("Made by", "the model that really made it", False),
        *expected,
        ("Kind of demand", "by how often it sells and how much amounts vary (Syntetos and Boylan)", False),
        ("WAPE", "measured on past origins", True),
        ("MAE", "mean absolute error, in the unit sold", True),
        BIAS,
        ("MASE", "", True),
        ("Total error", "error of the whole horizon's quantity, over demand", True),
        ("Cause or note", "", False),
    ]
    order = outcomes["status"].map({"rejected": 0, "fell_back": 1, "ok": 2})
    shown = outcomes.assign(_order=order).sort_values(["_order", "unique_id"], kind="stable").head(limit)
    rows = []
    for row in shown.to_dict("records"):
        said = "; ".join(part for part in (_text(row.get("cause")), _text(row.get("note")), _why_unscored(row)) if part)
        look = {"ok": "good", "fell_back": "warn", "rejected": "bad"}[row["status"]]
        rows.append([
            words(row["unique_id"]), words(STATUS_WORDS[row["status"]], look), words(row.get("made_by")),
            *(quantity(ahead.get(row["unique_id"])) for _ in expected),
            words(row.get("demand_class", row.get("class"))), number(row.get("wape")), quantity(row.get("mae")),
            percent(_bias_rel(row)), number(row.get("mase"), 2), number(row.get("total_error")),
            words(said),
        ])  # fmt: skip
    hidden = len(outcomes) - len(shown)
    note = f"{hidden:,} of {len(outcomes):,} styles are not listed here; all are in outcomes.parquet." if hidden else ""
    return Table("All styles", columns, rows, note=note)


def _why_unscored(row: Mapping[Any, Any]) -> str:
    """Why a style with a forecast shows dashes; "" where it has a measured error or none was due."""
    if row["status"] == "rejected" or not math.isnan(float(row.get("wape", math.nan))):
        return ""
    periods = row.get("n_periods")
    known = f" ({periods:,.0f} periods in all)" if isinstance(periods, int | float) and periods == periods else ""
    origins = row.get("n_origins", math.nan)
    if math.isnan(origins):
        return f"not scored: too little history before the past origins{known}"
    if origins == 0:
        return "not scored: no actual value is known in the scored windows"
    return "WAPE undefined: nothing was sold in the scored windows"


def heaviest_table(outcomes: pd.DataFrame, n: int = 10) -> Table | None:
    """The styles that carry most of the absolute error; None when no style was scored."""
    scored = outcomes[outcomes["mae"].notna() & (outcomes["mae"] > 0)] if "mae" in outcomes else outcomes.iloc[:0]
    if scored.empty:
        return None
    share = scored["mae"] / scored["mae"].sum()
    top = scored.assign(share=share).nlargest(n, "share")
    columns = [("Style", "", False), ("Share of all error", "of mean absolute errors", True),
               ("MAE", "in the unit sold", True), ("WAPE", "", True), BIAS]  # fmt: skip
    rows = [
        [
            words(r["unique_id"]),
            number(r["share"]),
            quantity(r["mae"]),
            number(r["wape"]),
            percent(_bias_rel(r)),
        ]
        for r in top.to_dict("records")
    ]
    together = f"Together they carry {top['share'].sum():.0%} of it."
    return Table("Where most of the error is", columns, rows, note=together)


def _bias_rel(row: Mapping[Any, Any]) -> float:
    """The bias of an outcome over its demand: bias and mae share a count, mae and wape the errors; NaN if undefined."""
    mae, wape, bias = (float(row.get(name, math.nan)) for name in ("mae", "wape", "bias"))
    return bias * wape / mae if mae > 0 else math.nan


def weights_table(weights: pd.DataFrame) -> Table:
    """The ensemble's weights over styles: mean, and at how many styles a member takes part."""
    members = [name for name in weights.columns if name != "unique_id"]
    columns = [("Member", "", False), ("Mean weight", "over styles", True), ("Largest weight", "", True),
               ("Styles it takes part in", "", True)]  # fmt: skip
    rows = [
        [words(name.removeprefix("weight_")), number(weights[name].mean(), 2), number(weights[name].max(), 2),
         number(int((weights[name] > 0).sum()), 0)]
        for name in members
    ]  # fmt: skip
    return Table("Weights of the members", columns, rows)


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, text) of a mapping: nested values become `name: value` lists, empty ones are left out."""
    return [(str(key).replace("_", " "), text) for key, value in values.items() if (text := plain(value))]


def plain(value: Any, most: int = 12) -> str:
    """Any JSON-like value as one line; long lists are cut and say so."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return _cut([f"{k}: {text}" for k, v in value.items() if (text := plain(v, most))], "; ", most)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return _cut([text for v in value if (text := plain(v, most))], ", ", most)
    return str(value)


def _cut(parts: Sequence[str], join: str, most: int) -> str:
    more = f"{join}.. {len(parts)} in all" if len(parts) > most else ""
    return join.join(parts[:most]) + more


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
