"""`python -m jobs.train`: trains the models that are due (or those of `only`), scores them and makes a release."""

from __future__ import annotations

import logging
import textwrap
from datetime import UTC, datetime
from pathlib import Path

from demand.errors import SettingsError, StorageError
from demand.moments import stamp
from jobs.carry import Intent, what_is_due, with_carried
from jobs.decided import check_decisions, decide_after
from jobs.decisions import due_apart, record_idle, tables_validated, train_apart, without_decisions
from jobs.earlier_names import write_earlier_names
from jobs.entries import broken_off
from jobs.entry import FAILED, OK, run
from jobs.explained import write_explanations
from jobs.fleet import Decide, Fleet, compete, prepare, registry_of
from jobs.gate import gate_lines
from jobs.outputs import WIDTH, said, summary, where, write_backtest, write_tables
from jobs.publish import publish
from jobs.reporting import write_backtest_plot, write_run_report
from jobs.rowless import failed_models
from jobs.settings import Settings
from jobs.show import show
from jobs.tuned import with_tuned
from jobs.validated import only_validated
from jobs.verdict import outcomes
from models.decision_release import KINDS as DECISIONS

log = logging.getLogger(__name__)


def body(settings: Settings) -> int:
    """Trains what is due: in a first run and with force everything that is chosen. Members that are not due are taken
    over from the champion's release. Nothing due is no failure: it is said, recorded as skipped, and the exit code is
    0. Models that do not forecast train after the fleet, each in a run of its own."""
    if settings.resume:
        return release_fleet(settings, "train", report=False)
    settings = with_tuned(settings)
    now = datetime.now(UTC)
    fleet, apart = without_decisions(settings), due_apart(settings, now)
    if settings.validate:
        return only_validated(fleet) if fleet is not None else tables_validated(settings)
    if fleet is not None and settings.due is not None and not set(settings.due) - set(DECISIONS):
        fleet = None
    code = OK if fleet is None else _train_fleet(fleet, now)
    if fleet is None and not apart.train:
        record_idle(settings, apart.idle)
    return max(code, train_apart(settings, apart, alone=fleet is None))


def _train_fleet(settings: Settings, now: datetime) -> int:
    releases = registry_of(settings)
    champion = releases.open("champion") if releases.alias("champion") is not None else None
    due = what_is_due(settings, champion, now)
    if not due.train:
        at = stamp(now)
        releases.append_history(
            [
                {"model_type": kind, "status": "skipped", "error": why, "trained_at": at}
                for kind, why in due.idle.items()
            ]
        )
        show("Skipped   nothing is due; force=true trains all the same", *_lines(due))
        return OK
    return release_fleet(
        settings,
        "train",
        report=False,
        decide=lambda panel, question: with_carried(due, settings, champion, panel, question, now),
    )


def _lines(intent: Intent) -> list[str]:
    """What is trained, taken over or left, and why, at 80 columns."""
    lines = [f"Note      {note}" for note in intent.notes]
    if intent.carried:
        lines.append(f"Taken     {', '.join(intent.carried)} from release {intent.release}")
    lines += [f"Idle      {kind}: {why}" for kind, why in intent.idle.items() if kind not in intent.carried]
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)]


def release_fleet(settings: Settings, job: str, report: bool, decide: Decide | None = None) -> int:
    """Prepares, trains and scores at every origin, releases the live forecast. Returns the exit code."""
    if settings.validate:
        return only_validated(settings)
    if settings.decisions:
        check_decisions(settings)
    fleet = prepare(settings, job, live=True, decide=decide)
    try:
        race, verdict = compete(fleet)
    except SettingsError:  # refused: nothing was tried
        raise
    except Exception as error:
        _record_failure(fleet, error)
        raise
    styles = outcomes(fleet.panel, verdict, race, fleet.question, fleet.rejected, fleet.settings)
    failed = failed_models(race, fleet.settings)
    with fleet.stage("files"):
        write_tables(fleet, race, verdict, styles)
        write_backtest(fleet, race, verdict)
        explained = write_explanations(fleet.run.path, fleet, verdict)
    with fleet.stage("release"):
        published = publish(fleet, race, verdict, styles)
    number = published.number
    decided = None
    if fleet.settings.decisions:
        with fleet.stage("decisions"):
            decided = decide_after(fleet, number)
    if report:
        with fleet.stage("report"):
            write_run_report(fleet, race, verdict, styles, decided, explained)
    told = summary(fleet, race, verdict, styles, failed, number)
    fleet.run.write_json("summary.json", {**told, "promotion": published.as_json()})
    release = registry_of(fleet.settings).place(f"releases/{number:06d}")
    paths: list[tuple[str, Path | str]] = [("Forecast", fleet.run.file("forecast.csv")), ("Release", release)]
    if settings.plot or fleet.settings.export.earlier_names:
        paths.append(("Plot", write_backtest_plot(fleet, verdict)))
    if fleet.settings.export.earlier_names:
        paths.append(("Earlier", write_earlier_names(fleet.run, fleet.settings)))
    if report:
        paths.insert(0, ("Report", fleet.run.file("report.html")))
    show(*said(fleet, verdict, styles, failed), *(_lines(fleet.intent) if fleet.intent else ()))
    show(*gate_lines(number, published.decision), *(published.activated.lines() if published.activated else ()))
    show(*(decided.lines if decided else ()))
    show(*where(paths))
    ill = published.activated is not None and published.activated.ailment
    return FAILED if failed or ill else OK


def _record_failure(fleet: Fleet, error: Exception) -> None:
    """One failed entry a model in the history; the error that ended the run is told whatever becomes of them."""
    try:
        failed = broken_off(fleet, f"{type(error).__name__}: {error}")
        registry_of(fleet.settings).append_history([*failed])
    except StorageError as also:
        log.warning("the failure is not in the history: %s", also)


if __name__ == "__main__":
    run("train", body)
