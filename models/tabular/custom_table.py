"""Custom features of a file, as a file: what the service does with a table that somebody sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from demand.business_table import BusinessTable, Kind, read_business_table
from demand.errors import SchemaError
from demand.sources import SourceSettings
from features.tabular.base import require
from features.tabular.engineering import CustomFeatureEngineering, Nulls
from models.tabular.roles import looks_like_id

MOST_CATEGORIES = 1_000


@dataclass(frozen=True, eq=False)
class CustomTable:
    """frame: the file's columns with the features beside them; told: what became of rows and columns, JSON-ready."""

    frame: pd.DataFrame
    told: dict[str, Any]

    def write_csv(self, path: Path) -> None:
        """Dates as YYYY-MM-DD, nulls as nothing."""
        frame = self.frame.copy(deep=False)
        for name in frame.columns[frame.dtypes.map(lambda kind: kind.kind == "M")]:
            frame[name] = frame[name].dt.strftime("%Y-%m-%d")
        arrow_csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), path)


def custom_table(
    source: SourceSettings,
    date: str | None = None,
    columns: tuple[str, ...] | None = None,
    categories: tuple[str, ...] | None = None,
    group: str | None = None,
    nulls: Nulls = "keep",
    date_format: str | None = None,
) -> CustomTable:
    """`CustomFeatureEngineering.complete_feature_pipeline` of a file.

    None = as the file says: the only date column, every number that is no id, every text of up to 1,000 categories;
    `told["columns_left_out"]` names the others and why. Raises as the reader does, and SchemaError for a missing column
    or several dates.
    """
    table = read_business_table(source, date_format)
    frame, kinds = table.frame, table.kinds
    named = [name for name in (date, group, *(columns or ()), *(categories or ())) if name]
    require(frame, named, "custom features")
    if date is None:
        date = _only_date(table)
    open_kinds = {kind for kind, given in (("number", columns), ("text", categories)) if given is None}
    left_out = {name: why for name, kind in kinds.items() if kind in open_kinds and (why := _unfit(frame, name, kind))}
    if columns is None:
        columns = tuple(name for name, kind in kinds.items() if kind == "number" and name not in left_out)
    if categories is None:
        categories = tuple(name for name, kind in kinds.items() if kind == "text" and name not in left_out)
    maker = CustomFeatureEngineering()
    out = maker.complete_feature_pipeline(frame, date, columns, categories, group_col=group, nulls=nulls)
    return CustomTable(
        out,
        {
            "rows": {"rows_in": table.rows_in, "used": len(frame), "left_out": dict(table.left_out)},
            "date": date, "columns": list(columns), "categories": list(categories), "group": group,
            "columns_left_out": {name: why for name, why in left_out.items() if name not in (date, group)},
            "summary": maker.get_feature_summary(), "nulls": dict(maker.get_null_counts()),
            "personal_dropped": list(table.personal), "unreadable": dict(table.unreadable),
        },
    )  # fmt: skip


def _unfit(frame: pd.DataFrame, name: str, kind: Kind) -> str:
    """Why no feature is made of a column that nobody asked for; "" when some are."""
    if looks_like_id(name):
        return "an id"
    found = int(frame[name].nunique()) if kind == "text" else 0
    return f"{found:,} categories, more than {MOST_CATEGORIES:,}" if found > MOST_CATEGORIES else ""


def _only_date(table: BusinessTable) -> str:
    dates = [name for name, kind in table.kinds.items() if kind == "date"]
    if len(dates) != 1:
        words = "several columns are dates" if dates else "no column holds dates"
        raise SchemaError(words, dates=dates, columns=list(table.kinds), hint="Name the date column with date")
    return dates[0]
