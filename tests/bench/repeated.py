"""A release of many styles in seconds: a small one whose styles are there many times under names of their own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demand.panel import Panel
from demand.store import read_panel, stored_panel, write_panel
from models.forecast_files import read_forecasts, write_forecasts
from models.registry import Registry

ROWS_A_GROUP = 64  # of stored forecasts, as releases have them
BUCKET = 500  # styles of history that are read at once


def repeated(registry: Registry, times: int) -> int:
    """Publishes and promotes the champion with every style `times` times; returns the new number.

    Nothing is trained or scored: the tables of styles, forecasts, history and weights are repeated, the fleet's own
    figures stay those of the small release. For load tests, which ask how fast it answers, not what.
    """
    release = registry.open("champion")
    champion = release.number

    def fill(folder: Path) -> dict[str, Any]:
        shutil.copytree(release.path, folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink()
        for name in ("forecasts", "members"):
            _forecasts(folder / f"{name}.parquet", times)
        for name in ("styles", "outcomes", "weights"):
            if (folder / f"{name}.parquet").is_file():
                _table(folder / f"{name}.parquet", times)
        _panel(folder / "panel", times)
        kept = {name: value for name, value in release.manifest.items() if name not in ("format", "files")}
        return kept | {"n_series": release.manifest["n_series"] * times}

    number = registry.publish(fill)
    registry.promote(number, expected=champion, facts={"forced": True, "reason": "a load test"})
    return number


def _named(ids: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    """(new names, ascending; the row that each is a copy of)."""
    names = np.array([f"{name}~{k:04d}" for name in ids.tolist() for k in range(times)])
    order = np.argsort(names, kind="stable")
    return names[order], np.repeat(np.arange(len(ids)), times)[order]


def _forecasts(path: Path, times: int) -> None:
    rows = []
    for kind, forecast in read_forecasts(path):
        names, of = _named(forecast.ids, times)
        rows.append((kind, replace(forecast.take(of), ids=names)))
    write_forecasts(path, rows, ROWS_A_GROUP)


def _table(path: Path, times: int) -> None:
    """Row groups stay row groups: one a model, where there are several."""
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    with pq.ParquetWriter(path, file.schema_arrow) as writer:
        for group in groups:
            names, of = _named(np.array(group["unique_id"].to_pylist()), times)
            table = group.take(pa.array(of))
            at = table.column_names.index("unique_id")
            table = table.set_column(at, table.schema.field(at), pa.array(names.tolist(), table.schema.field(at).type))
            writer.write_table(table, row_group_size=max(1, table.num_rows))


def _panel(folder: Path, times: int) -> None:
    panel = read_panel(folder)
    names, of = _named(panel.ids, times)
    lengths = panel.lengths[of]
    y = np.concatenate([panel.y[panel.indptr[i] : panel.indptr[i + 1]] for i in of])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    many = Panel(names, indptr, y, panel.end, panel.freq, unit=panel.unit)
    buckets = max(stored_panel(folder).buckets, len(names) // BUCKET + 1)
    shutil.rmtree(folder)
    folder.mkdir()
    write_panel(many, folder, buckets)
