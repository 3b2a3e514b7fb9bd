"""Which column is the date, the style, the quantity: by alias and by what the values look like, never by guess."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator
from pydantic.dataclasses import dataclass

from demand.dates import DATE_FORMATS, read_dates
from demand.errors import SHOWN, SchemaError, SettingsError
from demand.exports import Export, normalised
from demand.headers import are_headers, nearest_aliases, said_of, shown_cell
from demand.layouts import CELL, PERIOD, Table
from demand.panel import ID, TARGET, TIME
from demand.parsing import as_text, is_text, read_numbers
from demand.settings import STRICT, nearest_name

# role -> headers, normalised (see exports.normalised). A header must be equal to an alias: "item" does not match
# "item_price". Money is never an alias of quantity.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "date": (
        "invoicedate", "orderdate", "transactiondate", "salesdate", "saledate", "date", "ds", "day", "week", "month",
        "weekending", "weekstart", "period", "timestamp",
    ),
    "style": (
        "fstyle", "style", "stylenumber", "styleno", "stylecode", "styleid", "sku", "item", "itemid", "itemcode",
        "itemnumber", "itemno", "uniqueid", "product", "productid", "productcode", "article", "articlenumber",
    ),
    "quantity": (
        "ydsordered", "ordered", "qtyordered", "quantity", "qty", "units", "unitssold", "y", "ordqty", "orderqty",
        "orderedqty", "orderquantity", "quantityordered", "salesqty", "demand", "demandqty",
    ),
    "unit_price": ("unitprice", "price", "usdlb", "costpound", "itemprice", "saleprice", "sellingprice"),
    "line_amount": ("lineprice", "amount", "revenue", "lineamount", "linetotal", "totalprice"),
    "unit": ("uom", "unit", "unitofmeasure"),
    "document": (
        "document", "documentno", "documentnumber", "invoiceno", "invoicenumber", "orderid", "orderno", "ordernumber",
    ),
    "in_stock": ("instock",),
    "inventory_level": ("inventorylevel", "stockonhand", "onhand", "stocklevel"),
}  # fmt: skip
REQUIRED = ("date", "style", "quantity")

# Columns that name people or partners: not carried, not shown, not kept, unless `columns.keep` names them.
PERSONAL = frozenset(
    [
        *("customer", "customername", "customerid", "customerno", "client", "clientname", "soldto", "shipto", "billto"),
        *(
            "salesrep",
            "salesperson",
            "csr",
            "createdby",
            "updatedby",
            "enteredby",
            "note",
            "notes",
            "comment",
            "comments",
        ),
        *("email", "phone", "address", "contact", "po", "ponumber", "pono", "purchaseorder", "so", "sonumber"),
        *(
            "document",
            "documentno",
            "documentnumber",
            "invoiceno",
            "invoicenumber",
            "orderid",
            "orderno",
            "ordernumber",
        ),
        *("1stinvoice", "firstinvoice", "sellingco", "supplier"),
    ]
)

DECIMAL_HINT = "The decimal sign seems to be a comma: set columns.decimal=','"
_KNOWN = PERSONAL.union(*ALIASES.values())

Why = Literal["setting", "regular", "export", "alias", "layout"]
_SAMPLE = 1_000


@dataclass(frozen=True, config=STRICT)
class ColumnSettings:
    """Which column plays which role; None = found by alias.

    style may be several columns, joined with "_" (Store and Product). date_format: how the dates are written
    ("%m-%d-%y", or excel, epoch_s, epoch_ms). decimal: the decimal sign of text numbers. past / future / static: more
    columns to carry: known up to the origin, known ahead, one value per style. keep: personal columns kept on purpose.
    """

    date: str | None = None
    style: str | tuple[str, ...] | None = None
    quantity: str | None = None
    unit_price: str | None = None
    line_amount: str | None = None
    unit: str | None = None
    document: str | None = None
    in_stock: str | None = None
    inventory_level: str | None = None
    date_format: str | None = None
    decimal: Literal[".", ","] = "."
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @field_validator("style")
    @classmethod
    def _some_column(cls, style: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if style is not None and not len(style):
            raise ValueError("name at least one column")
        return style

    @property
    def style_columns(self) -> tuple[str, ...]:
        """The configured style columns, () when they are to be found."""
        return (self.style,) if isinstance(self.style, str) else tuple(self.style or ())

    @property
    def named(self) -> tuple[str, ...]:
        """The headers of the required roles when the settings name all of them, else ()."""
        if self.date is None or self.quantity is None or not self.style_columns:
            return ()
        return (self.date, *self.style_columns, self.quantity)


@plain_dataclass(frozen=True)
class Mapped:
    """The columns in their roles: headers of the table as it is, and why each was chosen.

    regular: the table has unique_id, ds and y, and is taken as it is.
    """

    date: str
    style: tuple[str, ...]
    quantity: str
    optional: Mapping[str, str]
    why: Mapping[str, Why]
    regular: bool
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...]
    keep: tuple[str, ...]
    personal: tuple[str, ...]
    notes: tuple[str, ...]

    def chosen(self) -> dict[str, str]:
        """Role -> "column (why)"."""
        roles = {"date": self.date, "style": " + ".join(self.style), "quantity": self.quantity, **self.optional}
        return {role: f"{column} ({self.why[role]})" for role, column in roles.items()}


def map_columns(table: Table, settings: ColumnSettings, export: Export | None) -> Mapped:
    """Who plays which role in this table.

    In this order: the settings, unique_id / ds / y, the map of a known export, the aliases whose values fit the role.
    Raises SchemaError: no column for a required role (with what was looked for and what exists), two candidates for a
    role (with both and the key). Raises SettingsError: a named column that the table does not have.
    """
    names = table.columns.column_names
    regular = {ID, TIME, TARGET} <= set(names)
    found: dict[str, str] = {}
    why: dict[str, Why] = {}
    notes: list[str] = []
    if PERIOD in names:
        found, why = {"date": PERIOD, "quantity": CELL}, {"date": "layout", "quantity": "layout"}
    elif regular:
        found = {"date": TIME, "style": ID, "quantity": TARGET}
        why = dict.fromkeys(found, "regular")
    for role in ALIASES:
        given = getattr(settings, role)
        if role == "style":
            continue
        if given is not None:
            found[role], why[role] = named_column(given, table, f"columns.{role}"), "setting"
    style = tuple(named_column(name, table, "columns.style") for name in settings.style_columns)
    if style:
        found["style"], why["style"] = style[0], "setting"
    by_name = {normalised(name): name for name in reversed(names)}
    if export is not None:
        for role, header in export.columns.items():
            if role not in found and header in by_name and _fits(table, by_name[header], role, settings):
                found[role], why[role] = by_name[header], "export"
    taken = {*found.values(), *style}
    for role, aliases in ALIASES.items():
        if role in found:
            continue
        hits = [name for name in names if normalised(name) in aliases and name not in taken]
        fitting = [name for name in hits if _fits(table, name, role, settings)]
        if len(fitting) > 1:
            if role not in (*REQUIRED, "unit", "unit_price"):
                notes.append(f"{role}: two candidates ({', '.join(fitting)}), none used")
                continue
            raise SchemaError(
                f"two columns could be the {role.replace('_', ' ')}",
                candidates=fitting,
                hint=f"Choose one with columns.{role}={fitting[0]!r} or columns.{role}={fitting[1]!r}",
            )
        if fitting:
            found[role], why[role] = fitting[0], "alias"
            taken.add(fitting[0])
        elif role in REQUIRED:
            raise _not_found(table, role, hits, settings)
    carried = _carried(table, settings)
    if "in_stock" in found and found["in_stock"] in carried:
        del found["in_stock"]
    optional = {role: name for role, name in found.items() if role not in REQUIRED}
    keep = tuple(named_column(name, table, "columns.keep") for name in settings.keep)
    used = {found["date"], found["style"], *style, found["quantity"], *carried, *keep}
    used |= {name for role, name in optional.items() if role != "document"}
    return Mapped(
        date=found["date"],
        style=style or (found["style"],),
        quantity=found["quantity"],
        optional=optional,
        why=why,
        regular=regular and not style and found["quantity"] == TARGET and found["date"] == TIME,
        past=tuple(named_column(name, table, "columns.past") for name in settings.past),
        future=tuple(named_column(name, table, "columns.future") for name in settings.future),
        static=tuple(named_column(name, table, "columns.static") for name in settings.static),
        keep=keep,
        personal=tuple(name for name in names if normalised(name) in PERSONAL and name not in used),
        notes=tuple(notes),
    )


def named_column(given: str, table: Table, key: str) -> str:
    """The header of the table that a setting means: equal, or equal but for case, blanks and punctuation."""
    names: list[str] = table.columns.column_names
    if given in names:
        return given
    alike = [name for name in names if normalised(name) == normalised(given)]
    if len(alike) == 1:
        return alike[0]
    raise SettingsError(
        "the table has no such column",
        key=key,
        found=given,
        columns=said_of(names, table.columns, _KNOWN),
        nearest=nearest_name(given, names) if are_headers(names, table.columns, _KNOWN) else None,
    )


def shown_values(values: Iterable[str], name: str) -> list[str]:
    """The cells of a column for a message: none of a column that names people, *** for what may be one's address."""
    return [] if normalised(name) in PERSONAL else [shown_cell(value) for value in values]


