"""The rows a storage keeps: every row read so far, cleaned, so that new files can be added without the old ones.

    <folder>/rows.json              which files were taken, how they were read, and the sha256 of the rows
    <folder>/rows-<sha256>.parquet  style, day, y, cell, fate, document (a keyed hash), past.*, future.*, static.*

rows.json is written last and replaced in one step. No personal column is kept, and of a document only a hash under a
key of its own for each storage.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from demand.cleaning import CleaningSettings, CleanRows, static_table
from demand.columns import ColumnSettings
from demand.durable import unwritable, write_whole
from demand.errors import SettingsError, StorageError
from demand.ledger import Ledger
from demand.parsing import as_text, is_text
from demand.reading import Reading
from demand.settings import build

MANIFEST = "rows.json"
FORMAT = 1
_ROWS = re.compile(r"rows-[0-9a-f]{16}\.parquet")
# What cleaning did to the rows cannot be undone: these keys are those of the first reading.
_BAKED = ("returns", "target_unit", "unit_table", "duplicates", "stockouts", "first_date", "last_date")
_PLAIN = ("data_hash", "export", "layout", "mapping", "headers", "personal", "notes", "unread", "columns", "style",
          "regular", "wide", "parts")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Kept:
    """What a storage keeps.

    key: of 16 characters, for the hashes of the documents. taken: sha256 -> stamp of every file taken. settings: how
    the rows were cleaned, {columns, cleaning}.
    """

    reading: Reading
    key: str
    taken: Mapping[str, str]
    settings: Mapping[str, Any]


def new_key() -> str:
    """A key for the hashes of one storage's documents."""
    return secrets.token_hex(8)


@contextmanager
def held(folder: Path, seal: str) -> Iterator[None]:
    """This process alone changes the rows in `folder`, which are still those of `seal` (see `seal_of`).

    Raises StorageError when another process changes them, or has done so meanwhile.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError("another process changes the kept rows", folder=str(folder)) from None
        if seal_of(folder) != seal:
            raise StorageError("the kept rows were changed meanwhile", folder=str(folder), hint="Run the job again")
        yield


def seal_of(folder: Path) -> str:
    """What tells the kept rows from any others, "" when there are none. Raises StorageError when it cannot be read."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        cause = error.strerror or str(error)
        raise StorageError("the kept rows cannot be read", folder=str(folder), cause=cause) from None


def refuse_unlisted(folder: Path) -> None:
    """Raises StorageError when `folder` holds kept rows without their list: what they are cannot be known any more."""
    if (folder / MANIFEST).exists():
        return
    found = sorted(file.name for file in folder.glob("rows-*.parquet") if _ROWS.fullmatch(file.name))
    if found:
        raise StorageError(
            "kept rows are here without the list of them", folder=str(folder), missing=MANIFEST, found=found,
            hint=f"Restore {MANIFEST} from a copy, or read everything again with jobs.ingest without source.append",
        )  # fmt: skip


def settings_of(columns: ColumnSettings, cleaning: CleaningSettings) -> dict[str, Any]:
    """The settings that shaped the rows, as plain JSON values."""
    plain: dict[str, Any] = json.loads(
        json.dumps({"columns": asdict(columns), "cleaning": asdict(cleaning)}, default=str)
    )
    chosen = {name: plain["cleaning"][name] for name in _BAKED}
    chosen["handle_missing_data"] = "drop" if cleaning.handle_missing_data == "drop" else "keep"
    return {"columns": {name: value for name, value in plain["columns"].items() if name != "keep"}, "cleaning": chosen}


def as_kept(kept: Kept, columns: ColumnSettings, cleaning: CleaningSettings) -> tuple[ColumnSettings, CleaningSettings]:
    """The settings with those of the first reading in the place of defaults.

    Raises SettingsError for a key that is set and was set otherwise then: the kept rows cannot follow it.
    """
    given, default = settings_of(columns, cleaning), settings_of(ColumnSettings(), CleaningSettings())
    faults = [
        f"{group}.{name}={value!r}, kept with {kept.settings[group][name]!r}"
        for group in given
        for name, value in given[group].items()
        if value not in (default[group][name], kept.settings[group][name])
    ]
    if faults:
        raise SettingsError(
            "the kept rows were read with other settings",
            count=len(faults),
            first=faults,
            hint="Leave these keys out, or read everything again without source.append",
        )
    then = dict(kept.settings["cleaning"])
    missing = then.pop("handle_missing_data")
    if missing == "drop":
        then["handle_missing_data"] = "drop"
    now = {field.name: getattr(cleaning, field.name) for field in fields(cleaning)}
    rows = {**kept.settings["columns"], "keep": columns.keep}
    return build(ColumnSettings, rows, "columns"), build(CleaningSettings, {**now, **then}, "cleaning")


# ---- on disk ------------------------------------------------------------------------------------------------------


