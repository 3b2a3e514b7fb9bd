"""Which header of a file is which column of a table, and what its cells are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from demand.company.tables import NAMES
from demand.errors import SchemaError
from demand.exports import normalised
from demand.headers import nearest_aliases, said_of
from demand.layouts import Table

# id: a text that names something ("45301.0" is 45301). cost: a number above 0, else not known. share: see
# `cells.shares`. on: 1 where a switch is on.
Kind = Literal["id", "text", "number", "cost", "share", "date", "on"]


@dataclass(frozen=True)
class Field:
    """A column of a table. headers: normalised (see `exports.normalised`), the first that a file has is it.

    A file without the header of a needed field cannot be used; without another one its cells are not known.
    """

    name: str
    kind: Kind
    headers: tuple[str, ...]
    needed: bool = False


_YARN = Field("yarn_id", "id", ("desc", "descno", "yarnid", "yarn", "yarncode"), needed=True)
_SUPPLIER = Field("supplier", "text", ("supplier", "suppliername", "vendor"))
_DESCRIPTION = Field("description", "text", ("description", "yarndescription"))
_COLOR = Field("color", "text", ("color", "colour"))
_TYPE = Field("type", "text", ("type", "yarntype", "suppliertype"))
_COST = Field("cost_per_lb", "cost", ("costpound", "costperlb", "usdlb", "costlb", "cost", "price"))
_STYLE = Field("style", "id", ("style", "fstyle", "stylenumber", "styleno", "sku", "item"), needed=True)
_UNIT = Field("unit", "text", ("uom", "unit", "unitofmeasure"))

# Beside the columns of `tables.COLUMNS` a table may have helpers, which only its rules see: their names begin with "_".
FIELDS: Mapping[str, tuple[Field, ...]] = {
    "yarns": (_YARN, _SUPPLIER, _DESCRIPTION, Field("blend", "text", ("blend", "composition")), _TYPE, _COLOR, _COST),
    "stock": (
        _YARN,
        _SUPPLIER,
        _DESCRIPTION,
        _COLOR,
        Field("theoretical_lb", "number", ("theoreticalbalance", "theoretical", "onhand"), needed=True),
        Field("on_order_lb", "number", ("onorder", "ordered")),
        Field("allocated_lb", "number", ("allocated",)),
        # the file's own balance is compared with the sum of its parts
        Field("planning_lb", "number", ("planningbalance", "planningballance", "planning")),
        Field("consumed_lb", "number", ("consumed",)),
        _COST,
        Field("reconciled", "date", ("reconciledate", "reconciled")),
    ),
    "bom": (
        Field("base", "id", ("style", "fstyle", "gbase", "base"), needed=True),
        Field("yarn_id", "id", _YARN.headers, needed=True),
        Field("share", "share", ("bompercent", "bompercentage", "percentage", "percent", "share"), needed=True),
        _UNIT,
    ),
    "suppliers": (
        Field("supplier", "text", _SUPPLIER.headers, needed=True),
        Field("supplier_id", "id", ("supplierid", "vendorid", "id")),
        Field("lead_time", "number", ("leadtime", "lead")),
        Field("moq_lb", "number", ("moq", "minimumorder", "minimumorderquantity")),
        _TYPE,
    ),
    "purchase_orders": (
        _YARN,
        _SUPPLIER,
        # a date here; in sales orders a column of this name is a quantity
        Field("ordered", "date", ("ordered", "orderdate", "podate")),
        Field("requested", "date", ("requested", "requesteddate")),
        Field("quoted", "date", ("quoted", "quoteddate")),
        Field("quantity_lb", "number", ("qty", "quantity", "qtyordered"), needed=True),
        Field("balance_lb", "number", ("balance", "qtybalance")),
        _COST,
    ),
    "receipts": (_YARN, _SUPPLIER),
    "yarn_needs": (_YARN, _STYLE, Field("share", "share", ("percentage", "percent", "bompercent", "bompercentage"))),
    "yarn_weeks": (_YARN,),
    "open_orders": (
        _STYLE,
        Field("quantity", "number", ("ordered", "qtyordered", "quantity", "qty")),
        Field("balance", "number", ("balance", "qtybalance"), needed=True),
        _UNIT,
        Field("ship_date", "date", ("shipdate", "duedate", "due")),
        Field("_status", "text", ("status",)),
        Field("_on_hold", "on", ("onhold", "hold")),
    ),
    "knit_orders": (
        _STYLE,
        Field("start", "date", ("startdate", "start")),
        Field("quoted", "date", ("quoteddate", "quoted")),
        Field("ordered_lb", "number", ("qtyorderedlbs", "qtyordered", "ordered"), needed=True),
        Field("shipped_lb", "number", ("shippedlbs", "qtyshippedlbs", "shipped", "qtyshipped")),
        Field("balance_lb", "number", ("balancelbs", "qtybalancelbs", "balance", "qtybalance")),
        Field("machine", "id", ("machine", "machineno", "machinenumber")),
    ),
    "cross_reference": (
        Field("style", "id", ("fstyle", "style"), needed=True),
        Field("base", "id", ("gbase", "base"), needed=True),
        Field("version", "date", ("gvercreated", "vercreated", "created", "version")),
    ),
    "style_master": (
        _STYLE,
        Field("yds_per_lb", "cost", ("ydslbs", "ydslb", "ydsperlb", "yardsperpound"), needed=True),
    ),
    "style_stock": (
        _STYLE,
        Field("quantity", "number", ("finishedstock", "onhand", "stock", "quantity", "qty", "balance"), needed=True),
        _UNIT,
    ),
    "labels": (
        Field("yarn_a", "id", ("yarna",), needed=True),
        Field("yarn_b", "id", ("yarnb",), needed=True),
        Field("_label", "text", ("issubstitutable", "substitutable", "label", "decision", "approved"), needed=True),
        Field("date", "date", ("date", "decided", "decidedon")),
        Field("reason", "text", ("reason", "why")),
    ),
}


def headers_of(table: str, raw: Table) -> dict[str, str]:
    """Field -> header of the file, for the fields that it has. Raises SchemaError naming the needed ones it lacks."""
    by_name = {normalised(name): name for name in reversed(raw.columns.column_names)}
    found: dict[str, str] = {}
    for field in FIELDS[table]:
        hit = next((by_name[header] for header in field.headers if header in by_name), None)
        if hit is not None:
            found[field.name] = hit
    lacking = [field for field in FIELDS[table] if field.needed and field.name not in found]
    if lacking:
        known = {header for field in FIELDS[table] for header in field.headers}
        names = raw.columns.column_names
        looked = {header for field in lacking for header in field.headers}
        raise SchemaError(
            f"this file is no {NAMES[table]}: columns are missing", file=raw.name,
            missing=[field.name.lstrip("_") for field in lacking],
            looked_for=", ".join(sorted(looked)), columns=said_of(names, raw.columns, known),
            nearest=nearest_aliases(names, looked) or None, hint=f"Name another file as company.{table}",
        )  # fmt: skip
    return found
