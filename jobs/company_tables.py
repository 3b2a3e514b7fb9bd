"""The company's tables on their way into a release: read when a run begins, kept in its folder, copied as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demand.company.read import read_company
from demand.company.report import as_json
from demand.company.tables import Company
from demand.panel import Panel
from evaluation.serving_company import kept_tables
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from models.files import write_json

FOLDER = "company"
FACTS = "facts.json"  # what each block of an answer may say of its table
REPORT = "report.json"  # what became of the rows of every table
FILES = ("stock", "orders", "machines", "knit")


def read_tables(settings: Settings) -> Company | None:
    """The tables that the settings name; None where they name none. Raises as `demand.company.read.read_company`."""
    return read_company(settings.company) if settings.company.any else None


def write_tables(run: RunFolder, company: Company | None, panel: Panel, settings: Settings) -> None:
    """`company/` in the folder of a run that begins: what its release is to answer from; nothing without tables."""
    if company is None:
        return
    folder = run.file(FOLDER)
    folder.mkdir()
    kept = kept_tables(company, panel.ids, panel.unit, settings.company)
    for name, frame in kept.frames.items():
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet")
    write_json(folder / FACTS, kept.facts)
    write_json(folder / REPORT, as_json(company))


def copy_tables(source: Path, target: Path) -> None:
    """From a run to its release, or from a release to a run made from it; nothing where there are none."""
    if (source / FOLDER).is_dir():
        shutil.copytree(source / FOLDER, target / FOLDER)
