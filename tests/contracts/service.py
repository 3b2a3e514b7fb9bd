"""The whole product over two small real releases, called in this process; nothing trains and no process starts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from demand.errors import DemandError
from models.decision_release import decision_registry
from models.files import read_json, write_json
from models.job import Job
from models.ledger import Ledger
from models.registry import Registry
from models.substitutes import YARNS, Substitutes
from models.yarn_substitution import KIND
from serve_app import desk, retrain, upload_child, uploads
from serve_app.compute import Compute
from serve_app.product import build
from serve_app.retrain import Retraining
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.features.yarns import SETTINGS, generated
from tests.serve_app.conftest import make_ensemble_release
from tests.serve_app.examples import tune
from tests.serve_app.looked import look_at
from tests.serve_app.made import growing_panel, tables_of


def make_storage(root: Path, n_styles: int = 8) -> Path:
    """A storage root with releases 1 and 2, both once promoted, and a look of the monitor; returns the registry's."""
    for number, (seed, run_id) in enumerate(((3, "r"), (4, "s")), start=1):
        panel = growing_panel(n_styles, seed)
        registry_root: Path = make_ensemble_release(root, run_id=run_id, panel=panel, company=tables_of(panel.ids))
        registry = Registry(registry_root)
        if registry.alias("champion") != number:
            facts = {"by": "tests", "reason": "made", "forced": True}
            registry.promote(number, expected=registry.alias("champion"), facts=facts)
    look_at(registry_root, growing_panel(n_styles, seed=4), days=10)
    release_yarns(root)
    tune(root)
    return Path(registry_root)


def release_yarns(root: Path) -> None:
    """A release of yarns that the rule ranks."""
    registry = decision_registry(str(root / "registry"), root / "cache", KIND)

    def fill(folder: Path) -> Mapping[str, Any]:
        (folder / YARNS).mkdir()
        Substitutes(generated(40), SETTINGS).save(folder / YARNS)
        return {"run_id": "y", "created": "2025-09-01T02:00:00Z", "served": "rule", "models": {}}

    registry.promote(registry.publish(fill), expected=registry.alias("champion"), facts={})


class Service:
    """`app` over a storage root, or over a registry elsewhere.

    A job that is asked for is noted in `jobs`; `ends`: it has ended at once.
    """

    def __init__(
        self, root: Path, patch: pytest.MonkeyPatch, ends: bool = True, registry: str = "registry", **settings: Any
    ) -> None:
        self.jobs: list[str] = []
        self.ends = ends
        told = ServeSettings(**{"changes_per_minute": 10**9, **settings})
        config = Config(told, str(root), registry)
        patch.setattr(retrain, "_start", self._start)
        patch.setattr(desk, "_run", self._promote)
        patch.setattr(uploads, "run_child", _cleaned)
        self.state = State.open(config)
        self.registry = self.state.registry
        self.ledger = Ledger(root / "jobs", self.registry)
        self.compute = Compute(config)
        self.app: FastAPI = build(self.state, self._compute)

    def close(self) -> None:
        self.compute.close()
        self.state.close()

    def end(self, job_id: str) -> None:
        """What a job's process does last."""
        with self.ledger.running(job_id) as lease:
            self.ledger.finish(lease, "failed", "nothing trains here", errors=("made to fail",))

    async def _compute(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return await asyncio.to_thread(self.compute.predict, request)

    def _start(self, _: Retraining, job: Job) -> None:
        self.jobs.append(job.job_id)
        if self.ends:
            self.end(job.job_id)

    async def _promote(self, command: list[str]) -> tuple[int, str]:
        """As the job does it, without its process and gate: the champion moves, unless it is that release already."""
        asked = dict(word.split("=", 1) for word in command[1:])
        champion = self.registry.alias("champion")
        others = [number for number in self.registry.numbers() if number != champion]
        number = int(asked.get("release", others[0]))
        if number == champion:
            return 2, "SettingsError: this release serves now"
        facts = {"by": "tests", "reason": asked.get("reason"), "forced": asked.get("force") == "true"}
        await asyncio.to_thread(lambda: self.registry.promote(number, expected=champion, facts=facts))
        return 0, f"release {number} serves"


async def _cleaned(folder: Path, seconds: float, module: str) -> int:
    """What the process of an upload does, in this one: a fault in it is a fault here."""
    try:
        answer = import_module(module).answer
        await asyncio.to_thread(answer, folder, read_json(folder / "asked.json"))
    except DemandError as error:
        write_json(folder / "refused.json", upload_child.refusal(error))
    return 0


def strict(text: bytes | str) -> Any:
    """The value of strict JSON. Raises ValueError for NaN, infinity and doubled keys."""

    def refuse(token: str) -> Any:
        raise ValueError(f"{token} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
