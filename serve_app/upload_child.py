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
from demand.columns import ColumnSettings
from demand.errors import DemandError
from demand.ingest import ingest
from demand.settings import build
from demand.sources import SourceSettings
from demand.store import write_panel
from models.files import read_json, write_json
from serve_app.schemas.uploads import told

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
    found = ingest(source, columns, build(CleaningSettings, asked["cleaning"], "cleaning"), asked["freq"])
    kept = folder / "kept"
    kept.mkdir()
    write_panel(found.panel, kept / "panel")
    write_json(kept / "report.json", told(found.report.as_json(), found.panel.ids[:20].tolist()))


def refusal(error: DemandError) -> dict[str, Any]:
    """The error as the client hears it: parameters by the names they have in the query, limits by our settings."""
    too_large = bool({"limit", "limit_bytes"} & error.facts.keys())
    facts = ", ".join(f"{name}={value}" for name, value in error.shown_facts().items() if name not in ("file", "path"))
    detail = error.message + (f" ({facts})" if facts else "")
    hint = LIMITS if too_large else error.hint
    hint = re.sub(r"\b(?:columns|source)\.(date_format|date|style|quantity|decimal|encoding)\b", r"\1", hint)
    return {"status_code": 413 if too_large else 422, "detail": f"{detail}. {hint}" if hint else detail}


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
