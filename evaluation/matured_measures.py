"""How good each model was over its matured cells: by fleet, demand class, style and step ahead."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from demand.panel import Blanks, Floats, Ints, Panel, Strings
from evaluation import formulas as f
from evaluation.classes import CLASSES, demand_classes
from evaluation.matured import Cells

MEASURED = ("wape", "accuracy", "bias_rel", "mae", "rmsse", "coverage", "naive_wape")
_WHY = {
    "mae": "nothing has matured",
    "coverage": "no interval is stated, or not the same one by all releases",
    "rmsse": "no style has an in-sample naive error above 0",
}
_NOTHING, _UNSOLD = "nothing has matured", "nothing was sold"


def measured_by(cells: Cells, groups: Ints, n: int) -> pd.DataFrame:
    """One row a group 0 .. n-1 (`groups` [M]): n, n_styles, n_zero, n_fell_back, MEASURED; NaN = undefined.

    WAPE and MAE judge the median, bias and RMSSE the mean (see `formulas`); RMSSE is the mean over pairs of style and
    release, each capped at 10. naive_wape: the seasonal naive's WAPE over the same cells.
    """

    def total(values: Floats) -> Floats:
        return f.group_sum(groups, values, n)

    count, sold = np.bincount(groups, minlength=n), total(np.abs(cells.actual))
    error = total(np.abs(cells.median - cells.actual))
    wape = _over(error, sold)
    known = np.isfinite(cells.naive)
    naive_sold = f.group_sum(groups[known], np.abs(cells.actual[known]), n)
    naive_error = f.group_sum(groups[known], np.abs(cells.naive[known] - cells.actual[known]), n)
    inside = total(((cells.actual >= cells.lower) & (cells.actual <= cells.upper)).astype(np.float64))
    stated = np.full(n, cells.stated is not None)
    return pd.DataFrame(
        {
            "n": count, "n_styles": _distinct(groups, cells.style, n),
            "n_zero": total((cells.actual == 0).astype(np.float64)).astype(np.int64),
            "n_fell_back": total(cells.fell_back.astype(np.float64)).astype(np.int64),
            "wape": wape, "accuracy": np.maximum(0.0, 1 - wape),
            "bias_rel": _over(total(cells.mean - cells.actual), sold), "mae": _over(error, count),
            "rmsse": _rmsse(cells, groups, n),
            "coverage": np.where(stated, _over(inside, count), np.nan), "naive_wape": _over(naive_error, naive_sold),
        }
    )  # fmt: skip


def measured(cells: Cells) -> dict[str, Any]:
    """The measures of all cells pooled, strict-JSON-ready: undefined is None with its reason; with evaluation_id.

    `interval` is the share the coverage should be; `fleet_wape` is the WAPE of the fleet's total per period (of the
    mean forecast); n_periods and releases say what they are of.
    """
    row = measured_by(cells, np.zeros(len(cells), dtype=np.int64), 1).iloc[0]
    numbers = {name: float(row[name]) if math.isfinite(row[name]) else None for name in MEASURED}
    periods, at = np.unique(cells.period, return_inverse=True)
    totals = [f.group_sum(at, values, len(periods)) for values in (cells.actual, cells.mean)]
    fleet = f.wape(*totals)
    reasons = {}
    for name in (name for name, value in numbers.items() if value is None):
        reasons[name] = _WHY.get(name, _UNSOLD) if len(cells) else _NOTHING
    return {
        **numbers,
        "fleet_wape": fleet if math.isfinite(fleet) else None,
        **{name: int(row[name]) for name in ("n", "n_styles", "n_zero", "n_fell_back")},
        "n_periods": len(periods),
        "interval": cells.stated,
        "releases": np.unique(cells.release).tolist(),
        "reasons": reasons,
        "unit": "fraction",
        "evaluation_id": evaluation_id(cells),
    }


def by_class(cells: Cells, classes: Strings) -> list[dict[str, Any]]:
    """`measured` of each demand class that has cells; classes [ids]."""
    of_cell = classes[cells.style]
    return [
        {"demand_class": name, **measured(cells.take(of_cell == name))} for name in CLASSES if (of_cell == name).any()
    ]


def by_style(cells: Cells, classes: Strings) -> pd.DataFrame:
    """One row a style that has cells, ascending: model, unique_id, demand_class and the columns of `measured_by`."""
    table = measured_by(cells, cells.style, len(cells.ids))
    table.insert(0, "model", cells.model)
    table.insert(1, "unique_id", cells.ids.astype(object))
    table.insert(2, "demand_class", classes.astype(object))
    return table[table["n"] > 0].reset_index(drop=True)


def by_step(cells: Cells) -> pd.DataFrame:
    """One row a step ahead that has cells: model, step and the columns of `measured_by`."""
    longest = int(cells.step.max(initial=0))
    table = measured_by(cells, cells.step - 1, longest)
    table.insert(0, "model", cells.model)
    table.insert(1, "step", np.arange(1, longest + 1))
    return table[table["n"] > 0].reset_index(drop=True)


def classes_of(panel: Panel, ids: Strings, origin: int, blanks: Blanks = "interpolate") -> Strings:
    """[ids]: the demand class of each style from its history up to the origin; "none" where it has none."""
    history = panel.until(origin).with_blanks_filled(blanks)
    at = history.index_of(ids)
    found = demand_classes(history)
    return np.array([str(found[k]) if k >= 0 else "none" for k in at.tolist()], dtype=str)


def evaluation_id(cells: Cells) -> str:
    """A stable name of exactly these numbers (sha256, first 16 hex digits): a late correction changes it."""
    digest = hashlib.sha256(f"{cells.model}|{cells.stated}".encode())
    digest.update("\n".join(cells.ids[np.unique(cells.style)].tolist()).encode())
    for values in _numbers(cells):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


def _numbers(cells: Cells) -> Iterator[Floats]:
    for name in ("period", "step", "release", "actual", "median", "mean", "lower", "upper", "naive"):
        values = getattr(cells, name).astype(np.float64)
        yield np.where(np.isnan(values), np.nan, values) + 0.0  # one NaN, one zero


def _rmsse(cells: Cells, groups: Ints, n: int) -> Floats:
    """[n]: mean over the (style, release) rows of a group of root(mean squared error / scale), each at most 10."""
    n_rows = len(cells.scale_sq)
    if not len(cells):
        return np.full(n, np.nan)
    key, at = np.unique(groups * n_rows + cells.row, return_inverse=True)
    with np.errstate(over="ignore"):
        squared = (cells.mean - cells.actual) ** 2
    error = _over(f.group_sum(at, squared, len(key)), np.bincount(at, minlength=len(key)))
    scale = cells.scale_sq[key % n_rows]
    usable = np.isfinite(scale) & (scale > 0) & np.isfinite(error)
    with np.errstate(over="ignore"):
        scaled = np.minimum(np.sqrt(error[usable] / scale[usable]), f.CAP)
    group = key[usable] // n_rows
    return _over(f.group_sum(group, scaled, n), np.bincount(group, minlength=n))


def _distinct(groups: Ints, values: Ints, n: int) -> Ints:
    """[n]: how many different values each group has."""
    wide = int(values.max(initial=0)) + 1
    return np.bincount(np.unique(groups * wide + values) // wide, minlength=n)


def _over(part: Floats, whole: Any) -> Floats:
    """part / whole [n]; NaN where whole is 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
