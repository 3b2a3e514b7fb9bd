"""What a release tells of one model's errors: by step ahead, and by demand class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demand.panel import Floats, Ints
from evaluation.classes import CLASSES
from evaluation.formulas import intervals
from evaluation.results import FoldResult
from evaluation.serving import Columns, Standing

PARTS = ("step", "class")


def accuracy_columns(model: str, live: Standing, results: Sequence[FoldResult]) -> Columns:
    """A row for each step ahead (key 1 .. H) and each demand class that a live style has (key: its name).

    n: scored cells; wape, accuracy, bias_rel (of demand), mae (unit sold) and coverage (of the widest interval) over
    them, all origins pooled, NaN = undefined; n_styles: styles scored at all. A style counts in the class it has now.
    No row for a model that was not scored.
    """
    if not results:
        return _columns(model, [], [], np.empty((0, 6)), [])
    off, signed, demand, inside, n = (np.concatenate(parts) for parts in zip(*map(_cells, results), strict=True))
    place = np.concatenate([np.searchsorted(live.ids, r.forecast.ids) for r in results])
    classes = live.classes[place]
    cells = (off, signed, demand, inside, n)
    by_step = np.stack([values.sum(axis=0) for values in cells], axis=1)
    by_class = np.stack([np.bincount(classes, values.sum(axis=1), len(CLASSES)) for values in cells], axis=1)
    scored = np.unique(place[n.any(axis=1)])
    of_class = np.bincount(live.classes[scored], minlength=len(CLASSES))
    had = np.unique(live.classes)
    steps = [str(step + 1) for step in range(len(by_step))]
    return _columns(
        model,
        ["step"] * len(steps) + ["class"] * len(had),
        [*steps, *(CLASSES[k] for k in had.tolist())],
        np.concatenate([by_step, by_class[had]]),
        [len(scored)] * len(steps) + of_class[had].tolist(),
    )


def _cells(result: FoldResult) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(|error of the median|, error of the mean, |demand|, 1 inside the widest interval, 1 known), each [N, H]; 0 where
    unknown; inside is NaN where no interval is stated."""
    y, forecast = result.actuals, result.forecast
    known = ~np.isnan(y)
    spans = intervals(forecast.levels)
    inside = np.full(y.shape, np.nan)
    if spans:
        _, low, high = spans[-1]
        inside = ((y >= forecast.quantiles[:, :, low]) & (y <= forecast.quantiles[:, :, high]) & known).astype(float)
    off, signed, demand = (
        np.where(known, values, 0.0) for values in (np.abs(forecast.median - y), forecast.mean - y, np.abs(y))
    )
    return off, signed, demand, inside, known.astype(np.float64)


def _columns(model: str, parts: Sequence[str], keys: Sequence[str], sums: Floats, styles: Sequence[int]) -> Columns:
    """sums [R, 5]: of the five cells of `_cells`."""
    off, signed, demand, inside, n = sums[:, :5].T
    wape = _over(off, demand)
    return {
        "model": np.full(len(parts), model),
        "part": np.array(parts, dtype="<U5"),
        "key": np.array(keys, dtype="<U12"),
        "n": n.astype(np.int64),
        "n_styles": np.array(styles, dtype=np.int64),
        "wape": wape,
        "accuracy": np.maximum(0.0, 1.0 - wape),
        "bias_rel": _over(signed, demand),
        "mae": _over(off, n),
        "coverage": _over(inside, n),
    }


def _over(part: Floats, whole: Floats | Ints) -> Floats:
    with np.errstate(over="ignore"):
        found: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return found
