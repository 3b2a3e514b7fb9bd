"""What a page is made of: small frozen blocks that one template draws, so that every page looks and works alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Cell:
    """One table cell. number: right-aligned. href: a link inside the application. tone: a coloured tag."""

    text: str
    number: bool = False
    href: str = ""
    tone: Tone = ""
    sort: float | str | None = None


@dataclass(frozen=True)
class Tile:
    """A figure that is read at a glance: what it is, its value with unit, and what stands behind it."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Tiles:
    kind: ClassVar[str] = "tiles"
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Chart:
    """A Plotly figure ({data, layout}) with its content in one sentence. name: unique on the page."""

    kind: ClassVar[str] = "chart"
    name: str
    figure: Mapping[str, Any]
    summary: str
    small: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns; the first column names the row. empty: what to do when there are none."""

    kind: ClassVar[str] = "table"
    name: str
    columns: Sequence[tuple[str, bool]]  # (heading, numbers below it)
    rows: Sequence[Sequence[Cell]]
    caption: str
    empty: str
    marked: frozenset[int] = frozenset()  # rows that stand out


@dataclass(frozen=True)
class Note:
    """A sentence in a box. tone "" is an empty state: what is missing and what to do."""

    kind: ClassVar[str] = "note"
    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Text:
    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Finding:
    """A sentence, and where more can be seen."""

    text: str
    links: Sequence[Cell] = ()


@dataclass(frozen=True)
class Findings:
    kind: ClassVar[str] = "findings"
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Field:
    """One input of a form. kind: text, number, select, checkbox, file or hidden."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    options: Sequence[tuple[str, str]] = ()  # (value, shown)
    attributes: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True)
class Form:
    """Sends its fields to the API as JSON (or as a file) and shows what came back; a job is followed to its end.

    shows: what the page does with the answer: message, job, forecast, report or download. confirm: asked
    before it is sent. method "GET" is a plain form that asks for a page.
    """

    kind: ClassVar[str] = "form"
    name: str
    action: str
    fields: Sequence[Field]
    button: str
    method: Literal["GET", "POST"] = "POST"
    shows: Literal["message", "job", "forecast", "report", "download"] = "message"
    confirm: str = ""


@dataclass(frozen=True)
class Pager:
    """Earlier and later rows of a long list."""

    kind: ClassVar[str] = "pager"
    text: str
    before: str = ""  # href, "" = none
    after: str = ""


Block = Tiles | Chart | Table | Findings | Note | Text | Form | Pager


@dataclass(frozen=True)
class Section:
    """A headed part of a page. live_seconds: fetched anew that often while the page is open."""

    title: str
    blocks: Sequence[Block]
    name: str = ""
    live_seconds: int = 0
