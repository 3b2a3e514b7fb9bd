"""What a search came to, in the terminal and as JSON; the numbers are those of the log and of the outer fold."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table

from evaluation.tuning import Acceptance, Yardstick
from jobs.trial_log import Outcome
from jobs.tune_study import Study

WIDTH = 80
SHOWN = 10  # trials in the terminal; all of them are in the file


def report(
    study: Study, outcomes: Mapping[int, Outcome], best: Outcome, found: Acceptance, run_id: str, seconds: float,
    ended: str,
) -> dict[str, Any]:  # fmt: skip
    """Strict-JSON-ready: what was told, every trial, defaults and best, the outer fold, accepted or not and why."""
    yardstick = study.inner.yardstick
    trials = [_trial(outcomes[number], yardstick) for number in sorted(outcomes)]
    return {
        "run_id": run_id,
        **study.facts(),
        "counted": {"all": len(trials)} | {
            state: sum(one["state"] == state for one in trials) for state in ("finished", "pruned", "failed")
        },
        "ended": ended or "every trial was made",
        "seconds": round(seconds, 1),
        "defaults": _trial(outcomes[0], yardstick),
        "best": _trial(best, yardstick),
        "outer_fold": {name: value for name, value in asdict(found).items() if name not in ("accepted", "why")},
        "accepted": found.accepted,
        "why": found.why,
        "parameters": dict(best.parameters) if found.accepted else dict(outcomes[0].parameters),
        "all_trials": trials,
    }  # fmt: skip


def _trial(outcome: Outcome, yardstick: Yardstick) -> dict[str, Any]:
    score = None if outcome.score is None else yardstick.shown(outcome.score)
    folds = [yardstick.shown(value) for value in outcome.folds]
    return {**asdict(outcome), "parameters": dict(outcome.parameters), "score": score, "folds": folds}


def table(told: Mapping[str, Any]) -> Table:
    """The defaults and the best trials, at most ten, best first."""
    metric = told["ranked_by"]
    out = Table(title=f"{told['model']}: {told['counted']['all']} trials, {told['method']}", title_justify="left")
    for name in ("trial", "score", "against defaults", "folds", "seconds", "state"):
        out.add_column(name if name != "score" else metric, justify="left" if name == "state" else "right")
    ranked = sorted(
        told["all_trials"],
        key=lambda one: (one["score"] is None, -(one["score"] or 0) if metric == "r2" else one["score"] or 0),
    )
    rows = ranked[:SHOWN]
    if not any(one["number"] == 0 for one in rows):
        rows = [*rows[: SHOWN - 1], told["defaults"]]
    first = told["defaults"]["score"]
    for one in rows:
        score = one["score"]
        against = "" if score is None or not first else f"{score / first - 1:+.1%}"
        out.add_row(
            "0 (defaults)" if one["number"] == 0 else str(one["number"]),
            "" if score is None else f"{score:.4f}", against, str(len(one["folds"])), f"{one['seconds']:.1f}",
            one["state"],
        )  # fmt: skip
    return out


def lines(told: Mapping[str, Any]) -> list[str]:
    """What the search came to, in about ten lines of 80 columns."""
    counted, sample, outer = told["counted"], told["sample"], told["outer_fold"]
    changed = [
        f"{name} {short(before)} -> {short(told['best']['parameters'][name])}"
        for name, before in told["defaults"]["parameters"].items() if told["best"]["parameters"][name] != before
    ]  # fmt: skip
    said = [
        f"Trials    {counted['all']} of at most {told['trials']} = {counted['finished']} finished + "
        f"{counted['pruned']} pruned + {counted['failed']} failed; {told['ended']}",
        f"Sample    {sample['styles']} of {sample['of']} styles: "
        + ", ".join(f"{name} {some} of {of}" for name, (some, of) in sample["classes"].items()),
        "Inner     " + ", ".join(f"{one['from']} to {one['to']}" for one in told["inner"]),
        *[f"Note      {note}" for note in told["notes"]],
        f"Best      trial {told['best']['number']}: {', '.join(changed) or 'the defaults'}",
        f"Outer     {told['outer']['from']} to {told['outer']['to']}, seen by no trial: "
        + (
            f"{told['ranked_by']} {outer['defaults']:.4f} with the defaults, {outer['best']:.4f} with the best"
            + (f" ({-outer['gain']:+.1%})" if outer["gain"] is not None else "")
            if outer["best"] is not None and outer["defaults"] is not None
            else "not scored"
        ),
        f"{'Accepted' if told['accepted'] else 'Refused'}{' ' * (2 if told['accepted'] else 3)}{told['why']}",
        f"Time      {told['seconds']:.0f} s",
    ]
    return [part for line in said for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)]


def short(value: Any) -> str:
    """A value as a line shows it: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