def _carried(table: Table, settings: ColumnSettings) -> set[str]:
    carried = [
        named_column(name, table, f"columns.{group}")
        for group in ("past", "future", "static")
        for name in getattr(settings, group)
    ]
    if len(set(carried)) < len(carried):
        raise SettingsError("a column is carried twice", key="columns.past, future, static", found=sorted(carried))
    return set(carried)


def _not_found(table: Table, role: str, hits: list[str], settings: ColumnSettings) -> SchemaError:
    names = table.columns.column_names
    facts: dict[str, object] = {
        "looked_for": ", ".join(ALIASES[role]),
        "columns": said_of(names, table.columns, _KNOWN),
    }
    nearest = nearest_aliases(names, ALIASES[role])
    if nearest and not hits:
        facts["nearest"] = nearest
    if role == "date" and hits:
        texts = _sample(table.columns.column(hits[0]))
        raise SchemaError(
            "the values of the date column cannot be read as dates", column=hits[0], looked_at=len(texts),
            first=shown_values(texts.slice(0, SHOWN).to_pylist(), hits[0]), date_format=settings.date_format or "auto",
            hint="Name their format with columns.date_format, such as '%d.%m.%Y', or another column with columns.date",
        )  # fmt: skip
    if hits:
        facts["values_do_not_fit"] = hits
    hint = f"Name it with columns.{role}=..., or give the file a first line that names the columns"
    if role == "quantity":
        hint += "; a price or an amount is not a quantity"
        if settings.decimal == "." and any(_fits(table, name, role, replace(settings, decimal=",")) for name in hits):
            hint = DECIMAL_HINT
    return SchemaError(f"no {role} column was found", hint=hint, **facts)


