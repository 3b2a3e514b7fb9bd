"""`python -m jobs.ingest`: reads the source, cleans it, and says how fit it is to use. Nothing is trained."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from demand.durable import write_whole
from demand.ingest import Ingested, ingest
from demand.store import write_panel
from jobs.entry import FAILED, OK, run
from jobs.settings import Settings
from jobs.show import show
from models.files import write_json


def body(settings: Settings) -> int:
    """Writes `<storage>/quality/<time>.json` and the cleaned panel; exit code 1 when a rule at level error fails."""
    ingested = read(settings)
    moment = datetime.now(UTC)
    folder = Path(settings.storage.root) / "quality"
    report = {"at": moment.isoformat(timespec="seconds").replace("+00:00", "Z"), **ingested.report.as_json()}
    path = folder / f"{moment:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}.json"
    write_whole(path, lambda temporary: write_json(temporary, report))
    write_panel(ingested.panel, Path(settings.storage.root) / "panel")
    show(*ingested.report.summary_lines(), f"Report    {path}", *_scores(folder))
    return FAILED if ingested.report.failed else OK


def read(settings: Settings) -> Ingested:
    """The cleaned panel and its report, as every job reads it."""
    return ingest(settings.source, settings.columns, settings.cleaning, settings.freq)


def _scores(folder: Path) -> list[str]:
    """The quality score of the newest five readings, oldest first: a fall is seen at once."""
    newest = sorted(folder.glob("*.json"))[-5:]
    scores = [json.loads(path.read_text(encoding="utf-8"))["quality_score"] for path in newest]
    return ["Score     " + " -> ".join(f"{score:.0f}" for score in scores)] if len(scores) > 1 else []


if __name__ == "__main__":
    run("ingest", body)
