"""The first stage of an automatic search: every model at the inner folds, and the forecasts it made there, on file."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demand.durable import write_whole
from demand.errors import StorageError
from evaluation.backtest import member_results
from evaluation.results import FoldResult
from jobs.automl_contest import Contest
from jobs.automl_fits import Hands, Made
from jobs.budget import Budget
from jobs.run_folder import RunFolder
from jobs.trial_log import Outcome, State, TrialLog
from jobs.tune_space import with_parameters
from models.base import Forecast
from models.forecast_files import read_forecasts, write_forecasts

log = logging.getLogger(__name__)
# Of the budget; what a stage does not need is the next one's. Alone: while no model has entered that can be searched.
MODELS_UNTIL, ALONE_UNTIL = 0.6, 0.9
LEFT_OUT = "left out: "


@dataclass(frozen=True, eq=False)
class Entrant:
    """One model as it was tried at the inner folds. parameters: what differs from the configuration; {} = nothing.

    score: lower is better. raw: cutoff -> forecast, rows it did not make empty. results: oldest first. fold_s: seconds
    of one fit.
    """

    kind: str
    parameters: Mapping[str, Any]
    score: float
    raw: Mapping[int, Forecast]
    results: list[FoldResult]
    fold_s: float


@dataclass(frozen=True, eq=False)
class Tryouts:
    """A running search: what it was told, what it may spend, and who has entered so far.

    first: models that were fitted at the newest inner fold before the search began. entrants: as configured. tuned: the
    same models with the parameters that a search found best.
    """

    contest: Contest
    run: RunFolder
    budget: Budget
    hands: Hands
    first: Mapping[str, Made] = field(default_factory=dict)
    entrants: dict[str, Entrant] = field(default_factory=dict)
    tuned: dict[str, Entrant] = field(default_factory=dict)

    @property
    def journal(self) -> TrialLog:
        """Its log: a line a model tried, by its place in the contest; those with other parameters follow."""
        return TrialLog(self.run.path)

    def try_models(self) -> None:
        """Each model as configured, cheap ones first; the log names those for which no time is left."""
        told = self.journal.read()
        for number, kind in enumerate(self.contest.kinds):
            able = any(one in self.contest.spaces() for one in self.entrants)  # else nothing else needs the time
            outcome = told.get(number) or self.tried(number, kind, {}, MODELS_UNTIL if able else ALONE_UNTIL)
            self.take(outcome, self.entrants)

    def tried(self, number: int, kind: str, parameters: Mapping[str, Any], share: float) -> Outcome:
        """Tries one model, until this share of the budget is spent, and files how it went."""
        began, bench = self.budget.spent(), self.contest.inner_bench(kind)
        made, cause = self._made(kind, parameters, share)
        raw = {one.fold.cutoff: one.forecast for one in made if one.forecast is not None}
        state: State = "failed"
        score: float | None = None
        folds: tuple[float, ...] = ()
        if not cause:
            results = self._results(kind, raw)
            folds = tuple(bench.yardstick.score([one]) for one in reversed(results))
            state, score = "finished", bench.yardstick.score(results)
            self._keep(number, kind, raw)
        seconds = round(sum(one.seconds for one in made), 3)
        outcome = Outcome(number, {"model": kind, **parameters}, state, score, folds, seconds, cause)
        self.journal.append(outcome)
        self.journal.note_spent(self.budget.spent())
        said = cause if score is None else f"{bench.yardstick.ranked_by} {bench.yardstick.shown(score):.4f}"
        log.info("models: %s %s (%.1f s)", kind, said, self.budget.spent() - began)
        return outcome

    def _made(self, kind: str, parameters: Mapping[str, Any], share: float) -> tuple[list[Made], str]:
        """The fits at the inner folds, and why not all of them are there ("" when they are).

        The newest fold comes first: how long it takes tells whether there is time for the others and the outer one.
        """
        bench = self.contest.inner_bench(kind)
        config = with_parameters(kind, bench.config, parameters)
        newest, rest = bench.folds[0], bench.folds[1:]
        quick = kind not in self.contest.learned()  # milliseconds, and what everything is compared with

        def left() -> float:
            return math.inf if quick else self.budget.left(share)

        if left() <= 0:
            return [], f"{LEFT_OUT}no time is left for it"
        known = None if parameters else self.first.get(kind)
        made = [known] if known else self.hands.fit(bench, config, [newest], left())
        needed = self.hands.wall(made[0].seconds, len(rest), bench.cpus) + made[0].seconds
        if made[0].forecast is not None and needed > left():
            return made, (
                f"{LEFT_OUT}one fit took {made[0].seconds:.1f} s, the others would take {needed:.0f} s, and "
                f"{left():.0f} s are left"
            )
        if made[0].forecast is not None:
            made += self.hands.fit(bench, config, rest, left())
        cause = next((one.cause for one in made if one.forecast is None), "")
        return made, f"{LEFT_OUT}{cause}" if "time_budget" in cause else cause

    def take(self, outcome: Outcome, into: dict[str, Entrant]) -> None:
        """An outcome with its stored forecasts among the entrants; time for its outer fold is kept back."""
        if outcome.score is None:
            return
        kind = str(outcome.parameters["model"])
        raw = self._stored(outcome.number, kind)
        parameters = {name: value for name, value in outcome.parameters.items() if name != "model"}
        fold_s = outcome.seconds / len(outcome.folds)
        into[kind] = Entrant(kind, parameters, outcome.score, raw, self._results(kind, raw), fold_s)
        self.budget.keep_back(self.hands.wall(fold_s, 1, 1))

    def best(self, kind: str) -> Entrant:
        """The model with other parameters where these scored better, else as configured."""
        tuned, plain = self.tuned.get(kind), self.entrants[kind]
        return tuned if tuned is not None and tuned.score < plain.score else plain

    def _results(self, kind: str, raw: Mapping[int, Forecast]) -> list[FoldResult]:
        """Oldest first."""
        folds = sorted(self.contest.split.inner, key=lambda fold: fold.cutoff)
        return member_results(self.contest.known, {kind: raw}, folds, self.contest.bench.question)[kind]

    def _keep(self, number: int, kind: str, raw: Mapping[int, Forecast]) -> None:
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        rows = [(kind, raw[cutoff]) for cutoff in sorted(raw)]
        write_whole(path, lambda new: write_forecasts(new, rows))

    def _stored(self, number: int, kind: str) -> dict[int, Forecast]:
        path = self._path(number)
        try:
            found = {forecast.origin: forecast for name, forecast in read_forecasts(path) if name == kind}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError("stored forecasts of a search cannot be read", file=str(path), cause=str(error),
                               hint="The run cannot go on: start a new one") from None  # fmt: skip
        return found

    def _path(self, number: int) -> Any:
        return self.run.file(f"forecasts/{number:03d}.parquet")
