"""Is the data fit to use? The cleaning report of the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Field, Form, Section, Table, Text, Tile, Tiles, Tone
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import no_data
from serve_app.dashboard.shown import out_of_100, quantity

TONES: dict[str, Tone] = {"good": "good", "fair": "warn", "poor": "bad"}
MOST = 12  # lines of one list
# The report's own names, where they would not be understood or are also the name of something else.
WORDS = {
    "data_hash": "sha256 of the files read", "personal_dropped": "personal columns read, then dropped",
    "mapping": "columns by their role", "stale_days": "days since the last sale", "as_of": "judged on the day",
}  # fmt: skip


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/data-quality")
    empty = no_data(answer)
    upload = Section("Check a file", [
        Text(["A file is read and cleaned as a training run would, and kept under an id that predictions "
              "can name, until the moment that its report names. Personal columns are dropped."]),
        Form("upload", "/api/upload_csv", (Field("file", "CSV, Excel, JSON or Parquet", "file",
                                                 attributes={"required": "required"}),), "Check", shows="report"),
    ])  # fmt: skip
    if empty:
        return [Section("", [empty]), upload]
    report = answer["report"]
    return [Section("", [_tiles(answer, report)]), Section("The report", _facts(report)), upload]


def _tiles(answer: Mapping[str, Any], report: Mapping[str, Any]) -> Tiles:
    word, score = answer["data_quality"], answer["quality_score"]
    tiles = [Tile("Quality", "not measured" if score is None else out_of_100(score), word or "",
                  TONES.get(word or "", ""))]  # fmt: skip
    for key, label in (("rows_in", "Rows read"), ("used", "Rows used"), ("merged", "Rows merged")):
        if isinstance(report.get(key), int):
            tiles.append(Tile(label, f"{report[key]:,}"))
    left = report.get("left_out")
    if isinstance(left, Mapping):
        tiles.append(Tile("Left out", f"{sum(left.values()):,}", "; ".join(left)))
    return Tiles(tiles)


def _facts(report: Mapping[str, Any]) -> Sequence[Block]:
    rows = [[Cell(WORDS.get(name, name.replace("_", " "))), Cell(text)] for name, text in _flat(report)]
    return [Table("facts", (("what", False), ("found", False)), rows, "The cleaning report", "Nothing was reported.")]


def _flat(report: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Each fact in one line; long lists are cut, and say so."""
    found = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            told = [f"{_named(key)}: {_short(inner)}" for key, inner in value.items()]
            found.append((name, _joined(told)))
        elif isinstance(value, list):
            found.append((name, _joined([_short(inner) for inner in value])))
        else:
            found.append((name, _short(value)))
    return [(name, text) for name, text in found if text]


def _short(value: Any) -> str:
    if value is None or value == "" or value == {} or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return quantity(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_named(key)} {text}" for key, inner in value.items() if (text := _short(inner)))
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value)


def _named(key: Any) -> str:
    return str(key).replace("_", " ")


def _joined(parts: Sequence[str]) -> str:
    kept = [part for part in parts if part and not part.endswith(": ")]
    more = f" .. {len(kept)} in all" if len(kept) > MOST else ""
    return "; ".join(kept[:MOST]) + more


PAGE = Page("/quality", "Data", 70, build, "What came in, what was used, and what was left out and why.")
