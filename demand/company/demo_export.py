"""How an export writes cells, and one file on its way with the quirks put into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ISO, US, US_SHORT = "{y:04d}-{m:02d}-{d:02d}", "{m}/{d}/{y}", "{m:02d}-{d:02d}-{yy:02d}"
Row = list[str]


@dataclass(eq=False)
class Export:
    """One file on its way: header, rows, and how many of which quirk were put in."""

    header: Row
    rows: list[Row]
    title: str = ""
    quirks: dict[str, int] = field(default_factory=dict)

    def duplicate(self, rng: np.random.Generator, share: float) -> None:
        """Writes some rows twice, the copy right below."""
        chosen = set(rng.choice(len(self.rows), max(1, round(share * len(self.rows))), replace=False).tolist())
        self.rows = [row for at, row in enumerate(self.rows) for _ in range(2 if at in chosen else 1)]
        self.quirks["exact duplicate"] = len(chosen)

    def blank(self, rng: np.random.Generator, n: int) -> None:
        """Puts rows without any cell between the others."""
        for at in sorted(rng.choice(len(self.rows), n, replace=False).tolist(), reverse=True):
            self.rows.insert(at, [""] * len(self.header))
        self.quirks["blank row"] = n


def columns(*parts: Iterable[str]) -> list[Row]:
    """The rows of equally long columns."""
    return [list(row) for row in zip(*parts, strict=True)]


def amount(values: Iterable[float], *, currency: str = "", parentheses: bool = False, unknown: str = "") -> Row:
    """Numbers with thousands separators and two places; negatives with a sign or in parentheses."""
    texts = []
    for value in values:
        if np.isnan(value):
            texts.append(unknown)
            continue
        text = f"{currency}{abs(value):,.2f}"
        texts.append(text if value >= 0 else f"({text})" if parentheses else f"-{text}")
    return texts


def cost(values: pd.Series) -> Row:
    """Prices; one that is not known is written as 0."""
    return amount(values, currency="$", unknown="$0.00")


def days(values: pd.Series, pattern: str, unknown: str = "") -> Row:
    """Days in one pattern, `unknown` for NaT."""
    return [unknown if day is pd.NaT else day_text(day, pattern) for day in values]


def day_text(day: Any, pattern: str) -> str:
    """One day in a pattern."""
    return pattern.format(y=day.year, yy=day.year % 100, m=day.month, d=day.day)


def documents(rng: np.random.Generator, n: int) -> Sequence[str]:
    """Numbers of n documents, none of them twice."""
    return [f"{at}" for at in rng.choice(900_000, n, replace=False) + 100_000]
