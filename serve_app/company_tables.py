"""The company's tables as a release keeps them, see `jobs.company_tables`; read once each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demand.errors import VersionUnreadable
from models.files import read_json


@dataclass(frozen=True, eq=False)
class CompanyTables:
    """`company/` of one release; a release made without such tables has no folder, and holds none."""

    path: Path
    release: int
    _lock: RLock = field(default_factory=RLock)
    _kept: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> pa.Table | None:
        """stock, orders, machines or knit, as `evaluation.serving_company` describes them; None where there is none."""
        return self._once(f"{name}.parquet")

    def facts(self, block: str) -> Mapping[str, Any] | None:
        """What is to be said of the table behind a block (stock, orders, capacity); None where it was not given."""
        told: Mapping[str, Any] = self._once("facts.json") or {}
        return told.get(block)

    def _once(self, name: str) -> Any:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = self._read(self.path / name)
            return self._kept[name]

    def _read(self, path: Path) -> Any:
        if not path.is_file():
            return None
        try:
            return read_json(path) if path.suffix == ".json" else pq.read_table(path).combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise VersionUnreadable(
                "a stored file cannot be used", release=self.release, file=path.name, cause=str(error)
            ) from None