# ---- do the values fit the role -----------------------------------------------------------------------------------


def _fits(table: Table, name: str, role: str, settings: ColumnSettings) -> bool:
    """Whether a sample of the column's values can be what the role needs; a column without any value cannot."""
    column = table.columns.column(name)
    kind = column.type
    is_date = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if role == "date" and is_date:
        return True
    if role in ("style", "document"):
        return not is_date
    texts = _sample(column)
    if not len(texts):
        return False
    if role == "date":
        return _share_of_dates(texts, settings.date_format) >= 0.5
    numeric = float(np.mean(~np.isnan(read_numbers(texts, settings.decimal)[0])))
    if role == "unit":
        return is_text(column) and numeric < 0.5
    return is_number or pa.types.is_boolean(kind) or numeric >= 0.5


def _sample(column: pa.ChunkedArray) -> pa.Array:
    """Up to 1,000 filled cells, evenly spread, as trimmed text."""
    rows = np.unique(np.linspace(0, max(len(column) - 1, 0), min(len(column), _SAMPLE)).astype(np.int64))
    texts = pc.utf8_trim_whitespace(pc.fill_null(as_text(column.take(pa.array(rows))), "").cast(pa.string()))
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    filled = whole.filter(pc.not_equal(whole, ""))
    return filled if len(filled) or len(column) <= _SAMPLE else _first_filled(column)


def _first_filled(column: pa.ChunkedArray) -> pa.Array:
    """The first filled cells of a column that is nearly empty."""
    texts = pc.utf8_trim_whitespace(pc.fill_null(as_text(column), "").cast(pa.string())).unique()
    return texts.filter(pc.not_equal(texts, "")).slice(0, _SAMPLE)


def _share_of_dates(texts: pa.Array, date_format: str | None) -> float:
    read = np.zeros(len(texts), dtype=bool)
    for pattern in (date_format,) if date_format else DATE_FORMATS:
        read |= ~np.isnat(read_dates(texts, pattern))
    if date_format is None:  # 20240105, Excel serials, seconds: a date column whose format must be named, not skipped
        read |= np.array([bool(re.fullmatch(r"\d{8}|\d{5}(\.\d+)?|\d{10}|\d{13}", text)) for text in texts.to_pylist()])
    return float(read.mean())
