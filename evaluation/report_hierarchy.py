"""The report's tables of how styles, groups and the total add up, and of what siblings are worth to newborn styles."""

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


def newborns_table(newborns: Mapping[str, Any]) -> Table:
    """How far young styles were missed by the ensemble and by their siblings' course; the note says who serves."""
    effect = newborns["effect"]
    columns = [("Newborn styles made by", "", False), ("WAPE", "of the median, over past origins", True),
               ("Interval holds", "share of actual values inside the siblings' widest interval", True)]  # fmt: skip
    rows = [
        [words("the ensemble"), number(effect["wape_ensemble"]), words(None)],
        [words(f"siblings, by {', '.join(newborns['siblings_by'])}"), number(effect["wape_siblings"]),
         number(effect["coverage"], 2)],
        [words("as served"), number(effect["wape_served"]), words(None)],
    ]  # fmt: skip
    who = "Siblings make their rows" if newborns["served"] else "The ensemble makes their rows"
    stated = f"; the interval states {effect['interval']:g}" if effect["interval"] else ""
    note = (
        f"{newborns['with_siblings']:,} of {newborns['newborn_styles']:,} newborn styles have siblings. {who}: "
        f"{newborns['reason']}. Measured in {effect['cells']:,} cells at {effect['origins']} past origins{stated}."
    )
    return Table("Newborn styles", columns, rows, note=note)
