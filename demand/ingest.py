"""Raw sales files in, a panel and its cleaning report out: the one loader for every job and the API."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from os.path import isdir, isfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.choosing import Raw, date_note, joined
from demand.cleaning import CleaningSettings, CleanRows, static_table
from demand.columns import ColumnSettings
from demand.errors import SHOWN, SchemaError, SettingsError
from demand.far_dates import close_far
from demand.headers import shown_cell
from demand.kept import MANIFEST, as_kept, read_kept, refuse_unlisted
from demand.masking import masked
from demand.outliers import flag
from demand.panel import ID, TARGET, TIME, Ints, Panel
from demand.periods import AUTO, Periods, to_panel
from demand.reading import Reading, reading_of
from demand.report import CleaningReport, Finding, quality
from demand.sources import SourceSettings, address_scheme, read_source


@dataclass(frozen=True, eq=False)
class Ingested:
    """A panel fit to forecast from, and how it came about.

    frame: the used rows with the columns that `columns.keep` names (unique_id, ds, y, ..), None when it names none.
    lines [N]: used rows of each style with a known quantity, its order lines; None where a row of the source is no
    order line but a period of a series.
    """

    panel: Panel
    report: CleaningReport
    frame: pd.DataFrame | None = None
    lines: Ints | None = None


def ingest(
    source: SourceSettings,
    columns: ColumnSettings,
    cleaning: CleaningSettings,
    freq: str = AUTO,
    today: datetime.date | None = None,
) -> Ingested:
    """The panel and the report of a source of sales.

    freq "auto": the weekly or monthly calendar that all dates lie on, else days; any other frequency sums the rows
    into its periods. The same bytes and settings give the same panel, whatever the order of the rows. Blank quantities
    are NaN in the panel: whoever cuts a history fills them there (`Panel.with_blanks_filled`). A folder of kept rows
    (`demand.kept`) is a source as well; how those rows were cleaned was settled when they were read first. today: what
    is dated later than tomorrow is left out where `source.as_of` is not given, None = the clock's.

    Raises StorageError (nothing readable there), SchemaError and CalendarError (columns, layout or dates cannot be
    used) and SettingsError. A bad cell, row or style raises nothing: it is counted in the report.
    """
    if source.append:
        raise SettingsError(
            "only python -m jobs.ingest adds rows", key="source.append",
            hint="Add them there, then name the folder of the kept rows as source.path",
        )  # fmt: skip
    folder = kept_folder(source)
    if folder is None:
        return judged(read(source, columns, cleaning)[0], source, cleaning, freq, today)
    if columns.keep:
        raise SettingsError("personal columns are not among the kept rows", key="columns.keep", found=columns.keep)
    kept = read_kept(folder)
    _, cleaning = as_kept(kept, columns, cleaning)
    return judged(kept.reading, source, cleaning, freq, today)


def kept_folder(source: SourceSettings) -> Path | None:
    """The folder of kept rows that `source.path` names, None when it is anything else.

    Raises SettingsError for a stored panel, whose rows are kept beside it, and for a path outside `source.root`, and
    StorageError for kept rows whose list is lost.
    """
    if address_scheme(source) != "file":
        return None
    folder = Path(source.path.removeprefix("file://"))
    if isfile(folder / "panel.json"):  # False for names no file can have
        raise SettingsError(
            "this is a stored panel, not its rows", key="source.path", found=source.path,
            hint="Name the folder rows beside it",
        )  # fmt: skip
    if isfile(folder / MANIFEST):
        return folder
    if isdir(folder):
        refuse_unlisted(folder)
    return None


def read(
    source: SourceSettings, columns: ColumnSettings, cleaning: CleaningSettings, key: str | None = None
) -> tuple[Reading, dict[str, str]]:
    """All rows of a source, read and cleaned (see `reading_of` for the key), and sha256 -> stamp of the files used."""
    raw = read_source(source, named=columns.named)
    taken = {file.sha256: raw.stamps[file.sha256] for file in raw.origins}
    reading = reading_of(joined(raw.tables), raw, source, columns, cleaning, key)
    return replace(reading, notes=(*reading.notes, *_date_note(raw, reading, columns))), taken


def _date_note(raw: Raw, reading: Reading, columns: ColumnSettings) -> tuple[str, ...]:
    found = reading.rows.facts["date"]["format"]
    settled = columns.date_format is not None or (raw.export is not None and raw.export.date_format == found)
    return () if settled or reading.wide or len(raw.tables) < 2 else date_note(raw, reading.headers["date"], found)


def judged(
    reading: Reading,
    source: SourceSettings,
    cleaning: CleaningSettings,
    freq: str = AUTO,
    today: datetime.date | None = None,
) -> Ingested:
    """The panel of a reading, and its report; today as in `ingest`. The reading stays as it is."""
    if freq != AUTO:
        freq = Calendar(freq).freq
    rows = _near(reading, source, cleaning, today or datetime.datetime.now(datetime.UTC).date())
    made = to_panel(rows, cleaning, freq, regular=reading.regular or reading.wide, wide=reading.wide)
    if reading.wide and made.merged:
        raise SchemaError(
            "the style column does not tell the rows of this wide table apart",
            style=list(reading.style),
            cells_in_the_same_period=made.merged,
            columns=list(reading.columns),
            hint="Name all columns that make a style: columns.style=[A,B]",
        )
    frame = None
    if reading.kept:
        at = np.flatnonzero(rows.ledger.open)
        texts = {name: column.take(at).to_pandas() for name, column in reading.kept.items()}
        frame = pd.DataFrame({ID: rows.ids[rows.style[at]], TIME: rows.days[at], TARGET: rows.y[at], **texts})
    lines = None if reading.regular or reading.wide else made.lines
    return Ingested(made.panel, _report(source, cleaning, replace(reading, rows=rows), made), frame, lines)


def _near(reading: Reading, source: SourceSettings, cleaning: CleaningSettings, today: datetime.date) -> CleanRows:
    """The rows with those dated in the future or far outside the rest left out.

    Judged anew at every reading: what is in the future now is not so for ever, and what is far from the rows of its own
    file may be near those of another.
    """
    rows = reading.rows
    ledger, before = rows.ledger.copy(), int(rows.ledger.open.sum())
    latest: datetime.date | None = source.as_of or today + datetime.timedelta(days=1)  # it is tomorrow somewhere
    if cleaning.last_date is not None or any("(week numbers around" in note for note in reading.layout):
        latest = None  # the last day is chosen, or the weeks were placed around the date of the file
    plan = np.isnan(rows.y) if rows.future else np.zeros(len(rows.y), dtype=bool)
    sides = (cleaning.first_date is None, cleaning.last_date is None)
    found = close_far(rows.days, rows.style, rows.ids, plan, ledger, cleaning.far_dates, latest, sides,
                      by_clock=source.as_of is None)  # fmt: skip
    facts = {**rows.facts, "date": {**rows.facts["date"], **found}}
    static = rows.static
    if rows.labels and int(ledger.open.sum()) < before:  # the newest value of a style is not that of a wrong date
        static, facts["static_conflicts"] = static_table(rows.labels, rows.ids, rows.style, rows.days, ledger)
    return replace(rows, ledger=ledger, facts=facts, static=static)


def _ignored(reading: Reading) -> tuple[str, ...]:
    """The headers of columns that play no part, in the order of the file."""
    rows = reading.rows
    part = {*reading.headers.values(), *reading.style, *reading.personal, *reading.kept}
    part |= {*rows.past, *rows.future, *rows.labels}
    return tuple(shown_cell(name) for name in reading.columns if name not in part and name.strip())


def _report(source: SourceSettings, cleaning: CleaningSettings, reading: Reading, made: Periods) -> CleaningReport:
    panel, rows, appended = made.panel, reading.rows, reading.appended
    facts = {**rows.facts, **made.facts}
    left_out = {**reading.unread, **rows.ledger.left_out()}
    rows_in = len(rows.style) + sum(reading.unread.values())
    missing = facts["missing"]["blank"] + facts["missing"]["unreadable"]
    rejected = _rejected(rows, panel)
    flagged = flag(panel, cleaning)
    outliers = _per_style(panel, np.bincount(panel.series_of[flagged], minlength=panel.n_series))
    last = panel.calendar.dates(np.array([panel.end]))[0]
    last_day = rows.days[rows.ledger.open & ~np.isnan(rows.y)].max().item()
    stale = (source.as_of - last_day).days if source.as_of else None
    score, parts = quality(
        rows_in, made.used + made.merged, missing, facts["duplicates"]["exact"], len(rows.ids), panel.n_series
    )
    notes = list(reading.notes)
    if facts["duplicates"]["exact"] and not facts["duplicates"]["with_document"]:
        notes.append(
            "there is no document column: equal rows may be separate orders; cleaning.duplicates=keep would keep them"
        )
    figures = {
        "left_out_share": sum(left_out.values()) / rows_in,
        "missing_share": missing / rows_in,
        "duplicate_share": facts["duplicates"]["exact"] / rows_in,
        "corrected_share": appended["replaced"] / appended["kept_before"] if appended else None,
        "rejected_styles_share": len(rejected) / len(rows.ids),
        "outlier_share": float(flagged.mean()),
        "stale_days": None if stale is None else float(stale),
        "quality_score": score,
    }
    return CleaningReport(
        source=masked(source.path),
        files=reading.files,
        data_hash=reading.data_hash,
        export=reading.export,
        layout=reading.layout,
        mapping=reading.mapping,
        personal_dropped=reading.personal,
        ignored_columns=_ignored(reading),
        notes=tuple(notes),
        rows_in=rows_in,
        used=made.used,
        merged=made.merged,
        left_out=dict(sorted(left_out.items(), key=lambda pair: -pair[1])),
        date=facts["date"],
        units=facts["units"],
        duplicates=facts["duplicates"],
        returns=facts["returns"],
        missing=facts["missing"],
        words_in_numbers=facts["words_in_numbers"],
        amount_mismatches=facts["amount_mismatches"],
        masked_stockouts=facts.get("masked_stockouts", 0),
        static_conflicts=facts.get("static_conflicts", {}),
        freq=panel.freq,
        first_period=str(panel.calendar.dates(panel.start.min()))[:10],
        last_period=str(last)[:10],
        incomplete_last_period=facts["incomplete_last_period"],
        as_of=_iso(source.as_of),
        stale_days=stale,
        styles_in=len(rows.ids),
        styles=panel.n_series,
        rejected=rejected,
        periods=len(panel.y),
        unknown_periods=int(np.isnan(panel.y).sum()),
        gaps={
            "total": int(made.gaps.sum()),
            "longest": int(made.longest.max()),
            **_per_style(panel, made.gaps),
        },
        outliers={
            "count": int(flagged.sum()),
            "method": cleaning.outlier_method,
            **outliers,
            "first": _first(panel, flagged),
        },
        quantity_total=float(np.nansum(panel.y)),
        unit=panel.unit,
        quality_score=score,
        score_parts=parts,
        out_of_stock=facts.get("out_of_stock"),
        appended=appended,
        findings=_findings(cleaning, figures),
    )


def _rejected(rows: CleanRows, panel: Panel) -> dict[str, str]:
    """Style -> why none of its rows reached the panel; the cause of most of its rows."""
    absent = np.flatnonzero(panel.index_of(rows.ids) < 0)
    reasons = rows.ledger.main_reason(rows.style, absent)
    return {str(rows.ids[at]): reasons[int(at)] for at in absent}


def _per_style(panel: Panel, counts: np.ndarray[Any, Any]) -> dict[str, Any]:
    """How many styles have any, and their counts."""
    some = np.flatnonzero(counts)
    return {"styles": len(some), "by_style": {str(panel.ids[at]): int(counts[at]) for at in some}}


def _first(panel: Panel, flagged: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    at = np.flatnonzero(flagged)[:SHOWN]
    dates = panel.calendar.dates(panel.periods[at])
    ids = panel.ids[panel.series_of[at]]
    return [
        {"style": str(style), "period": str(date)[:10], "y": float(y)}
        for style, date, y in zip(ids, dates, panel.y[at], strict=True)
    ]


def _findings(cleaning: CleaningSettings, figures: dict[str, float | None]) -> tuple[Finding, ...]:
    findings = []
    for name, found in figures.items():
        rule = cleaning.rule(name)
        if rule.level == "off":
            continue
        holds = None if found is None else (found >= rule.limit if name == "quality_score" else found <= rule.limit)
        findings.append(Finding(name, rule.level, rule.limit, found, holds))
    return tuple(findings)


def _iso(day: datetime.date | None) -> str | None:
    return None if day is None else day.isoformat()
