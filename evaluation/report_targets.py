"""The report's tables of targets: what was wanted beside what was measured, each in its unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from evaluation.advice import LEVEL_WORDS
from evaluation.metrics import LEVELS
from evaluation.report_tables import NONE, Cell, Table, quantity, share, words

LOOKS = {"met": "good", "missed": "bad"}


def targets_summary(targets: pd.DataFrame, unit: str) -> Table:
    """One row a model, a column a target: whether it is met at the headline level, style per period.

    unit: what one unit of demand is, "" when not said.
    """
    headline = targets[targets["level"].isin([LEVEL_WORDS[LEVELS[0]], "-"])]
    names = list(dict.fromkeys(headline["target"]))
    columns = [("Model", "", False), *((name.replace("_", " "), "", False) for name in names)]
    cells = {(r["model"], r["target"]): _against_target(r, unit) for r in headline.to_dict("records")}
    rows = [
        [words(model), *(cells.get((model, name), Cell(NONE)) for name in names)]
        for model in dict.fromkeys(targets["model"])
    ]
    return Table("Targets at style per period", columns, rows)


def _against_target(row: Mapping[Any, Any], unit: str) -> Cell:
    if row["result"] == "not measurable":
        return words(row["result"])
    found, wanted = (_in_unit(row["target"], row[name], unit) for name in ("measured", "target_value"))
    said = f"{row['result']}: {found.text}, wanted {wanted.text}"
    return Cell(said, said, LOOKS.get(row["result"], ""))


def _in_unit(target: str, value: Any, unit: str) -> Cell:
    """A target's value: mape in percent, training time in seconds, rmse in the unit sold."""
    if target == "mape":
        return share(value)
    cell, name = quantity(value), "s" if target == "training_time" else unit
    return replace(cell, text=f"{cell.text} {name}") if cell.sort and name else cell


def targets_rows(targets: pd.DataFrame, unit: str) -> Table:
    """Targets beside measured values; `targets` of `targets_table`, unit: of demand, "" when not said."""
    columns = [("Model", "", False), ("Target", "", False), ("Level", "", False), ("Wanted", "", True),
               ("Measured", "", True), ("Result", "", False), ("Remark", "", False)]  # fmt: skip
    rows = [
        [words(r["model"]), words(r["target"].replace("_", " ")), words(r["level"]),
         *(_in_unit(r["target"], r[name], unit) for name in ("target_value", "measured")),
         words(r["result"], LOOKS.get(r["result"], "")), words(r["remark"])]
        for r in targets.to_dict("records")
    ]  # fmt: skip
    return Table("Targets", columns, rows)
