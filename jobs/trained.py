"""What a training job came to, read from what it stored: nothing is called a success that changed nothing."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demand.errors import DemandError
from jobs.decisions import apart_id
from jobs.fleet import decisions_of, registry_of, runs_root
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.supervised import Ended
from models.catalog import BASELINES
from models.decision_release import KINDS as DECISIONS
from models.job import Job, Status
from models.ledger import promoted_by
from models.registry import Registry

_ERROR = re.compile(r"^(\w*(Error|NotFound|Unreadable|Reused|Busy)|Interrupted)\b")
NOTHING_DUE = "nothing was due: nothing was trained"


@dataclass(frozen=True)
class Outcome:
    """As the fields of `models.job.Job`."""

    status: Status
    message: str
    release: int | None = None
    metrics: Mapping[str, Any] | None = None
    models_retrained: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def fingerprints(registry: Registry, release: int | str = "champion") -> dict[str, str]:
    """Model -> a hash over the files that a release keeps of it; empty when there is no such release."""
    if isinstance(release, str) and registry.alias(release) is None:
        return {}
    manifest = registry.open(release).manifest
    found = {}
    for kind, entry in manifest["models"].items():
        place = str(entry["path"])
        files = {n: f["sha256"] for n, f in manifest["files"].items() if n == place or n.startswith(f"{place}/")}
        found[kind] = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return found


def all_fingerprints(settings: Settings) -> dict[str, str]:
    """Those of every model that serves, in whichever registry."""
    registries = [registry_of(settings), *(decisions_of(settings, kind) for kind in DECISIONS)]
    return {kind: print_ for registry in registries for kind, print_ in fingerprints(registry).items()}


def outcome(job: Job, settings: Settings, ended: Ended, before: Mapping[str, str]) -> Outcome:
    """Success: a new release serves, its models are others than before, and none that was asked for failed. Partial:
    some of that is not so, and it is said why. Failed: nothing was trained, or nothing that was asked for.

    before: the champion's fingerprints when the job began.
    """
    found = [run.json("summary.json") for run in _runs(job, settings) if run.file("summary.json").is_file()]
    if not found:
        return _without_summary(job, settings, ended)
    told = [_of_summary(job, settings, summary, before) for summary in found]
    kept = {kind for summary in found for kind in summary["results"]}
    lost = tuple(f"{kind}: it was not trained" for kind in job.ask.only or () if kind not in kept)
    if len(told) == 1 and not lost:
        return told[0]
    return _together(told, [summary.get("decision") or "forecasts" for summary in found], lost)


def _runs(job: Job, settings: Settings) -> list[RunFolder]:
    """The folders a training writes: the fleet's, and one for each model that does not forecast."""
    names = [str(job.run_id), *(str(apart_id(job.run_id, kind)) for kind in DECISIONS)]
    return [RunFolder(runs_root(settings) / name) for name in names]


def _together(told: Sequence[Outcome], names: Sequence[str], lost: tuple[str, ...]) -> Outcome:
    """One outcome of several, each under its name: success when all succeeded, failed when none did anything."""
    status: Status = "partial"
    if len({one.status for one in told}) == 1 and not (lost and told[0].status == "success"):
        status = told[0].status
    parts = [f"{name}: {one.message}" for name, one in zip(names, told, strict=True)]
    return Outcome(
        status, "; ".join([*parts, *lost]), release=told[0].release, metrics=told[0].metrics,
        models_retrained=tuple(kind for one in told for kind in one.models_retrained),
        errors=(*(error for one in told for error in one.errors), *lost),
    )  # fmt: skip


