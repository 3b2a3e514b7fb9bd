"""Accepted parameters: kept in the run that found them, `tuned.json`, and used by the jobs that train and score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from demand.errors import SettingsError, StorageError, VersionUnreadable
from demand.settings import refuse_unknown
from jobs.run_folder import MANIFEST, RunFolder
from jobs.settings import Settings, as_plain, chosen_models
from jobs.show import show
from jobs.stored_run import runs_root
from jobs.tune_space import with_parameters
from models.files import read_json

TUNED = "tuned.json"  # accepted parameters; absent when they were not accepted
REPORT = "tuning.json"  # the whole search; written last
REPORTS = {"tune": REPORT, "automl": "automl.json"}  # job -> its report
_FACTS = {"run_id", "model", "parameters", "configured", "task", "accepted_at", "seen_to"}
# What makes two runs the same task: parameters found on it are used without being asked for.
_TASK = ("source", "columns", "cleaning", "features", "freq", "season", "horizon", "default_forecast_horizon")


def accepted(
    settings: Settings, kind: str, parameters: Mapping[str, Any], run_id: str, at: str, seen_to: str
) -> dict[str, Any]:
    """The content of tuned.json: whose parameters, what they change, and the configuration and task they belong to.

    seen_to: the last day (YYYY-MM-DD) of the demand that chose them. Scores on windows up to it are flattered.
    """
    plain = as_plain(settings)
    return {
        "run_id": run_id, "model": kind, "accepted_at": at, "seen_to": seen_to, "parameters": dict(parameters),
        "configured": plain["models"][kind], "task": {name: plain[name] for name in _TASK},
    }  # fmt: skip


def accepted_together(
    settings: Settings, parameters: Mapping[str, Mapping[str, Any]], run_id: str, at: str, seen_to: str
) -> dict[str, Any]:
    """The same for several models that were accepted as one, the ensemble among them: one content each, by model."""
    return {
        "together": [accepted(settings, kind, parameters[kind], run_id, at, seen_to) for kind in sorted(parameters)]
    }


def with_tuned(settings: Settings) -> Settings:
    """The settings with accepted parameters in place, and in `tuned` the runs they are from.

    Those of the runs that `tuned` names, else, unless hyperparameter_tuning is false, the newest accepted ones of each
    chosen model that were found for the same task from the same configuration. A resumed run has its parameters
    already. Raises SettingsError when a named run is none, was not accepted, or cannot act here.
    """
    if settings.resume:
        return settings
    if settings.tuned is not None and not settings.tuning.hyperparameter_tuning:
        raise SettingsError(
            "tuned parameters are named and switched off", tuned=settings.tuned, key="tuning.hyperparameter_tuning",
            hint="Leave out one of the two",
        )  # fmt: skip
    if settings.tuned is not None:
        found = _named(settings, settings.tuned)
    else:
        found = _newest(settings) if settings.tuning.hyperparameter_tuning else []
    if not found:
        return settings
    models = dict(settings.models)
    for one in found:
        models[one["model"]] = with_parameters(one["model"], models[one["model"]], one["parameters"])
        show(f"Tuned     {one['model']}: parameters of run {one['run_id']}",
             f"          chosen on demand to {one['seen_to']}: its scores there are a little flattered")  # fmt: skip
    return replace(settings, models=models, tuned=tuple(dict.fromkeys(one["run_id"] for one in found)))


def tuned_from(settings: Settings) -> dict[str, str]:
    """Model -> the run of the search its parameters are from, for the lineage of what is made with them."""
    found = [one for name in settings.tuned or () for one in _read(settings, name)]
    return {one["model"]: one["run_id"] for one in found if one["model"] in chosen_models(settings)}


def _named(settings: Settings, runs: tuple[str, ...]) -> list[dict[str, Any]]:
    found = [one for name in runs for one in _named_run(settings, name)]
    kinds = [one["model"] for one in found]
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise SettingsError("two runs of the same model are named", key="tuned", models=twice, found=runs)
    for one in found:
        kind, run_id = one["model"], one["run_id"]
        changed = _changed(settings, one)
        if changed:
            raise SettingsError(
                "the model is configured otherwise than when it was tuned", key="tuned", found=run_id, model=kind,
                changed=changed, hint="Leave these settings out, leave tuned out, or tune again",
            )  # fmt: skip
    return found


def _named_run(settings: Settings, run_id: str) -> list[dict[str, Any]]:
    """What a run found for models that run here. Raises SettingsError when there is no such model."""
    found = _read(settings, run_id)
    kinds = [one["model"] for one in found]
    refuse_unknown(kinds, settings.models, "tuned")
    here = [one for one in found if one["model"] in chosen_models(settings)]
    if not here:
        raise SettingsError("the model of this tuning does not run here", key="tuned", found=run_id,
                            model=", ".join(kinds), hint="Leave it out, or choose the model with only=")  # fmt: skip
    return here


def _newest(settings: Settings) -> list[dict[str, Any]]:
    """The newest accepted parameters of each chosen model, where task and configuration are the same."""
    task = {name: as_plain(settings)[name] for name in _TASK}
    newest: dict[str, dict[str, Any]] = {}
    paths = sorted(runs_root(settings).glob(f"*/{TUNED}"))
    for one in [one for path in paths for one in _content(path)]:
        kind = one["model"]
        if kind not in chosen_models(settings) or one["task"] != task or _changed(settings, one):
            continue
        if kind not in newest or newest[kind]["accepted_at"] <= one["accepted_at"]:
            newest[kind] = one
    return [newest[kind] for kind in sorted(newest)]


def _changed(settings: Settings, one: Mapping[str, Any]) -> list[str]:
    """The fields in which the model's configuration is not the one the search began with."""
    now, then = as_plain(settings)["models"][one["model"]], one["configured"]
    return [
        f"{name}: {now[name]}, tuned with {then.get(name)}" for name in now if now[name] != then.get(name)
    ]  # fmt: skip


