"""What the race showed: the board, who may serve, and one outcome for every style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from demand.panel import Panel
from evaluation.adjusted import adjusted
from evaluation.advice import how_unstable
from evaluation.backtest import EnsembleAt, Question, ensemble_at, ensemble_result, member_results
from evaluation.classes import demand_classes
from evaluation.hierarchy import Hierarchy
from evaluation.leaderboard import ZERO_RULE, best_model, leaderboard, paired_test
from evaluation.metrics import Measures, by_style, measure
from evaluation.newborns import Newborns
from evaluation.results import FoldResult
from jobs.plan import Origins
from jobs.race import Race
from jobs.settings import Settings
from models.base import Forecast
from models.catalog import BASELINES
from models.ensemble import KIND, EnsembleSettings
from models.fallback import complete

SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Gate:
    """Whether the ensemble may be served: it must beat these baselines on the same origins, beyond chance."""

    passed: bool
    reasons: tuple[str, ...]
    tests: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Everything that is reported, in memory.

    results: model -> its scored folds, complete. ensembles: cutoff -> the ensemble there. served: the kind whose live
    forecast is released. live: that forecast, a row for every series (None in a pure backtest). hierarchy, newborns:
    how the ensemble's means add up and what siblings made of young styles, over all origins; None where not set or no
    ensemble ran.
    """

    board: pd.DataFrame
    results: Mapping[str, Sequence[FoldResult]]
    ensembles: Mapping[int, EnsembleAt]
    best: str
    gate: Gate
    served: str
    live: Forecast | None
    live_members: Mapping[str, Forecast]
    hierarchy: Hierarchy | None = None
    newborns: Newborns | None = None

    @cached_property
    def metrics(self) -> dict[str, Measures]:
        """`M` of every model over the scored origins, beside the seasonal naive; measured once."""
        yardstick = self.results["seasonal_naive"]
        return {model: measure(results, yardstick) for model, results in self.results.items()}


def judge(panel: Panel, race: Race, origins: Origins, question: Question, settings: Settings) -> Verdict:
    """Scores every model and the ensemble on the same folds; decides what is served from those scores alone."""
    ensemble = settings.ensemble
    earlier = member_results(panel, race.raw, [*origins.inner, *origins.scored], question)
    scored_cutoffs = {fold.cutoff for fold in origins.scored}
    results = {
        model: [result for result in of_model if result.fold.cutoff in scored_cutoffs]
        for model, of_model in earlier.items()
    }
    ensembles: dict[int, EnsembleAt] = {}
    newborns, hierarchy = None, None
    if _with_ensemble(race, ensemble, settings):
        judged_before = settings.newborns.siblings_by or settings.hierarchy.levels
        folds = [*(origins.inner if judged_before else ()), *origins.scored, *origins.live]
        found = [ensemble_at(panel, race.raw, earlier, fold, question, ensemble) for fold in folds]
        found, newborns, hierarchy = adjusted(panel, found, question, settings.newborns, settings.hierarchy)
        ensembles = {at.fold.cutoff: at for at in found if at.fold not in origins.inner}
        results[KIND] = [ensemble_result(ensembles[fold.cutoff], panel, question) for fold in origins.scored]
    metric = settings.selection.model_selection_metric
    thresholds = {kind: config.min_accuracy_threshold for kind, config in settings.models.items()}
    limit = settings.gate.unstable_over
    board = leaderboard(results, metric=metric, thresholds=thresholds, unstable_over=limit)
    gate = _gate(results, settings, board)
    best = best_model(board)
    served = _served(board, gate, settings, ensembles)
    live, members = None, {}
    for fold in origins.live:
        history = question.history(panel, fold)
        spare = race.raw.get("exponential_smoothing", {}).get(fold.cutoff)
        members = {
            kind: complete(by_cutoff[fold.cutoff], history, question.spec, question.context, smoothing=spare)
            for kind, by_cutoff in race.raw.items()
        }
        live = ensembles[fold.cutoff].forecast if served == KIND else members[served]
    return Verdict(board, results, ensembles, best, gate, served, live, members, hierarchy, newborns)


def _with_ensemble(race: Race, ensemble: EnsembleSettings, settings: Settings) -> bool:
    return settings.enable_ml and settings.models[KIND].enabled and any(m in race.raw for m in ensemble.members)


def _gate(results: Mapping[str, Sequence[FoldResult]], settings: Settings, board: pd.DataFrame) -> Gate:
    if KIND not in results:
        return Gate(False, ("no ensemble ran",), ())
    reasons, tests = [], []
    for baseline in ("seasonal_naive", "mean"):
        # Where zero wins on absolute error, that error would call silence the better forecast.
        zero_wins = board.attrs.get("ranked_by") == ZERO_RULE
        test = paired_test(
            results[KIND], results[baseline], loss="pinball" if zero_wins else "absolute", seed=settings.seed
        )
        tests.append(test)
        if test["p_better"] is None or test["p_better"] >= SIGNIFICANT:
            shown = "too few to test" if test["p_better"] is None else f"p = {test['p_better']:.3f}"
            reasons.append(f"the ensemble does not beat {baseline} beyond chance ({shown})")
    row = board.loc[board["model"] == KIND].iloc[0]
    if settings.gate.below_threshold == "block" and bool(row["below_threshold"]):
        reasons.append("the ensemble's accuracy is below its min_accuracy_threshold and gate.below_threshold=block")
    if settings.gate.unstable == "block" and bool(row["unstable"]):
        reasons.append(f"the ensemble's WAPE {how_unstable(row)} and gate.unstable=block")
    return Gate(not reasons, tuple(reasons), tuple(tests))


