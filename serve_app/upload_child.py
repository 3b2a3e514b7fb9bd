"""A process of its own for a file that came from outside: reads it under limits, writes the panel and the report.

    python -m serve_app.upload_child FOLDER

FOLDER holds `upload` and `asked.json`; afterwards it holds `kept/` (panel/ and report.json) or `refused.json`. The
loader is that of all jobs (`demand.ingest`). The process has no tokens or keys in its environment, a ceiling of memory
and of CPU time, and is killed when it takes too long.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from demand.cleaning import CleaningSettings
from demand.columns import PERSONAL, ColumnSettings
from demand.errors import DemandError, SchemaError
from demand.exports import normalised
from demand.ingest import ingest
from demand.settings import build
from demand.sources import SourceSettings
from demand.store import write_panel
from demand.units import UNIT_REASON
from models.files import read_json, write_json
from serve_app.schemas.uploads import told

# Facts that are no cells of the file: its headers, as far as they are shown at all, and our own words.
HEADERS = {"columns", "column", "candidates", "looked_for", "nearest", "key", "date_format", "encoding", "delimiter",
           "line", "found", "known", "expected", "sheet", "sheets", "header", "headings", "tried", "read_as", "freq",
           "format", "formats", "best", "missing"}  # fmt: skip
_PLACE = r"row \d+: \d+ fields|\d+ .{0,3}(rows|cells|bytes)"
_UNITS = re.compile(rf"({UNIT_REASON.strip()}) (.+?) (is not) ([^;,]+)")
LIMITS = "The service's limits are serve.max_upload_mb and serve.max_upload_rows"


def run(folder: Path, answer: Callable[[Path, Mapping[str, Any]], None]) -> None:
    """One file, one outcome; what is neither (a bug, no memory) is an exit status.

    answer: (folder, asked) -> writes kept/, or raises DemandError.
    """
    asked = read_json(folder / "asked.json")
    _limit(int(asked["memory_bytes"]), int(asked["cpu_seconds"]))
    try:
        answer(folder, asked)
    except DemandError as error:
        write_json(folder / "refused.json", refusal(error))
    except MemoryError:
        detail = f"reading it takes more than {asked['memory_bytes'] // 2**20} MB of memory. {LIMITS}"
        write_json(folder / "refused.json", {"status_code": 413, "detail": detail})


def answer(folder: Path, asked: Mapping[str, Any]) -> None:
    """Writes kept/. Raises DemandError."""
    source = SourceSettings(
        path=str(folder / "upload"), root=str(folder), encoding=asked["encoding"] or "auto",
        max_bytes=asked["max_bytes"], max_rows=asked["max_rows"], max_columns=asked["max_columns"],
    )  # fmt: skip
    # What names personal columns on purpose is meant for jobs, never for a file that anybody may send.
    columns = build(ColumnSettings, {**asked["columns"], "keep": ()}, "columns")
    refuse_personal(columns)
    found = ingest(source, columns, build(CleaningSettings, asked["cleaning"], "cleaning"), asked["freq"])
    kept = folder / "kept"
    kept.mkdir()
    write_panel(found.panel, kept / "panel")
    write_json(kept / "report.json", plain_units(told(found.report.as_json(), found.panel.ids[:20].tolist())))


def refuse_personal(columns: ColumnSettings) -> None:
    """Raises SchemaError when a column about people or partners is to be the date, a style or the quantity: its cells
    would be kept and shown."""
    given = {"date": (columns.date,), "style": columns.style_columns, "quantity": (columns.quantity,)}
    for role, names in given.items():
        wrong = [name for name in names if name is not None and normalised(name) in PERSONAL]
        if wrong:
            raise SchemaError(
                f"this column names people or partners: it cannot be the {role}", column=wrong[0],
                hint=f"Name another column with {role}",
            )  # fmt: skip


def refusal(error: DemandError) -> dict[str, Any]:
    """The error as the client hears it: parameters by the names they have in the query, limits by our settings.

    Of cells only the shape is said: a shifted row or a wrong column may hold a person's name.
    """
    too_large = bool({"limit", "limit_bytes"} & error.facts.keys())
    shown: dict[str, Any] = {name: value if name in HEADERS else _shapes(value) for name, value in error.facts.items()
             if name not in ("file", "path")}  # fmt: skip
    if "left_out" in shown:
        shown["left_out"] = plain_units(error.facts["left_out"])
    if "cause" in error.facts:  # Arrow ends its words with the line itself
        shown["cause"] = re.sub(r"(got \d+): .*", r"\1", str(error.facts["cause"]), flags=re.S)
    facts = ", ".join(f"{name}={value}" for name, value in DemandError("", **shown).shown_facts().items())
    detail = error.message + (f" ({facts})" if facts else "")
    hint = LIMITS if too_large else error.hint
    hint = re.sub(r"\b(?:columns|source)\.(date_format|date|style|quantity|decimal|encoding)\b", r"\1", hint)
    return {"status_code": 413 if too_large else 422, "detail": f"{detail}. {hint}" if hint else detail}


def shape_of(text: str) -> str:
    """How a cell is written, without what is written: `Aaaa A-99` for `Jane Q-17`."""
    return re.sub(r"[^\W\d_]", lambda found: "A" if found.group().isupper() else "a", re.sub(r"\d", "9", text))


def _shapes(value: Any) -> Any:
    if isinstance(value, str):
        return value if re.fullmatch(_PLACE, value) else shape_of(value)
    if isinstance(value, Mapping):
        return {_shapes(name): _shapes(inner) for name, inner in value.items()}
    return [_shapes(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else value


def plain_units(report: Any) -> Any:
    """The report with the shape of what stands in the unit column and is more than one short word."""
    if isinstance(report, str):
        return _UNITS.sub(lambda found: " ".join(map(_unit, found.groups())), report)
    if isinstance(report, Mapping):
        made: dict[str, Any] = {}
        for name, value in report.items():
            if name == "chosen":  # role -> header: no cell is in it
                made[name] = value
                continue
            plain, inner = plain_units(name), plain_units(value)
            inner = _unit(inner) if name == "unit" and isinstance(inner, str) else inner
            made[plain] = made[plain] + inner if plain in made and isinstance(inner, int) else inner
        return made
    return [plain_units(one) for one in report] if isinstance(report, list) else report


def _unit(text: str) -> str:
    return text if re.fullmatch(r"unit|is not|\(blank\)|\S{0,12}", text) else shape_of(text)


def plain_columns(configured: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The configured columns (as JSON-ready values) with those the request names; unknown keys are left out."""
    known = {field.name for field in fields(ColumnSettings)}
    return {name: value for name, value in {**configured, **given}.items() if name in known}


def _limit(memory: int, cpu_seconds: int) -> None:
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    run(Path(sys.argv[1]), answer)
