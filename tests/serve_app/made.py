"""A real release in a few seconds, published without Ray; and a service without Ray over a small made-up book."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml
from fastapi import APIRouter
from starlette.types import ASGIApp

from demand.calendar import Calendar
from demand.panel import Panel
from jobs import compose
from jobs.fleet import compete, registry_of
from jobs.lines import write_order_lines
from jobs.publish import publish
from jobs.settings import Settings, as_plain
from jobs.verdict import outcomes
from models.files import write_json
from models.registry import Registry
from serve_app.app import make_app
from serve_app.book import Book
from serve_app.following import Following
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.jobs.conftest import MANIFEST, race_of
from tests.jobs.stand_in import Level

HORIZONS = {"D": 30, "B": 22}  # periods; others 13
KINDS = ("zero", "mean", "seasonal_naive", "exponential_smoothing")


@cache
def settings(freq: str, overrides: tuple[str, ...] = ()) -> Settings:
    horizon = HORIZONS.get(freq, 13 if freq.startswith("W") else 3)
    told = [f"horizon={horizon}", f"freq={freq}", "cross_validation_folds=5", "folds.inner=1", "source.path=nowhere",
            "parallel_training=false", "progress=false", *overrides]  # fmt: skip
    return compose.load("pipeline", told)


def fleet_panel(n_styles: int = 12, freq: str = "D", seed: int = 0, unit: str = "yds") -> Panel:
    """Styles S000 .., smooth to sparse; the last one was born of late, and S001 net of returns in a few periods."""
    rng = np.random.default_rng(seed)
    n = {"D": 300, "B": 250}.get(freq, 120 if freq.startswith("W") else 60)
    lengths = np.full(n_styles, n)
    lengths[-1] = 20
    parts = [
        rng.poisson(2 + 5 * (i % 7), length) * (rng.random(length) < 1 - 0.12 * (i % 6))
        for i, length in enumerate(lengths.tolist())
    ]
    y = np.concatenate(parts).astype(np.float64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if n_styles > 2:
        y[indptr[1] + 5 : indptr[1] + n : 40] = -3.0
    end = int(Calendar(freq).containing(np.datetime64("2025-08-31")))
    ids = np.array([f"S{i:0{max(3, len(str(n_styles - 1)))}d}" for i in range(n_styles)])
    return Panel(ids, indptr, y, end, Calendar(freq).freq, unit=unit)


def make_release(
    root: Path, n_styles: int = 12, freq: str = "D", seed: int = 0, *, panel: Panel | None = None,
    overrides: tuple[str, ...] = (), quality: Mapping[str, object] | None = None, run_id: str = "r",
) -> Path:  # fmt: skip
    """Publishes a release below `root` (a storage root) and promotes it; returns the registry's root.

    Several calls into one root make releases 1, 2, ..; each needs a run_id of its own.
    """
    panel = fleet_panel(n_styles, freq, seed) if panel is None else panel
    told = settings(panel.freq, overrides)
    told = replace(told, storage=replace(told.storage, root=str(root)))
    folder = root / told.storage.training_registry / run_id
    (folder / "batches").mkdir(parents=True)
    races = race_of(panel, told, Level(), kinds=KINDS)
    fleet = races.fleet(folder)
    write_json(folder / "manifest.json", {**MANIFEST, "seed": seed})
    write_json(folder / "cleaning.json", {"quality_score": 91.0, "rejected": {}, **(quality or {})})
    (folder / "config.yaml").write_text(yaml.safe_dump(as_plain(told)), encoding="utf-8")
    write_order_lines(fleet.run, {str(name): 10 + i for i, name in enumerate(panel.ids)})
    race, verdict = compete(fleet)
    publish(fleet, race, verdict, outcomes(fleet.panel, verdict, race, fleet.question, {}, fleet.settings))
    return registry_of(fleet.settings).root


def open_book(registry_root: Path, which: int | str = "champion") -> Book:
    """The release as a server opens it."""
    release = Registry(registry_root).open(which)
    return Book.open(release.path, release.number, release.manifest_sha256)


# ---- a service ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MadeBook:
    """As little of a book as the service itself looks at."""

    number: int

    @property
    def etag(self) -> str:
        return f"{self.number:016d}"


class Shelf:
    """Stands in for the registry: `head` is the champion's number, opening `broken` fails."""

    def __init__(self, head: int | None = 1) -> None:
        self.head, self.broken = head, set[int | None]()

    def open(self) -> MadeBook:
        from demand.errors import VersionUnreadable

        if self.head is None or self.head in self.broken:
            raise VersionUnreadable("a file was changed after it was released", release=self.head)
        return MadeBook(self.head)


def state_of(root: Path, shelf: Shelf | None = None, **settings: Any) -> State:
    """A state that looked at the shelf once; `state.following.look()` looks again."""
    shelf = shelf or Shelf()
    following = Following(lambda: shelf.head, shelf.open)
    state = State(Config(ServeSettings(**settings), str(root), "registry"), following)
    following.look()
    return state


class Client:
    """Calls the application in this process, as from this machine; a fault inside becomes the answer it becomes."""

    def __init__(self, app: ASGIApp, **headers: str) -> None:
        self._app, self._headers = app, headers

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=("127.0.0.1", 50000))
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=self._headers)
            async with client:
                return await client.request(method, path, **more)

        return asyncio.run(call())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


def client_of(state: State, routers: Sequence[APIRouter] = (), **headers: str) -> Client:
    """The application of a state, to be called."""
    return Client(make_app(state, routers), **headers)
