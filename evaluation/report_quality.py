"""The report's account of how the data was cleaned, from the JSON of a cleaning report; parts it lacks are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demand.report import stock_sentence
from evaluation.report_tables import Cell, Table, number, plain, quantity, words

AT_LEAST = ("quality_score",)  # rules whose limit is a floor; all others are ceilings
FIGURES = {
    "left_out_share": "rows left out",
    "missing_share": "rows without a readable quantity",
    "duplicate_share": "exact duplicates among rows",
    "corrected_share": "kept rows replaced by corrections",
    "rejected_styles_share": "styles rejected",
    "outlier_share": "unusual periods",
    "stale_days": "days since the last sale",
    "quality_score": "quality score, of 100",
}


def rows_sentence(cleaning: Mapping[str, Any]) -> str:
    """Every row of the source accounted for, by reason; "" when the cleaning report does not say it."""
    if "rows_in" not in cleaning:
        return ""
    left_out = cleaning.get("left_out") or {}
    reasons = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    return (
        f"{cleaning['rows_in']:,} rows in = {cleaning.get('used', 0):,} used + {cleaning.get('merged', 0):,} merged + "
        f"{sum(left_out.values()):,} left out{f' ({reasons})' if reasons else ''}."
    )


def findings_table(cleaning: Mapping[str, Any]) -> Table | None:
    """One row a quality rule: what was found, its limit, and whether it holds; None without rules."""
    columns = [("Figure", "", False), ("Found", "", True), ("Limit", "", True),
               ("Level", "error: a run stops; warn: it goes on", False), ("Holds", "", False)]  # fmt: skip
    holds = {True: words("yes", "good"), False: words("no", "bad"), None: words("not judged")}
    rows = [
        [words(FIGURES.get(f["rule"], f["rule"].replace("_", " "))), _figure(f["rule"], f["found"]),
         _limit(f["rule"], f["limit"]), words(f["level"]), holds[f["passed"]]]
        for f in cleaning.get("findings") or ()
    ]  # fmt: skip
    return Table("Quality rules", columns, rows) if rows else None


def mapping_table(cleaning: Mapping[str, Any]) -> Table | None:
    """Which column of the source was read as what; None when unknown."""
    columns = [("Read as", "", False), ("Column of the source", "", False)]
    rows = [[words(role.replace("_", " ")), words(column)] for role, column in (cleaning.get("mapping") or {}).items()]
    return Table("Columns", columns, rows) if rows else None


def account(cleaning: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence) of what else is known, in a reader's order; what was not found is not listed."""
    unit = f" {cleaning['unit']}" if cleaning.get("unit") else ""
    found = {
        "source": plain(cleaning.get("source")),
        "files": _files(cleaning.get("files") or ()),
        "layout": plain(cleaning.get("layout")),
        "personal columns dropped": plain(cleaning.get("personal_dropped")),
        "columns ignored": plain(cleaning.get("ignored_columns")),
        "dates": _dates(cleaning),
        "styles": _of(cleaning.get("styles"), cleaning.get("styles_in"), "styles with usable history"),
        "styles rejected": plain(cleaning.get("rejected")),
        "gaps": _gaps(cleaning),
        "unknown periods": plain(cleaning.get("unknown_periods") or None),
        "demand": f"{quantity(cleaning['quantity_total']).text}{unit}" if "quantity_total" in cleaning else "",
        "returns": _returns(cleaning.get("returns") or {}, unit),
        "unusual periods": _unusual(cleaning.get("outliers") or {}),
        "units": plain((cleaning.get("units") or {}).get("counts")),
        "words in number columns": plain(cleaning.get("words_in_numbers")),
        "line amounts that are not price times quantity": plain(cleaning.get("amount_mismatches") or None),
        "stock-outs": _stock(cleaning),
        "attributes that contradict": plain(cleaning.get("static_conflicts")),
        "unfinished last period": plain(cleaning.get("incomplete_last_period")),
        "appended": _appended(cleaning.get("appended") or {}),
        "notes": plain(cleaning.get("notes")),
    }
    return [(label, text) for label, text in found.items() if text]


def _figure(rule: str, value: float | None) -> Cell:
    if value is None or not rule.endswith("_share"):
        return number(value, 0)
    return Cell(f"{100 * value:.1f} %", repr(float(value)))


def _limit(rule: str, value: float) -> Cell:
    cell = _figure(rule, value)
    return Cell(f"at {'least' if rule in AT_LEAST else 'most'} {cell.text}", cell.sort)


def _of(some: int | None, total: int | None, what: str) -> str:
    return "" if some is None or total is None else f"{some:,} of {total:,} {what}"


def _files(files: Any) -> str:
    return plain([f"{file['name']} ({file['rows']:,} rows)" for file in files if file.get("rows") is not None])


def _dates(cleaning: Mapping[str, Any]) -> str:
    date = cleaning.get("date") or {}
    period = f"{cleaning['first_period']} to {cleaning['last_period']}" if "first_period" in cleaning else ""
    read = f"{date['parse_rate']:.1%} of dates read as {date['format']}" if "parse_rate" in date else ""
    return "; ".join(part for part in (period, read) if part)


def _gaps(cleaning: Mapping[str, Any]) -> str:
    gaps = cleaning.get("gaps") or {}
    if not gaps.get("total"):
        return ""
    return (
        f"{gaps['total']:,} of {cleaning['periods']:,} periods had no row, in {gaps['styles']:,} styles; the longest "
        f"gap is {gaps['longest']:,} periods."
    )


def _stock(cleaning: Mapping[str, Any]) -> str:
    out = cleaning.get("out_of_stock")
    return stock_sentence(out, cleaning["rows_in"], cleaning.get("masked_stockouts") or 0) if out else ""


def _returns(returns: Mapping[str, Any], unit: str) -> str:
    return f"{returns['rows']:,} rows, {quantity(returns['quantity']).text}{unit}" if returns.get("rows") else ""


def _unusual(outliers: Mapping[str, Any]) -> str:
    return f"{outliers['count']:,} in {outliers['styles']:,} styles" if outliers.get("count") else ""


def _appended(new: Mapping[str, Any]) -> str:
    if not new:
        return ""
    return (
        f"{new['files']:,} new files, {new['rows_in']:,} rows = {new['added']:,} added + {new['known']:,} known + "
        f"{new['correcting']:,} correcting + {new['unread']:,} not read"
    )
