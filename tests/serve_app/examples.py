"""Writes the examples of the API's reference anew: `python -m tests.serve_app.examples`.

Each is an answer from a small made release, its lists cut to two items, its moment replaced by a fixed one.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from evaluation.monitoring_folder import MonitoringFolder
from jobs import finetune
from jobs.entry import exit_code
from models.registry import Registry
from serve_app.opened import Releases
from serve_app.routes import EXAMPLES, ROUTES, Route
from tests.models.tabular.made import business
from tests.serve_app.conftest import TODAY, make_ensemble_release
from tests.serve_app.looked import look_at, propose_at
from tests.serve_app.made import growing_panel

MOMENT = "2025-09-01T02:10:00Z"
KEPT = 2
ASKED: dict[str, list[tuple[str, str]]] = {
    "ml-forecast-detailed.json": [("limit", "2")],
    "styles.json": [("limit", "2"), ("order", "growth")],
    "style.json": [("style", "A/1"), ("history", "2")],
    "releases-compare.json": [("release", "2"), ("against", "1")],
}


def desk_of(registry: Registry) -> Releases:
    """The releases of a made registry."""
    return Releases(registry, MonitoringFolder.under(registry.root.parent))


def answer_of(one: Route[Any], desk: Releases, pairs: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """What a route answers from the newest release, or from all of them."""
    asked = one.read(ASKED.get(one.example, []) if pairs is None else pairs)
    return one.answer(desk if one.asks == "releases" else desk.book(desk.registry.newest()), asked, TODAY)


def shortened(value: Any, name: str = "") -> Any:
    """The same with lists of two items at most, and one moment everywhere."""
    if isinstance(value, dict):
        return {key: shortened(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        whole = name in ("percent", "fraction", "labels", "aliases")
        return [shortened(inner) for inner in (value if whole else value[:KEPT])]
    if name in ("generated_at", "generated", "timestamp", "promoted_at", "last_validation", "at"):
        return MOMENT if value is not None else None
    return round(value, 6) if isinstance(value, float) else value


def tune(storage_root: Path) -> None:
    """`jobs.finetune` learns a column of a made table."""
    source = storage_root / "in" / "business.csv"
    source.parent.mkdir(exist_ok=True)
    business().to_csv(source, index=False)
    told = [f"source.path={source}", f"storage.root={storage_root}", "target=revenue", "rows_per_tree=100",
            "run_id=tuned", "cross_validation=2", "log_level=WARNING"]  # fmt: skip
    assert exit_code("finetune", finetune.body, told) == 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make_ensemble_release(Path(folder))
        make_ensemble_release(Path(folder), run_id="s", panel=growing_panel(seed=4))
        look_at(root, growing_panel(seed=4), days=10)
        propose_at(root, growing_panel(seed=4))
        tune(root.parent)
        EXAMPLES.mkdir(exist_ok=True)
        for one in ROUTES:
            text = json.dumps(shortened(answer_of(one, desk_of(Registry(root)))), indent=1, ensure_ascii=False)
            (EXAMPLES / one.example).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
