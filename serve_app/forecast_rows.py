"""Stored forecasts, one row at a time: a file of small row groups, mapped into memory, of which a few are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demand.panel import Floats

GROUPS_KEPT = 16


@dataclass(frozen=True, eq=False)
class ForecastRows:
    """A file of `models.forecast_files`, of one origin: the rows of each model lie together.

    first: model -> its first row; count: model -> its rows; edges [G + 1]: the first row of each row group, and the end
    """

    file: pq.ParquetFile
    first: Mapping[str, int]
    count: Mapping[str, int]
    edges: np.ndarray
    _lock: RLock = field(default_factory=RLock)
    _kept: OrderedDict[int, tuple[Floats, Floats]] = field(default_factory=OrderedDict)

    @classmethod
    def open(cls, path: Path) -> ForecastRows:
        """Reads only which rows are whose. Raises ValueError when the rows of a model do not lie together."""
        file = pq.ParquetFile(path, memory_map=True)
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        model = file.read(columns=["model"])["model"].combine_chunks()
        changes = pc.run_end_encode(model.cast(pa.string()))
        values, ends = changes.values.to_pylist(), changes.run_ends.to_pylist()
        if len(set(values)) < len(values):
            raise ValueError(f"{path.name} has rows of {values}, not of one model after the other")
        begins = [0, *ends[:-1]]
        return cls(
            file,
            dict(zip(values, begins, strict=True)),
            {name: end - begin for name, begin, end in zip(values, begins, ends, strict=True)},
            np.concatenate([[0], np.cumsum(groups)]),
        )

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self.first)

    def rows(self, model: str) -> int:
        return self.count[model]

    def read(self, model: str, row: int) -> tuple[Floats, Floats]:
        """(mean [H], quantiles [H * Q]) of a model's row. KeyError: no such model."""
        at = self.first[model] + row
        group = int(np.searchsorted(self.edges, at, side="right")) - 1
        with self._lock:
            found = self._kept.pop(group, None) or self._read(group)
            self._kept[group] = found
            while len(self._kept) > GROUPS_KEPT:
                self._kept.popitem(last=False)
        k = at - int(self.edges[group])
        return found[0][k], found[1][k]

    def means(self, model: str) -> Floats:
        """[N, H]: all of a model's rows. KeyError: no such model."""
        begin, n = self.first[model], self.count[model]
        first, last = np.searchsorted(self.edges, [begin, begin + n - 1], side="right") - 1
        groups = list(range(int(first), int(last) + 1))
        column = self.file.read_row_groups(groups, columns=["mean"])["mean"].combine_chunks()
        skipped = begin - int(self.edges[first])
        return _matrix(column)[skipped : skipped + n]

    def _read(self, group: int) -> tuple[Floats, Floats]:
        table = self.file.read_row_group(group, columns=["mean", "quantiles"])
        mean, quantiles = (table[name].combine_chunks() for name in ("mean", "quantiles"))
        return _matrix(mean), _matrix(quantiles)


def _matrix(lists: pa.FixedSizeListArray) -> Floats:
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False)).reshape(len(lists), -1)
