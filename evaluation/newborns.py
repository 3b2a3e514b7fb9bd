"""Young styles at the course of their siblings: where that serves in the ensemble's place, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demand.panel import Floats, Ints, Panel
from evaluation.backtest import EnsembleAt, Question
from evaluation.formulas import coverage, intervals
from models.base import Forecast
from models.fallback import SINGLE_MODEL
from models.siblings import KIND, NewbornSettings, check_columns, sibling_forecast

BORROWED = "made at the course of its siblings"  # the note of a row that siblings made


@dataclass(frozen=True, eq=False)
class Young:
    """One origin: the rows that siblings make, what they and the ensemble missed, which of them served and why.

    rows      [n] positions of the newborn styles with siblings; n_newborn: all newborn styles there
    siblings  their forecast [n]; actual [n, H] what came, NaN = unknown or not yet
    """

    at: EnsembleAt
    rows: Ints
    n_newborn: int
    siblings: Forecast
    actual: Floats
    served: bool
    reason: str

    @property
    def ensemble(self) -> EnsembleAt:
        """The ensemble there with the siblings' rows where they serve, signed; their reason tells how many siblings."""
        if not self.served or not len(self.rows):
            return self.at
        forecast = self.at.forecast
        changed: dict[str, Any] = {}
        texts = self.siblings.note.tolist()
        new = {
            "mean": self.siblings.mean,
            "quantiles": self.siblings.quantiles,
            "made_by": np.full(len(self.rows), KIND),
            "level": np.full(len(self.rows), SINGLE_MODEL),
            "reason": np.array([f"a newborn style: {text}" for text in texts], dtype=str),
            "note": np.full(len(self.rows), BORROWED),
        }
        for name, values in new.items():
            old = getattr(forecast, name)
            laid = old.astype(np.result_type(old, values)) if old.dtype.kind == "U" else old.copy()
            laid[self.rows] = values
            changed[name] = laid
        return replace(self.at, forecast=replace(forecast, **changed))

    def errors(self) -> tuple[int, float, float, float]:
        """Measured cells, and over them the absolute errors of the ensemble's and the siblings' median, and demand."""
        known = ~np.isnan(self.actual)
        actual = self.actual[known]
        ours, theirs = self.at.forecast.median[self.rows][known], self.siblings.median[known]
        return (
            int(known.sum()),
            float(np.abs(actual - ours).sum()),
            float(np.abs(actual - theirs).sum()),
            float(np.abs(actual).sum()),
        )


@dataclass(frozen=True, eq=False)
class Newborns:
    """All origins of a run, oldest first; the newest one says what serves."""

    chosen: NewbornSettings
    origins: Sequence[Young]

    def as_json(self) -> dict[str, Any]:
        """What serves at the newest origin, how many newborn styles have siblings, and the measured effect.

        effect: over the origins at which newborn styles with siblings were measured, WAPE of the median by ensemble and
        by siblings, and as it was served; interval and coverage: of the siblings' widest interval. None = undefined.
        """
        newest = self.origins[-1]
        measured = [one for one in self.origins if one.errors()[0]]
        errors = np.array([one.errors() for one in measured]).reshape(-1, 4)
        demand = float(errors[:, 3].sum())
        served = sum(row[2] if one.served else row[1] for one, row in zip(measured, errors, strict=True))
        wape = {
            "wape_ensemble": float(errors[:, 1].sum()),
            "wape_siblings": float(errors[:, 2].sum()),
            "wape_served": float(served),
        }
        stated, inside = self._coverage(measured)
        return {
            "siblings_by": list(self.chosen.siblings_by),
            "served": newest.served and len(newest.rows) > 0,
            "reason": newest.reason,
            "newborn_styles": newest.n_newborn,
            "with_siblings": len(newest.rows),
            "effect": {
                "origins": len(measured),
                "cells": int(errors[:, 0].sum()),
                **{name: error / demand if demand > 0 else None for name, error in wape.items()},
                "interval": stated,
                "coverage": inside,
            },
        }

    def _coverage(self, measured: Sequence[Young]) -> tuple[float | None, float | None]:
        spans = intervals(self.origins[-1].siblings.levels)
        if not spans or not measured:
            return None, None
        stated, low, high = spans[-1]
        actual = np.concatenate([one.actual for one in measured])
        bounds = np.concatenate([one.siblings.quantiles for one in measured])
        return stated, float(coverage(actual, bounds[:, :, low], bounds[:, :, high]))

    def sentence(self) -> str:
        """What happens to newborn styles today, in words."""
        told = self.as_json()
        who = "siblings make their rows" if told["served"] else "the ensemble makes their rows"
        return f"{told['newborn_styles']} styles, {told['with_siblings']} with siblings: {who}; {told['reason']}"


def with_siblings(
    panel: Panel, ensembles: Sequence[EnsembleAt], question: Question, chosen: NewbornSettings
) -> Newborns:  # fmt: skip
    """The siblings' rows for newborn styles at each origin (oldest first), and whether they serve there.

    They serve unless at earlier origins whose windows had ended the ensemble's median missed less of such styles; what
    siblings know is tried within each history before, see `sibling_forecast`. Raises SettingsError as `check_columns`.
    """
    check_columns(panel, chosen.siblings_by)
    out: list[Young] = []
    for at in ensembles:
        history = question.history(panel, at.fold)
        made = sibling_forecast(history, question.spec, question.context, chosen)
        rows = np.flatnonzero(made.made)
        actual = at.fold.actuals(panel, history)[rows]
        ended = [one for one in out if one.at.fold.cutoff + one.at.fold.horizon <= at.fold.cutoff]
        served, reason = _choose(ended)
        newborn = history.lengths <= chosen.periods
        if not len(rows):
            served, reason = False, _why_none(made, newborn)
        out.append(Young(at, rows, int(newborn.sum()), made.take(rows), actual, served, reason))
    return Newborns(chosen, out)


def _choose(past: Sequence[Young]) -> tuple[bool, str]:
    found = np.array([one.errors() for one in past]).reshape(-1, 4).sum(axis=0)
    cells, ours, theirs, _ = found.tolist()
    if not cells:
        return True, "no earlier origin has such styles; they were right of older siblings cut as short"
    if theirs < ours:
        return True, f"they missed {1 - theirs / ours:.1%} less than the ensemble in {cells:.0f} earlier cells"
    return False, f"the ensemble missed no more than they did in {cells:.0f} earlier cells"


def _why_none(made: Forecast, newborn: np.ndarray[Any, Any]) -> str:
    """The commonest reason of the newborn styles without a row."""
    if not newborn.any():
        return "no style is newborn"
    reasons, counts = np.unique(made.reason[newborn], return_counts=True)
    return str(reasons[counts.argmax()])
