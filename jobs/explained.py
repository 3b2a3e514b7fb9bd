"""The explanations of a run's served forecast: gathered from its models, written into its folder and its release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demand.durable import write_whole
from demand.errors import ModelError
from evaluation.explain import Explanations, explain
from jobs.fleet import Fleet, registry_of
from jobs.outputs import write_parquet
from jobs.tasks import drivers_or_why
from jobs.verdict import Verdict
from models.catalog import load_fitted, recipe, recipe_class
from models.drivers import Drivers, Reliance, read_drivers
from models.ensemble import KIND
from models.files import write_json

TABLE, FACTS = "explanations.parquet", "explanations.json"
Found = Drivers | Reliance | ModelError


def write_explanations(folder: Path, fleet: Fleet, verdict: Verdict) -> Explanations:
    """explanations.parquet, a row a style, and explanations.json, a fact sheet a model; the same bytes every time."""
    made = explanations(fleet, verdict)
    write_parquet(made.styles, folder / TABLE)
    write_whole(folder / FACTS, lambda path: write_json(path, made.facts))
    return made


def explanations(fleet: Fleet, verdict: Verdict) -> Explanations:
    """What is known of the live forecast's drivers. Members that a release lends are explained anew."""
    if verdict.live is None:
        raise ValueError("only a live forecast is explained")
    live = verdict.live
    at = verdict.ensembles.get(live.origin) if verdict.served == KIND else None
    found = {kind: one for kind in fleet.recipes for one in _stored(fleet, kind)}
    found |= dict(_lent(fleet))
    return explain(
        live, verdict.served, at.weights if at is not None else None, verdict.results, found,
        {kind: _parameters(fleet, kind) for kind in verdict.live_members}, fleet.panel.unit,
    )  # fmt: skip


def _stored(fleet: Fleet, kind: str) -> Iterator[Found]:
    """What the run's own fit found of itself; a model that fits its styles apart has nothing to tell."""
    for folder in sorted(fleet.run.path.glob(f"models/{kind}/*")):
        one = read_drivers(folder)
        if one is not None:
            yield one


def _lent(fleet: Fleet) -> Iterator[tuple[str, Found]]:
    for number, kinds in (fleet.intent.lenders if fleet.intent else {}).items():
        release = registry_of(fleet.settings).open(number)
        for kind in kinds:
            if not recipe_class(kind).pools_series:
                continue  # it reads its styles' own past alone
            for part in sorted(release.file(f"models/{kind}").iterdir()):
                history = fleet.question.history(fleet.panel, fleet.origins.live[0])
                one = drivers_or_why(load_fitted(part / "model"), history)
                if one is not None:
                    yield kind, one


def _parameters(fleet: Fleet, kind: str) -> dict[str, Any]:
    told: Any = fleet.recipes.get(kind) or recipe(kind, fleet.settings.models[kind])
    return asdict(told)
