"""The second stage of an automatic search: parameters and features of the pooled models that lead after the first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from demand.errors import FitError
from jobs.automl_features import FITS, as_parameter, feature_lists
from jobs.automl_models import Entrant, Tryouts
from jobs.trial_log import Outcome, TrialLog
from jobs.tune_desk import OUTER_FITS, Desk
from jobs.tune_search import Search
from jobs.tune_trial import Bench, best_of, run_trial

log = logging.getLogger(__name__)
LEADERS = 2
SEARCH_UNTIL, AGAIN_UNTIL = 0.85, 0.95  # of the budget: the trials, and the best of them once more
LATE = "the time for it was used up"
FEATURES_FILE = "features.json"
Lists = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Searched:
    """What the search of one model came to.

    ended: why, "" when every trial was made. lists: of features, by how each was chosen.
    """

    kind: str
    outcomes: Mapping[int, Outcome]
    best: int
    ended: str
    lists: Lists


def search_leaders(tryouts: Tryouts) -> list[Searched]:
    """Searches the best pooled models, each an equal part of the time; their best trials enter as `tuned`."""
    spaces = tryouts.contest.spaces()
    able = [one for one in tryouts.entrants.values() if one.kind in spaces]
    leaders = sorted(able, key=lambda one: (one.score, one.kind))[:LEADERS]
    return [_searched(tryouts, leader, len(leaders) - place) for place, leader in enumerate(leaders)]


def _searched(tryouts: Tryouts, leader: Entrant, sharing: int) -> Searched:
    contest, kind = tryouts.contest, leader.kind
    number = len(contest.kinds) + contest.kinds.index(kind)
    bench = contest.inner_bench(kind)
    fit_again = tryouts.hands.wall(leader.fold_s, len(bench.folds), bench.cpus) + leader.fold_s
    until = tryouts.budget.spent() + tryouts.budget.left(SEARCH_UNTIL) / sharing - fit_again
    lists = _lists(tryouts, leader, bench, until - tryouts.budget.spent())
    search = contest.search(kind, as_parameter(lists, bench.config, kind) if lists else {})
    folder = tryouts.run.path / f"search-{kind}"
    folder.mkdir(exist_ok=True)
    journal = TrialLog(folder)
    if 0 not in journal.read():  # the defaults were tried in the first stage
        folds = tuple(bench.yardstick.score([one]) for one in reversed(leader.results))
        took = round(leader.fold_s * len(folds), 3)
        journal.append(Outcome(0, dict(search.defaults), "finished", leader.score, folds, took))
    ended = journal.ended()
    if ended is None:
        seconds = until - tryouts.budget.spent()
        enough = seconds > leader.fold_s * len(bench.folds)
        ended = _trials(tryouts, search, journal, bench, seconds + leader.fold_s * OUTER_FITS) if enough else LATE
        journal.note_end(ended)
    outcomes = journal.read()
    best = best_of(list(outcomes.values()))
    assert best is not None  # the defaults have a score
    log.info("parameters: %s, %d trials, best %d", kind, len(outcomes), best.number)
    if best.number:  # once more, for its forecasts
        told = tryouts.journal.read().get(number)
        tryouts.take(told or tryouts.tried(number, kind, best.parameters, AGAIN_UNTIL), tryouts.tuned)
    return Searched(kind, outcomes, best.number, ended, lists)


def _trials(tryouts: Tryouts, search: Search, journal: TrialLog, bench: Bench, seconds: float) -> str:
    """Runs what the log does not hold; returns why the search ended before every trial was made, else ""."""
    desk = Desk(search, journal, len(bench.folds), tryouts.budget.moment(seconds))
    if len(desk.outcomes) >= search.trials:
        return ""

    def ended(_: Outcome) -> None:
        tryouts.journal.note_spent(tryouts.budget.spent())

    if not tryouts.hands.at_once:
        while not isinstance(assignment := desk.next(), str):
            outcome = run_trial(bench, assignment)
            desk.tell(outcome)
            ended(outcome)
    else:
        from jobs.tune_ray import search_on_ray  # after the environment that Tune reads when it is imported

        search_on_ray(desk, bench, tryouts.run.path, max(1, tryouts.hands.at_once // bench.cpus), ended)
    if desk.broken is not None:
        raise desk.broken
    return LATE if desk.why == "max_seconds" else desk.why


def _lists(tryouts: Tryouts, leader: Entrant, bench: Bench, seconds: float) -> Lists:
    """The lists of features to try; {} where the model has no matrix, or there is no time to make any."""
    if leader.kind != "xgboost":
        return {}
    if tryouts.run.file(FEATURES_FILE).is_file():
        return {words: tuple(names) for words, names in tryouts.run.json(FEATURES_FILE).items()}
    lists: Lists = {}
    if seconds > (FITS + 1) * leader.fold_s:
        try:
            lists = feature_lists(bench, bench.config, seconds / 2)
        except FitError as error:
            log.warning("features: none are chosen among, %s", error)
    tryouts.run.write_json(FEATURES_FILE, {words: list(names) for words, names in lists.items()})
    log.info("features: %d lists", len(lists))
    return lists
