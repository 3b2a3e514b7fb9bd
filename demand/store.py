"""A panel on disk: Parquet files, a row a series, split by a stable hash of the id.

    <folder>/panel.json                        what the panel is, which files hold it, their sha256
    <folder>/bucket-00000-<sha256>.parquet     unique_id, y, past.*, future.* (a list a series), static.*

panel.json is written last and replaced in one step: a reader sees the old panel or the new one, never a mixture. A
bucket can be read alone, so a fleet larger than one machine's memory is worked through bucket by bucket.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.durable import write_whole
from demand.errors import SchemaError, SettingsError, StorageError
from demand.panel import Floats, Ints, Panel, Strings

MANIFEST = "panel.json"
FORMAT = 1


@dataclass(frozen=True)
class StoredPanel:
    """What a stored panel's manifest says, without reading its data."""

    data_hash: str  # panel_hash of the whole panel
    n_series: int
    buckets: int
    freq: str
    end: int
    ahead: int
    unit: str
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: Mapping[str, str]  # name: numpy dtype
    files: tuple[tuple[str, str], ...]  # of each bucket: name, sha256


def panel_hash(panel: Panel) -> str:
    """sha256 (hex) over what the panel says: equal panels have equal hashes, wherever and however they are stored.

    The order of the columns' names, the width of fixed-width text and the bits inside a NaN do not matter; -0.0 is 0.0.
    Raises SchemaError for a static column that cannot be stored.
    """
    digest = hashlib.sha256()

    def add(name: str, payload: bytes) -> None:
        label = name.encode()
        digest.update(f"{len(label)}:{len(payload)}:".encode() + label)
        digest.update(payload)

    add("panel", json.dumps([FORMAT, panel.freq, int(panel.end), int(panel.ahead), panel.unit]).encode())
    add("ids", json.dumps(panel.ids.tolist()).encode())
    add("lengths", panel.lengths.astype("<i8").tobytes())
    add("y", _canonical(panel.y))
    for group, columns in (("past", panel.past), ("future", panel.future)):
        for name in sorted(columns):
            add(f"{group}.{name}", _canonical(columns[name]))
    for name in sorted(panel.static):
        values = panel.static[name]
        if values.dtype.kind in "OU":
            payload = json.dumps(_texts(name, values)).encode()
        elif values.dtype.kind == "M":
            payload = values.astype("datetime64[ns]").astype("<i8").tobytes()
        elif values.dtype.kind == "f":
            payload = _canonical(values)
        else:
            payload = _checked(name, values).astype("<i8").tobytes()
        add(f"static.{values.dtype.kind.replace('U', 'O')}.{name}", payload)
    return digest.hexdigest()


def bucket_of(ids: Strings, buckets: int) -> Ints:
    """The bucket of each id [n] -> [n] in 0 .. buckets-1: CRC-32 of its UTF-8 text, the same on every machine."""
    return np.array([zlib.crc32(name.encode()) % buckets for name in ids.tolist()], dtype=np.int64)


def write_panel(panel: Panel, folder: Path, buckets: int = 1) -> str:
    """Writes `panel` into `folder`, replacing a panel that is there; returns its `panel_hash`.

    Raises SettingsError for less than one bucket, SchemaError for a static column that cannot be stored (allowed:
    numbers, booleans, dates, and text or mixed values of str, bool, int, float and None) and StorageError when the
    folder cannot be written. One writer at a time; readers may read meanwhile.
    """
    if buckets < 1:
        raise SettingsError("a panel has at least one bucket", key="buckets", found=buckets)
    for name, values in panel.static.items():
        _checked(name, values)
    try:
        before = {name for name, _ in stored_panel(folder).files}
    except StorageError:  # nothing there, or a damaged panel that this one replaces
        before = set()
    bucket = bucket_of(panel.ids, buckets)
    files = [_write_bucket(panel.take(np.flatnonzero(bucket == k)), folder, k) for k in range(buckets)]
    facts: dict[str, Any] = {
        "format": FORMAT,
        "data_hash": panel_hash(panel),
        "n_series": panel.n_series,
        "buckets": buckets,
        "freq": panel.freq,
        "end": int(panel.end),
        "ahead": int(panel.ahead),
        "unit": panel.unit,
        "past": list(panel.past),
        "future": list(panel.future),
        "static": {name: values.dtype.str for name, values in panel.static.items()},
        "files": files,
    }
    text = json.dumps({"panel": facts, "sha256": _seal(facts)}, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    write_whole(folder / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))
    for name in before - {name for name, _ in files}:
        (folder / name).unlink(missing_ok=True)
    return str(facts["data_hash"])


