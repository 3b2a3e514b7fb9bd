"""The views of a registry's newest state: head.json for readers in a hurry, the rest for people and older clients."""

from __future__ import annotations

import hashlib
from typing import Any

from demand.errors import VersionUnreadable
from models.log import HEAD, Log
from models.pointers import ALIASES, Pointer, as_json, read_object
from models.release import MANIFEST
from models.stores import Store

VIEW = "registry.json"
_ALIAS = {name: f"aliases/{name}.json" for name in ALIASES}


def refresh(store: Store, log: Log) -> None:
    """Writes head.json, aliases/ and registry.json anew where they are behind the log. Raises as `Store`."""
    while True:
        # The tags first: whoever replaces the newest view has read a state at least as new as it.
        found = {key: store.read(key) for key in (HEAD, *_ALIAS.values(), VIEW)}
        head = log.head()
        views = {HEAD: as_json(head.as_json()) if head.entry else None}
        views |= {key: None if (one := head.pointer(name)) is None else as_json(one) for name, key in _ALIAS.items()}
        views[VIEW] = None if head.champion is None else as_json(_models_of(store, head.champion))
        if all(_replaced(store, key, view, found[key]) for key, view in views.items()):
            return


def _replaced(store: Store, key: str, view: bytes | None, found: tuple[bytes, str] | None) -> bool:
    if view is None:
        if found is not None and key in _ALIAS.values():
            store.remove(key)
        return True
    data, tag = (None, None) if found is None else found
    return data == view or store.replace(key, view, tag)


def _models_of(store: Store, champion: Pointer) -> dict[str, Any]:
    """Every model of the champion, as registry.json shows it. Raises VersionUnreadable when it is another one."""
    number = int(champion["release"])
    found = store.read(f"releases/{number:06d}/{MANIFEST}")
    data = b"" if found is None else found[0]
    if champion.get("manifest_sha256") not in (None, hashlib.sha256(data).hexdigest()):
        raise VersionUnreadable("the release is not the one that was promoted", release=number)
    shared = {"release": number, "deployed_at": champion["at"], "previous": champion["previous"]}
    models = read_object(data, MANIFEST).get("models", {})
    return {model: {**entry, **shared, **champion["facts"]} for model, entry in models.items()}
