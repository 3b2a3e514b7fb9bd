"""Styles, families and the total that agree: which way of adding up serves, decided and measured at past origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from demand.calendar import Calendar
from demand.panel import Floats, Panel
from demand.settings import STRICT
from evaluation.backtest import EnsembleAt, Question
from models.base import Forecast
from models.reconciliation import Tree, min_trace
from models.smoothing import ExponentialSmoothing

Method = Literal["bottom_up", "min_trace"]
MIN_ORIGINS = 2  # at fewer measured origins MinT does not serve: one may be luck
OWN = 0.5  # share of a node's own mean squared error in its variance; the rest is what its size makes usual
STYLE = "style"
RECONCILED = "reconciled in its mean with"  # how the note of a row begins whose mean was moved
QUANTILES = "quantiles are each style's own and do not move"


@settings(frozen=True, config=STRICT)
class HierarchySettings:
    """levels: static columns between style and total, finest first, such as (family, department); () = off."""

    levels: tuple[Annotated[str, Field(min_length=1)], ...] = ()


@dataclass(frozen=True, eq=False)
class Reconciled:
    """One origin: what each way says, what served and why.

    tree           of the styles that were known there
    base           L + 1 arrays [K, H], styles first: what each node was forecast to be on its own
    bottom_up      L + 1 arrays [K, H], styles first: the styles' means and their sums
    min_trace      the same after MinT; None where no earlier origin measures the variances
    actual         the same of what came, unknown cells as forecast; None where the window has not ended
    known          [N, H] cells of `actual` that were measured; all False without a window
    served, reason which of both, and why
    """

    at: EnsembleAt
    tree: Tree
    base: Sequence[Floats]
    bottom_up: Sequence[Floats]
    min_trace: Sequence[Floats] | None
    actual: Sequence[Floats] | None
    known: Floats
    served: Method
    reason: str

    @property
    def means(self) -> Sequence[Floats]:
        """What is served, by level [K, H]; each level is the sum of the one below."""
        return self.bottom_up if self.served == "bottom_up" or self.min_trace is None else self.min_trace

    @property
    def ensemble(self) -> EnsembleAt:
        """The ensemble there with the served means; quantiles stay, each row's note says what moved."""
        if self.served == "bottom_up":
            return self.at
        forecast = self.at.forecast
        said = f"{RECONCILED} {', '.join(self.tree.levels)} (MinT), {QUANTILES}"
        note = np.array([f"{old}; {said}" if old else said for old in forecast.note.tolist()], dtype=str)
        return replace(self.at, forecast=replace(forecast, mean=self.means[0], note=note))

    def errors(self) -> dict[Method, list[float]] | None:
        """Absolute errors of the mean, summed over each level, by method; None where both were not measured.

        At the style level over measured cells alone; above them an unknown cell counts as it was forecast bottom-up.
        """
        if self.actual is None or self.min_trace is None:
            return None
        actual = self.actual

        def of(means: Sequence[Floats]) -> list[float]:
            cells = [np.abs(y - mean) for y, mean in zip(actual, means, strict=True)]
            return [float(cells[0][self.known].sum()), *(float(cell.sum()) for cell in cells[1:])]

        return {"bottom_up": of(self.bottom_up), "min_trace": of(self.min_trace)}

    def demand(self) -> list[float]:
        """Absolute demand by level, as `errors` sums them; zeros without a window."""
        if self.actual is None:
            return [0.0] * (len(self.tree.levels) + 1)
        return [float(np.abs(self.actual[0])[self.known].sum()), *(float(np.abs(y).sum()) for y in self.actual[1:])]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """All origins of a run, oldest first; the newest one says what serves."""

    levels: tuple[str, ...]
    origins: Sequence[Reconciled]

    def at(self, cutoff: int) -> Reconciled:
        """The origin of this cutoff. Raises KeyError when there is none."""
        return {one.at.fold.cutoff: one for one in self.origins}[cutoff]

    def sentence(self) -> str:
        """Which way serves and why, in words."""
        name = {"bottom_up": "bottom-up", "min_trace": "MinT"}[self.origins[-1].served]
        return f"{', '.join(self.origins[-1].tree.levels)}: {name} serves; {self.origins[-1].reason}"

    def as_json(self) -> dict[str, Any]:
        """What served at the newest origin and why, and the measured effect by level (None where nothing was sold)."""
        newest = self.origins[-1]
        calendar = Calendar(newest.at.forecast.freq)
        return {
            "levels": list(newest.tree.levels),
            "served": newest.served,
            "reason": newest.reason,
            "quantiles": QUANTILES,
            "effect": self.effect(),
            "origins": [
                {"cutoff_date": str(calendar.dates([one.at.fold.cutoff])[0])[:10], "served": one.served,
                 "reason": one.reason}
                for one in self.origins
            ],
        }  # fmt: skip

    def effect(self) -> list[dict[str, Any]]:
        """A row a level: nodes, measured origins, and the WAPE of the mean bottom-up, by MinT and as it was served.

        Over all origins at which both were measured, those that only feed weights among them.
        """
        measured = [(one, errors) for one in self.origins if (errors := one.errors()) is not None]
        newest = self.origins[-1]
        sizes = [len(newest.at.forecast.ids), *map(len, newest.tree.nodes)]
        rows = []
        for place, (name, nodes) in enumerate(zip((STYLE, *newest.tree.levels), sizes, strict=True)):
            demand = sum(one.demand()[place] for one, _ in measured)
            missed = {
                "wape_bottom_up": sum(found["bottom_up"][place] for _, found in measured),
                "wape_min_trace": sum(found["min_trace"][place] for _, found in measured),
                "wape_served": sum(found[one.served][place] for one, found in measured),
            }
            wape = {key: error / demand if demand > 0 else None for key, error in missed.items()}
            rows.append({"level": name, "nodes": nodes, "origins": len(measured), **wape})
        return rows

    def to_frame(self, cutoffs: Sequence[int], live: Forecast | None) -> pd.DataFrame:
        """A row a node above the styles, origin and period: level, node, cutoff, ds, mean, bottom_up, min_trace.

        mean is the sum of the served means of its styles: of `live` at its origin, whoever made it. min_trace is NaN
        where it was not computed.
        """
        parts = []
        for cutoff in cutoffs:
            one = self.at(cutoff)
            calendar, fold = Calendar(one.at.forecast.freq), one.at.fold
            means = one.tree.sums(live.mean) if live is not None and live.origin == cutoff else one.means
            dates = calendar.dates(cutoff + 1 + np.arange(fold.horizon))
            for place, (level, names) in enumerate(zip(one.tree.levels, one.tree.nodes, strict=True), start=1):
                n = len(names)
                nearest = np.full((n, fold.horizon), np.nan) if one.min_trace is None else one.min_trace[place]
                parts.append(
                    pd.DataFrame(
                        {
                            "level": level,
                            "node": names.astype(object).repeat(fold.horizon),
                            "cutoff": calendar.dates([cutoff]).repeat(n * fold.horizon),
                            "ds": np.tile(dates, n),
                            "mean": means[place].ravel(),
                            "bottom_up": one.bottom_up[place].ravel(),
                            "min_trace": nearest.ravel(),
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)


def reconcile(
    panel: Panel, ensembles: Sequence[EnsembleAt], question: Question, chosen: HierarchySettings
) -> Hierarchy:  # fmt: skip
    """The ensemble's means at each origin (oldest first) beside what families and the total are forecast to be.

    Families and the total are forecast by exponential smoothing of their own summed history. MinT's variances and the
    choice between it and bottom-up come from earlier origins whose windows had ended: MinT serves where at two or more
    of them it left no style-level error higher, and lowered the WAPE summed over all levels. Raises SettingsError where
    the static columns make no tree, see `Tree.of`.
    """
    everyone = Tree.of(panel, chosen.levels)
    ledger = [_Ledger.empty(size) for size in (panel.n_series, *map(len, everyone.nodes))]
    out: list[Reconciled] = []
    entered = 0
    for at in ensembles:
        while entered < len(out) and _ended(out[entered], at):
            _enter(ledger, out[entered], panel, everyone)
            entered += 1
        out.append(_at_origin(panel, everyone, at, question, ledger, out[:entered]))
    return Hierarchy(chosen.levels, out)


def _ended(earlier: Reconciled, at: EnsembleAt) -> bool:
    return earlier.at.fold.cutoff + earlier.at.fold.horizon <= at.fold.cutoff


@dataclass(frozen=True, eq=False)
class _Ledger:
    """Squared errors of one level's nodes so far: sum and count, each [K] of the whole panel's tree."""

    squares: Floats
    count: Floats

    @classmethod
    def empty(cls, size: int) -> _Ledger:
        return cls(np.zeros(size), np.zeros(size))

    def variance(self, rows: Any, size: Floats) -> Floats:
        """[k]: half a node's own mean squared error, half what is usual for its size; NaN where nothing is known."""
        own = np.divide(
            self.squares[rows], self.count[rows], out=np.full(len(rows), np.nan), where=self.count[rows] > 0
        )
        known = np.isfinite(own)
        usual = own[known].sum() / max(float(size[known].sum()), 1e-12) * size if known.any() else own
        blended: Floats = np.where(known, OWN * own + (1 - OWN) * usual, usual)
        return blended


def _at_origin(
    panel: Panel, everyone: Tree, at: EnsembleAt, question: Question, ledger: Sequence[_Ledger],
    past: Sequence[Reconciled],
) -> Reconciled:  # fmt: skip
    history = question.history(panel, at.fold)
    tree = everyone.take(panel.index_of(history.ids))
    bottom_up = tree.sums(at.forecast.mean)
    base = [bottom_up[0], *_base(tree, history, question)]
    rows = [panel.index_of(history.ids), *_places(everyone, tree)]
    variance = [one.variance(row, mean.mean(axis=1)) for one, row, mean in zip(ledger, rows, bottom_up, strict=True)]
    nearest = None
    if all(np.isfinite(v).all() for v in variance):
        nearest = tree.sums(min_trace(tree, base, variance))
    actual, known = _came(panel, at, history, tree)
    served, reason = _choose(past)
    if nearest is None:
        served, reason = "bottom_up", "no earlier origin measures how wrong families and styles are"
    return Reconciled(at, tree, base, bottom_up, nearest, actual, known, served, reason)


def _base(tree: Tree, history: Panel, question: Question) -> list[Floats]:
    """Each node's own forecast [K, H], by level."""
    recipe = ExponentialSmoothing()
    return [recipe.fit(part, question.spec, question.context).forecast(part).mean for part in tree.panels(history)]


def _places(everyone: Tree, tree: Tree) -> list[Any]:
    """Where a smaller tree's nodes stand in the whole one, by level."""
    return [np.searchsorted(all_, some) for all_, some in zip(everyone.nodes, tree.nodes, strict=True)]


def _came(panel: Panel, at: EnsembleAt, history: Panel, tree: Tree) -> tuple[list[Floats] | None, Any]:
    """What came, by level, and which style cells were measured; None before the window has ended."""
    mean = at.forecast.mean
    if at.fold.cutoff + at.fold.horizon > panel.end:
        return None, np.zeros(mean.shape, dtype=bool)
    actual = at.fold.actuals(panel, history)
    known = ~np.isnan(actual)
    return tree.sums(np.where(known, actual, mean)), known


def _enter(ledger: Sequence[_Ledger], one: Reconciled, panel: Panel, everyone: Tree) -> None:
    """Adds what every node's own forecast missed at one origin."""
    if one.actual is None:
        return
    rows = [panel.index_of(one.at.forecast.ids), *_places(everyone, one.tree)]
    for level, (book, row) in enumerate(zip(ledger, rows, strict=True)):
        missed = (one.actual[level] - one.base[level]) ** 2
        counted = one.known if level == 0 else np.ones(missed.shape, dtype=bool)
        book.squares[row] += np.where(counted, missed, 0.0).sum(axis=1)
        book.count[row] += counted.sum(axis=1)


def _choose(past: Sequence[Reconciled]) -> tuple[Method, str]:
    """Which way serves, from origins whose windows had ended, and why."""
    measured = [(one, errors) for one in past if (errors := one.errors()) is not None]
    if len(measured) < MIN_ORIGINS:
        return "bottom_up", f"MinT was measured at {len(measured)} earlier origins, {MIN_ORIGINS} are needed"
    worse = sum(errors["min_trace"][0] > errors["bottom_up"][0] for _, errors in measured)
    if worse:
        return "bottom_up", f"MinT made the styles' errors larger at {worse} of {len(measured)} earlier origins"
    demand = np.sum([one.demand() for one, _ in measured], axis=0)
    wape = {
        method: float(np.sum(np.sum([errors[method] for _, errors in measured], axis=0) / np.maximum(demand, 1e-12)))
        for method in ("bottom_up", "min_trace")
    }
    if wape["min_trace"] >= wape["bottom_up"]:
        return "bottom_up", f"MinT did not lower the errors over all levels at {len(measured)} earlier origins"
    gain = 1 - wape["min_trace"] / wape["bottom_up"]
    return "min_trace", f"MinT lowered the errors over all levels by {gain:.1%} at {len(measured)} earlier origins"
