"""report.html and the backtest plot, from a judged run."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from demand.calendar import Calendar
from demand.durable import write_whole
from demand.masking import masked
from evaluation.advice import targets_table
from evaluation.backtest import EnsembleAt
from evaluation.explain import Explanations
from evaluation.metrics import by_step, levels
from evaluation.plot import plot_backtest
from evaluation.report import ReportData, write_report
from jobs.decided import Decided
from jobs.entries import importances, seconds_by_model
from jobs.fleet import Fleet
from jobs.outputs import advice
from jobs.race import Race
from jobs.rowless import without_rows
from jobs.settings import chosen_models
from jobs.verdict import Verdict

log = logging.getLogger(__name__)
SHOWN_MODELS = 4  # the served model and the next best, in tables by level and step


def write_run_report(
    fleet: Fleet,
    race: Race,
    verdict: Verdict,
    outcomes: pd.DataFrame,
    decided: Decided | None = None,
    explanations: Explanations | None = None,
) -> Path:
    """Writes `report.html` into the run folder; returns its path. decided: what was decided on the forecast.
    explanations: of the live forecast, as they are stored."""
    manifest = fleet.run.json("manifest.json")
    first = dict.fromkeys([verdict.served, verdict.best, *verdict.board["model"], "seasonal_naive"])
    shown = [
        *list(first)[:SHOWN_MODELS],
        *(["seasonal_naive"] if "seasonal_naive" not in list(first)[:SHOWN_MODELS] else []),
    ]
    newest = verdict.ensembles[max(verdict.ensembles)] if verdict.ensembles else None
    settings = fleet.settings
    cutoffs = Calendar(fleet.panel.freq).dates([fold.cutoff for fold in fleet.origins.scored])
    data = ReportData(
        run_id=fleet.run.run_id,
        created=manifest["created"],
        board=verdict.board,
        outcomes=outcomes,
        best=verdict.best,
        served=verdict.served,
        history=fleet.panel.with_blanks_filled(fleet.question.blanks),
        live=verdict.live,
        members=verdict.live_members,
        gate={"passed": verdict.gate.passed, "reasons": list(verdict.gate.reasons)},
        levels={model: levels(verdict.results[model]) for model in shown},
        steps={model: by_step(verdict.results[model]) for model in shown},
        targets=_targets(fleet, race, verdict),
        weights=newest.weights.to_frame() if newest else None,
        recommendations=advice(verdict),
        cleaning=fleet.report,
        failures=without_rows(race),
        timings=dict(fleet.stages),
        decisions=decided.report if decided else None,
        hierarchy=verdict.hierarchy.as_json() if verdict.hierarchy else None,
        newborns=verdict.newborns.as_json() if verdict.newborns else None,
        explanations=explanations,
        trend_analysis=settings.report.trend_analysis,
        seasonal_decomposition=settings.report.seasonal_decomposition,
        settings={
            "source": masked(settings.source.path),
            "calendar": fleet.panel.freq,
            "season": f"{fleet.question.season} periods",
            "horizon": f"{fleet.question.spec.horizon} periods",
            "scored origins": ", ".join(str(date)[:10] for date in cutoffs),
            "origins for weights only": len(fleet.origins.inner),
            "models": ", ".join(chosen_models(settings)),
            "ensemble weights": _basis(newest),
        },
        provenance={"hash of the demand learned from": manifest["data_hash"]}
        | {name: manifest[name] for name in ("config_hash", "code_version", "seed")}
        | {f"library {name}": found for name, found in manifest["libraries"].items()},
    )
    return write_whole(fleet.run.file("report.html"), lambda path: write_report(path, data))


def _targets(fleet: Fleet, race: Race, verdict: Verdict) -> pd.DataFrame:
    """The brief's targets beside what was measured; training seconds are the live fit's share of the run."""
    benchmarks = {
        kind: {"mape": target.mape, "rmse": target.rmse, "training_time": target.training_time}
        for kind, target in fleet.settings.benchmarks.items()
    }
    return targets_table(
        benchmarks, {model: levels(results) for model, results in verdict.results.items()}, seconds_by_model(race)
    )


def _basis(at: EnsembleAt | None) -> str:
    return f"{at.weights.basis}, from {at.weights.n_origins} origins" if at else "none"


def write_backtest_plot(fleet: Fleet, verdict: Verdict) -> Path:
    """Writes backtest.png (2 x 2) into the run folder; returns its path. Without matplotlib the skip is logged."""
    shares = {kind: importances(fleet, kind) for kind in fleet.recipes}
    best = next((kind for kind in [verdict.best, "xgboost"] if shares.get(kind)), verdict.best)
    path = fleet.run.file("backtest.png")
    skipped = plot_backtest(path, verdict.board, verdict.results, shares.get(best, {}), fleet.panel.unit)
    if skipped:
        log.warning("backtest.png: %s", skipped)
    return path