def stored_panel(folder: Path) -> StoredPanel:
    """What is stored in `folder`. Raises StorageError when there is no panel, or none that can be read."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError("no stored panel here", folder=str(folder), cause=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from None
    try:
        content = json.loads(text)
        facts, sealed = content["panel"], content["sha256"]
        if sealed != _seal(facts):
            raise _damaged(path, "its sha256 does not fit")
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, repr(error)) from None
    if facts["format"] != FORMAT:
        raise StorageError(
            "the stored panel has an unknown format", file=str(path), expected=FORMAT, found=facts["format"]
        )
    return StoredPanel(
        **{name: facts[name] for name in ("data_hash", "n_series", "buckets", "freq", "end", "ahead", "unit")},
        past=tuple(facts["past"]),
        future=tuple(facts["future"]),
        static=facts["static"],
        files=tuple((name, sha256) for name, sha256 in facts["files"]),
    )


def read_panel(folder: Path, bucket: int | None = None) -> Panel:
    """The stored panel, or the series of one bucket of it (which may be none), equal to the bit to what was written.

    Every file is compared with its sha256 before it is parsed. Raises StorageError when something is missing or
    damaged and SettingsError for a bucket the panel does not have.
    """
    stored = stored_panel(folder)
    if bucket is not None and not 0 <= bucket < len(stored.files):
        raise SettingsError("the stored panel has no such bucket", key="bucket", found=bucket, buckets=stored.buckets)
    chosen = stored.files if bucket is None else stored.files[bucket : bucket + 1]
    try:
        parts = [_read_bucket(folder / name, sha256, stored) for name, sha256 in chosen]
    except StorageError:
        if stored_panel(folder) == stored:
            raise
        return read_panel(folder, bucket)  # it was replaced while it was read
    return parts[0] if len(parts) == 1 else _merged(parts)


def _seal(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, cause: str) -> StorageError:
    return StorageError("the stored panel's manifest is damaged", file=str(path), cause=cause)


def _write_bucket(panel: Panel, folder: Path, number: int) -> tuple[str, str]:
    """Writes one bucket under a name that holds its sha256; returns that name and the sha256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def lists(values: Floats, ahead: int = 0) -> Any:
        offsets = panel.indptr + np.arange(len(panel.indptr)) * ahead
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, pa.float64()))

    columns = {"unique_id": pa.array(panel.ids.tolist(), pa.string()), "y": lists(panel.y)}
    columns |= {f"past.{name}": lists(values) for name, values in panel.past.items()}
    columns |= {f"future.{name}": lists(values, panel.ahead) for name, values in panel.future.items()}
    for name, values in panel.static.items():
        if values.dtype.kind == "O":
            columns[f"static.{name}"] = pa.array([json.dumps(value) for value in _texts(name, values)], pa.string())
        elif values.dtype.kind == "M":
            columns[f"static.{name}"] = pa.array(values.astype(np.int64))
        elif values.dtype.kind == "U":
            columns[f"static.{name}"] = pa.array(values.tolist(), pa.string())
        else:
            columns[f"static.{name}"] = pa.array(values)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"bucket-{number:05d}-{sha256[:16]}.parquet"
    write_whole(path, lambda temporary: temporary.write_bytes(content))
    return path.name, sha256


def _read_bucket(path: Path, sha256: str, stored: StoredPanel) -> Panel:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError("a file of the stored panel cannot be read", file=str(path), cause=str(error)) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise StorageError("a file of the stored panel is damaged", file=str(path), expected=sha256, found=found)
    table = pq.read_table(pa.BufferReader(content), use_threads=False).combine_chunks()

    def flat(name: str) -> Floats:
        column = table.column(name).combine_chunks()
        return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)

    y = table.column("y").combine_chunks()
    lengths = y.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return Panel(
        ids=np.array(table.column("unique_id").to_pylist(), dtype=str),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        y=flat("y"),
        end=stored.end,
        freq=stored.freq,
        past={name: flat(f"past.{name}") for name in stored.past},
        future={name: flat(f"future.{name}") for name in stored.future},
        ahead=stored.ahead,
        static={name: _static(table.column(f"static.{name}"), kind) for name, kind in stored.static.items()},
        unit=stored.unit,
    )


def _static(column: Any, dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.kind == "O":
        values = np.empty(len(column), dtype=object)
        values[:] = [json.loads(text) for text in column.to_pylist()]
        return values
    if kind.kind == "U":
        return np.array(column.to_pylist(), dtype=kind)
    stored = column.to_numpy()
    return np.asarray(stored.view(kind) if kind.kind == "M" else stored.astype(kind, copy=False))


def _merged(parts: list[Panel]) -> Panel:
    """The buckets of one panel as one panel, ids ascending."""

    def joined(columns: list[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}

    panel = replace(
        parts[0],
        ids=np.concatenate([part.ids for part in parts]),
        indptr=np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]).astype(np.int64),
        y=np.concatenate([part.y for part in parts]),
        past=joined([part.past for part in parts]),
        future=joined([part.future for part in parts]),
        static=joined([part.static for part in parts]),
    )
    return panel.take(np.argsort(panel.ids, kind="stable"))


def _canonical(values: NDArray[Any]) -> bytes:
    """Bytes that are equal where values are: one NaN, no negative zero."""
    plain = values.astype("<f8") + 0.0  # -0.0 + 0.0 is 0.0
    plain[np.isnan(plain)] = np.nan
    return plain.tobytes()


def _checked(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "biufUOM":
        raise SchemaError("a static column cannot be stored", column=name, dtype=str(values.dtype))
    if values.dtype.kind == "O":
        _texts(name, values)
    return values


def _texts(name: str, values: NDArray[Any]) -> list[Any]:
    """A column of Python values as what JSON can hold. Raises SchemaError for anything else."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values.tolist()]
    odd = sorted({type(value).__name__ for value in plain if not isinstance(value, str | bool | int | float | None)})
    if odd:
        raise SchemaError(
            "a static column cannot be stored", column=name, types=odd, expected="str, bool, int, float or None"
        )
    return plain
