"""A fleet run, step by step: data, plan, race, verdict, files. Every step reads and writes the run folder only."""

from __future__ import annotations

import logging
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from demand.calendar import Calendar
from demand.durable import write_whole
from demand.errors import SettingsError
from demand.ingest import ingest
from demand.moments import now_utc, stamp
from demand.panel import Panel
from demand.store import panel_hash, read_panel, write_panel
from evaluation.backtest import Question
from jobs.carry import Intent, lend
from jobs.checks import check_inner, check_lengths
from jobs.cluster import require
from jobs.company_tables import read_tables, write_tables
from jobs.lines import write_order_lines
from jobs.output_path import check_output
from jobs.plan import Origins, Plan, plan, plan_origins
from jobs.race import Race, run_race
from jobs.run_folder import RunFolder
from jobs.settings import (
    Settings,
    as_config_json,
    as_plain,
    chosen_models,
    config_hash,
    horizon_periods,
    scored_periods,
    season_periods,
    spec_levels,
)
from jobs.show import show
from jobs.stored_run import FRESH, stored_facts, stored_settings
from jobs.stored_run import runs_root as runs_root
from jobs.tuned import tuned_from
from jobs.verdict import Verdict, judge
from models.base import FitContext, Forecaster, ForecastSpec
from models.catalog import recipe
from models.decision_release import KINDS as DECISIONS
from models.decision_release import decision_registry
from models.ensemble import KIND
from models.reconciliation import Tree
from models.registry import Registry, registry_at
from models.siblings import check_columns

log = logging.getLogger(__name__)
LIBRARIES = (
    "numpy",
    "pandas",
    "ray",
    "xgboost-cpu",
    "tensorflow-cpu",
    "keras",
    "statsmodels",
    "prophet",
    "scikit-learn",
)


@dataclass(frozen=True, eq=False)
class Fleet:
    """A prepared run: data in the folder, the question asked, the recipes and the plan.

    intent: what a training run set out to do; None where every chosen model runs.
    """

    run: RunFolder
    settings: Settings
    panel: Panel
    report: Mapping[str, Any]
    question: Question
    recipes: dict[str, Forecaster]
    origins: Origins
    plan: Plan
    intent: Intent | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def rejected(self) -> dict[str, str]:
        """Styles that came in without usable data, and why."""
        return dict(self.report.get("rejected", {}))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage for the report (wall seconds)."""
        started = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started


Decide = Callable[[Panel, Question], Intent]


def prepare(settings: Settings, job: str, live: bool, decide: Decide | None = None) -> Fleet:
    """Reads the source into a new run folder, or the folder of the run to resume, and plans the work.

    decide: says, once the data is known, which models run (all that are chosen without it); a resumed run keeps what
    was decided when it began. Nothing is written before the data has been read and found fit, and the plan is possible.
    """
    started = time.perf_counter()
    apart = [kind for kind in settings.only or () if kind in DECISIONS]
    if apart:
        raise SettingsError(
            "this model does not forecast",
            key="only",
            found=apart,
            hint=f"Run python -m jobs.train 'only=[{apart[0]}]'",
        )
    if settings.resume:
        run, settings, panel, manifest, report = resumed(settings, settings.resume, job)
        intent = Intent.from_json(manifest["intent"]) if manifest.get("intent") else None
        asked = planned(settings, panel, live, ask(settings, panel, live), intent)
        return Fleet(run, settings, panel, report, *asked, intent, stages={"data": time.perf_counter() - started})
    check_output(settings)
    if settings.parallel_training:
        require(settings.cluster)
    ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
    company = read_tables(settings) if live else None
    show(*ingested.report.far_lines())
    panel, report = ingested.panel, ingested.report.as_json()
    question = ask(settings, panel, live)
    intent = decide(panel, question) if decide else None
    asked = planned(settings, panel, live, question, intent)

    def begin(new: RunFolder) -> None:
        write_panel(panel, new.file("panel"))
        new.write_json("cleaning.json", report)
        write_order_lines(new, panel.ids, ingested.lines)
        write_tables(new, company, panel, settings)
        write_config(new, settings)
        decided = {"intent": intent.as_json()} if intent else {}
        new.write_json("manifest.json", lineage(settings, panel, job) | decided)

    run = RunFolder.create(runs_root(settings), settings.run_id, begin)
    log.info("run %s: %d styles, %d periods (%s)", run.run_id, panel.n_series, int(panel.lengths.max()), panel.freq)
    return Fleet(run, settings, panel, report, *asked, intent, stages={"data": time.perf_counter() - started})


def resumed(
    settings: Settings, run_id: str, job: str
) -> tuple[RunFolder, Settings, Panel, dict[str, Any], dict[str, Any]]:
    """A run to go on with: its folder, the settings it began with, its panel, manifest and cleaning report.

    Raises SettingsError when there is none, another job began it or its settings were changed since, StorageError when
    a file of it is damaged.
    """
    run = RunFolder.existing(runs_root(settings), run_id)
    stored, (manifest, report) = stored_settings(run), stored_facts(run)
    if config_hash(stored) != manifest.get("config_hash"):
        raise SettingsError(
            "the run's settings were changed after it began", resume=run.run_id, file="config.yaml",
            hint="Put config.yaml back as it was, or start a new run",
        )  # fmt: skip
    settings = replace(stored, resume=run_id, run_id=None, **{k: getattr(settings, k) for k in FRESH})
    panel = read_panel(run.file("panel"))
    if manifest["job"] != job:
        raise SettingsError("the run was started by another job", resume=run.run_id, job=manifest["job"], asked=job)
    return run, settings, panel, manifest, report


def registry_of(settings: Settings) -> Registry:
    """The registry under the storage root, or the one at `storage.registry_url`."""
    return registry_at(*registry_place(settings))


def decisions_of(settings: Settings, kind: str) -> Registry:
    """The registry of a model that does not forecast, below the fleet's."""
    return decision_registry(*registry_place(settings), kind)


