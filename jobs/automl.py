"""`python -m jobs.automl budget=10m`: searches models, features, parameters and ensembles within a budget of time."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from demand.errors import SettingsError
from demand.ingest import ingest
from demand.moments import now_utc, stamp
from demand.panel import Panel
from demand.store import write_panel
from jobs.automl_contest import Contest
from jobs.automl_final import judged
from jobs.automl_fits import Hands, Made, made_at
from jobs.automl_models import Tryouts
from jobs.automl_report import compared, lines, report, table
from jobs.automl_search import search_leaders
from jobs.budget import Budget
from jobs.cluster import cluster, require
from jobs.entry import OK, run
from jobs.fleet import lineage, resumed, runs_root, write_config
from jobs.outputs import where
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.show import show
from jobs.trial_log import NAME, TrialLog
from jobs.tune_quiet import quiet_tune
from jobs.tuned import REPORTS, TUNED, accepted_together

REPORT = REPORTS["automl"]


def body(settings: Settings) -> int:
    """Searches within the budget, scores the default and the best configuration on the outer fold, writes both.

    Accepted or not is no matter of the exit code: the search did what it is for. Nothing is written before the data,
    the spaces and the budget have been found fit. A resumed run has what its budget still holds.
    """
    clock, first = Budget(settings.budget or 1.0), {}
    if settings.resume:
        found, settings, panel, _, _ = resumed(settings, settings.resume, "automl")
        if found.file(REPORT).is_file():
            return _told(found, found.json(REPORT))
        assert settings.budget is not None  # no run began without one
        budget = Budget(settings.budget, TrialLog(found.path).spent())
        contest = Contest.of(settings, panel)
    else:
        if settings.parallel_training:
            require(settings.cluster)
        ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
        show(*ingested.report.far_lines())
        contest = Contest.of(settings, ingested.panel)
        if settings.validate:
            show("Data, settings and spaces are valid; nothing was searched.")
            return OK
        budget = clock
        first = _first_fit(contest, budget)
        found = _begin(contest, ingested.panel, ingested.report.as_json())
    with found.held():
        return _told(found, _searched(contest, found, budget, first))


def _begin(contest: Contest, panel: Panel, cleaning: dict[str, Any]) -> RunFolder:
    settings = contest.settings

    def fill(new: RunFolder) -> None:
        write_panel(panel, new.file("panel"))
        new.write_json("cleaning.json", cleaning)
        write_config(new, settings)
        new.write_json("manifest.json", lineage(settings, panel, "automl"))
        TrialLog(new.path).begin(contest.facts())

    return RunFolder.create(runs_root(settings), settings.run_id, fill)


def _first_fit(contest: Contest, budget: Budget) -> dict[str, Made]:
    """The cheapest learned model at the newest inner fold, by its name: measured before anything is written.

    Raises SettingsError when the budget does not hold even that.
    """
    learned = contest.learned()
    if not learned:
        return {}
    bench, before = contest.inner_bench(learned[0]), budget.left()
    made = made_at(bench, bench.config, bench.folds[0], before)
    if budget.left() <= 0 or "time_budget" in made.cause:
        raise SettingsError(
            "the time is too short for one fit", key="budget", found_s=budget.total_s, model=bench.kind,
            one_fit_took_s=round(made.seconds, 2), left_before_it_s=round(before, 2),
            hint="Raise budget, or use a smaller sample",
        )  # fmt: skip
    return {bench.kind: made}


def _searched(contest: Contest, found: RunFolder, budget: Budget, first: dict[str, Made]) -> dict[str, Any]:
    """Runs what the log does not hold yet, judges, and writes tuned.json (when accepted) and automl.json."""
    settings = contest.settings
    on_ray = settings.parallel_training
    if on_ray:
        quiet_tune()
    with cluster(settings.cluster) if on_ray else nullcontext(0) as cpus:
        at_once = int(cpus) if settings.max_parallel_jobs == "auto" else min(int(cpus), settings.max_parallel_jobs)
        tryouts = Tryouts(contest, found, budget, Hands(at_once, settings.cluster.start_timeout_s), first)
        tryouts.try_models()
        searched = search_leaders(tryouts)
        verdict = judged(tryouts)
    told = report(tryouts, searched, verdict)
    if told["accepted"]:
        seen_to = contest.facts()["outer"]["to"]
        whole = accepted_together(settings, told["use"], found.run_id, stamp(now_utc()), seen_to)
        found.write_json(TUNED, whole)
    found.write_json(REPORT, told)
    return told


def _told(found: RunFolder, told: dict[str, Any]) -> int:
    show(table(told), compared(told), *lines(told))
    paths = [("Log", found.file(NAME)), ("Report", found.file(REPORT))]
    if told["accepted"]:
        paths.append(("Tuned", found.file(TUNED)))
        show(f"Use it    python -m jobs.train tuned={found.run_id}")
    show(*where(paths))
    return OK


if __name__ == "__main__":
    run("automl", body)
