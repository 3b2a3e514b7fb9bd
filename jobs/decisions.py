"""Models that do not forecast: which of them a training is about. Each has a run and a release of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from demand.company.read import read_company
from demand.errors import DataError, ModelError, SettingsError
from demand.moments import now_utc, stamp
from jobs.due import models_due
from jobs.entry import FAILED, OK
from jobs.fleet import decisions_of
from jobs.outputs import wrapped
from jobs.settings import Settings, chosen_decisions
from jobs.show import show
from models.decision_release import KINDS

NO_DATA = "no_data"  # how a message begins that says which table is missing
# kind -> the module whose `train` trains it; its `score`, where it has one, measures it without a release
TRAINERS = {"yarn_substitution": "jobs.yarn_training", "inventory_optimization": "jobs.inventory_training"}


@dataclass(frozen=True)
class Apart:
    """train: the kinds that train now. idle: kind -> why it does not."""

    train: tuple[str, ...] = ()
    idle: dict[str, str] = field(default_factory=dict)


def fed(settings: Settings, kind: str) -> bool:
    """Whether the tables that a kind learns from are given."""
    return settings.company.any or (kind == "inventory_optimization" and settings.inventory.table is not None)


def without_decisions(settings: Settings) -> Settings | None:
    """The settings of the fleet's part of a training; None when only models that do not forecast are asked for."""
    if settings.only is None:
        return settings
    rest = tuple(kind for kind in settings.only if kind not in KINDS)
    return replace(settings, only=rest) if rest else None


def due_apart(settings: Settings, now: datetime) -> Apart:
    """By the rules of the other models: a first training, force, its turn (`due`, or today's trigger), or a last
    training longer ago than its retrain frequency and the grace days. Where the company's tables are not given, a kind
    is left alone unless it is asked for by name or its turn has come."""
    chosen = chosen_decisions(settings)
    day = now.astimezone(settings.schedule.zone).date()
    turn = models_due(settings.schedule, day) if settings.due is None else settings.due
    train, idle = [], {}
    for kind in chosen:
        named = settings.only is not None or (settings.due is not None and kind in settings.due)
        if not fed(settings, kind) and not named:
            continue
        why = "" if settings.force or kind in turn else _fresh(kind, settings, now)
        if settings.due is not None and kind not in settings.due and not settings.force:
            why = "it is not its turn"
        if why:
            idle[kind] = why
        else:
            train.append(kind)
    return Apart(tuple(train), idle)


def tables_validated(settings: Settings) -> int:
    """`validate=true`: the company's tables are read; nothing is trained, nothing is written. Returns the exit code."""
    company = read_company(settings.company)
    rows = [f"Table     {one.table}: {one.used:,} of {one.rows_in:,} rows used" for one in company.reports.values()]
    show(*wrapped(rows), "Data and settings are valid; nothing was trained.")
    return OK


def score_apart(settings: Settings) -> int:
    """`jobs.backtest` of models that do not forecast: their figures, nothing released. Returns the exit code.

    Raises SettingsError for a kind that is measured in its training alone.
    """
    kinds = chosen_decisions(settings)
    trainers: dict[str, Any] = {kind: import_module(TRAINERS[kind]) for kind in kinds}
    silent = [kind for kind, trainer in trainers.items() if not hasattr(trainer, "score")]
    if silent:
        raise SettingsError(
            "this model is measured where it is trained", key="only", found=silent,
            hint=f"Run python -m jobs.train 'only=[{silent[0]}]' force=true",
        )  # fmt: skip
    for kind, trainer in trainers.items():
        own = settings.run_id if len(kinds) == 1 else apart_id(settings.run_id, kind)
        show(*wrapped([f"Model     {kind}", *trainer.score(settings, own)]))
    return OK


def train_apart(settings: Settings, apart: Apart, alone: bool) -> int:
    """Trains each; a fault of one model does not keep the others from their turn. Returns the exit code.

    alone: nothing else trains in this run, so a single one has the run's own name.
    """
    code, only_one = OK, alone and len(apart.train) == 1
    for kind, why in apart.idle.items():
        show(*wrapped([f"Idle      {kind}: {why}"]))
    for kind in apart.train:
        own = settings.run_id if only_one else apart_id(settings.run_id, kind)
        trainer: Any = import_module(TRAINERS[kind])
        try:
            _, lines = trainer.train(settings, own)
        except (ModelError, DataError) as error:
            if only_one and settings.only is not None:
                raise
            missing = error.message.startswith(NO_DATA)
            show(*wrapped([f"{'Skipped' if missing else 'Failed':<10}{kind}: {error}"]))
            if missing:
                record_idle(settings, {kind: str(error)})
            else:
                code = FAILED
            continue
        show(*wrapped([f"Model     {kind}", *lines]))
    return code


def apart_id(run_id: str | None, kind: str) -> str | None:
    """The name of the run of a kind in a training that is called `run_id`."""
    return None if run_id is None else f"{run_id}-{kind}"


def record_idle(settings: Settings, idle: Mapping[str, str]) -> None:
    """Each kind that does not train, and why, in its own history."""
    at = stamp(now_utc())
    for kind, why in idle.items():
        decisions_of(settings, kind).append_history(
            [{"model_type": kind, "status": "skipped", "error": why, "trained_at": at}]
        )


def _fresh(kind: str, settings: Settings, now: datetime) -> str:
    """Why a model need not train yet; "" when it has to. The last training counts, also one that may not serve: the
    same tables would be judged the same."""
    registry = decisions_of(settings, kind)
    times = [entry["trained_at"] for entry in registry.history() if entry["status"] == "success"]
    if registry.alias("champion") is not None:
        models = registry.open("champion").manifest["models"]
        times += [models[kind]["trained_at"]] if kind in models else []
    if not times:
        return ""
    trained = max(datetime.fromisoformat(str(at)) for at in times)
    limit = timedelta(days=settings.models[kind].retrain_frequency_days + settings.schedule.grace_days)
    return "" if now - trained > limit else f"not due; trained on {trained.date()}, force=true trains all the same"
