"""Categories as numbers: how common each is in the training rows, and a stable code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.errors import SchemaError
from demand.panel import Floats
from features.tabular.base import Family, headers, require

UNKNOWN = -1.0


class CategoricalFeatures(Family):
    """{c}_freq: the share of the category in the rows of `fit`; {c}_label: its place among the sorted categories.

    columns: None = all. A category that was not there gets share 0 and label -1, a missing one null and -1. Numbers are
    categories by their text, a whole number without a fraction, so that 1 and 1.0 are the same.
    """

    family = "categorical"

    def __init__(self, columns: Sequence[str] | None = None, passthrough: bool = False) -> None:
        self.columns = columns
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        columns = headers(frame) if self.columns is None else list(self.columns)
        require(frame, columns, "categorical features")
        self.columns_: list[str] = columns
        self.categories_: dict[str, list[str]] = {}
        self.shares_: dict[str, Floats] = {}
        for name in columns:
            codes, texts = categories_of(frame[name])
            counts = np.bincount(codes[codes >= 0], minlength=len(texts))
            order = np.argsort(texts, kind="stable")
            self.categories_[name] = texts[order].tolist()
            self.shares_[name] = counts[order] / len(frame)
        return [f"{name}_{kind}" for name in columns for kind in ("freq", "label")]

    def _make(self, frame: pd.DataFrame) -> Floats:
        require(frame, self.columns_, "categorical features")
        out = np.empty((len(frame), 2 * len(self.columns_)))
        for place, name in enumerate(self.columns_):
            codes, texts = categories_of(frame[name])
            known = pd.Index(self.categories_[name], dtype=object).get_indexer(pd.Index(texts, dtype=object))
            # one more place at the end, where code -1 looks: a missing cell
            label = np.append(np.where(known >= 0, known, UNKNOWN), UNKNOWN)
            share = np.append(np.zeros(len(texts)), np.nan)
            share[:-1][known >= 0] = self.shares_[name][known[known >= 0]]
            out[:, 2 * place], out[:, 2 * place + 1] = share[codes], label[codes]
        return out


def categories_of(column: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """(the place of each cell among the distinct texts [n], -1 where it is missing; those texts [k])."""
    try:
        codes, values = pd.factorize(column, use_na_sentinel=True)
    except TypeError as error:
        raise SchemaError("cells of the column are no categories", column=str(column.name), cause=str(error)) from None
    if isinstance(values, pd.CategoricalIndex):
        values = values.astype(object)
    texts = [_text(value) for value in values.tolist()]
    # two spellings of one number share a text: 1 and 1.0 in a column of objects
    places, distinct = pd.factorize(np.array(texts, dtype=object))
    return np.append(places, -1)[codes].astype(np.int64), distinct


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip() if isinstance(value, str) else str(value)
