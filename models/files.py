"""A saved model is a folder: card.json, arrays in .npz, native model files. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.durable import sync_folder, unwritable
from demand.errors import VersionUnreadable

CARD = "card.json"


def write_json(path: Path, value: Any) -> None:
    """Strict JSON in UTF-8: NaN and infinity raise ValueError instead of being written."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a strict JSON file. Raises VersionUnreadable when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VersionUnreadable("a stored file cannot be read", file=path.name, cause=str(error)) from None


def create_json(path: Path, value: Mapping[str, Any]) -> bool:
    """Writes a strict JSON file unless there is one of this name, whole or not at all; whether it was written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(temporary, value)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.link(temporary, path)  # fails when the name is taken: a rename would not
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise unwritable(path.parent, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return True


def write_card(folder: Path, kind: str, facts: Mapping[str, Any]) -> None:
    """card.json: the model's kind (a catalog key, never a class to import) and what it needs to be rebuilt."""
    write_json(folder / CARD, {"kind": kind, **facts})


def read_card(folder: Path) -> dict[str, Any]:
    card = read_json(folder / CARD)
    if not isinstance(card, dict) or not isinstance(card.get("kind"), str):
        raise VersionUnreadable("the card names no kind", folder=folder.name)
    return card


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Numbers and fixed-width text as .npz; object arrays are refused (they would be pickled)."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects")
    with path.open("wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise VersionUnreadable("stored arrays cannot be read", file=path.name, cause=str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} does not belong into JSON")