def write_kept(kept: Kept, folder: Path) -> None:
    """Writes the rows into `folder` in the place of those that are there. Raises StorageError when it cannot."""
    path = folder / MANIFEST
    before = {file.name for file in folder.glob("rows-*.parquet")}
    buffer = io.BytesIO()
    parquet.write_table(_table(kept.reading), buffer, compression="zstd")
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"rows-{sha256[:16]}.parquet"
    write_whole(folder / name, lambda temporary: temporary.write_bytes(content))
    rows = kept.reading.rows
    facts: dict[str, Any] = {
        "format": FORMAT,
        "rows": {"file": name, "sha256": sha256, "n": len(rows.style)},
        "key": kept.key,
        "taken": dict(kept.taken),
        "settings": kept.settings,
        "unit": rows.unit,
        "reasons": rows.ledger.reasons,
        "facts": rows.facts,
        "files": [dict(file) for file in kept.reading.files],
        **{field: getattr(kept.reading, field) for field in _PLAIN},
    }
    facts = json.loads(json.dumps(facts, allow_nan=False))
    text = json.dumps({"kept": facts, "sha256": _seal(facts)}, ensure_ascii=False, indent=1) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    for old in before - {name}:
        (folder / old).unlink(missing_ok=True)


def read_kept(folder: Path) -> Kept:
    """The kept rows. Raises StorageError when there are none, or when a file is missing or damaged."""
    facts = _facts(folder / MANIFEST)
    path = folder / facts["rows"]["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError("the kept rows cannot be read", file=str(path), cause=error.strerror or str(error)) from None
    found = hashlib.sha256(content).hexdigest()
    if found != facts["rows"]["sha256"]:
        raise StorageError(
            "the kept rows are damaged", file=str(path), expected=facts["rows"]["sha256"], found=found, hint=_AGAIN
        )
    table = parquet.read_table(pa.BufferReader(content), use_threads=False)
    plain = {name: facts[name] for name in _PLAIN}
    for name in ("layout", "personal", "notes", "columns", "style"):
        plain[name] = tuple(plain[name])
    rows, documents = _rows(table, facts)
    reading = Reading(rows=rows, documents=documents, files=tuple(facts["files"]), **plain)
    return Kept(reading, facts["key"], facts["taken"], facts["settings"])


_AGAIN = "Read everything again without source.append"


def _facts(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        facts: dict[str, Any] = content["kept"]
        if content["sha256"] != _seal(facts):
            raise ValueError("its sha256 does not fit")
    except OSError as error:
        cause = error.strerror or str(error)
        raise StorageError("no rows are kept here", folder=str(path.parent), cause=cause) from None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError("the list of kept rows is damaged", file=str(path), cause=repr(error), hint=_AGAIN) from None
    if facts["format"] != FORMAT:
        raise StorageError(
            "the kept rows have an unknown format", file=str(path), expected=FORMAT, found=facts["format"], hint=_AGAIN
        )
    return facts


def _seal(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _table(reading: Reading) -> pa.Table:
    rows = reading.rows
    place = np.where(rows.style < 0, 0, rows.style).astype(np.int32)
    columns: dict[str, Any] = {
        "style": pa.DictionaryArray.from_arrays(
            pa.array(place, mask=rows.style < 0), pa.array(rows.ids.tolist(), pa.string())
        ),
        "day": pa.array(rows.days.astype("datetime64[D]")),
        "y": pa.array(rows.y),
        "cell": pa.array(rows.cell),
        "fate": pa.array(rows.ledger.fate),
    }
    if reading.documents is not None:
        columns["document"] = pa.array(reading.documents)
    for group, values in (("past", rows.past), ("future", rows.future)):
        columns |= {f"{group}.{name}": pa.array(cells) for name, cells in values.items()}
    for name, cells in rows.labels.items():
        text = is_text(cells) or pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type)
        columns[f"static.{name}"] = as_text(cells).cast(pa.string()).dictionary_encode() if text else cells
    return pa.table(columns)


def _rows(table: pa.Table, facts: Mapping[str, Any]) -> tuple[CleanRows, Any]:
    def numbers(name: str) -> Any:
        return table.column(name).to_numpy()

    def group(prefix: str) -> list[str]:
        return [name for name in table.column_names if name.startswith(f"{prefix}.")]

    styles = table.column("style").unify_dictionaries().combine_chunks()
    styles = styles.chunk(0) if isinstance(styles, pa.ChunkedArray) else styles
    ids = np.array(styles.dictionary.to_pylist() or [""], dtype=str)
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(ids)), -1
    style = place[styles.indices.fill_null(len(ids)).to_numpy(zero_copy_only=False)]
    days = numbers("day").astype("datetime64[D]")
    ledger = Ledger.of(facts["reasons"], numbers("fate"))
    labels = {}
    for name in group("static"):
        column = table.column(name)
        labels[name.split(".", 1)[1]] = column.cast(pa.string()) if is_text(column) else column
    static, _ = static_table(labels, ids[order], style, days, ledger)
    rows = CleanRows(
        ids=ids[order],
        style=style,
        days=days,
        y=numbers("y").copy(),
        unit=facts["unit"],
        cell=numbers("cell"),
        past={name.split(".", 1)[1]: numbers(name) for name in group("past")},
        future={name.split(".", 1)[1]: numbers(name) for name in group("future")},
        labels=labels,
        static=static,
        ledger=ledger,
        facts=dict(facts["facts"]),
    )
    return rows, numbers("document") if "document" in table.column_names else None
