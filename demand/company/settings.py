"""Where the company's tables are, and how what they leave open is read."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.company.tables import COLUMNS
from demand.settings import STRICT

Positive = Annotated[float, Field(strict=True, gt=0)]
Path = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class CompanySettings:
    """Where the tables are; nothing given: there are none.

    folder: whose files are told apart by their headers (a file, a folder or an object-store prefix). One key a table:
    the file it is read from instead, whatever its headers are called otherwise. encoding, decimal: as for the sales.
    date_format: which one is meant where two fit a column. as_of: the day of the snapshot, which places "Week 37".
    shares: whether percentages are written 0..1 (fraction) or 0..100 (percent); auto = told by each column.
    bom_repeats: one base and yarn several times: sum the shares, keep the first, or refuse. versions: of the several
    versions of a base, use the latest, the first, or refuse. lead_time_unit: no file states it; without it whoever
    needs a lead time says so. assumed_ounces_per_yard: the weight of a yard where the style master has none.
    """

    folder: Path | None = None
    yarns: Path | None = None
    stock: Path | None = None
    bom: Path | None = None
    suppliers: Path | None = None
    purchase_orders: Path | None = None
    receipts: Path | None = None
    yarn_needs: Path | None = None
    yarn_weeks: Path | None = None
    open_orders: Path | None = None
    knit_orders: Path | None = None
    cross_reference: Path | None = None
    style_master: Path | None = None
    style_stock: Path | None = None
    labels: Path | None = None
    encoding: str = "auto"
    decimal: Literal[".", ","] = "."
    date_format: str | None = None
    as_of: datetime.date | None = None
    shares: Literal["auto", "fraction", "percent"] = "auto"
    bom_repeats: Literal["sum", "first", "error"] = "sum"
    versions: Literal["latest", "first", "error"] = "latest"
    lead_time_unit: Literal["days", "weeks"] | None = None
    assumed_ounces_per_yard: Positive = 5.5

    def named(self) -> Iterator[tuple[str, str]]:
        """(table, path) of the tables that a key of their own names."""
        for table in COLUMNS:
            path = getattr(self, table)
            if path is not None:
                yield table, path

    @property
    def any(self) -> bool:
        """Whether there is anything to read."""
        return self.folder is not None or next(self.named(), None) is not None
