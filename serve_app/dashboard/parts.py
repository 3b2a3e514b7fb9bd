"""Parts that several pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from serve_app.dashboard.blocks import Block, Cell, Field, Note, Pager, Table, Tone
from serve_app.dashboard.shown import number, percent, quantity

DAYS = 30
ACTIONS = {"increase_stock": "increase stock", "no_action": "no action"}
ACTION_TONES: dict[str, Tone] = {"review": "warn", "increase_stock": "good", "reduce": "bad"}
MEMBERS = ("arima", "prophet", "lstm", "xgboost", "tide")


def link(path: str, **query: str | int | None) -> str:
    """An address inside the application; parameters that are None are left out."""
    told = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(told)}" if told else path


def style_link(style: str) -> str:
    return link("/style", id=style)


def unit_of(answer: Mapping[str, Any]) -> str:
    """The unit of quantities, "units" when the data does not say one."""
    return answer["units"]["quantity"] or "units"


def dates_ahead(first: str, days: int) -> str:
    """The days of a total, `2025-09-01 to 2025-09-30`. first: its first day."""
    return f"{first} to {date.fromisoformat(first) + timedelta(days=days - 1)}"


def changed(styles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of two compared releases, the styles that are forecast otherwise; one whose total one of them lacks is, too."""
    return [row for row in styles if row["before"] != row["now"]]


def no_data(answer: Mapping[str, Any]) -> Note | None:
    """The empty state of an answer without data; None when there is some."""
    return Note(str(answer["reason"])) if answer["status"] == "no_data" else None


def style_table(name: str, rows: Sequence[Mapping[str, Any]], unit: str, empty: str, days: int = DAYS) -> Table:
    """Styles as the list and the overview show them."""
    columns = (
        ("style", False), ("class", False), (f"sold, last 30 days ({unit})", True),
        (f"forecast, {days} days ({unit})", True), ("growth", True), ("confidence", True), ("action", False),
    )  # fmt: skip
    return Table(name, columns, [_style_row(row, days) for row in rows], "Styles and their forecast", empty)


def _style_row(row: Mapping[str, Any], days: int) -> list[Cell]:
    action = str(row["recommended_action"])
    ahead = row[f"forecast_{days}_days"]
    return [
        Cell(row["style"], href=style_link(row["style"])),
        Cell(row["demand_class"]),
        number(row["last_30_days"], quantity(row["last_30_days"])),
        number(ahead, quantity(ahead)),
        number(row["growth_rate"], percent(row["growth_rate"], signed=True, digits=0)),
        number(row["confidence"], percent(row["confidence"], digits=0)),
        Cell(ACTIONS.get(action, action), tone=ACTION_TONES.get(action, "")),
    ]


def pager(path: str, page: Mapping[str, Any], **query: str | int | None) -> list[Block]:
    """Where in a long list one is, with links to the parts before and after; nothing where all of it is empty."""
    if not page["total"]:
        return []
    offset, limit = int(page["offset"]), int(page["limit"] or page["total"] or 1)
    first, last = offset + 1, offset + page["returned"]
    before = link(path, **query, offset=max(0, offset - limit)) if offset else ""
    after = link(path, **query, offset=page["next_offset"]) if page["next_offset"] is not None else ""
    where = f"{first:,} to {last:,}" if page["returned"] else "none"
    return [Pager(f"{where} of {page['total']:,}", before, after)]


def choice(name: str, label: str, options: Sequence[tuple[str, str]], value: str) -> Field:
    return Field(name, label, "select", value, options)


def whole(query: Mapping[str, str], name: str, default: int) -> str:
    """A number of the query as it was written; the API says what is wrong with it."""
    return query.get(name) or str(default)
