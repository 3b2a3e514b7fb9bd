"""Small things read from the files of a release."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from models.files import read_json


def importances(folder: Path, model: str) -> dict[str, float]:
    """Feature -> share of a model's live fit, largest first, equal ones by name; empty when it has none."""
    for path in sorted(folder.glob(f"models/{model}/*/importances.json")):
        found: dict[str, float] = read_json(path)
        if found:
            return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return {}


def model_of_group(styles: pq.ParquetFile, group: int) -> str:
    """The model whose rows are this row group of styles.parquet."""
    column = styles.read_row_group(group, columns=["model"])["model"]
    return str(column[0].as_py())
