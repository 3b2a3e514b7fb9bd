"""The company's yarns as the jobs about substitutes read them, and the labels as pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.company.read import read_company
from demand.company.tables import Company
from demand.errors import DataError
from features.yarn_catalogue import YarnCatalogue, yarn_catalogue
from features.yarn_pairs import Pairs, pair_features
from jobs.settings import Settings
from models.substitutes import YARNS, Substitutes
from models.yarn_labels import Labelled
from models.yarn_substitution import FittedSubstitution

TABLES = ("yarns", "stock", "purchase_orders", "labels")
FALLBACK = "set company.folder= to the folder of the company's exports"


@dataclass(frozen=True, eq=False)
class YarnTables:
    """The tables, the yarns in them, and how much of their texts could be read."""

    company: Company
    catalogue: YarnCatalogue
    readings: Mapping[str, int]

    def report(self) -> dict[str, Any]:
        """For a run's folder: rows of the tables that were used, and what the notation said."""
        tables = {
            name: {"rows_in": one.rows_in, "used": one.used, "merged": one.merged, "left_out": dict(one.left_out)}
            for name, one in self.company.reports.items() if name in TABLES
        }  # fmt: skip
        return {"tables": tables, "readings": dict(self.readings)}

    def lost_lines(self, *tables: str) -> list[str]:
        """Of these tables the rows that were left out, and why; nothing where all were used."""
        return [f"Read      {said}" for said in self.company.lost(*tables)]


def read_yarn_tables(settings: Settings) -> YarnTables:
    """Raises DataError naming what is missing, and whatever reading the tables raises."""
    company = read_company(settings.company) if settings.company.any else Company()
    if company.yarns is None and company.stock is None:
        raise DataError("no_data: there are no yarns", missing_table=list(company.missing(("yarns", "stock"))),
                        **not_used(company), hint=f"Set company.yarns= and company.stock=, or {FALLBACK}")  # fmt: skip
    as_of = settings.company.as_of
    catalogue, readings = yarn_catalogue(
        company.yarns, company.stock, company.purchase_orders, settings.substitution,
        None if as_of is None else pd.Timestamp(as_of),
    )  # fmt: skip
    return YarnTables(company, catalogue, readings)


def not_used(company: Company) -> dict[str, list[str]]:
    """For a message about a missing table: the files that could have been it and why they are not; empty where none."""
    files = list(company.unused())
    return {"files_not_used": files} if files else {}


def labelled_pairs(tables: YarnTables, settings: Settings) -> tuple[Labelled, dict[str, int]]:
    """The labels as pairs with their features, and {labels, used, ..}: the labels in = used + left out by reason.

    Raises DataError when there are none, or none of known yarns.
    """
    labels = tables.company.labels
    if labels is None:
        raise DataError("no_data: nothing to learn from", missing_table=list(tables.company.missing(("labels",))),
                        **not_used(tables.company),
                        hint=f"Set company.labels= to a CSV with yarn_a, yarn_b, is_substitutable, or {FALLBACK}. "
                        "Without labels the rule answers")  # fmt: skip
    if labels.empty:
        report = tables.company.reports["labels"]
        raise DataError(
            "no label can be used", labels=report.rows_in,
            left_out=[f"{reason}: {count:,}" for reason, count in report.left_out.items()],
            hint="State yarn_a, yarn_b and is_substitutable as yes or no, and each pair of two yarns one way",
        )  # fmt: skip
    a, b = (tables.catalogue.find(labels[name].to_numpy(dtype=str)) for name in ("yarn_a", "yarn_b"))
    unknown, itself = (a < 0) | (b < 0), a == b
    kept = ~unknown & ~itself
    counts = {"labels": len(labels), "used": int(kept.sum()), "of a yarn that no table has": int(unknown.sum()),
              "of a yarn with itself": int((itself & ~unknown).sum())}  # fmt: skip
    if not kept.any():
        missing = labels.loc[unknown, ["yarn_a", "yarn_b"]].astype(str).agg(" and ".join, axis=1)
        raise DataError("no label is about two yarns that are known", labels=len(labels), first=list(missing),
                        hint="Write yarns as the yarn master and the stock do")  # fmt: skip
    a, b, rows = a[kept], b[kept], labels[kept]
    day = rows["date"].to_numpy(dtype="datetime64[D]")
    oldest = np.iinfo(np.int64).min
    when = np.where(np.isnat(day), oldest, day.astype(np.int64))
    features = pair_features(tables.catalogue, Pairs(a, b), settings.substitution)
    return Labelled(features, rows["is_substitutable"].to_numpy(dtype=np.int64), a, b, when), counts


def yarns_hash(tables: YarnTables) -> str:
    """sha256 (hex) over the yarns and the labels: the same tables give the same."""
    digest = hashlib.sha256()
    for name, array in tables.catalogue.arrays().items():
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    if tables.company.labels is not None:
        digest.update(tables.company.labels.drop(columns="reason").to_csv(index=False).encode())
    return digest.hexdigest()


def write_yarns(folder: Path, tables: YarnTables, settings: Settings) -> None:
    """The yarns as they are, for a release to answer from."""
    (folder / YARNS).mkdir()
    Substitutes(tables.catalogue, settings.substitution).save(folder / YARNS)


def with_model(tables: YarnTables, settings: Settings, model: FittedSubstitution | None) -> Substitutes:
    """Today's yarns, and who ranks them."""
    return replace(Substitutes(tables.catalogue, settings.substitution), model=model)