def _of_summary(job: Job, settings: Settings, summary: Mapping[str, Any], before: Mapping[str, str]) -> Outcome:
    """What one of the run's summaries says, compared with what is stored."""
    apart, number = summary.get("decision"), summary["release"]
    registry = registry_of(settings) if apart is None else decisions_of(settings, apart)
    results = {kind: entry for kind, entry in summary["results"].items() if kind not in BASELINES}
    made = [kind for kind, entry in results.items() if entry["status"] == "success"]
    after = fingerprints(registry, number)
    changed = tuple(kind for kind in made if after.get(kind) != before.get(kind))
    # Those that declined the data or were taken over from the champion are skipped: nobody waits for them.
    asked = list(job.ask.only or [kind for kind, entry in results.items() if entry["status"] != "skipped"])
    asked = [kind for kind in asked if (kind in DECISIONS) is (apart is not None)]
    errors = [f"{kind}: {why}" for kind, why in summary["failed"].items()]
    errors += [f"{kind}: it was not trained" for kind in asked if kind not in made and kind not in summary["failed"]]
    serving = registry.alias("champion") == number
    if not serving:
        errors.append(_not_serving(registry, number))
    if made and not changed:
        errors.append("the models came out as they were: data and settings are the same")
    facts: dict[str, Any] = {
        "release": number, "metrics": metrics(summary, asked), "models_retrained": changed, "errors": tuple(errors),
    }  # fmt: skip
    if not any(kind in made for kind in asked):
        return Outcome("failed", "; ".join(errors) or "no model was trained", **facts)
    if errors:
        champion = registry.alias("champion")
        serves = f"release {champion} serves" if champion is not None else "no release serves yet"
        return Outcome("partial", f"{serves}; {'; '.join(errors)}", **facts)
    return Outcome("success", f"release {number} serves: {', '.join(changed)} trained anew", **facts)


def metrics(summary: Mapping[str, Any], asked: Sequence[str]) -> dict[str, Any] | None:
    """`Job.metrics` of the one model asked for, else of what is served."""
    results = summary["results"]
    entry = results.get(asked[0] if len(asked) == 1 else summary["served"]) or {}
    measured = entry.get("metrics")
    if measured is None:
        return None
    ranked = [e["top_features"] for e in (entry, *results.values()) if e.get("top_features")]
    return {
        "action_accuracy": measured["accuracy"],
        "training_samples": measured["train_size"],
        "top_features": ranked[0] if ranked else [],
        "evaluation_id": measured["evaluation_id"],
    }


def _without_summary(job: Job, settings: Settings, ended: Ended) -> Outcome:
    """The run did not come to its end, or had nothing to do."""
    if ended.code == 0:
        return Outcome("partial", NOTHING_DUE, errors=(NOTHING_DUE,))
    if ended.late:
        cause = f"it took longer than schedule.timeout_s = {settings.schedule.timeout_s:g} s and was ended"
    elif ended.code < 0:
        cause = f"the training was ended by {signal.Signals(-ended.code).name}"
    else:
        cause = _last_error(ended.said) or f"the training ended with code {ended.code}"
    number = promoted_by(registry_of(settings), job.run_id)
    if number is not None:
        said = f"release {number} serves, but {cause} before the run's summary was written"
        return Outcome("partial", said, release=number, errors=(cause,))
    return Outcome("failed", f"{cause}; what serves is unchanged", errors=(cause,))


def _last_error(said: Sequence[str]) -> str:
    """The last error message of a job's output, its lines joined; "" when there is none."""
    for at in range(len(said) - 1, -1, -1):
        if _ERROR.match(said[at]):
            lines = [said[at], *(line for line in said[at + 1 :] if line.startswith(" "))]
            return " ".join(" ".join(lines).split())[:1000]
    return ""


def _not_serving(registry: Registry, number: int) -> str:
    """Why a release does not serve: it was taken back since, or the gate held it back, as the history has it."""
    if number in registry.ever_served():
        reason = registry.promotions()[-1]["facts"].get("reason")
        return f"release {number} was promoted and serves no longer" + (f": {reason}" if reason else "")
    try:
        said = [_in_words(entry["promotion"]) for entry in registry.history()
                if entry.get("release") == number and entry.get("promotion")]  # fmt: skip
    except DemandError as error:
        return str(error)
    reason = said[-1].removeprefix("held back: ") if said else "see history.jsonl"
    return f"release {number} is held back: {reason}"


def _in_words(promotion: Any) -> str:
    """Histories of before held the reasons of models that do not forecast as they were computed."""
    return "; ".join(promotion["reasons"]) if isinstance(promotion, Mapping) else str(promotion)
