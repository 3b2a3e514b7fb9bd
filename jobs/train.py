"""`python -m jobs.train`: trains the models that are due (or those of `only`), scores them and makes a release."""

from __future__ import annotations

from demand.ingest import ingest
from jobs.entry import FAILED, OK, run
from jobs.fleet import compete, prepare
from jobs.outputs import failed_models, said, summary, where, write_backtest, write_tables
from jobs.publish import publish, registry_of
from jobs.reporting import write_backtest_plot, write_run_report
from jobs.settings import Settings
from jobs.show import show
from jobs.verdict import outcomes


def body(settings: Settings) -> int:
    """As the pipeline, without the report."""
    return release_fleet(settings, "train", report=False)


def release_fleet(settings: Settings, job: str, report: bool) -> int:
    """Prepares, trains and scores at every origin, releases the live forecast. Returns the exit code."""
    if settings.validate:
        ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
        show(*ingested.report.summary_lines(), "Data and settings are valid; nothing was trained.")
        return OK
    fleet = prepare(settings, job, live=True)
    race, verdict = compete(fleet)
    styles = outcomes(fleet.panel, verdict, race, fleet.question, fleet.rejected, fleet.settings)
    failed = failed_models(race, fleet.settings)
    with fleet.stage("files"):
        write_tables(fleet, race, verdict, styles)
        write_backtest(fleet, race, verdict)
    with fleet.stage("release"):
        number, promoted = publish(fleet, race, verdict, styles)
    if report:
        with fleet.stage("report"):
            write_run_report(fleet, race, verdict, styles)
    fleet.run.write_json("summary.json", {**summary(fleet, race, verdict, styles, failed), "release": number})
    release = registry_of(fleet).root / "releases" / f"{number:06d}"
    paths = [("Forecast", fleet.run.file("forecast.csv")), ("Release", release)]
    if settings.plot:
        paths.append(("Plot", write_backtest_plot(fleet, verdict)))
    if report:
        paths.insert(0, ("Report", fleet.run.file("report.html")))
    show(*said(fleet, verdict, styles, failed))
    if not promoted:
        show(f"Held back  release {number} was not promoted; see registry/history.jsonl")
    show(*where(paths))
    return FAILED if failed else OK


if __name__ == "__main__":
    run("train", body)
