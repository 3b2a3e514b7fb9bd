"""Custom features of a table of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.dashboard.blocks import Field, Form, Section, Text
from serve_app.dashboard.frame import Api, Page, Query

FIELDS = (
    Field("file", "CSV, Excel, JSON or Parquet", "file", attributes={"required": "required"}),
    Field("date", "Date column", hint="empty: the only one"),
    Field("columns", "Numbers whose past is summed up", hint="names with commas between; empty: all"),
    Field("categories", "Categories", hint="names with commas between; empty: all texts"),
    Field("group", "Column of separate histories", hint="such as a customer group; empty: one history"),
    Field("nulls", "What is not known", "select", "keep",
          options=(("keep", "stays empty"), ("fill", "the last known value, else 0"))),
)  # fmt: skip


def build(api: Api, query: Query) -> Sequence[Section]:
    words = (
        "The calendar of each row's date, what happened in the 7 days before it (never the row itself or what came "
        "later), shares and codes of categories, and the revenue percentile, engagement score and churn risk where "
        "their columns are there. Shares, codes and the percentile are those of the whole table: a model that is "
        "tested on some of these rows must learn them from its training rows alone, as fine-tuning does. Columns "
        "about people are dropped; the result can be fetched until the moment that its answer names."
    )
    return [
        Section("", [Text([words])]),
        Section("Make features", [Form("custom", "/api/custom-features", FIELDS, "Make features", shows="download")]),
    ]


PAGE = Page("/custom", "Custom features", 64, build, "Columns that a table of your own can be learned from.")
