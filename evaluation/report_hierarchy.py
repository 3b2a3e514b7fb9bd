"""The report's table of how styles, groups and the total add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.report_tables import Table, number, words


def hierarchy_table(hierarchy: Mapping[str, Any]) -> Table:
    """A row a level of adding up: how far the mean was off bottom-up, by MinT and as served; the note says which."""
    columns = [("Level", "", False), ("Nodes", "styles or groups of them", True),
               ("WAPE, bottom-up", "groups are the sums of their styles", True),
               ("WAPE, MinT", "all levels moved together, weighed by their earlier errors", True),
               ("WAPE as served", "by the choice made at each origin", True)]  # fmt: skip
    rows = [
        [words(row["level"]), number(row["nodes"], 0), number(row["wape_bottom_up"]), number(row["wape_min_trace"]),
         number(row["wape_served"])]
        for row in hierarchy["effect"]
    ]  # fmt: skip
    name = {"bottom_up": "Bottom-up", "min_trace": "MinT"}[hierarchy["served"]]
    origins = hierarchy["effect"][0]["origins"]
    note = f"{name} serves: {hierarchy['reason']}. Errors of the mean over {origins} past origins; "
    return Table("Styles, groups and the total", columns, rows, note=f"{note}{hierarchy['quantiles']}.")
