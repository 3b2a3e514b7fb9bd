"""What the models of a stored release say of today's data: nothing is fitted, every row is signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from demand.errors import DemandError, VersionUnreadable
from demand.outliers import OutlierSettings
from demand.panel import Panel
from demand.settings import build
from evaluation.adjusted import adjusted
from evaluation.backtest import EnsembleAt, Question, ensemble_at, member_results
from evaluation.folds import Fold
from evaluation.hierarchy import HierarchySettings
from models.base import FitContext, Forecast, ForecastSpec
from models.catalog import load_fitted
from models.ensemble import KIND, EnsembleSettings
from models.fallback import complete
from models.files import read_arrays
from models.forecast_files import read_forecasts
from models.release import Release
from models.siblings import NewbornSettings

ENSEMBLE = "ensemble.json"  # beside weights.parquet: what else the ensemble of a release was made of


def ensemble_facts(at: EnsembleAt) -> dict[str, Any]:
    """What ENSEMBLE holds: the best single member, how far the quantiles move, which classes mix by the middle mean."""
    return {"best": at.best, "calibration": at.calibration.as_json(), "trimmed": list(at.weights.trimmed)}


def released_question(release: Release) -> Question:
    """What the models of a release were asked, and how the histories they see are read."""
    card, config = release.json("card.json"), release.config()
    known = {field.name for field in fields(OutlierSettings)}
    outliers = {name: value for name, value in config.get("cleaning", {}).items() if name in known}
    spec = ForecastSpec(int(card["horizon"]), tuple(card["levels"]))
    context = FitContext(season=int(card["season"]), seed=int(config["seed"]))
    return Question(spec, context, card["blanks"], build(OutlierSettings, outliers, "cleaning"))


def released_adjustments(release: Release) -> tuple[NewbornSettings, HierarchySettings]:
    """What a release does for newborn styles and how its means add up; off for one made before there was either."""
    config = release.config()
    return (
        build(NewbornSettings, dict(config.get("newborns") or {}), "newborns"),
        build(HierarchySettings, dict(config.get("hierarchy") or {}), "hierarchy"),
    )


def member_forecasts(
    release: Release, history: Panel, question: Question, kinds: Sequence[str] | None = None
) -> tuple[dict[str, Forecast], dict[str, str]]:
    """Every stored model's forecast of today's history (of `kinds` only, when given); a model that cannot roll to it is
    named with the reason."""
    found: dict[str, Forecast] = {}
    unusable: dict[str, str] = {}
    for kind in sorted(path.name for path in release.file("models").iterdir()):
        if kinds is not None and kind not in kinds:
            continue
        parts = []
        try:
            for part in sorted(release.file(f"models/{kind}").iterdir()):
                ids = read_arrays(part / "series.npz")["ids"]
                fitted = load_fitted(part / "model")
                rows = history.index_of(ids)
                known = np.sort(rows[rows >= 0])
                parts.append((known, fitted.forecast(history.take(known))))
        except DemandError as error:
            unusable[kind] = str(error)
            continue
        found[kind] = _joined(parts, history, question, kind)
    return found, unusable


def _joined(parts: Sequence[tuple[np.ndarray, Forecast]], history: Panel, question: Question, kind: str) -> Forecast:
    n, h, q = history.n_series, question.spec.horizon, len(question.spec.levels)
    mean, quantiles = np.full((n, h), np.nan), np.full((n, h, q), np.nan)
    reasons = dict.fromkeys(range(n), "new since the release: this model does not know the style")
    for rows, forecast in parts:
        for k, row in enumerate(rows.tolist()):
            if forecast.made_by[k]:
                reasons.pop(row, None)
            else:
                reasons[row] = str(forecast.reason[k])
        mean[rows], quantiles[rows] = forecast.mean, forecast.quantiles
    return Forecast.build(history, question.spec, kind, mean, quantiles, reasons=reasons)


def laid_on(history: Panel, forecast: Forecast, question: Question) -> Forecast:
    """A stored forecast laid on the series that are known at its origin today (corrections may add or remove some)."""
    here = history.index_of(forecast.ids)
    rows = np.flatnonzero(here >= 0)
    kind = next((str(name) for name in forecast.made_by if name), "")
    return _joined([(here[rows], forecast.take(rows))], history, question, kind)


def served_forecast(
    release: Release, panel: Panel, members: Mapping[str, Forecast], fold: Fold, question: Question,
    settings: EnsembleSettings,
) -> Forecast:  # fmt: skip
    """What the release's served kind says at the fold's cutoff, a row for every series of the history there, signed.

    members: from `member_forecasts`. Weights and intervals of an ensemble come from what its members said at the
    release's own origins beside what came since; newborn styles and sums are treated as in its run. Raises
    VersionUnreadable when the served model is not among the members.
    """
    served: str = release.json("card.json")["served"]
    history = question.history(panel, fold)
    if served != KIND:
        if served not in members:
            raise VersionUnreadable(
                "the release does not hold the model it serves", release=release.number, kind=served
            )
        return complete(members[served], history, question.spec, question.context)
    raw: dict[str, dict[int, Forecast]] = {kind: {fold.cutoff: forecast} for kind, forecast in members.items()}
    for kind, forecast in read_forecasts(release.file("origins.parquet")):
        if kind in raw and forecast.origin < fold.cutoff:
            known = question.history(panel, Fold(forecast.origin, fold.horizon))
            raw[kind][forecast.origin] = laid_on(known, forecast, question)
    cutoffs = sorted({cutoff for by_cutoff in raw.values() for cutoff in by_cutoff} - {fold.cutoff})
    earlier = member_results(panel, raw, [Fold(cutoff, fold.horizon) for cutoff in cutoffs], question)
    newborns, hierarchy = released_adjustments(release)
    folds = [Fold(cutoff, fold.horizon) for cutoff in cutoffs] if newborns.siblings_by or hierarchy.levels else []
    ensembles = [ensemble_at(panel, raw, earlier, one, question, settings) for one in [*folds, fold]]
    return adjusted(panel, ensembles, question, newborns, hierarchy)[0][-1].forecast
