"""A process of its own that makes custom features of a file from outside: the limits and outcomes of `upload_child`.

    python -m serve_app.feature_child FOLDER

FOLDER holds `upload` and `asked.json`; afterwards it holds `kept/` (features.csv and report.json) or `refused.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demand.sources import SourceSettings
from models.files import write_json
from serve_app.upload_child import run

CSV = "features.csv"


def answer(folder: Path, asked: Mapping[str, Any]) -> None:
    """Writes kept/. Raises DemandError."""
    from models.tabular.custom_table import custom_table  # here: the server reads this module for a name

    source = SourceSettings(
        path=str(folder / "upload"), root=str(folder), encoding=asked["encoding"] or "auto",
        max_bytes=asked["max_bytes"], max_rows=asked["max_rows"], max_columns=asked["max_columns"],
    )  # fmt: skip
    lists = {name: None if asked[name] is None else tuple(asked[name]) for name in ("columns", "categories")}
    made = custom_table(source, asked["date"], **lists, group=asked["group"], nulls=asked["nulls"],
                        date_format=asked["date_format"])  # fmt: skip
    kept = folder / "kept"
    kept.mkdir()
    made.write_csv(kept / CSV)
    write_json(kept / "report.json", {**made.told, "csv_bytes": (kept / CSV).stat().st_size})


if __name__ == "__main__":
    run(Path(sys.argv[1]), answer)
