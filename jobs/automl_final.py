"""The last stages of an automatic search: ensembles of what has entered, then the default and the best one, once, on
the outer fold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demand.errors import FitError
from evaluation.ensembles import MARGIN, Tried, best_tried, of_members, scored_ensemble, search
from evaluation.results import FoldResult
from evaluation.tuning import Acceptance, accept
from jobs.automl_models import Entrant, Tryouts
from jobs.tune_space import with_parameters
from models.ensemble import EnsembleSettings

log = logging.getLogger(__name__)
OVERRUN = 1.08  # of the budget: when the fits of the outer fold are given up, whatever they were planned to take
WHAT = "the best configuration"


@dataclass(frozen=True, eq=False)
class Verdict:
    """default, found: the two ensembles. tried: every ensemble, the first with the default's members. default_score,
    found_score: at the inner folds that judge ensembles. changed: model -> the entrant whose parameters are other ones
    than configured, of the members of `found`. missing: model -> why it takes no part on the outer fold."""

    default: EnsembleSettings
    found: EnsembleSettings
    tried: Sequence[Tried]
    default_score: float
    found_score: float
    changed: dict[str, Entrant]
    missing: dict[str, str]
    acceptance: Acceptance


def judged(tryouts: Tryouts) -> Verdict:
    """Tries ensembles at the inner folds, and scores the default one and the best one on the outer fold.

    The default is the configured ensemble of the members that could be measured. Where they are not more than half of
    all members, no other ensemble is tried. Raises FitError when there is none.
    """
    contest, entrants = tryouts.contest, tryouts.entrants
    members = [one for one in contest.ensemble.members if one in entrants]
    if not members:
        raise FitError("no member of the ensemble could be fitted: there is nothing to compare with",
                       members=list(contest.ensemble.members), log=str(tryouts.journal.path))  # fmt: skip
    default = of_members(contest.ensemble, members)
    default_score = _inner_score(tryouts, default, entrants.__getitem__)
    pool = [kind for kind in entrants if kind != "zero"]
    few = 2 * len(members) <= len(contest.ensemble.members)  # too few to say anything of the ensemble of them all
    tried = search(
        default, pool, lambda settings: _inner_score(tryouts, settings, tryouts.best),
        lambda: few or tryouts.budget.left() <= 0,
    )  # fmt: skip
    best = best_tried(tried)
    log.info("ensembles: %d tried, best: %s", len(tried), best.step)
    tryouts.journal.note_spent(tryouts.budget.spent())
    changed = {kind: one for kind in best.settings.members if (one := tryouts.best(kind)).parameters}
    same = best.settings == default and not changed
    if same or best.score > default_score - MARGIN * abs(default_score):
        best, changed, found = Tried("as configured", default, default_score), {}, default
    else:
        found = best.settings
    acceptance, missing = _on_outer(tryouts, default, found, changed)
    return Verdict(default, found, tried, default_score, best.score, changed, missing, acceptance)


def _inner_score(tryouts: Tryouts, settings: EnsembleSettings, entrant_of: Callable[[str], Entrant]) -> float:
    contest, members = tryouts.contest, {kind: entrant_of(kind) for kind in settings.members}
    raw, results = ({kind: getattr(one, name) for kind, one in members.items()} for name in ("raw", "results"))
    scored = scored_ensemble(contest.known, raw, results, contest.judged, contest.bench.question, settings)
    return contest.bench.yardstick.score(scored)


def _on_outer(
    tryouts: Tryouts, default: EnsembleSettings, found: EnsembleSettings, changed: dict[str, Entrant]
) -> tuple[Acceptance, dict[str, str]]:
    contest = tryouts.contest
    same = found == default and not changed
    plain = {kind: tryouts.entrants[kind] for kind in dict.fromkeys((*default.members, *found.members))}
    asked = [*(plain[kind] for kind in plain if kind in default.members or kind not in changed), *changed.values()]
    left = max(1.0, OVERRUN * tryouts.budget.total_s - tryouts.budget.spent())
    fits = []
    for one in asked:
        bench = contest.outer_bench(one.kind)
        fits.append((bench, with_parameters(one.kind, bench.config, one.parameters), bench.folds[0]))
    made = dict(
        zip([(one.kind, bool(one.parameters)) for one in asked], tryouts.hands.fit_each(fits, left, left), strict=True)
    )
    missing = {kind: one.cause for (kind, _), one in made.items() if one.forecast is None}
    log.info("outer fold: %d fits, %d missing", len(made), len(missing))

    def at_outer(settings: EnsembleSettings, with_changes: bool) -> list[FoldResult]:
        raw, results = {}, {}
        for kind in settings.members:
            one = changed.get(kind, plain[kind]) if with_changes else plain[kind]
            newest = made[kind, bool(one.parameters)].forecast
            results[kind] = one.results
            raw[kind] = dict(one.raw) | ({} if newest is None else {contest.split.outer.cutoff: newest})
        if not any(contest.split.outer.cutoff in by_cutoff for by_cutoff in raw.values()):
            raise FitError("no member could be fitted on the outer fold", causes=missing,
                           hint=f"Go on with resume={tryouts.run.run_id}")  # fmt: skip
        return scored_ensemble(contest.whole, raw, results, [contest.split.outer], contest.bench.question, settings)

    before = at_outer(default, False)
    yardstick = contest.outer_yardstick
    if same:
        why = "nothing was better than the default configuration on the inner folds: the defaults stay"
        return Acceptance(False, why, yardstick.shown(yardstick.score(before))), missing
    return accept(yardstick, before, at_outer(found, True), contest.settings.seed, WHAT), missing
