"""Which business export a table is, by its headers: sales to load, or yarn, orders and others to name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["sales", "yarn", "orders", "other"]


@dataclass(frozen=True)
class Export:
    """A known export: its name, its kind, headers that give it away (normalised) and what it says about itself.

    columns: role -> header, for roles that aliases would leave open. date_format: how its dates are written.
    """

    name: str
    kind: Kind
    headers: frozenset[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None


def normalised(header: str) -> str:
    """A header without case, blanks and punctuation: "Yds_ordered" -> "ydsordered", "$/lb" -> "usdlb"."""
    return re.sub(r"[^0-9a-z]", "", header.lower().replace("$", "usd").replace("%", "percent"))


def _export(name: str, kind: Kind, *headers: str) -> Export:
    return Export(name, kind, frozenset(headers))


# The first whose headers are all there names the table.
EXPORTS = (
    Export(
        "sales activity report",
        "sales",
        frozenset({"document", "invoicedate", "fstyle", "ydsordered"}),
        {
            "date": "invoicedate",
            "style": "fstyle",
            "quantity": "ydsordered",
            "unit": "uom",
            "unit_price": "unitprice",
            "line_amount": "lineprice",
            "document": "document",
        },
        "%m-%d-%y",
    ),
    _export("bill of materials", "yarn", "style", "desc", "bompercent"),
    _export("bill of materials", "yarn", "style", "desc", "bompercentage"),
    _export("yarn stock", "yarn", "desc", "theoreticalbalance"),
    _export("yarn master", "yarn", "desc", "blend", "color"),
    _export("yarn demand by style", "yarn", "desc", "style", "percentage"),
    _export("yarn purchase orders", "orders", "po", "desc", "quoted"),
    _export("expected yarn receipts", "orders", "po", "desc"),
    _export("yarn demand by week", "yarn", "desc", "thisweek"),
    _export("yarn demand by week", "yarn", "desc", "demandthisweek"),
    _export("knit orders", "orders", "style", "order", "quoteddate"),
    _export("knit orders", "orders", "style", "order", "machine"),
    _export("open sales orders", "orders", "so", "ordered", "balance"),
    _export("open sales orders", "orders", "so", "style", "balance"),
    _export("suppliers", "other", "supplierid", "leadtime"),
    _export("style cross-reference", "other", "fstyle", "gbase"),
    _export("style master", "other", "style", "ydslbs"),
    _export("finished stock by style", "other", "style", "finishedstock"),
    _export("substitution labels", "other", "yarna", "yarnb", "issubstitutable"),
)


def recognise_export(headers: Iterable[str]) -> Export | None:
    """The known export with these headers, None when there is none."""
    found = {normalised(header) for header in headers}
    return next((export for export in EXPORTS if export.headers <= found), None)
