"""Models that do not forecast have releases of their own: a small registry each, below the fleet's.

registry/decisions/yarn_substitution/   the same layout and the same guarantees as the fleet's registry: immutable
registry/decisions/..                   releases, a champion that moves only by the log, sha256 of every file, history
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from demand.errors import SettingsError
from demand.moments import now_utc, stamp
from models.registry import Registry, registry_at

KINDS = ("yarn_substitution", "inventory_optimization")
MORE_TABLES = {"inventory_optimization": " or inventory.table="}  # what else than company.folder= feeds a kind
MODEL = "model"  # the folder of the fitted model in a release


class Kept(NamedTuple):
    """The release that was made, and whether it serves now."""

    release: int
    promoted: bool


def decision_registry(place: str, cache: Path, kind: str) -> Registry:
    """The registry of one kind. place, cache: the fleet's, as `registry_at` takes them. Raises SettingsError."""
    if kind not in KINDS:
        raise SettingsError("no such kind of model", found=kind, expected=KINDS)
    return registry_at(f"{place.rstrip('/')}/decisions/{kind}", cache / "decisions" / kind)


def keep_model(
    registry: Registry,
    kind: str,
    fill: Callable[[Path], None],
    entry: Mapping[str, Any],
    reasons_against: Sequence[str],
    beside: Callable[[Path], None] | None = None,
) -> Kept:
    """Makes a release of a fitted model, and the champion of its kind when nothing speaks against it.

    fill: writes the model into the folder it is given; beside: writes what it is served with into the release's own.
    entry: what the history says of the training (contract 8.2: metrics, parameters, top_features, run_id, data_hash,
    config_hash, seconds), strict JSON. reasons_against: in words, empty = the model may serve; a release that may not
    is kept with them. Raises StorageError, or RegistryError when another champion was promoted meanwhile.
    """
    before = registry.alias("champion")
    created = stamp(now_utc())

    def filled(folder: Path) -> Mapping[str, Any]:
        (folder / MODEL).mkdir()
        fill(folder / MODEL)
        if beside is not None:
            beside(folder)
        model = {"path": MODEL, "metrics": entry.get("metrics"), "trained_at": created}
        return {"run_id": entry.get("run_id"), "created": created, "served": kind, "models": {kind: model}}

    number = registry.publish(filled)
    gate = {"passed": not reasons_against, "reasons": list(reasons_against)}
    told = {
        "model_type": kind,
        "status": "success",
        "trained_at": created,
        "model_path": f"releases/{number:06d}/{MODEL}",
    }
    words = "; ".join(reasons_against)  # in the words of the fleet's history
    promotion = f"held back: {words}" if words else "nothing speaks against it"
    registry.append_history([{**told, **entry, "release": number, "promotion": promotion}])
    if not reasons_against:
        registry.promote(number, expected=before, facts={"forced": False, "gate": gate})
    return Kept(number, not reasons_against)
