"""`python -m jobs.tune model=xgboost trials=20`: searches a model's parameters on past demand, keeps what holds up."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from demand.errors import DataError, FitError, SettingsError
from demand.ingest import ingest
from demand.moments import now_utc, stamp
from demand.panel import Panel
from demand.store import write_panel
from evaluation.results import FoldResult
from evaluation.tuning import Acceptance, accept
from jobs.cluster import Call, cluster, fan_out, put, require
from jobs.entry import OK, run
from jobs.fleet import lineage, resumed, runs_root, write_config
from jobs.outputs import where
from jobs.progress import Progress
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.show import show
from jobs.trial_log import NAME, Outcome, TrialLog
from jobs.tune_desk import Desk
from jobs.tune_quiet import quiet_tune
from jobs.tune_report import lines, report, table
from jobs.tune_space import with_parameters
from jobs.tune_study import Study
from jobs.tune_trial import Bench, best_of, run_trial, scored
from jobs.tuned import REPORT, TUNED, accepted
from models.config import ModelConfig


@dataclass(frozen=True, eq=False)
class _Run:
    """A search and the folder it is kept in."""

    run: RunFolder
    settings: Settings
    study: Study
    deadline: float | None


def body(settings: Settings) -> int:
    """Searches, scores the defaults and the best trial on the outer fold, and writes both into the run folder.

    Accepted or not is no matter of the exit code: the search did what it is for. Nothing is written before the data,
    the space and the budget have been found fit.
    """
    started = time.monotonic()
    deadline = started + settings.max_seconds if settings.max_seconds else None
    if settings.resume:
        run, settings, panel, _, _ = resumed(settings, settings.resume, "tune")
        if run.file(REPORT).is_file():
            return _told(run, run.json(REPORT))
        one = _Run(run, settings, Study.of(settings, panel), deadline)
    else:
        if settings.parallel_training:
            require(settings.cluster)
        ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
        show(*ingested.report.far_lines())
        study = Study.of(settings, ingested.panel)
        if settings.validate:
            show("Data, settings and space are valid; nothing was searched.")
            return OK
        _refuse_small_budget(settings, study)
        run = _begin(settings, study, ingested.panel, ingested.report.as_json())
        one = _Run(run, settings, study, deadline)
    with run.held():
        return _told(run, _searched(one, started))


def _begin(settings: Settings, study: Study, panel: Panel, cleaning: dict[str, Any]) -> RunFolder:
    def fill(new: RunFolder) -> None:
        write_panel(panel, new.file("panel"))
        new.write_json("cleaning.json", cleaning)
        write_config(new, settings)
        new.write_json("manifest.json", lineage(settings, panel, "tune"))
        TrialLog(new.path).begin({**study.facts(), "max_seconds": settings.max_seconds})

    return RunFolder.create(runs_root(settings), settings.run_id, fill)


def _refuse_small_budget(settings: Settings, study: Study) -> None:
    """Raises SettingsError when the defaults cannot be fitted once within `max_seconds`: measured, before any trial."""
    if settings.max_seconds is None:
        return
    started = time.monotonic()
    try:
        scored(study.inner, study.config, study.inner.folds[0], settings.max_seconds)
        cause = ""
    except (FitError, DataError) as error:
        cause = str(error)
    took = time.monotonic() - started
    if took >= settings.max_seconds or "time_budget" in cause:
        raise SettingsError(
            "the time is too short for one fit", key="max_seconds", found=settings.max_seconds,
            one_fit_took_s=round(took, 2), hint="Raise max_seconds, or use a smaller sample",
        )  # fmt: skip


def _searched(one: _Run, started: float) -> dict[str, Any]:
    """Runs what the log does not hold yet, judges, and writes tuned.json (when accepted) and tuning.json."""
    settings, study, run = one.settings, one.study, one.run
    desk = Desk(study.search, TrialLog(run.path), len(study.inner.folds), one.deadline)
    on_ray = settings.parallel_training
    with cluster(settings.cluster) if on_ray else nullcontext(1) as cpus:
        with Progress(settings.progress, total_s=study.search.trials, done_s=len(desk.outcomes)) as progress:
            _run_trials(one, desk, int(cpus), lambda ended: progress.advance(1, _words(ended, study)))
        if desk.broken is not None:
            raise desk.broken
        defaults, best = desk.outcomes[0], best_of(list(desk.outcomes.values()))
        if defaults.score is None or best is None:
            raise FitError("the defaults cannot be fitted: there is nothing to compare with", model=study.kind,
                           cause=defaults.cause, log=str(run.file(NAME)))  # fmt: skip
        found = _judged(one, defaults, best)
    told = report(study, desk.outcomes, best, found, run.run_id, time.monotonic() - started, desk.why)
    if found.accepted:
        seen_to = study.facts()["outer"]["to"]
        run.write_json(TUNED, accepted(settings, study.kind, best.parameters, run.run_id, stamp(now_utc()), seen_to))
    run.write_json(REPORT, told)
    return told


def _run_trials(one: _Run, desk: Desk, cpus: int, ended: Callable[[Outcome], None]) -> None:
    if not one.settings.parallel_training:
        while not isinstance(assignment := desk.next(), str):
            outcome = run_trial(one.study.inner, assignment)
            desk.tell(outcome)
            ended(outcome)
        return
    quiet_tune()
    from jobs.tune_ray import search_on_ray  # after the environment that Tune reads when it is imported

    at_once = cpus if one.settings.max_parallel_jobs == "auto" else one.settings.max_parallel_jobs
    search_on_ray(desk, one.study.inner, one.run.path, max(1, at_once // one.study.inner.cpus), ended)


def _judged(one: _Run, defaults: Outcome, best: Outcome) -> Acceptance:
    """The defaults and the best trial on the outer fold."""
    study, settings = one.study, one.settings
    asked = [defaults] if best.number == 0 else [defaults, best]
    configs = [with_parameters(study.kind, study.config, outcome.parameters) for outcome in asked]
    if settings.parallel_training:
        shipped = put(study.outer)
        calls = [Call(str(k), study.outer.cpus, (shipped, config)) for k, config in enumerate(configs)]
        done = {
            int(d.call.name): d for d in fan_out(outer_result, calls, len(calls), 2, settings.cluster.start_timeout_s)
        }
        crashed = [d.crash for d in done.values() if d.crash]
        if crashed:
            raise FitError("a worker died on the outer fold", model=study.kind, cause=crashed[0],
                           hint=f"Go on with resume={one.run.run_id}")  # fmt: skip
        results = [[done[k].value] for k in range(len(configs))]
    else:
        results = [[outer_result(study.outer, config)] for config in configs]
    yardstick = study.outer.yardstick
    if best.number == 0:
        score = yardstick.shown(yardstick.score(results[0]))
        return Acceptance(False, "no trial was better than the defaults on the inner folds: the defaults stay", score)
    return accept(yardstick, results[0], results[1], settings.seed)


def outer_result(bench: Bench, config: ModelConfig) -> FoldResult:
    """One configuration at the outer fold."""
    return scored(bench, config, bench.folds[0])


def _words(outcome: Outcome, study: Study) -> str:
    said = outcome.state if outcome.score is None else f"{study.inner.yardstick.shown(outcome.score):.4f}"
    return f"trial {outcome.number}: {said}"


def _told(run: RunFolder, told: dict[str, Any]) -> int:
    show(table(told), *lines(told))
    paths = [("Log", run.file(NAME)), ("Report", run.file(REPORT))]
    if told["accepted"]:
        paths.append(("Tuned", run.file(TUNED)))
        show(f"Use it    python -m jobs.train tuned={run.run_id}")
    show(*where(paths))
    return OK


if __name__ == "__main__":
    run("tune", body)
