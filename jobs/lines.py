"""How many order lines each style of a run has: `lines.parquet` in its folder, where the source had any."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demand.durable import write_whole
from demand.errors import StorageError, VersionUnreadable
from demand.panel import Ints, Strings
from jobs.run_folder import RunFolder
from models.release import Release

FILE = "lines.parquet"


def write_order_lines(run: RunFolder, ids: Strings, lines: Ints | None) -> None:
    """unique_id, n_orders: a row a style of the panel; lines [N] are None where the source has none, then no file."""
    if lines is None:
        return
    columns = {"unique_id": pa.array(ids.tolist(), pa.string()), "n_orders": pa.array(lines, pa.int64())}
    write_whole(run.file(FILE), lambda path: pq.write_table(pa.table(columns), path))


def order_lines(run: RunFolder) -> dict[str, int] | None:
    """Style -> order lines; None where the source of the run had no lines, or nobody counted them.

    Raises StorageError when the file is damaged.
    """
    path = run.file(FILE)
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
        return dict(zip(table["unique_id"].to_pylist(), table["n_orders"].to_pylist(), strict=True))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StorageError("a file of the run cannot be used", file=FILE, cause=str(error)) from None


def released_lines(release: Release, ids: Strings) -> Ints | None:
    """[N]: the order lines a release tells of these styles, for a run that is made from its demand.

    None where it tells none, or not of every style.
    """
    try:
        table = pq.read_table(release.file("styles.parquet"), columns=["unique_id", "n_orders"])
    except (OSError, pa.ArrowException) as error:
        raise VersionUnreadable(
            "a stored file cannot be used", release=release.number, file="styles.parquet", cause=str(error)
        ) from None
    told = dict(zip(table["unique_id"].to_pylist(), table["n_orders"].to_pylist(), strict=True))
    found = [told.get(name) for name in ids.tolist()]
    return None if None in found else np.array(found, dtype=np.int64)
