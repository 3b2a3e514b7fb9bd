"""Raw sales files in, a panel and its cleaning report out: the one loader for every job and the API."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.cleaning import CleaningSettings, CleanRows, clean_rows
from demand.columns import ColumnSettings, Mapped, map_columns
from demand.errors import SHOWN, SchemaError
from demand.layouts import CELL, PERIOD, Table, period_columns, to_long
from demand.outliers import flag
from demand.panel import ID, TARGET, TIME, Panel
from demand.parsing import as_text
from demand.periods import AUTO, Periods, to_panel
from demand.report import CleaningReport, Finding, quality
from demand.sources import Raw, SourceSettings, joined, read_source, without_secrets


@dataclass(frozen=True, eq=False)
class Ingested:
    """A panel fit to forecast from, and how it came about.

    frame: the used rows with the columns that `columns.keep` names (unique_id, ds, y, ..), None when it names none.
    """

    panel: Panel
    report: CleaningReport
    frame: pd.DataFrame | None = None


def ingest(source: SourceSettings, columns: ColumnSettings, cleaning: CleaningSettings, freq: str = AUTO) -> Ingested:
    """The panel and the report of a source of sales.

    freq "auto": the weekly or monthly calendar that all dates lie on, else days; any other frequency sums the rows
    into its periods. The same bytes and settings give the same panel, whatever the order of the rows. Blank quantities
    are NaN in the panel: whoever cuts a history fills them there (`Panel.with_blanks_filled`).

    Raises StorageError (nothing readable there), SchemaError and CalendarError (columns, layout or dates cannot be
    used) and SettingsError. A bad cell, row or style raises nothing: it is counted in the report.
    """
    if freq != AUTO:
        freq = Calendar(freq).freq
    raw = read_source(source)
    table = joined(raw.tables)
    table = _long(table, source, columns, raw)
    wide = any(note.startswith("wide table") for note in table.notes)
    mapped = map_columns(table, columns, raw.export)
    rows = clean_rows(table, mapped, columns, cleaning, raw.export)
    made = to_panel(rows, cleaning, freq, regular=mapped.regular or wide, wide=wide)
    if wide and made.merged:
        raise SchemaError(
            "the style column does not tell the rows of this wide table apart",
            style=list(mapped.style),
            cells_in_the_same_period=made.merged,
            columns=[name for name in table.columns.column_names if name not in (PERIOD, CELL)],
            hint="Name all columns that make a style: columns.style=[A,B]",
        )
    report = _report(source, cleaning, raw, table, mapped, rows, made)
    frame = _kept_rows(table, mapped, rows) if mapped.keep else None
    return Ingested(made.panel, report, frame)


def _long(table: Table, source: SourceSettings, columns: ColumnSettings, raw: Raw) -> Table:
    if columns.date is not None or (raw.export is not None and raw.export.kind == "sales"):
        return table
    names = table.columns.column_names
    days, read_as = period_columns(names, source.as_of, table.titles, columns.date_format)
    return table if np.isnat(days).all() else to_long(table, days, read_as)


def _kept_rows(table: Table, mapped: Mapped, rows: CleanRows) -> pd.DataFrame:
    at = np.flatnonzero(rows.ledger.open)
    kept = {name: as_text(table.columns.column(name)).take(at).to_pandas() for name in mapped.keep}
    return pd.DataFrame({ID: rows.ids[rows.style[at]], TIME: rows.days[at], TARGET: rows.y[at], **kept})


def _report(
    source: SourceSettings,
    cleaning: CleaningSettings,
    raw: Raw,
    table: Table,
    mapped: Mapped,
    rows: CleanRows,
    made: Periods,
) -> CleaningReport:
    panel, facts = made.panel, {**rows.facts, **made.facts}
    left_out = {**table.left_out, **rows.ledger.left_out()}
    rows_in = table.n_rows + sum(table.left_out.values())
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
    notes = list(mapped.notes)
    if facts["duplicates"]["exact"] and not facts["duplicates"]["with_document"]:
        notes.append(
            "there is no document column: equal rows may be separate orders; cleaning.duplicates=keep would keep them"
        )
    figures = {
        "left_out_share": sum(left_out.values()) / rows_in,
        "missing_share": missing / rows_in,
        "duplicate_share": facts["duplicates"]["exact"] / rows_in,
        "rejected_styles_share": len(rejected) / len(rows.ids),
        "outlier_share": float(flagged.mean()),
        "stale_days": None if stale is None else float(stale),
        "quality_score": score,
    }
    return CleaningReport(
        source=without_secrets(source.path),
        files=tuple(asdict(file) for file in raw.files),
        data_hash=raw.data_hash,
        export=raw.export.name if raw.export else "unknown export",
        layout=table.notes,
        mapping=mapped.chosen(),
        personal_dropped=mapped.personal,
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
