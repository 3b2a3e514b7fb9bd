"""What was found in the company's tables, as JSON and in lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

from demand.company.tables import NAMES, Company, TableReport
from demand.errors import SHOWN
from demand.report import WIDTH

_NAME = max(map(len, NAMES.values()))


def as_json(company: Company) -> dict[str, Any]:
    """{tables: {table: its report}, missing: [names], files: {file: what it was taken for}}."""
    return {
        "tables": {table: asdict(report) for table, report in company.reports.items()},
        "missing": list(company.missing(tuple(NAMES))),
        "files": dict(company.files),
    }


def summary_lines(company: Company) -> list[str]:
    """Rows of each table, and under them what a reader should know of it."""
    lines = ["", "Company   tables beside the sales"]
    for table, report in company.reports.items():
        left_out = sum(report.left_out.values())
        merged = f" + {report.merged:,} merged" if report.merged else ""
        rows = f"{report.rows_in:,} in = {report.used:,} used{merged} + {left_out:,} left out"
        lines.append(f"  {NAMES[table]:<{_NAME}}  {rows}")
        for line in _findings(report):
            lines += textwrap.wrap(line, WIDTH, initial_indent="    ", subsequent_indent="      ")
    missing = company.missing(tuple(NAMES))
    if missing:
        lines += textwrap.wrap(f"not given: {', '.join(missing)}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    odd = [f"{name}: {cause}" for name, cause in company.files.items() if cause not in NAMES.values()]
    for line in odd[:SHOWN]:
        lines += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _findings(report: TableReport) -> list[str]:
    found = [f"left out {count:,}: {reason}" for reason, count in list(report.left_out.items())[:SHOWN]]
    for fact, value in report.facts.items():
        if isinstance(value, dict) and "first" in value:
            count = next(number for name, number in value.items() if name != "first")
            first = value["first"]
            shown = ", ".join(map(str, first)) if not isinstance(first, dict) else _pairs(first)
            found.append(f"{_words(fact)}: {count:,} ({shown}{', ..' if count > len(first) else ''})")
        elif isinstance(value, dict):
            found.append(f"{_words(fact)}: {_pairs(value)}")
        elif isinstance(value, list):
            found.append(f"{_words(fact)}: {', '.join(value)}")
        elif value:
            found.append(f"{_words(fact)}: {value}")
    return found + list(report.notes)


def _words(fact: str) -> str:
    return fact.replace("_", " ")


def _pairs(value: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_pairs(v) if isinstance(v, dict) else f'{v:g}' if isinstance(v, float) else v}"
                     for name, v in value.items())  # fmt: skip
