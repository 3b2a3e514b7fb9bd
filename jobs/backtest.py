"""`python -m jobs.backtest`: how good would every model have been? Scores past origins; releases nothing."""

from __future__ import annotations

from evaluation.advice import terminal_table
from jobs import evaluate
from jobs.decisions import score_apart, tables_validated, without_decisions
from jobs.earlier_names import write_earlier_names
from jobs.entry import FAILED, OK, run
from jobs.fleet import compete, prepare
from jobs.outputs import said, summary, where, write_backtest, write_tables
from jobs.reporting import write_backtest_plot
from jobs.rowless import failed_models
from jobs.settings import Settings
from jobs.show import show
from jobs.tuned import with_tuned
from jobs.validated import only_validated
from jobs.verdict import outcomes


def body(settings: Settings) -> int:
    """Runs and scores; exit code 1 when a requested model made no forecast at all. With `release`: scores that release
    on the days after it was trained, see `jobs.evaluate`."""
    if settings.release is not None:
        return evaluate.body(settings)
    settings = with_tuned(settings)
    if without_decisions(settings) is None:
        return tables_validated(settings) if settings.validate else score_apart(settings)
    if settings.validate:
        return only_validated(settings)
    fleet = prepare(settings, "backtest", live=False)
    race, verdict = compete(fleet)
    styles = outcomes(fleet.panel, verdict, race, fleet.question, fleet.rejected, fleet.settings)
    failed = failed_models(race, fleet.settings)
    write_tables(fleet, race, verdict, styles)
    write_backtest(fleet, race, verdict)
    fleet.run.write_json("summary.json", summary(fleet, race, verdict, styles, failed, None))
    show(terminal_table(verdict.board))
    paths = [("Run", fleet.run.path)]
    if settings.plot or fleet.settings.export.earlier_names:
        paths.append(("Plot", write_backtest_plot(fleet, verdict)))
    if fleet.settings.export.earlier_names:
        paths.append(("Earlier", write_earlier_names(fleet.run, fleet.settings)))
    show(*said(fleet, verdict, styles, failed), *where(paths))
    return FAILED if failed else OK


if __name__ == "__main__":
    run("backtest", body)