def _read(settings: Settings, run_id: str) -> list[dict[str, Any]]:
    """What a run found, one content a model. Raises SettingsError saying why there is none."""
    root = runs_root(settings)
    run = RunFolder(root / run_id)
    known = sorted((path.parent.name for path in root.glob(f"*/{TUNED}")), reverse=True)
    if "/" in run_id or run_id.startswith(".") or not run.file(MANIFEST).is_file():
        raise SettingsError(
            "no such run", key="tuned", found=run_id, accepted=known, hint="Name a run of jobs.tune or jobs.automl"
        )
    if run.file(TUNED).is_file():
        return _content(run.file(TUNED))
    job = _json(run.file(MANIFEST)).get("job")
    if job not in REPORTS:
        raise SettingsError("this run tuned nothing", key="tuned", found=run_id, job=job, accepted=known,
                            hint="Name a run of jobs.tune or jobs.automl")  # fmt: skip
    if not run.file(REPORTS[job]).is_file():
        raise SettingsError("this search has not ended", key="tuned", found=run_id,
                            hint=f"Go on with it: python -m jobs.{job} resume={run_id}")  # fmt: skip
    raise SettingsError("the parameters of this run were not accepted", key="tuned", found=run_id,
                        why=_json(run.file(REPORTS[job])).get("why"), accepted=known)  # fmt: skip


def _content(path: Path) -> list[dict[str, Any]]:
    value = _json(path)
    found: Any = value.get("together", [value])
    whole = isinstance(found, list) and all(isinstance(one, dict) and one.keys() >= _FACTS for one in found)
    if not whole or not found:
        raise StorageError("a file of accepted parameters is not whole", file=str(path), hint="Remove it")
    return list(found)


def _json(path: Path) -> dict[str, Any]:
    try:
        value: Any = read_json(path)
    except VersionUnreadable as error:
        raise StorageError("a file of a search cannot be read", file=str(path), cause=str(error)) from None
    if not isinstance(value, dict):
        raise StorageError("a file of a search holds no facts by name", file=str(path))
    return value
