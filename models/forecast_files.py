"""Forecasts as Parquet: a row a model, origin and series, bit for bit what was in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.base import Forecast


def write_forecasts(path: Path, rows: Sequence[tuple[str, Forecast]], rows_a_group: int | None = None) -> None:
    """A row a model, origin and series; mean [H] and quantiles [H * Q] as fixed-size lists.

    rows_a_group: rows that can be read without reading the others, None = as many as the format likes.
    """
    tables = []
    for kind, forecast in rows:
        n, h, q = forecast.quantiles.shape
        columns = {
            "model": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array([kind])),
            "cutoff": pa.array(np.full(n, forecast.origin, np.int64)),
            "unique_id": pa.array(forecast.ids.tolist(), pa.string()),
            "mean": pa.FixedSizeListArray.from_arrays(pa.array(forecast.mean.ravel()), h),
            "quantiles": pa.FixedSizeListArray.from_arrays(pa.array(forecast.quantiles.ravel()), h * q),
            "level": pa.array(forecast.level),
        }
        for name in ("made_by", "reason", "note"):
            columns[name] = pa.array(getattr(forecast, name).tolist(), pa.string())
        tables.append(pa.table(columns))
    meta = {"levels": json.dumps(list(rows[0][1].levels)), "freq": rows[0][1].freq} if rows else {}
    table = pa.concat_tables(tables).unify_dictionaries() if tables else pa.table({"model": pa.array([], pa.string())})
    pq.write_table(table.replace_schema_metadata(meta), path, row_group_size=rows_a_group)


def read_forecasts(path: Path) -> list[tuple[str, Forecast]]:
    """What `write_forecasts` wrote, bit for bit."""
    table = pq.read_table(path)
    if not table.num_rows:
        return []
    meta = table.schema.metadata
    levels, freq = tuple(json.loads(meta[b"levels"])), meta[b"freq"].decode()
    model = table["model"].combine_chunks().cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
    cutoff = table["cutoff"].to_numpy()
    mean, quantiles = (_matrix(table[name]) for name in ("mean", "quantiles"))
    text = {n: table[n].to_numpy(zero_copy_only=False).astype(str) for n in ("unique_id", "made_by", "reason", "note")}
    level = table["level"].to_numpy()
    edges = np.flatnonzero((model[1:] != model[:-1]) | (cutoff[1:] != cutoff[:-1])) + 1
    out = []
    for a, b in zip([0, *edges], [*edges, len(model)], strict=True):
        rows = slice(int(a), int(b))
        forecast = Forecast(
            ids=text["unique_id"][rows], origin=int(cutoff[a]), freq=freq, levels=levels, mean=mean[rows],
            quantiles=quantiles[rows].reshape(int(b) - int(a), mean.shape[1], len(levels)),
            made_by=text["made_by"][rows], level=level[rows], reason=text["reason"][rows], note=text["note"][rows],
        )  # fmt: skip
        out.append((str(model[a]), forecast))
    return out


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False)).reshape(len(lists), -1)
