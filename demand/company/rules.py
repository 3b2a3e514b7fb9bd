"""What each table needs beyond its cells: repeated keys, sums that must hold, versions, past-due columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from demand.company.rows import MERGED, Rows
from demand.company.tables import NAMES
from demand.errors import SHOWN, DataError
from demand.units import unit_word

_CENT = 0.02  # four rounded figures can be apart by so much
_YES, _NO = ("1", "yes", "y", "true", "approved", "approve", "ok"), ("0", "no", "n", "false", "rejected", "reject")


Rule = Callable[[Rows], None]


def apply(rows: Rows) -> pd.DataFrame:
    """The frame of the used rows under the table's rules; counts go to `rows`. Raises DataError as settings ask."""
    _RULES.get(rows.table, _nothing)(rows)
    return rows.open


def _nothing(rows: Rows) -> None:
    return None


def _needs(rows: Rows, column: str, reason: str) -> None:
    values = rows.frame[column]
    rows.drop((values == "").to_numpy() if values.dtype == object else values.isna().to_numpy(), reason)


def _first_of_each(rows: Rows, key: Sequence[str], reason: str, shown: str | None = None) -> None:
    """Keeps the first used row of each key; the others differ from it and are left out, named by `shown`."""
    used = rows.open
    again = rows.mask(used.index[used.duplicated(list(key))])
    if shown is not None:
        rows.tell(reason, again, shown)
    rows.drop(again, reason)


