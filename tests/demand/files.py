"""Small raw files for the ingest tests, written into a test's own folder."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.ingest import Ingested, ingest
from demand.sources import SourceSettings

HEADER = "Order Date,Style,Qty\n"
DAYS = 28
# style A sells the day's number, style B twice that, every day of January 2024
ROWS = "".join(f"2024-01-{d:02d},A,{d}\n2024-01-{d:02d},B,{2 * d}\n" for d in range(1, DAYS + 1))
TOTAL = 3.0 * sum(range(1, DAYS + 1))


def ingested(
    folder: Path,
    content: str | bytes,
    freq: str = "auto",
    *,
    name: str = "sales.csv",
    columns: dict[str, Any] | None = None,
    cleaning: dict[str, Any] | None = None,
    today: datetime.date | None = None,
    **source: Any,
) -> Ingested:
    """Writes one file and ingests it."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = SourceSettings(path=str(path), **source)
    return ingest(settings, ColumnSettings(**columns or {}), CleaningSettings(**cleaning or {}), freq, today)
