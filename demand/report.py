"""What cleaning found and did: every row accounted for, every choice named, nothing personal."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from demand.choosing import TAKEN
from demand.errors import SHOWN

WIDTH = 80
_FAR = {"in the future": "future", "far after the rest": "far_after", "far before the rest": "far_before"}


@dataclass(frozen=True)
class Finding:
    """One quality rule: the figure found, its limit, and whether it holds (None: it could not be judged)."""

    rule: str
    level: str
    limit: float
    found: float | None
    passed: bool | None


@dataclass(frozen=True)
class CleaningReport:
    """The account of one ingest.

    rows_in = used + merged + sum(left_out): used rows each gave a (style, period) of the panel, merged rows were added
    to one of them, left_out names why the others were not used. A wide table counts one row per cell. Shares are
    fractions. No value of a personal column is in here, only the headers of those that were dropped. Every other column
    of the source is in `mapping`, carried because a setting names it, or among `ignored_columns`.

    out_of_stock: rows whose in_stock is 0; None without such a column. masked_stockouts: those taken as unknown.

    appended, when rows were added to those kept before: what the new files brought, rows_in = added + known (kept
    already) + correcting (in the place of `replaced` older ones) + unread. The account above is then of all kept rows.
    """

    source: str
    files: tuple[Mapping[str, Any], ...]
    data_hash: str
    export: str
    layout: tuple[str, ...]
    mapping: Mapping[str, str]
    personal_dropped: tuple[str, ...]
    ignored_columns: tuple[str, ...]
    notes: tuple[str, ...]

    rows_in: int
    used: int
    merged: int
    left_out: Mapping[str, int]

    date: Mapping[str, Any]
    units: Mapping[str, Any]
    duplicates: Mapping[str, Any]
    returns: Mapping[str, Any]
    missing: Mapping[str, Any]
    words_in_numbers: Mapping[str, int]
    amount_mismatches: int | None
    masked_stockouts: int
    static_conflicts: Mapping[str, int]

    freq: str
    first_period: str
    last_period: str
    incomplete_last_period: str
    as_of: str | None
    stale_days: int | None
    styles_in: int
    styles: int
    rejected: Mapping[str, str]
    periods: int
    unknown_periods: int
    gaps: Mapping[str, Any]
    outliers: Mapping[str, Any]
    quantity_total: float
    unit: str

    quality_score: float
    score_parts: Mapping[str, float]
    out_of_stock: int | None = None
    appended: Mapping[str, Any] | None = None
    findings: tuple[Finding, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.appended is not None:
            told = sum(self.appended[name] for name in ("added", "known", "correcting", "unread"))
            if told != self.appended["rows_in"]:
                raise AssertionError(f"rows of the new files {self.appended['rows_in']} are not those told of {told}")
        accounted = self.used + self.merged + sum(self.left_out.values())
        if accounted != self.rows_in:
            raise AssertionError(f"rows in {self.rows_in} are not the rows accounted for {accounted}")

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The rules at level "error" that do not hold."""
        return tuple(f for f in self.findings if f.level == "error" and f.passed is False)

    @property
    def warned(self) -> tuple[Finding, ...]:
        """The rules at level "warn" that do not hold."""
        return tuple(f for f in self.findings if f.level == "warn" and f.passed is False)

    def as_json(self) -> dict[str, Any]:
        """The whole report as plain dicts, lists, texts, finite numbers and None: strict JSON."""
        plain = _plain(asdict(self))
        plain["failed_rules"] = [finding.rule for finding in self.failed]
        return dict(plain)

    def summary_lines(self) -> list[str]:
        """The report in a few lines of at most 80 columns."""
        lines = [
            f"Source    {self.source} ({self.export})",
            f"Rows      {self.rows_in:,} in = {self.used:,} used + {self.merged:,} merged + "
            f"{sum(self.left_out.values()):,} left out",
            *self._appended_lines(),
            *(f"  left out {count:,}: {reason}" for reason, count in list(self.left_out.items())[:SHOWN]),
            *self._unused_lines(),
            *self.far_lines(),
            "Columns   " + "; ".join(f"{role} = {column}" for role, column in self.mapping.items()),
            f"Dates     {self.date['format']}, {self.date['parse_rate']:.2%} read; "
            f"{self.first_period} to {self.last_period}, freq {self.freq}",
            f"Styles    {self.styles:,} of {self.styles_in:,}; {self.periods:,} periods, "
            f"{self.gaps['total']:,} without a row, {self.unknown_periods:,} unknown",
            f"Demand    {self.quantity_total:,.0f} {self.unit}".rstrip(),
        ]
        if self.incomplete_last_period:
            lines.append(f"Note      the data ends inside the last period, {self.incomplete_last_period}")
        if len(self.units.get("counts", {})) > 1:
            counts = ", ".join(f"{unit or '(blank)'} {n:,}" for unit, n in self.units["counts"].items())
            lost = ", ".join(f"{unit}: FACTOR" for unit in self.units.get("left_out", {}) if unit)
            hint = f"; cleaning.unit_table={{{lost}}} would convert what was left out" if lost else ""
            lines.append(f"Units     {counts}{hint}")
        if self.returns["rows"]:
            lines.append(
                f"Returns   {self.returns['rows']:,} rows, {self.returns['quantity']:,.0f} {self.unit}".rstrip()
            )
        if self.out_of_stock:
            lines.append(f"Stock     {stock_sentence(self.out_of_stock, self.rows_in, self.masked_stockouts)}")
        if self.outliers["count"]:
            lines.append(f"Unusual   {self.outliers['count']:,} periods in {self.outliers['styles']:,} styles")
        if self.rejected:
            shown = "; ".join(f"{style} ({cause})" for style, cause in list(self.rejected.items())[:SHOWN])
            lines.append(f"Rejected  {len(self.rejected):,} styles: {shown}")
        if self.personal_dropped:
            lines.append(f"Dropped   personal columns: {', '.join(self.personal_dropped)}")
        if self.ignored_columns:
            lines.append(f"Ignored   {', '.join(self.ignored_columns)}")
        lines += [f"Note      {note}" for note in (*self.layout, *self.notes)]
        for finding in (*self.failed, *self.warned):
            sign = "ERROR" if finding.level == "error" else "Warning"
            lines.append(f"{sign:<9} {finding.rule} is {finding.found:.4g}, the limit is {finding.limit:g}")
        lines.append(
            f"Quality   {int(self.quality_score + 1e-9)} of 100"
        )  # not rounded up: 100 says that nothing is wrong
        return _wrapped(lines)

    def far_lines(self) -> list[str]:
        """One warning when rows are dated in the future or far outside the rest, naming the first five, in lines of at
        most 80 columns; else none."""
        counts = {name: self.date[key] for name, key in _FAR.items() if self.date[key]}
        if self.date["future_kept"]:
            told = f"Warning   {self.date['future_kept']:,} rows are dated after today and kept, as so many"
            told += " are no typing errors"
            return _wrapped([f"{told} (source.as_of=YYYY-MM-DD would leave later ones out)"])
        if not counts:
            return []
        done = "kept" if self.date["far_dates"] == "keep" else "left out"
        other = "leave_out" if done == "kept" else "keep"
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        line = (
            f"Warning   rows by date {done}: {told}; {', '.join(self.date['far_first'])} (cleaning.far_dates={other} "
            f"would {'leave them out' if done == 'kept' else 'keep them'})"
        )
        return _wrapped([line])

    def _unused_lines(self) -> list[str]:
        """The files beside the sales that could not be used; those of an earlier reading are not new."""
        unused = [(file["name"], file["cause"]) for file in self.files if file["cause"] not in ("", TAKEN)]
        if not unused:
            return []
        shown = "; ".join(f"{name} ({cause})" for name, cause in unused[:SHOWN])
        more = "; .." if len(unused) > SHOWN else ""
        return [f"Left out  {len(unused):,} file{'s' if len(unused) > 1 else ''}: {shown}{more}"]

    def _appended_lines(self) -> list[str]:
        new = self.appended
        if new is None:
            return []
        lines = [
            f"Appended  {new['files']:,} new of {new['files'] + new['files_known']:,} files, {new['rows_in']:,} rows = "
            f"{new['added']:,} added + {new['known']:,} known + {new['correcting']:,} correcting + "
            f"{new['unread']:,} not read"
        ]
        lines += [f"  not used {name}: {cause}" for name, cause in list(new["files_not_used"].items())[:SHOWN]]
        if new["replaced"]:
            lines.append(
                f"Corrected {new['replaced']:,} kept rows replaced by {new['correcting']:,} (same "
                f"{', '.join(new['corrects'])}): {new['quantity_before']:,.0f} became {new['quantity_after']:,.0f}"
            )
        return lines


