"""What moves a pooled booster's forecast of each style: TreeSHAP from XGBoost itself, and the anchor taken apart.

Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for trees": contributions of
one row add up to its margin. The anchor is linear, so that its terms add up too. With an identity link all of it is in
units sold; with a log link the margin is the log of the forecast, and contributions become factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demand.panel import Floats, Ints, Panel
from features.build import Matrix
from features.groups import GROUPS, column_groups
from features.view import OriginView, views
from models.drivers import Drivers, checked_gap
from models.xgboost_anchor import LEVEL_TERMS, anchor_terms
from models.xgboost_boosters import Booster, predict

if TYPE_CHECKING:
    from models.xgboost import FittedXGBoost

# TreeSHAP costs ten microseconds a row and tree of depth 6, a thousand times a prediction. So the steps ahead are
# sampled, never the styles: as many as give this many rows, evenly over the horizon.
ROWS = 8_000
LEAST_STEPS = 2
LOG_LINKS = ("count:poisson", "reg:tweedie")
_ROWS_AT_ONCE = 20_000


class _Explained(NamedTuple):
    """Of n styles: base [n], effects [n, G] and forecast [n] (with a log link: their logs), gap."""

    base: Floats
    effects: Floats
    forecast: Floats
    gap: float


def drivers_of(fitted: FittedXGBoost, history: Panel) -> Drivers:
    """The drivers of every series of `history`, means over the steps of `explained_steps`.

    Raises ModelError when contributions do not add up to what the booster predicts.
    """
    n, names = history.n_series, tuple(GROUPS)
    steps = explained_steps(fitted.spec.horizon, n)
    logs = fitted.objective in LOG_LINKS
    base, forecast, effects = np.zeros(n), np.zeros(n), np.zeros((n, len(names)))
    known, gap = np.zeros(n, dtype=bool), 0.0
    plan = fitted.recipe.plan
    if n:
        for view in views(history, [history.end], fitted.spec.horizon, plan.spans, plan.least_scale):
            sold = np.flatnonzero(view.scale > 0)
            at_once = max(1, _ROWS_AT_ONCE // len(steps))
            for low in range(0, len(sold), at_once):
                part = view.take(sold[low : low + at_once])
                found = _explained(fitted, part, steps, logs)
                base[part.series], effects[part.series], forecast[part.series] = found[:3]
                known[part.series] = True
                gap = max(gap, found.gap)
    if logs:
        base, forecast = (np.where(known, np.exp(part), 0.0) for part in (base, forecast))
        effects = np.exp(effects)
    return Drivers(fitted.kind, history.ids, names, "product" if logs else "sum", base, effects, forecast,
                   tuple(steps.tolist()), gap)  # fmt: skip


def explained_steps(horizon: int, n_series: int) -> Ints:
    """Steps ahead, ascending and evenly spread: all of them where that is at most ROWS rows, LEAST_STEPS at least."""
    count = min(horizon, max(LEAST_STEPS, ROWS // max(1, n_series)))
    return np.unique(1 + np.floor((np.arange(count) + 0.5) / count * horizon).astype(np.int64))


def contributions(booster: Booster, x: Matrix) -> tuple[Floats, Floats]:
    """(contributions [R, F], bias [R]) of each row to the booster's margin: XGBoost's exact TreeSHAP."""
    import xgboost as xgb

    found = booster.predict(xgb.DMatrix(x, nthread=1), pred_contribs=True, strict_shape=True)[:, 0, :]
    return np.asarray(found[:, :-1], dtype=np.float64), np.asarray(found[:, -1], dtype=np.float64)


def _explained(fitted: FittedXGBoost, view: OriginView, steps: Ints, logs: bool) -> _Explained:
    learned, n, k = fitted.learned, view.n_series, len(steps)
    row, step = np.repeat(np.arange(n), k), np.tile(steps, n)
    x = fitted.recipe.rows(view, row, step)
    each, bias = contributions(learned.point, x)
    grouped = each @ _membership(column_groups(fitted.recipe))  # [R, G]
    answer = predict(learned.point, x)
    scale = view.scale[row]
    if logs:
        gap = checked_gap(np.column_stack([grouped, bias]), np.log(answer))
        base = np.log(scale * learned.label.factor) + bias
        forecast = np.log(scale * learned.label.factor * answer)
        return _Explained(_mean(base, n), _mean(grouped, n), _mean(forecast, n), gap)
    effects = grouped * learned.label.factor
    base = bias * learned.label.factor + learned.label.shift
    terms = anchor_terms(view, fitted.recipe.plan.spans, row, step)
    anchor = learned.anchor.at(terms)
    floor = np.zeros(len(row))
    if learned.label.leftover:
        parts = learned.anchor.parts(terms)
        base = base + parts[:, :LEVEL_TERMS].sum(axis=1)
        effects[:, _place("season")] += parts[:, LEVEL_TERMS:].sum(axis=1)
        floor = anchor - parts.sum(axis=1)
    said = learned.label.back(answer, anchor)
    gap = checked_gap(np.column_stack([effects, base, floor]), said)
    forecast = np.maximum(said, 0.0)
    effects[:, _place("floor")] = floor + forecast - said
    return _Explained(_mean(base * scale, n), _mean(effects * scale[:, None], n), _mean(forecast * scale, n), gap)


def _mean(values: Floats, n: int) -> Floats:
    """Means over the steps of each of n series: [n * K, ..] -> [n, ..]."""
    return np.asarray(values.reshape(n, -1, *values.shape[1:]).mean(axis=1))


def _place(group: str) -> int:
    return tuple(GROUPS).index(group)


def _membership(groups: tuple[str, ...]) -> Floats:
    """[F, G]: 1 where a column is of a group."""
    return np.array([[float(group == name) for name in GROUPS] for group in groups])
