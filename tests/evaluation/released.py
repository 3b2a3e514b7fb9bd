"""A real release of small models, judged and published in this process, without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from demand.panel import Panel
from jobs import compose
from jobs.fleet import Fleet, ask, compete, registry_of
from jobs.plan import plan, plan_origins
from jobs.publish import publish
from jobs.run_folder import RunFolder
from jobs.settings import Settings, as_plain
from jobs.verdict import Verdict, outcomes
from models.catalog import recipe
from models.files import write_json
from models.release import Release
from tests.jobs.conftest import MANIFEST
from tests.jobs.stand_in import golden_here

ALWAYS = ("zero", "mean", "seasonal_naive", "exponential_smoothing", "tsb")
SMALL: dict[str, dict[str, Any]] = {
    "arima": {"p": 1, "q": 0, "seasonal_order": [0, 1, 1, None]},
    "prophet": {"n_changepoints": 5},
    "xgboost": {"n_estimators": 20, "max_depth": 3},
    "lstm": {"units": [4], "return_sequences": [False], "time_steps": 8, "recurrent_dropout": 0.0},
    "tide": {"encoder": [8], "decoder": 8, "time_steps": 8},
}
TRAINING: dict[str, dict[str, Any]] = {
    "arima": {"maxiter": 15},
    "prophet": {"uncertainty_samples": 50},
    "lstm": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8},
    "tide": {"steps": 4, "batch_size": 16},
}


def fleet_panel(n: int = 12, length: int = 200, *, price: str = "", end: int = 20_300) -> Panel:
    """Daily styles S000 .., smooth to sparse, the last one born of late. price: "past" or "future", a column that moves
    demand (known 40 days ahead in the latter)."""
    rng = np.random.default_rng(5)
    lengths = np.full(n, length)
    lengths[-1] = 25
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ahead = 40 if price == "future" else 0
    prices = [rng.choice([8.0, 10.0, 12.0], m + ahead) for m in lengths.tolist()]
    y = [
        rng.poisson((4 + 5 * (i % 5)) * (2 - p[:m] / 10 if price else 1.0)) * (rng.random(m) < 1 - 0.1 * (i % 5))
        for i, (m, p) in enumerate(zip(lengths.tolist(), prices, strict=True))
    ]
    columns = np.concatenate(prices)
    ids = np.array([f"S{i:03d}" for i in range(n)])
    past, future = ({"price": columns} if price == where else {} for where in ("past", "future"))
    return Panel(ids, indptr, np.concatenate(y).astype(float), end, "D", past, future, ahead, unit="yds")


def settings_of(*told: str) -> Settings:
    """Short folds in this process; the ensemble serves whether it beat anything or not."""
    base = ["source.path=nowhere", "parallel_training=false", "progress=false", "horizon=14", "folds.inner=1",
            "cross_validation_folds=3", "selection.auto_model_selection=false"]  # fmt: skip
    settings = compose.load("pipeline", [*base, *told])
    changed = {
        kind: replace(
            config, hyperparameters={**config.hyperparameters, **SMALL.get(kind, {})},
            training_params={**config.training_params, **TRAINING.get(kind, {})},
        )
        for kind, config in settings.models.items()
    }  # fmt: skip
    return replace(settings, models=changed)


def release_of(root: Path, panel: Panel, kinds: tuple[str, ...], *told: str) -> tuple[Release, Verdict]:
    """Trains `kinds` beside ALWAYS, publishes and promotes; the release and what was in memory when it was made."""
    settings = settings_of(*told)
    settings = replace(settings, storage=replace(settings.storage, root=str(root)))
    folder = root / "runs" / "r"
    (folder / "batches").mkdir(parents=True)
    write_json(folder / "manifest.json", MANIFEST)
    write_json(folder / "cleaning.json", {})
    (folder / "config.yaml").write_text(yaml.safe_dump(as_plain(settings)), encoding="utf-8")
    recipes = {kind: recipe(kind, settings.models[kind]) for kind in (*ALWAYS, *kinds)}
    question = ask(settings, panel, True)
    origins = plan_origins(panel, question.spec.horizon, settings.folds, True)
    planned = plan(panel, recipes, origins, question.season, local_cpu_seconds=1e9, batch_seconds=0.5, pooled_cpus=1)
    fleet = Fleet(RunFolder(folder), settings, panel, {}, question, recipes, origins, planned)
    race, verdict = compete(fleet)
    with golden_here():
        made = publish(fleet, race, verdict, outcomes(panel, verdict, race, question, {}, settings))
    registry = registry_of(settings)
    if not made.promoted:  # so small an ensemble need not beat anything to be asked about
        assert made.decision.reasons, made
        registry.promote(made.number, expected=None, facts={"forced": True})
    return registry.open("champion"), verdict