def _wrapped(lines: list[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)]


def stock_sentence(out_of_stock: int, rows: int, masked: int) -> str:
    """What share of the rows was out of stock, and what their demand counts as."""
    counts = "unknown demand" if masked else "what was sold counts as demand (cleaning.stockouts=mask: as unknown)"
    return f"{out_of_stock / rows:.1%} of rows without stock: {counts}"


def quality(
    rows_in: int, kept: int, missing: int, duplicates: int, styles_in: int, styles: int
) -> tuple[float, dict[str, float]]:
    """The score from 0 to 100, and its four parts in [0, 1].

    100 x (.4 x share of rows kept + .3 x share of rows with a readable quantity + .15 x share of rows that are not
    exact duplicates + .15 x share of styles in the panel).
    """
    parts = {
        "rows_kept": kept / rows_in,
        "quantity_readable": 1 - missing / rows_in,
        "not_duplicated": 1 - duplicates / rows_in,
        "styles_in_panel": styles / styles_in,
    }
    weights = {"rows_kept": 0.4, "quantity_readable": 0.3, "not_duplicated": 0.15, "styles_in_panel": 0.15}
    return 100 * sum(weights[name] * part for name, part in parts.items()), parts


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # NaN compares false
    if isinstance(value, datetime.date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    raise TypeError(f"not plain data: {type(value).__name__}")
