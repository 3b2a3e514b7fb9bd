"""The rows of one table on their way to its frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from demand.company.settings import CompanySettings
from demand.errors import SHOWN
from demand.ledger import Ledger
from demand.parsing import Bools

MERGED = "merged"  # not left out: added to another row


@dataclass(eq=False)
class Rows:
    """The n rows of one table on their way to its frame: cells, fates, findings."""

    table: str
    frame: pd.DataFrame
    ledger: Ledger
    settings: CompanySettings
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drop(self, rows: Bools, reason: str) -> None:
        """Leaves out those of the rows [n] that are still used."""
        self.ledger.leave_out(np.asarray(rows, dtype=bool), reason)

    def tell(self, fact: str, rows: Bools, column: str) -> None:
        """Counts the used ones of the rows [n] and names the first by a column."""
        found = np.asarray(rows, dtype=bool) & self.ledger.open
        if found.any():
            first = self.frame[column].to_numpy()[found][:SHOWN].tolist()
            self.facts[fact] = {"rows": int(found.sum()), "first": first}

    def mask(self, chosen: pd.Index) -> Bools:
        """Where the rows of these labels of `frame` are [n]."""
        found = np.zeros(len(self.frame), dtype=bool)
        found[chosen] = True
        return found

    @property
    def open(self) -> pd.DataFrame:
        """The used rows, with the places they have in `frame`."""
        return self.frame[self.ledger.open]
