"""What is done to the ensemble's forecasts after weights and intervals: young styles first, then sums."""

from __future__ import annotations

from collections.abc import Sequence

from demand.panel import Panel
from evaluation.backtest import EnsembleAt, Question
from evaluation.hierarchy import RECONCILED, Hierarchy, HierarchySettings, reconcile
from evaluation.newborns import BORROWED, Newborns, with_siblings
from models.siblings import NewbornSettings


def adjustments_in(note: str) -> list[str]:
    """The parts of a forecast row's note that say what was done to it here: a release's models alone say otherwise."""
    return [part for part in note.split("; ") if part.startswith((RECONCILED, BORROWED))]


def adjusted(
    panel: Panel, ensembles: Sequence[EnsembleAt], question: Question, newborns: NewbornSettings,
    hierarchy: HierarchySettings,
) -> tuple[list[EnsembleAt], Newborns | None, Hierarchy | None]:  # fmt: skip
    """The ensembles (oldest first) as they serve, and the accounts of what was done; None where a setting is off.

    Each origin is changed by what was known there alone. Raises SettingsError, see `with_siblings` and `reconcile`.
    """
    out, young, sums = list(ensembles), None, None
    if newborns.siblings_by:
        young = with_siblings(panel, out, question, newborns)
        out = [one.ensemble for one in young.origins]
    if hierarchy.levels:
        sums = reconcile(panel, out, question, hierarchy)
        out = [one.ensemble for one in sums.origins]
    return out, young, sums