def registry_place(settings: Settings) -> tuple[str, Path]:
    """What `models.registry.registry_at` takes: the folder or address, and where copies of releases are kept."""
    storage = settings.storage
    cache = Path(storage.cache) if storage.cache else Path(storage.root) / "cache"
    return storage.registry_url or str(Path(storage.root) / storage.model_registry), cache


def write_config(run: RunFolder, settings: Settings) -> None:
    """config.yaml, the whole tree as a job reads it, and config.json: 43 keys, 13 fields a model, schedule, targets."""
    text = yaml.safe_dump(as_plain(settings), sort_keys=False, allow_unicode=True)
    write_whole(run.file("config.yaml"), lambda path: path.write_text(text, encoding="utf-8"))
    run.write_json("config.json", as_config_json(settings))


def ask(settings: Settings, panel: Panel, live: bool) -> Question:
    """The question every model of a run gets: steps, levels, season, seed, limits and features.

    Without a live origin the steps are those that are scored (`folds.test_size`, or the share a holdout keeps), else
    those that are served.
    """
    calendar = Calendar(panel.freq)
    if live and settings.folds.mode == "holdout":
        raise SettingsError(
            "a release is scored at rolling origins over its own horizon", key="folds.mode", found="holdout",
            hint="Use folds=holdout with python -m jobs.backtest",
        )  # fmt: skip
    longest = int(panel.lengths.max())
    steps = horizon_periods(settings, calendar) if live else scored_periods(settings, calendar, longest)
    spec = ForecastSpec(steps, spec_levels(settings))
    context = FitContext(
        season=season_periods(settings, calendar), seed=settings.seed, min_rows=settings.min_training_samples,
        max_rows=settings.max_training_samples, features=settings.features,
    )  # fmt: skip
    return Question(spec, context, settings.folds.blanks or "interpolate", settings.cleaning)


def planned(
    settings: Settings, panel: Panel, live: bool, question: Question, intent: Intent | None
) -> tuple[Question, dict[str, Forecaster], Origins, Plan]:
    """The question, the recipes that are fitted, the origins and the plan of a run."""
    check_lengths(settings, int(panel.lengths.max()), panel.calendar.periods_in(366))
    if settings.hierarchy.levels:
        Tree.of(panel, settings.hierarchy.levels)  # refused before anything is written or trained
    check_columns(panel, settings.newborns.siblings_by)
    kinds = intent.train if intent else chosen_models(settings)
    recipes = {kind: recipe(kind, settings.models[kind]) for kind in kinds if kind != KIND}
    origins = intent.folds(question, panel.end) if intent else None
    if origins is None:
        origins = plan_origins(panel, question.spec.horizon, settings.folds, live)
        check_inner(settings.folds, len(origins.inner))
    chosen = plan(
        panel, recipes, origins, question.season, local_cpu_seconds=settings.local_cpu_seconds,
        batch_seconds=settings.batch_seconds, pooled_cpus=settings.cluster.pooled_cpus,
    )  # fmt: skip
    return question, recipes, origins, chosen


def compete(fleet: Fleet) -> tuple[Race, Verdict]:
    """Runs every model at every origin, adds the members that a release lends, and judges them."""
    with fleet.run.held(), fleet.stage("models"):
        race = run_race(fleet.panel, fleet.recipes, fleet.plan, fleet.question, fleet.settings, fleet.run)
        if fleet.intent is not None:
            for number in fleet.intent.lenders:
                release = registry_of(fleet.settings).open(number)
                race = lend(race, fleet.intent, release, fleet.panel, fleet.question)
    with fleet.stage("evaluation"):
        verdict = judge(fleet.panel, race, fleet.origins, fleet.question, fleet.settings)
    return race, verdict


def lineage(settings: Settings, panel: Panel, job: str) -> dict[str, Any]:
    """What a number must be traceable to: data, configuration, code and library versions, seed."""
    facts = {"freq": panel.freq, "n_series": panel.n_series, "tuned": tuned_from(settings)}
    return provenance(settings, panel_hash(panel), job) | facts


def provenance(settings: Settings, data_hash: str, job: str) -> dict[str, Any]:
    """The part of the lineage that runs without a panel have as well."""
    return {
        "job": job,
        "created": stamp(now_utc()),
        "data_hash": data_hash,
        "config_hash": config_hash(settings),
        "code_version": code_version(),
        "seed": settings.seed,
        "libraries": {name: _version(name) for name in LIBRARIES} | {"python": platform.python_version()},
    }


def code_version() -> str:
    """The commit of the working tree, with + when it was changed; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
