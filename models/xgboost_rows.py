"""Which past moments the pooled booster learns from, and the rows taken at each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.errors import FitError
from demand.panel import Floats, Ints, Panel
from features.build import FeatureRecipe, Matrix, picked
from features.view import OriginView
from models.base import FitContext
from models.xgboost_anchor import AnchorTerms, anchor_terms

ROWS = 120_000  # rows of the point booster; more origins help, more rows of the same origin hardly do
ORIGINS = 60
YEARS = 3  # origins lie within the newest years


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """R rows (series, origin, step), oldest origin first, with what came.

    x float32 [R, F] · y [R] demand in units of scale · scale [R] · terms: of the anchor · series, origin, step [R]
    available: rows there were before sampling · oldest: the first origin that is used
    """

    x: Matrix
    y: Floats
    scale: Floats
    terms: AnchorTerms
    series: Ints
    origin: Ints
    step: Ints
    available: int
    oldest: int


def gather(history: Panel, recipe: FeatureRecipe, horizon: int, context: FitContext, seed: int) -> TrainingRows:
    """The training rows of a history. Raises FitError when fewer than `context.min_rows` are there to take."""
    origins, available = plan_origins(history, recipe, horizon, context.max_rows)
    if available < context.min_rows:
        raise FitError(
            "Insufficient data", expected=f"at least {context.min_rows} training rows", found=available,
            series=history.n_series, horizon=horizon, hint="Add history or series, or lower min_training_samples",
        )  # fmt: skip
    quota = min(ROWS, context.max_rows) // len(origins) + 1
    sampler = _Sampler(history.n_series, origins, quota, history.end, seed)
    parts = []
    for view, row, step in picked(history, recipe, origins, horizon, sampler.pick):
        sold = history.y[history.indptr[view.series[row]] + view.age[row] - 1 + step]
        keep = view.scale[row] > 0
        row, step, sold = row[keep], step[keep], sold[keep]
        terms = anchor_terms(view, recipe.plan.spans, row, step)
        parts.append(
            (
                recipe.rows(view, row, step), sold / view.scale[row], view.scale[row], terms.terms, terms.has_year,
                terms.sparse, view.series[row], np.full(len(row), view.origin), step,
            )
        )  # fmt: skip
    if not sum(len(part[1]) for part in parts):
        raise FitError("Insufficient data", expected="a series with demand", found="no demand at any origin")
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    x, y, scale, terms_, has_year, sparse, series, origin, step = columns
    learned = AnchorTerms(terms_, has_year, sparse)
    usable = np.flatnonzero(comparable(learned, origin, int(history.start.min()), recipe.plan.spans.year))
    order = usable[np.lexsort((step[usable], series[usable], origin[usable]))]
    return TrainingRows(
        x[order], y[order], scale[order], learned.take(order), series[order], origin[order], step[order],
        available, int(origins[0]),
    )  # fmt: skip


def comparable(terms: AnchorTerms, origin: Ints, first: int, year: int) -> NDArray[np.bool_]:
    """Rows [R] that mean the same to the anchor as rows to be forecast do.

    Within the panel's first year no series knows its last year, so peaks that the anchor will carry later are left to
    the trees there, and would be counted twice. Where most later rows have regular demand and know their last year, the
    first year only serves as history, provided that half of the rows are later. (Its sparse rows go too: alone, they
    would teach the trees their dates.)
    """
    later = origin >= first + year
    if later.mean() < 0.5 or (terms.has_year & ~terms.sparse)[later].mean() < 0.5:
        return np.ones(len(origin), dtype=bool)
    return np.asarray(later)


def plan_origins(history: Panel, recipe: FeatureRecipe, horizon: int, max_rows: int) -> tuple[Ints, int]:
    """The origins to learn from [K], ascending, and how many rows they could give.

    Evenly spread over the newest YEARS, the newest of all being the period before the last; the first third of the
    panel (at most a year) only serves as history. With more than `max_rows` rows the oldest origins go.
    """
    spans = recipe.plan.spans
    length = int(history.lengths.max(initial=0))
    warm = min(spans.year, length // 3)
    span = min(length - 1 - warm, max(YEARS * spans.year, 4 * horizon))
    if span < 1:
        return np.array([history.end]), 0
    origins = np.unique(np.linspace(history.end - span, history.end - 1, min(ORIGINS, span)).round().astype(np.int64))
    started = np.searchsorted(np.sort(history.start), origins, side="right")
    rows = started * np.minimum(horizon, history.end - origins)
    newest_first = np.cumsum(rows[::-1])
    keep = max(1, int((newest_first <= max_rows).sum()))
    return origins[-keep:], int(rows[-keep:].sum())


class _Sampler:
    """Chooses the rows of each origin: the same number at every origin, every series in turn, steps spread evenly."""

    def __init__(self, n_series: int, origins: Ints, quota: int, end: int, seed: int) -> None:
        self.n, self.quota, self.end, self.seed = n_series, quota, end, seed
        self.turn = {int(origin): k for k, origin in enumerate(origins)}
        self.rank = np.random.default_rng(seed).permutation(n_series)

    def pick(self, view: OriginView) -> tuple[Ints, Ints]:
        """(row, step) pairs of a view: steps whose truth lies in the history."""
        steps = min(view.horizon, self.end - view.origin)
        turn = (self.rank[view.series] - self.turn[view.origin] * self.quota) % self.n
        chosen = np.flatnonzero(turn < self.quota)
        each = min(steps, max(1, self.quota // self.n))
        random = np.random.default_rng((self.seed, view.origin % 2**32, int(view.series[0])))
        shift = random.random(len(chosen))[:, None]
        step = 1 + np.floor((shift + np.arange(each)) / each * steps).astype(np.int64)
        return np.repeat(chosen, each), np.minimum(step, steps).ravel()