def _served(board: pd.DataFrame, gate: Gate, settings: Settings, ensembles: Mapping[int, EnsembleAt]) -> str:
    """The ensemble when it passed; else the best baseline. Without automatic selection: the configured ensemble."""
    if ensembles and (gate.passed or not settings.selection.auto_model_selection):
        return KIND
    baselines = board[board["model"].isin(list(BASELINES)) & board["eligible"] & board["score"].notna()]
    return str(baselines.iloc[0]["model"]) if len(baselines) else "exponential_smoothing"


def outcomes(
    panel: Panel, verdict: Verdict, race: Race, question: Question, rejected: Mapping[str, str], settings: Settings
) -> pd.DataFrame:
    """One row for every style that came in: unique_id, status, cause, made_by, level, class, history, errors, weights.

    status: ok (the served model made the row), fell_back (another did; `cause` says why), rejected (no usable history).
    Errors are the served model's over the scored origins, NaN where the style was not scored; weights are the live
    ensemble's (the newest scored one's in a pure backtest). ok + fell_back + rejected = styles in.
    """
    shown = verdict.live or verdict.results[verdict.served][-1].forecast
    history = (
        panel.until(shown.origin)
        .take(panel.until(shown.origin).index_of(shown.ids))
        .with_blanks_filled(question.blanks)
    )
    own = np.where(shown.made_by == verdict.served, "ok", "fell_back")
    late = np.setdiff1d(panel.ids, shown.ids)
    gone = {**{str(i): "no history before the newest origin" for i in late}, **dict(rejected)}
    frame = pd.DataFrame(
        {
            "unique_id": shown.ids.astype(object),
            "status": own,
            "cause": np.where(own == "ok", "", shown.reason),
            "made_by": shown.made_by,
            "fallback_level": shown.level,
            "note": shown.note,
            "demand_class": demand_classes(history),
            "n_periods": history.lengths,
            "consistency": _consistency(history),
        }
    )
    errors = by_style(verdict.results[verdict.served])[
        ["unique_id", "n_origins", "wape", "mae", "bias", "mase", "coverage", "total_error"]
    ]
    frame = frame.merge(errors, how="left", on="unique_id")
    frame["confidence"] = np.maximum(0.0, 1.0 - frame["total_error"])
    frame["low_confidence"] = ~(frame["confidence"] >= settings.ensemble.confidence_threshold)
    if verdict.ensembles:
        newest = verdict.ensembles[max(verdict.ensembles)]
        weights = newest.weights.to_frame().rename(columns=lambda c: c if c == "unique_id" else f"weight_{c}")
        frame = frame.merge(weights, how="left", on="unique_id")
    if gone:
        out = pd.DataFrame({"unique_id": list(gone), "status": "rejected", "cause": list(gone.values()), "made_by": ""})
        frame = pd.concat([frame, out], ignore_index=True)
    return frame.sort_values("unique_id", ignore_index=True)


def _consistency(history: Panel) -> np.ndarray:
    """max(0, 1 - CV) of demand per period [N]; 0 where nothing was sold."""
    n = history.lengths
    total = np.add.reduceat(history.y, history.indptr[:-1])
    mean = total / n
    spread = np.add.reduceat((history.y - np.repeat(mean, n)) ** 2, history.indptr[:-1]) / n
    variation = np.divide(np.sqrt(spread), np.abs(mean), out=np.ones_like(mean), where=mean != 0)
    return np.asarray(np.maximum(0.0, 1 - variation))


def forecasts_frame(verdict: Verdict, min_length: int, panel: Panel) -> pd.DataFrame:
    """Long table of every model's scored windows (and the live one): unique_id, cutoff, ds, model, mean, q.., made_by.

    Series with fewer than `min_length` periods at an origin are left out there.
    """
    parts = []
    by_model: dict[str, list[Forecast]] = {m: [r.forecast for r in rs] for m, rs in verdict.results.items()}
    for model, forecast in verdict.live_members.items():
        by_model[model].append(forecast)
    for cutoff, at in verdict.ensembles.items():
        if verdict.live is not None and cutoff == verdict.live.origin:
            by_model[KIND].append(at.forecast)
    for model, forecasts in by_model.items():
        for forecast in forecasts:
            lengths = panel.lengths[panel.index_of(forecast.ids)] - (panel.end - forecast.origin)
            frame = forecast.take(np.flatnonzero(lengths >= min_length)).to_frame()
            frame.insert(3, "model", model)
            parts.append(frame)
    return pd.concat(parts, ignore_index=True)
