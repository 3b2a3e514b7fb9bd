"""What an automatic search came to, in the terminal and as JSON; all numbers are those of its logs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from evaluation.ensembles import way_of
from evaluation.tuning import Yardstick
from jobs.automl_features import WITHOUT, words_of
from jobs.automl_final import Verdict
from jobs.automl_models import Tryouts
from jobs.automl_search import Searched
from jobs.trial_log import Outcome
from jobs.tune_report import WIDTH, short
from models.ensemble import KIND, EnsembleSettings


def report(tryouts: Tryouts, searched: Sequence[Searched], verdict: Verdict) -> dict[str, Any]:
    """Strict-JSON-ready: what was told, every stage, both configurations, the outer fold, accepted or not and why.

    Scores are the metric's own values; seconds are wall time.
    """
    contest, yardstick = tryouts.contest, tryouts.contest.bench.yardstick
    outcomes = tryouts.journal.read()
    found = verdict.acceptance
    return {
        "run_id": tryouts.run.run_id,
        **contest.facts(),
        "models": [_model(outcomes[number], yardstick) for number in range(len(contest.kinds))],
        "searches": [_search(one, yardstick) for one in searched],
        "ensembles": [
            {"step": one.step, **_ensemble(one.settings), "score": yardstick.shown(one.score)} for one in verdict.tried
        ],
        "default": {**_ensemble(verdict.default), "score": yardstick.shown(verdict.default_score)},
        "best": {
            **_ensemble(verdict.found), "score": yardstick.shown(verdict.found_score),
            "parameters": {kind: dict(one.parameters) for kind, one in verdict.changed.items()},
        },
        "outer_fold": {name: value for name, value in asdict(found).items() if name not in ("accepted", "why")}
        | {"missing": verdict.missing},
        "accepted": found.accepted,
        "why": found.why,
        "use": changes(tryouts, verdict) if found.accepted else {},
        "seconds": round(tryouts.budget.spent(), 1),
    }  # fmt: skip


def changes(tryouts: Tryouts, verdict: Verdict) -> dict[str, dict[str, Any]]:
    """Model -> the parameters in which the best configuration differs from the configured one.

    A configured member that could not be measured stays a member: nothing was found out about it.
    """
    out = {kind: dict(one.parameters) for kind, one in sorted(verdict.changed.items())}
    if verdict.found == verdict.default:
        return out
    configured, found = tryouts.contest.settings.ensemble, verdict.found
    unknown = [one for one in configured.members if one not in tryouts.entrants]
    models = {**dict(zip(found.models, found.weights, strict=True))}
    models |= {one: weight for one, weight in zip(configured.models, configured.weights, strict=True) if one in unknown}
    extra = [*found.extra_members, *(one for one in configured.extra_members if one in unknown)]
    out[KIND] = {
        "models": list(models), "weights": list(models.values()), "extra_members": extra,
        "aggregation": found.aggregation, "optimize_weights": found.optimize_weights,
        "weight_optimization_method": found.weight_optimization_method,
    }  # fmt: skip
    return out


def _model(outcome: Outcome, yardstick: Yardstick) -> dict[str, Any]:
    score = None if outcome.score is None else yardstick.shown(outcome.score)
    return {
        "model": outcome.parameters["model"], "score": score, "folds": [yardstick.shown(one) for one in outcome.folds],
        "seconds": outcome.seconds, "state": outcome.state, "cause": outcome.cause,
    }  # fmt: skip


def _search(one: Searched, yardstick: Yardstick) -> dict[str, Any]:
    outcomes = [one.outcomes[number] for number in sorted(one.outcomes)]
    best = one.outcomes[one.best]
    without = best.parameters.get(WITHOUT)
    return {
        "model": one.kind, "ended": one.ended or "every trial was made", "best": one.best,
        "parameters": dict(best.parameters),
        "features": None if without is None or not one.lists else words_of(one.lists, without),
        "features_tried": {words: len(names) for words, names in one.lists.items()},
        "all_trials": [
            {**asdict(trial), "parameters": dict(trial.parameters), "folds": [*map(yardstick.shown, trial.folds)],
             "score": None if trial.score is None else yardstick.shown(trial.score)} for trial in outcomes
        ],
    }  # fmt: skip


def _ensemble(settings: EnsembleSettings) -> dict[str, Any]:
    return {"members": list(settings.members), "put_together_by": way_of(settings)}


def table(told: Mapping[str, Any]) -> Table:
    """Every model at the inner folds, best first, those without a score last."""
    out = Table(title="Models as configured, at the inner folds", title_justify="left")
    out.add_column("model")
    out.add_column(told["ranked_by"], justify="right")
    out.add_column("best trial", justify="right")
    out.add_column("seconds", justify="right")
    out.add_column("member", justify="left")
    tuned = {one["model"]: one["all_trials"][one["best"]]["score"] for one in told["searches"]}
    sign = -1 if told["ranked_by"] == "r2" else 1
    ranked = sorted(told["models"], key=lambda one: (one["score"] is None, sign * (one["score"] or 0), one["model"]))
    for one in ranked:
        kind = one["model"]
        words = [name for name in ("default", "best") if kind in told[name]["members"]]
        out.add_row(
            kind, "" if one["score"] is None else f"{one['score']:.4f}",
            f"{tuned[kind]:.4f}" if kind in tuned else "", f"{one['seconds']:.1f}", ", ".join(words),
        )  # fmt: skip
    return out


def compared(told: Mapping[str, Any]) -> Table:
    """The default configuration beside the best one, inside and on the outer fold."""
    outer = told["outer_fold"]
    out = Table(title=f"{told['ranked_by']} of both configurations", title_justify="left")
    for name in ("configuration", "members", "by", "inner", "outer"):
        out.add_column(name, justify="right" if name in ("members", "inner", "outer") else "left")
    for name, score in (("default", outer["defaults"]), ("best", outer["best"])):
        one = told[name]
        out.add_row(
            name, str(len(one["members"])), one["put_together_by"], f"{one['score']:.4f}",
            "" if score is None else f"{score:.4f}",
        )  # fmt: skip
    return out


def lines(told: Mapping[str, Any]) -> list[str]:
    """What the search came to, in lines of 80 columns."""
    sample, outer = told["sample"], told["outer_fold"]
    left_out = [f"{one['model']}: {one['cause']}" for one in told["models"] if one["score"] is None]
    absent = [one for one in told["members"] if one not in told["default"]["members"]]
    gone = sorted(set(told["default"]["members"]) - set(told["best"]["members"]))
    new = sorted(set(told["best"]["members"]) - set(told["default"]["members"]))
    said = [
        f"Sample    {sample['styles']} of {sample['of']} styles: "
        + ", ".join(f"{name} {some} of {of}" for name, (some, of) in sample["classes"].items()),
        "Inner     " + ", ".join(f"{one['from']} to {one['to']}" for one in told["inner"]),
        *[f"Note      {note}" for note in told["notes"]],
        *[f"Missing   {words}" for words in left_out],
        *[f"Search    {_of_search(one)}" for one in told["searches"]],
        f"Ensembles {len(told['ensembles'])} tried, judged at the newest {len(told['judge_ensembles'])} of the inner "
        f"windows" + (f"; {', '.join(absent)} could not be measured and would stay" if absent else ""),
        f"Best      {told['best']['put_together_by']} of {', '.join(told['best']['members'])}",
        *([f"          without {', '.join(gone)}"] if gone else []),
        *([f"          new in it: {', '.join(new)}"] if new else []),
        *[f"          {kind}: {_changed(told, kind)}" for kind in told["best"]["parameters"]],
        f"Outer     {told['outer']['from']} to {told['outer']['to']}, seen by no trial: "
        + (
            f"{told['ranked_by']} {outer['defaults']:.4f} with the default, {outer['best']:.4f} with the best"
            + (f" ({-outer['gain']:+.1%})" if outer["gain"] is not None else "")
            if outer["best"] is not None
            else f"{told['ranked_by']} {outer['defaults']:.4f} with the default"
        ),
        *[f"Missing   {kind} on the outer fold: {cause}" for kind, cause in outer["missing"].items()],
        f"{'Accepted' if told['accepted'] else 'Refused'}{' ' * (2 if told['accepted'] else 3)}{told['why']}",
        f"Time      {told['seconds']:.0f} s of {told['budget_s']:.0f} s",
    ]
    return [part for line in said for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)]


def _of_search(one: Mapping[str, Any]) -> str:
    first, best = one["all_trials"][0]["score"], one["all_trials"][one["best"]]["score"]
    said = f"{one['model']}: {len(one['all_trials'])} trials, {one['ended']}; best {best:.4f}, defaults {first:.4f}"
    if one["features"] is not None:
        said += f"; of {len(one['features_tried'])} lists of features: {one['features']}"
    return said


def _changed(told: Mapping[str, Any], kind: str) -> str:
    search = next(one for one in told["searches"] if one["model"] == kind)
    before = search["all_trials"][0]["parameters"]
    changed = [
        f"{name} {short(before[name])} -> {short(value)}"
        for name, value in told["best"]["parameters"][kind].items() if value != before[name] and name != WITHOUT
    ]  # fmt: skip
    if search["features"] not in (None, "all"):
        names = told["best"]["parameters"][kind][WITHOUT]
        changed.append(f"{len(names)} features left out ({search['features']})")
    return ", ".join(changed)
