"""`validate=true`: the data is read and the settings are checked; nothing is trained, nothing is written."""

from __future__ import annotations

from demand.ingest import ingest
from jobs.checks import check_lengths
from jobs.entry import OK
from jobs.settings import Settings
from jobs.show import show
from models.reconciliation import Tree
from models.siblings import check_columns


def only_validated(settings: Settings) -> int:
    """Prints the cleaning report; the exit code. Raises what reading the data raises, and SettingsError."""
    ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
    panel = ingested.panel
    check_lengths(settings, int(panel.lengths.max()), panel.calendar.periods_in(366))
    if settings.hierarchy.levels:
        Tree.of(panel, settings.hierarchy.levels)
    check_columns(panel, settings.newborns.siblings_by)
    show(*ingested.report.summary_lines(), "Data and settings are valid; nothing was trained.")
    return OK
