"""From what is sold to what it is made of: style -> cross-reference -> base -> bill of materials, yards -> pounds.

Ids are compared as they are, trimmed: `ABC1234-1` is never taken for `ABC1234/1`. Each join says how much it matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demand.company.settings import CompanySettings
from demand.company.tables import NAMES, Company
from demand.errors import SHOWN, DataError, SettingsError
from demand.panel import Floats, Ints, Strings
from demand.parsing import Bools

OUNCES = 16.0  # of a pound
POUNDS = {"lbs": 1.0, "kg": 1 / 0.45359237}
YARDS = {"yds": 1.0, "m": 1 / 0.9144}
DAYS = {"days": 1.0, "weeks": 7.0}
SHARES_OFF = 0.05  # a bill of materials may leave so much of a base out, or count it twice, without a word


@dataclass(frozen=True)
class Match:
    """How much of one join found its partner, in rows and in volume (in `unit`); unmatched: the first few by name."""

    join: str
    rows: int
    matched_rows: int
    volume: float
    matched_volume: float
    unit: str
    unmatched: tuple[str, ...] = ()

    @classmethod
    def of(cls, join: str, names: Strings, found: Bools, volume: Floats, unit: str) -> Match:
        """names, found, volume [N]; an unknown volume counts as none."""
        known = np.nan_to_num(volume)
        lost = dict.fromkeys(str(name) for name in names[~found])
        return cls(join, len(found), int(found.sum()), float(known.sum()), float(known[found].sum()), unit,
                   tuple(lost)[:SHOWN])  # fmt: skip

    @property
    def matched_share(self) -> float | None:
        """Of the volume; None where there is none."""
        return self.matched_volume / self.volume if self.volume else None


def base_of(style: str) -> str:
    """The part of a base or style before its "/": its base in the bill of materials."""
    return style.partition("/")[0].strip()


def bases_by_style(company: Company, settings: CompanySettings) -> dict[str, str]:
    """Style -> base, of the latest version by date (the first row of the file with `versions=first`).

    A version without a date is older than any; of equally new ones the last in the file counts. Raises DataError: no
    cross-reference, or a style with several bases under `versions=error`.
    """
    table = _needed(company, "cross_reference")
    several = table.groupby("style")["base"].nunique()
    several = several[several > 1]
    if settings.versions == "error" and len(several):
        raise DataError(
            "styles have several bases in the cross-reference", styles=len(several), first=list(several.index),
            hint="Choose with company.versions=latest or company.versions=first",
        )  # fmt: skip
    if settings.versions == "latest":
        table = table.sort_values("version", na_position="first", kind="stable")
        chosen = table.drop_duplicates("style", keep="last")
    else:
        chosen = table.drop_duplicates("style", keep="first")
    return dict(zip(chosen["style"], chosen["base"], strict=True))


def pounds_per_unit(
    styles: Strings, unit: str | Sequence[str], company: Company, settings: CompanySettings
) -> tuple[Floats, Bools]:
    """(pounds that one unit of each style weighs [N], whether that is assumed [N]); NaN for a unit that has no weight.

    Yards and metres by the style master's yards a pound, else `company.assumed_ounces_per_yard` / 16, assumed.
    """
    units = np.full(len(styles), unit) if isinstance(unit, str) else np.asarray(unit, dtype=str)
    names, place = np.unique(units, return_inverse=True)
    pounds = np.array([POUNDS.get(str(name), np.nan) for name in names])[place]
    yards = np.array([YARDS.get(str(name), np.nan) for name in names])[place]
    own = np.full(len(styles), np.nan)
    if company.style_master is not None:
        by_style = company.style_master.set_index("style")["yds_per_lb"]
        own = by_style.reindex(styles).to_numpy(dtype=np.float64)
    per_yard = np.where(np.isnan(own), settings.assumed_ounces_per_yard / OUNCES, 1 / own)
    assumed = ~np.isnan(yards) & np.isnan(own)
    return np.where(np.isnan(yards), pounds, yards * per_yard), assumed


@dataclass(frozen=True, eq=False)
class Explosion:
    """What N styles are made of, as K links: style `style_at[k]` takes `pounds[k]` pounds of yarn `yarn_at[k]` a unit.

    yarn_ids [M]  ascending
    assumed  [N]  whether the weight of a unit is assumed
    matches       of the joins, in their order: units to pounds, cross-reference, bill of materials
    """

    styles: Strings
    yarn_ids: Strings
    style_at: Ints
    yarn_at: Ints
    pounds: Floats
    assumed: Bools
    matches: tuple[Match, ...]

    def into(self, yarns: Strings) -> Explosion:
        """The same for these yarns (ascending) alone, and for the styles that take any of them."""
        wanted = np.isin(self.yarn_ids, yarns)[self.yarn_at]
        style, style_at = np.unique(self.style_at[wanted], return_inverse=True)
        yarn, yarn_at = np.unique(self.yarn_at[wanted], return_inverse=True)
        return Explosion(self.styles[style], self.yarn_ids[yarn], style_at.astype(np.int64), yarn_at.astype(np.int64),
                         self.pounds[wanted], self.assumed[style], self.matches)  # fmt: skip

    def of(self, quantity: Floats) -> Floats:
        """Pounds of each yarn [M, ..] that quantities of the styles [N, ..] need; a style without links adds none."""
        from scipy.sparse import csr_array

        flat = quantity.reshape(len(self.styles), -1)
        matrix = csr_array((self.pounds, (self.yarn_at, self.style_at)), shape=(len(self.yarn_ids), len(self.styles)))
        needed: Any = matrix @ flat
        return np.asarray(needed).reshape(len(self.yarn_ids), *quantity.shape[1:])


def explosion(
    styles: Strings, volume: Floats, unit: str | Sequence[str], company: Company, settings: CompanySettings
) -> Explosion:
    """The yarns of each style [N]; volume [N] in `unit` weighs the report and nothing else.

    Raises DataError naming the tables that are missing: cross-reference or bill of materials.
    """
    bom = _needed(company, "bom")
    by_style = bases_by_style(company, settings)
    factor, assumed = pounds_per_unit(styles, unit, company, settings)
    told = unit if isinstance(unit, str) else "unit sold"
    bases = np.array([base_of(by_style.get(str(style), "")) for style in styles], dtype=str)
    weighed, crossed = ~np.isnan(factor), bases != ""
    made = np.isin(bases, bom["base"].to_numpy(dtype=str)) & crossed
    matches = (
        Match.of("unit to pounds", styles, weighed, volume, told),
        Match.of("style to base", styles, crossed, volume, told),
        Match.of("base to yarns", np.where(crossed, bases, styles), made, volume, told),
    )
    links = pd.DataFrame({"style_at": np.arange(len(styles)), "base": bases})[made & weighed].merge(bom, on="base")
    yarn_ids, yarn_at = np.unique(links["yarn_id"].to_numpy(dtype=str), return_inverse=True)
    style_at = links["style_at"].to_numpy(dtype=np.int64)
    pounds = links["share"].to_numpy(dtype=np.float64) * factor[style_at]
    return Explosion(styles, yarn_ids, style_at, yarn_at.astype(np.int64), pounds, assumed, matches)


def bom_remarks(company: Company) -> list[str]:
    """What is odd about the bill of materials, in words: shares of a base that do not sum to 100 %, units that are no
    weight; nothing is changed for it."""
    bom = _needed(company, "bom")
    total = bom.groupby("base", sort=True)["share"].sum()
    odd = total[(total - 1).abs() > SHARES_OFF]
    said = []
    if len(odd):
        first = ", ".join(f"{base} {share:.0%}" for base, share in odd.head(5).items())
        said.append(f"bill of materials: the shares of {len(odd)} of {len(total)} bases do not sum to 100 %: {first}")
    units = bom["unit"].fillna("").astype(str).str.strip().str.lower()
    strange = units[~units.isin(("", "lb", "lbs", "pound", "pounds", "%"))]
    if len(strange):
        first = ", ".join(map(repr, strange.unique()[:5]))
        said.append(f"bill of materials: {len(strange)} rows are in {first}; a share is of the style's pounds, "
                    "whatever stands there")  # fmt: skip
    return said


def lead_times(company: Company, settings: CompanySettings) -> dict[str, float]:
    """Supplier -> days from order to receipt, of those whose lead time is known.

    Raises DataError without the table of suppliers, SettingsError without `company.lead_time_unit`.
    """
    table = _needed(company, "suppliers")
    known = table[table["lead_time"].notna()]
    if not len(known):
        return {}
    if settings.lead_time_unit is None:
        raise SettingsError(
            "the unit of lead times is not stated in the file", key="company.lead_time_unit",
            least=float(known["lead_time"].min()), most=float(known["lead_time"].max()),
            hint="Set it to days or weeks",
        )  # fmt: skip
    days = known["lead_time"] * DAYS[settings.lead_time_unit]
    return dict(zip(known["supplier"], days.astype(float), strict=True))


def _needed(company: Company, table: str) -> pd.DataFrame:
    frame: pd.DataFrame | None = getattr(company, table)
    if frame is None:
        raise DataError(
            "a table of the company is missing", missing_table=NAMES[table],
            hint=f"Put the export into company.folder or name it as company.{table}",
        )  # fmt: skip
    return frame
