"""`python -m jobs.ingest`: reads the source, cleans it, and says how fit it is to use. Nothing is trained."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from demand.append import append
from demand.company.read import read_company
from demand.company.report import as_json, summary_lines
from demand.durable import write_whole
from demand.errors import SettingsError, StorageError
from demand.ingest import Ingested, judged, kept_folder, read
from demand.kept import Kept, as_kept, held, new_key, read_kept, refuse_unlisted, seal_of, settings_of, write_kept
from demand.moments import stamp
from demand.panel import Panel
from demand.store import panel_hash, stored_panel, write_panel
from jobs.entry import FAILED, OK, run
from jobs.settings import Settings
from jobs.show import show
from models.files import write_json


def body(settings: Settings) -> int:
    """Writes the cleaned rows, their panel and `<storage>/quality/<time>.json`.

    With `source.append` the rows of files not taken before are added to those kept in `<storage>/rows`, and a rule at
    level error that fails keeps them out. The company's tables, where the settings name any, are read and reported as
    well; they stay where they are. Exit code 1 when a rule at level error fails.
    """
    root = Path(settings.storage.root)
    seal = seal_of(root / "rows")
    ingested, kept = _appended(settings, root / "rows") if settings.source.append else _anew(settings)
    company = read_company(settings.company) if settings.company.any else None
    moment = datetime.now(UTC)
    report = {"at": stamp(moment), **ingested.report.as_json()}
    if company is not None:
        report["company"] = as_json(company)
    path = root / "quality" / f"{moment:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}.json"
    refused = settings.source.append and bool(ingested.report.failed)
    if not refused:
        with held(root / "rows", seal):
            write_kept(kept, root / "rows")
            write_if_changed(ingested.panel, root / "panel")
    write_whole(path, lambda temporary: write_json(temporary, report))
    show(
        *ingested.report.summary_lines(),
        *(summary_lines(company) if company else ()),
        f"Report    {path}",
        *_scores(path.parent),
    )
    if refused:
        show("Refused   nothing was added: a rule at level error does not hold")
    return FAILED if ingested.report.failed else OK


def _anew(settings: Settings) -> tuple[Ingested, Kept]:
    """Everything in the source, in the place of what was kept."""
    if kept_folder(settings.source) is not None:
        raise SettingsError("these rows are kept already", key="source.path", found=settings.source.path)
    key = new_key()
    reading, taken = read(settings.source, settings.columns, settings.cleaning, key)
    kept = Kept(reading, key, taken, settings_of(settings.columns, settings.cleaning))
    return judged(reading, settings.source, settings.cleaning, settings.freq), kept


def _appended(settings: Settings, folder: Path) -> tuple[Ingested, Kept]:
    """The kept rows and those of the files not taken before; without kept rows this begins with the first file."""
    if kept_folder(settings.source) is not None:
        raise SettingsError("kept rows cannot be added to themselves", key="source.path", found=settings.source.path)
    source, columns, cleaning = settings.source, settings.columns, settings.cleaning
    before: Kept | None = None
    key, told = new_key(), settings_of(columns, cleaning)
    refuse_unlisted(folder)
    if seal_of(folder):
        before = read_kept(folder)
        key, told = before.key, dict(before.settings)
        columns, cleaning = as_kept(before, columns, cleaning)
    found = append(before.reading if before else None, before.taken if before else {}, source, columns, cleaning, key)
    kept = Kept(found.reading, key, found.taken, told)
    return judged(found.reading, source, cleaning, settings.freq), kept


def write_if_changed(panel: Panel, folder: Path) -> None:
    """Writes the panel unless the same one is there, whose files then stay as they are."""
    try:
        same = stored_panel(folder).data_hash == panel_hash(panel)
    except StorageError:  # none there, or a damaged one
        same = False
    if not same:
        write_panel(panel, folder)


def _scores(folder: Path) -> list[str]:
    """The quality score of the newest five readings, oldest first: a fall is seen at once."""
    newest = sorted(folder.glob("*.json"))[-5:]
    scores = [json.loads(path.read_text(encoding="utf-8"))["quality_score"] for path in newest]
    return ["Score     " + " -> ".join(f"{score:.0f}" for score in scores)] if len(scores) > 1 else []


if __name__ == "__main__":
    run("ingest", body)
