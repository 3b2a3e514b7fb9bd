"""Columns combined with one another: products, ratios, sums, differences; and powers of one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from demand.errors import SettingsError
from demand.panel import Floats
from features.tabular.base import Family, headers, numbers, require

KINDS = ("x", "div", "plus", "minus")
MOST_PAIRS = 500  # None = all pairs: of 32 columns at most
MOST_DEGREE = 10


class InteractionFeatures(Family):
    """{a}_x_{b}, {a}_div_{b} (null when b is 0), {a}_plus_{b}, {a}_minus_{b}; of three columns {a}_x_{b}_x_{c}.

    pairs: tuples of two or three columns; None = every pair. A null in any of them gives null.
    """

    family = "interaction"

    def __init__(self, pairs: Sequence[Sequence[str]] | None = None, passthrough: bool = False) -> None:
        self.pairs = pairs
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        pairs: list[tuple[str, ...]] = (
            list(combinations(headers(frame), 2)) if self.pairs is None else [tuple(pair) for pair in self.pairs]
        )
        wrong = [pair for pair in pairs if len(pair) not in (2, 3)]
        if wrong:
            raise SettingsError("an interaction is of two or three columns", key="pairs", found=wrong)
        if len(pairs) > MOST_PAIRS:
            raise SettingsError("too many pairs", found=len(pairs), limit=MOST_PAIRS, hint="Name those that matter")
        require(frame, list(dict.fromkeys(name for pair in pairs for name in pair)), "interaction features")
        self.pairs_ = pairs
        for name in dict.fromkeys(name for pair in pairs for name in pair):
            numbers(frame, name)
        return [name for pair in pairs for name in _names(pair)]

    def _make(self, frame: pd.DataFrame) -> Floats:
        used = list(dict.fromkeys(name for pair in self.pairs_ for name in pair))
        require(frame, used, "interaction features")
        values = {name: numbers(frame, name) for name in used}
        columns: list[Floats] = []
        for pair in self.pairs_:
            a, b, *rest = (values[name] for name in pair)
            if rest:
                columns.append(a * b * rest[0])
            else:
                columns += [a * b, np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b)), a + b, a - b]
        return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def _names(pair: tuple[str, ...]) -> list[str]:
    if len(pair) == 3:
        return ["_x_".join(pair)]
    return [f"{pair[0]}_{kind}_{pair[1]}" for kind in KINDS]


class PolynomialFeatures(Family):
    """{c}_poly_2 .. {c}_poly_{degree} of each column; columns: None = all. degree: from 2 to 10."""

    family = "polynomial"

    def __init__(self, columns: Sequence[str] | None = None, degree: int = 2, passthrough: bool = False) -> None:
        self.columns = columns
        self.degree = degree
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        if type(self.degree) is not int or not 2 <= self.degree <= MOST_DEGREE:
            raise SettingsError(
                f"the degree is a whole number from 2 to {MOST_DEGREE}", key="degree", found=self.degree
            )
        columns = headers(frame) if self.columns is None else list(self.columns)
        require(frame, columns, "polynomial features")
        self.columns_: list[str] = columns
        for name in columns:
            numbers(frame, name)
        return [f"{name}_poly_{power}" for name in columns for power in range(2, self.degree + 1)]

    def _make(self, frame: pd.DataFrame) -> Floats:
        require(frame, self.columns_, "polynomial features")
        powers = range(2, self.degree + 1)
        columns = [values**power for name in self.columns_ for values in [numbers(frame, name)] for power in powers]
        return np.column_stack(columns) if columns else np.empty((len(frame), 0))
