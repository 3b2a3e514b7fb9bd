"""From raw member forecasts to fair results: same origins, same series, nothing from the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from demand.outliers import OutlierSettings, cap
from demand.panel import Blanks, Panel
from evaluation.classes import demand_classes
from evaluation.folds import Fold
from evaluation.intervals import Calibration
from evaluation.results import FoldResult, scales
from evaluation.selection import Weights, weigh
from models.base import FitContext, Forecast, ForecastSpec
from models.ensemble import KIND, EnsembleSettings, combine
from models.fallback import complete

Raw = Mapping[str, Mapping[int, Forecast]]  # model -> cutoff -> forecast with gaps


@dataclass(frozen=True, eq=False)
class Question:
    """What every model of a race was asked, how blank cells are read and what happens to unusual demand."""

    spec: ForecastSpec
    context: FitContext
    blanks: Blanks
    outliers: OutlierSettings = field(default_factory=OutlierSettings)

    @property
    def season(self) -> int:
        return self.context.season

    def history(self, panel: Panel, fold: Fold) -> Panel:
        """What every model sees at the fold's cutoff: `known`, unusual demand capped where the settings say so."""
        return cap(self.known(panel, fold), self.outliers)

    def known(self, panel: Panel, fold: Fold) -> Panel:
        """Demand as it was up to the fold's cutoff, blanks filled from this history alone: what errors scale by."""
        return fold.history(panel, self.blanks)


@dataclass(frozen=True, eq=False)
class EnsembleAt:
    """The ensemble at one origin: the row of every style, the weights behind it, what calibration did.

    best: the member that missed least at earlier origins among those that made any row here; None without origins.
    """

    fold: Fold
    forecast: Forecast
    weights: Weights
    calibration: Calibration
    best: str | None


def member_results(panel: Panel, raw: Raw, folds: Sequence[Fold], question: Question) -> dict[str, list[FoldResult]]:
    """Each model's results over the folds, oldest first; rows it did not make are filled by the fallback and signed."""
    out: dict[str, list[FoldResult]] = {}
    for fold in folds:
        history = question.history(panel, fold)
        scale, scale_sq, last = scales(question.known(panel, fold), question.season)
        actuals = fold.actuals(panel, history)
        spare = _smoothing(raw, fold)
        for model, by_cutoff in raw.items():
            if fold.cutoff not in by_cutoff:
                continue
            forecast = complete(by_cutoff[fold.cutoff], history, question.spec, question.context, smoothing=spare)
            out.setdefault(model, []).append(FoldResult(model, fold, forecast, actuals, scale, scale_sq, last))
    return out


def ensemble_at(
    panel: Panel,
    raw: Raw,
    results: Mapping[str, Sequence[FoldResult]],
    fold: Fold,
    question: Question,
    settings: EnsembleSettings,
) -> EnsembleAt:
    """The ensemble's forecast at one origin, from what was known there.

    Weights and intervals use only results whose windows had ended by the fold's cutoff. Rows that no member made go
    down the chain: best single model, exponential smoothing, last level.
    """
    history = question.history(panel, fold)
    names = [name for name in settings.members if fold.cutoff in raw.get(name, {})]
    members = {name: raw[name][fold.cutoff] for name in names}
    past = {name: [r for r in results.get(name, ()) if r.fold.cutoff + r.fold.horizon <= fold.cutoff] for name in names}
    n_past = min((len(past[name]) for name in names), default=0)
    past = {name: list(past[name][-n_past:]) if n_past else [] for name in names}
    classes = demand_classes(history)
    weights = weigh(history, members, past, classes, settings, question.season)
    trimmed = np.isin(classes, weights.trimmed)
    mixed = combine(history, question.spec, list(members.values()), weights.values, settings.aggregation, trimmed)
    before = [_mixed_result(past, k, weights, trimmed, question, settings, panel) for k in range(n_past)]
    calibration = Calibration.learn(question.spec.levels, before, history)
    best = _best_single(past, members)
    forecast = complete(
        calibration.applied(mixed, history), history, question.spec, question.context,
        alternatives=[members[best]] if best else [], smoothing=_smoothing(raw, fold),
    )  # fmt: skip
    return EnsembleAt(fold, forecast, weights, calibration, best)


def ensemble_result(at: EnsembleAt, panel: Panel, question: Question) -> FoldResult:
    """The ensemble's forecast beside the truth of its window."""
    history = question.known(panel, at.fold)
    return FoldResult(KIND, at.fold, at.forecast, at.fold.actuals(panel, history), *scales(history, question.season))


def _mixed_result(
    past: Mapping[str, Sequence[FoldResult]], k: int, weights: Weights, trimmed: NDArray[np.bool_], question: Question,
    settings: EnsembleSettings, panel: Panel,
) -> FoldResult:  # fmt: skip
    """What today's weights would have forecast at the k-th earlier origin: the errors intervals are made from."""
    one = past[weights.members[0]][k]
    known = question.history(panel, one.fold)
    rows = np.searchsorted(weights.ids, known.ids)  # all were known then, so all are known now
    keep = np.flatnonzero(weights.values[rows].any(axis=1))  # rows without a member today have no ensemble to measure
    then = [past[name][k].forecast.take(keep) for name in weights.members]
    shares, middle = weights.values[rows[keep]], trimmed[rows[keep]]
    forecast = combine(known.take(keep), question.spec, then, shares, settings.aggregation, middle)
    return FoldResult(KIND, one.fold, forecast, one.actuals[keep], one.scale[keep], one.scale_sq[keep], one.last[keep])


def _best_single(past: Mapping[str, Sequence[FoldResult]], members: Mapping[str, Forecast]) -> str | None:
    """The member with the least absolute error of the median over the earlier origins; None without any."""
    scored = {
        name: sum(float(np.nansum(np.abs(r.actuals - r.forecast.median))) for r in results)
        for name, results in past.items()
        if results
    }
    ranked = sorted(scored, key=lambda name: (scored[name], name))
    return next((name for name in ranked if members[name].made.any()), None)


def _smoothing(raw: Raw, fold: Fold) -> Forecast | None:
    return raw.get("exponential_smoothing", {}).get(fold.cutoff)