def _yarns(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    _first_of_each(rows, ("yarn_id",), "yarn listed before with other values", "yarn_id")


def _stock(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    frame = rows.frame
    parts = frame[["theoretical_lb", "on_order_lb", "allocated_lb"]].sum(axis=1, skipna=False)
    stated = frame["planning_lb"]
    rows.tell("planning_is_not_the_sum", ((stated - parts).abs() > _CENT).to_numpy(), "yarn_id")
    rows.tell("planning_not_checked", (stated.isna() | parts.isna()).to_numpy(), "yarn_id")
    rows.tell("allocated_above_zero", (frame["allocated_lb"] > 0).to_numpy(), "yarn_id")
    frame["planning_lb"] = parts.where(parts.notna(), stated)
    _summed(rows, ["yarn_id"], ["theoretical_lb", "on_order_lb", "allocated_lb", "planning_lb", "consumed_lb"])


def _summed(rows: Rows, key: list[str], sums: list[str]) -> None:
    """One row a key: the first of its used rows, with the sums over all of them. An unknown part leaves no sum."""
    used = rows.open
    again = used.duplicated(key)
    if not again.any():
        return
    group = used.groupby(key, sort=False).ngroup().to_numpy()  # numbered in the order of their first rows
    totals = np.zeros((group.max() + 1, len(sums)))
    np.add.at(totals, group, used[sums].to_numpy())
    rows.frame.loc[used.index[~again], sums] = totals
    merged = rows.mask(used.index[again])
    rows.tell("summed_with_an_earlier_row", merged, key[0])
    rows.drop(merged, MERGED)


def _bom(rows: Rows) -> None:
    _needs(rows, "base", "no style")
    _needs(rows, "yarn_id", "header row without yarn")
    rows.drop(rows.frame["share"].isna().to_numpy(), "no share")
    rows.drop((rows.frame["share"] < 0).to_numpy(), "share below 0")
    style = rows.frame["base"]
    parts = style.str.partition("/")
    rows.frame["base"], version = parts[0].str.strip(), parts[2].str.strip()
    _one_version(rows, version)
    _bom_repeats(rows)
    total = rows.open.groupby("base", sort=True)["share"].sum()
    if len(total):
        odd = total[(total - 1).abs() > 0.005]
        rows.facts["bases"] = len(total)
        rows.facts["share_of_a_base"] = {"least": float(total.min()), "most": float(total.max())}
        if len(odd):
            first = {str(base): round(float(share), 4) for base, share in odd.iloc[:SHOWN].items()}
            rows.facts["shares_not_one"] = {"bases": len(odd), "first": first}


def _one_version(rows: Rows, version: pd.Series) -> None:
    """Of a base that is listed under several versions, the rows of one of them: the highest number, or the first."""
    used = rows.open.assign(version=version[rows.ledger.open])
    several = used.groupby("base")["version"].nunique()
    several = several[several > 1]
    if not len(several):
        return
    if rows.settings.versions == "error":
        raise DataError(
            "bases have several versions in the bill of materials", bases=len(several), first=list(several.index),
            hint="Choose with company.versions=latest or company.versions=first",
        )  # fmt: skip
    rows.facts["bases_with_several_versions"] = {"bases": len(several), "first": list(several.index[:SHOWN])}
    order = used["version"].str.extract(r"^(\d*)")[0].replace("", "-1").astype(float)
    ranked = used.assign(number=order, place=np.arange(len(used)))
    if rows.settings.versions == "latest":
        ranked = ranked.sort_values(["base", "number", "version", "place"], ascending=[True, False, False, True])
    chosen = ranked.drop_duplicates("base").set_index("base")["version"]
    rows.drop(rows.mask(used.index[used["version"] != used["base"].map(chosen)]), "another version of the base")


def _bom_repeats(rows: Rows) -> None:
    key = ["base", "yarn_id"]
    used = rows.open
    again = used.duplicated(key)
    if not again.any():
        return
    pairs = used.loc[again, key].drop_duplicates()
    first = [f"{base}: {yarn}" for base, yarn in pairs.iloc[:SHOWN].itertuples(index=False, name=None)]
    if rows.settings.bom_repeats == "error":
        raise DataError(
            "yarns come several times in one base of the bill of materials", pairs=len(pairs), first=first,
            hint="Choose with company.bom_repeats=sum or company.bom_repeats=first",
        )  # fmt: skip
    rows.facts["repeated_yarns_of_a_base"] = {"pairs": len(pairs), "first": first, "used": rows.settings.bom_repeats}
    if rows.settings.bom_repeats == "first":
        _first_of_each(rows, key, "repeated yarn of a base")
    else:
        _summed(rows, key, ["share"])


def _suppliers(rows: Rows) -> None:
    _needs(rows, "supplier", "no supplier")
    _first_of_each(rows, ("supplier",), "supplier listed before with other values")
    if rows.settings.lead_time_unit is None:
        rows.notes.append("the unit of lead times is not stated: company.lead_time_unit says it")


def _purchase_orders(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    _needs(rows, "quantity_lb", "no quantity")


def _record_only(rows: Rows) -> None:
    rows.notes.append("for the record only: no order rests on it; on order is what the stock says, what is needed "
                      "follows from the forecast and the bill of materials")  # fmt: skip


def _receipts(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    quantity = rows.frame["quantity_lb"]
    rows.drop((quantity.isna() | (quantity == 0)).to_numpy(), "nothing expected")
    late = rows.frame["week"].isna().to_numpy()
    rows.tell("past_due", late, "yarn_id")
    rows.tell("below_zero", (quantity < 0).to_numpy(), "yarn_id")
    _record_only(rows)


def _yarn_needs(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    _needs(rows, "style", "no style")
    quantity = rows.frame["quantity_lb"]
    rows.drop((quantity.isna() | (quantity == 0)).to_numpy(), "nothing needed")
    _record_only(rows)


def _yarn_weeks(rows: Rows) -> None:
    _needs(rows, "yarn_id", "no yarn id")
    figures = rows.frame[["demand_lb", "receipts_lb", "balance_lb"]]
    rows.drop(figures.isna().all(axis=1).to_numpy(), "no figure")
    _record_only(rows)


def _open_orders(rows: Rows) -> None:
    _needs(rows, "style", "no style")
    rows.drop(rows.frame["_status"].str.match(r"(?i)cancel|void").to_numpy(), "cancelled")
    _needs(rows, "balance", "no balance")
    rows.tell("on_hold", rows.frame["_on_hold"].to_numpy() == 1, "style")
    rows.tell("without_ship_date", rows.frame["ship_date"].isna().to_numpy(), "style")
    rows.frame["unit"] = rows.frame["unit"].map(unit_word)
    rows.facts["units"] = {str(k): int(n) for k, n in rows.open["unit"].value_counts(sort=True).items()}


def _knit_orders(rows: Rows) -> None:
    _needs(rows, "style", "no style")
    rest = rows.frame["ordered_lb"] - rows.frame["shipped_lb"]
    stated = rows.frame["balance_lb"]
    rows.tell("balance_is_not_ordered_less_shipped", ((stated - rest).abs() > _CENT).to_numpy(), "style")
    rows.tell("balance_computed", (stated.isna() & rest.notna()).to_numpy(), "style")
    rows.frame["balance_lb"] = stated.fillna(rest)
    rows.drop(rows.frame["ordered_lb"].isna().to_numpy(), "no quantity")


def _cross_reference(rows: Rows) -> None:
    _needs(rows, "style", "no style")
    _needs(rows, "base", "no base")
    used = rows.open
    several = used.groupby("style")["base"].nunique()
    rows.facts["styles_with_several_bases"] = int((several > 1).sum())


def _style_master(rows: Rows) -> None:
    _needs(rows, "style", "no style")
    # of a style that comes twice the row that knows is worth more
    again = rows.open.sort_values("yds_per_lb", na_position="last", kind="stable").duplicated("style")
    mask = rows.mask(again.index[again])
    rows.tell("style listed before", mask, "style")
    rows.drop(mask, "style listed before")
    rows.facts["yards_a_pound_not_known"] = int(rows.open["yds_per_lb"].isna().sum())


def _style_stock(rows: Rows) -> None:
    _needs(rows, "style", "no style")
    _needs(rows, "quantity", "no quantity")
    rows.frame["unit"] = rows.frame["unit"].map(unit_word)
    _summed(rows, ["style", "unit"], ["quantity"])


def _labels(rows: Rows) -> None:
    _needs(rows, "yarn_a", "no yarn id")
    _needs(rows, "yarn_b", "no yarn id")
    said = rows.frame["_label"].str.lower().str.replace(r"\.0+$", "", regex=True)
    yes, no = said.isin(_YES), said.isin(_NO)
    rows.drop((~yes & ~no).to_numpy(), "label is neither yes nor no")
    rows.drop((rows.frame["yarn_a"] == rows.frame["yarn_b"]).to_numpy(), "a yarn with itself")
    rows.frame["is_substitutable"] = yes.astype(np.int64)
    _newest_label(rows)


def _newest_label(rows: Rows) -> None:
    """Of several labels of one pair the newest; where the dates do not tell which is, and they differ, none."""
    key = ["yarn_a", "yarn_b"]
    used = rows.open
    newest = used.groupby(key)["date"].transform("max")
    # without any date all of a pair's labels are equally new
    rows.drop(rows.mask(used.index[(used["date"] != newest) & newest.notna()]), "a newer label of the pair")
    used = rows.open
    torn = rows.mask(used.index[used.groupby(key)["is_substitutable"].transform("nunique") > 1])
    rows.tell("labels_that_contradict", torn, "yarn_a")
    rows.drop(torn, "labels that contradict each other")
    used = rows.open
    rows.drop(rows.mask(used.index[used.duplicated(key)]), MERGED)


_RULES: Mapping[str, Rule] = {
    "yarns": _yarns,
    "stock": _stock,
    "bom": _bom,
    "suppliers": _suppliers,
    "purchase_orders": _purchase_orders,
    "receipts": _receipts,
    "yarn_needs": _yarn_needs,
    "yarn_weeks": _yarn_weeks,
    "open_orders": _open_orders,
    "knit_orders": _knit_orders,
    "cross_reference": _cross_reference,
    "style_master": _style_master,
    "style_stock": _style_stock,
    "labels": _labels,
}
assert set(_RULES) == set(NAMES)
