"""The items an order is decided for - styles of the release or the company's yarns - and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from demand.company.joins import Explosion, Match, bom_remarks, explosion, lead_times
from demand.company.read import tables_at
from demand.company.settings import CompanySettings
from demand.company.tables import NAMES, Company
from demand.errors import DataError, SettingsError
from demand.panel import Floats, Panel
from demand.parsing import parse_numbers
from demand.units import unit_word
from evaluation.serving_company import unit_factors
from features.yarn_catalogue import on_time_shares, terms_of
from features.yarn_settings import SubstitutionSettings
from models.inventory.known import NUMBERS, blank

STYLES, YARNS = "styles", "yarns"


@dataclass(frozen=True, eq=False)
class Wanted:
    """The items and what is known of them.

    kind: styles or yarns. known: a row an item with the columns of `models.inventory.known`. unit: of quantities.
    explosion: how the styles' demand becomes the yarns', None for styles. notes: what was found, in words.
    """

    kind: str
    known: pd.DataFrame
    unit: str
    explosion: Explosion | None = None
    notes: tuple[str, ...] = ()
    matches: tuple[Match, ...] = field(default_factory=tuple)


_OF_YARNS = ("stock", "yarns", "bom", "cross_reference", "style_master", "suppliers", "purchase_orders")


def wanted(panel: Panel, company: Company, told: CompanySettings, items: str, table: str | None,
           substitution: SubstitutionSettings) -> Wanted:  # fmt: skip
    """items: styles, yarns, or auto = yarns when the company's yarn stock, bill of materials and cross-reference
    are there.

    Raises DataError naming the table that is missing when yarns are asked for, SettingsError when nothing says what is
    in stock.
    """
    there = company.stock is not None and company.bom is not None and company.cross_reference is not None
    kind = (YARNS if there else STYLES) if items == "auto" else items
    if kind == YARNS:
        found = _yarns(panel, company, told, substitution)
    else:
        found = _styles(panel, company, told)
    lacks = company.missing(("stock", "bom", "cross_reference"))
    if items == "auto" and 0 < len(lacks) < 3:
        files = "".join(f"; {one}" for one in company.unused()[:5])
        found = replace(found, notes=(*found.notes, f"styles, not yarns: {', '.join(lacks)} missing{files}"))
    if table is not None:
        known, notes = _overlaid(found.known, table)
        found = replace(found, known=known, notes=(*found.notes, *notes))
    if found.known["on_shelf"].isna().all():
        raise SettingsError(
            f"no table says what is in stock of any of the {kind}", key="inventory.table or company.folder",
            items=len(found.known), hint="Name a file with columns item, on_shelf, unit_cost as inventory.table, or "
            "the folder of the company's tables as company.folder",
        )  # fmt: skip
    return found


def _styles(panel: Panel, company: Company, told: CompanySettings) -> Wanted:
    known = blank(panel.n_series)
    known["item"] = panel.ids.astype(object)
    notes = list(company.lost("style_stock"))
    if company.style_stock is not None:
        table = company.style_stock
        styles = table["style"].to_numpy(dtype=str)
        factor, assumed = np.ones(len(table)), np.zeros(len(table), dtype=bool)
        if panel.unit:  # as the stock that a release keeps to be served, row by row
            units = table["unit"].map(unit_word).tolist()
            factor, assumed = unit_factors(styles, units, unit_word(panel.unit), company, told)
        used, ours = ~np.isnan(factor), np.isin(styles, panel.ids)
        if not used.all():
            lost = int((~used).sum())
            notes.append(f"{NAMES['style_stock']}: {lost} rows not used, their unit does not convert to {panel.unit}")
        rough = len(np.unique(styles[assumed & used & ours]))
        if rough:
            notes.append(f"{NAMES['style_stock']}: of {rough} styles converted by an assumed weight, "
                         f"{told.assumed_ounces_per_yard:g} ounces a yard")  # fmt: skip
        shelf = (table["quantity"] * factor)[used].groupby(table["style"][used]).sum()
        known["on_shelf"] = shelf.reindex(panel.ids).to_numpy(dtype=np.float64)
    return Wanted(STYLES, known, panel.unit, notes=tuple(notes))


def _yarns(panel: Panel, company: Company, told: CompanySettings, substitution: SubstitutionSettings) -> Wanted:
    stock = company.stock
    if stock is None:
        raise DataError("a table of the company is missing", missing_table=NAMES["stock"],
                        hint="Put the export into company.folder, or name it as company.stock")  # fmt: skip
    volume = np.add.reduceat(np.nan_to_num(panel.y), panel.indptr[:-1])
    links = explosion(panel.ids, volume, panel.unit, company, told)
    ids = np.unique(np.concatenate([stock["yarn_id"].to_numpy(dtype=str), links.yarn_ids]))
    known = blank(len(ids))
    known["item"] = ids.astype(object)
    shelf = stock.drop_duplicates("yarn_id").set_index("yarn_id").reindex(ids)
    for ours, theirs in (("on_shelf", "theoretical_lb"), ("on_order", "on_order_lb"), ("allocated", "allocated_lb")):
        known[ours] = shelf[theirs].to_numpy(dtype=np.float64)
    _parts_from_sum(known, shelf["planning_lb"].to_numpy(dtype=np.float64))
    bought = terms_of(company.yarns, stock, pd.Index(ids))
    known["unit_cost"] = bought["cost_per_lb"].to_numpy()
    supplier = bought["supplier"].to_numpy(dtype=object)
    known["supplier"] = supplier
    of = pd.Series(supplier, dtype=object)
    notes = list(company.lost(*_OF_YARNS))
    if company.suppliers is not None:
        table = company.suppliers.drop_duplicates("supplier").set_index("supplier")
        known["lead_time_days"] = of.map(lead_times(company, told)).to_numpy(dtype=np.float64)
        known["moq"] = of.map(table["moq_lb"]).to_numpy(dtype=np.float64)
    else:
        notes.append(f"the table {NAMES['suppliers']} is missing: lead times and minimum orders are defaults")
    notes += bom_remarks(company)
    notes += _assumed_weights(links, volume, panel.unit, told)
    as_of = None if told.as_of is None else pd.Timestamp(told.as_of)
    shares = on_time_shares(company.purchase_orders, substitution, as_of)
    known["supplier_reliability"] = of.map(shares).to_numpy(dtype=np.float64)
    return Wanted(YARNS, known, "lbs", links, tuple(notes), links.matches)


def _assumed_weights(links: Explosion, volume: Floats, unit: str, told: CompanySettings) -> list[str]:
    """What of the yarns' demand rests on a yard's assumed weight, in words; volume [N] of the styles in `unit`."""
    uses = np.isin(np.arange(len(links.styles)), links.style_at)
    rough = uses & links.assumed
    if not rough.any():
        return []
    ounces, n = told.assumed_ounces_per_yard, int(uses.sum())
    return [f"assumed: {ounces:g} ounces a yard for {int(rough.sum())} of {n} styles made of yarns, "
            f"{volume[rough].sum():,.0f} of {volume[uses].sum():,.0f} {unit}"]  # fmt: skip


def _parts_from_sum(known: pd.DataFrame, planning: Floats) -> None:
    """Fills the parts of the position that are not stated from their sum [n], NaN = not known: the only one missing is
    the rest; of on order and allocated together the rest is what is on order above 0, allocated below."""
    names = ("on_shelf", "on_order", "allocated")
    parts = known[list(names)].to_numpy(dtype=np.float64, copy=True)
    lacks = np.isnan(parts)
    rest = planning - np.where(lacks, 0.0, parts).sum(axis=1)
    told = ~np.isnan(rest)
    one = told & (lacks.sum(axis=1) == 1)
    parts[one] = np.where(lacks[one], rest[one, None], parts[one])
    both = told & (lacks == [False, True, True]).all(axis=1)
    parts[both, 1], parts[both, 2] = np.maximum(rest[both], 0.0), np.minimum(rest[both], 0.0)
    known[list(names)] = parts


def _overlaid(known: pd.DataFrame, path: str) -> tuple[pd.DataFrame, list[str]]:
    """The same items with the figures of a file of one row an item in the place of what was known.

    Raises DataError when the file has no column `item`, none of the figures, an item twice or a figure that cannot be
    read.
    """
    tables, _ = tables_at(path, "inventory.table")
    if len(tables) != 1:
        raise DataError("inventory.table is one file", key="inventory.table", found=[file.name for _, file in tables])
    raw, file = tables[0]
    columns = raw.columns
    names = {str(name).strip().lower(): name for name in columns.column_names}
    figures = [name for name in NUMBERS if name in names]
    if "item" not in names or not figures:
        raise DataError(
            "the table of the items has no column item, or none of their figures", file=file.name,
            found=columns.column_names, expected=["item", "supplier", *NUMBERS], hint="Rename its headers",
        )  # fmt: skip
    cells = columns[names["item"]].to_pylist()
    item = pd.Series(["" if cell is None else str(cell).strip() for cell in cells], dtype=object)
    blank_rows = np.flatnonzero(item == "")
    if len(blank_rows):
        raise DataError("rows of the items have no item", file=file.name, count=len(blank_rows),
                        first=[f"row {row + 2}" for row in blank_rows[:5]],
                        hint="Name the item of each row, or leave the row out")  # fmt: skip
    if item.duplicated().any():
        raise DataError("items are there twice", file=file.name, count=int(item.duplicated().sum()),
                        first=item[item.duplicated()].tolist()[:5], hint="Leave one row of each")  # fmt: skip
    place = pd.Series(np.arange(len(known)), index=known["item"]).reindex(item).to_numpy(dtype=np.float64)
    here = np.flatnonzero(~np.isnan(place))
    at = place[here].astype(np.int64)
    result = known.copy()
    for name in figures:
        value = _figures(columns[names[name]], name, file.name)[here]
        stated = ~np.isnan(value)
        column = result[name].to_numpy(dtype=np.float64, copy=True)
        column[at[stated]] = value[stated]
        result[name] = column
    if "supplier" in names:
        said = [str(v or "").strip() for v in columns[names["supplier"]].to_pylist()]
        supplier = result["supplier"].to_numpy(dtype=object, copy=True)
        for row, to in zip(here, at, strict=True):
            supplier[to] = said[row] or supplier[to]
        result["supplier"] = supplier
    unknown = [name for lower, name in names.items() if lower not in (*NUMBERS, "item", "supplier")]
    strange = item[np.isnan(place)].tolist()
    others = f"; not in it: {', '.join(strange[:5])}{', ..' if len(strange) > 5 else ''}" if strange else ""
    notes = [f"{file.name}: {len(here)} of {len(item)} rows are items of the release{others}"]
    if unknown:
        notes.append(f"{file.name}: columns not used: {', '.join(unknown[:5])}")
    return result, notes


def _figures(column: Any, name: str, file: str) -> Floats:
    parsed = parse_numbers(column)
    if parsed.unreadable.any():
        rows = np.flatnonzero(parsed.unreadable)
        raise DataError(
            "figures of the items cannot be read", file=file, column=name, count=len(rows),
            first=[str(column[int(row)]) for row in rows[:5]], hint="Write plain numbers, or leave the cell blank",
        )  # fmt: skip
    return parsed.values
