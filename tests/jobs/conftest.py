"""What the job tests share: one composed tree of settings, a small panel of many series, runs in a folder of their own.

Every test that needs Ray starts it as a job does, through `jobs.cluster.cluster`; all logic is tested without it.
"""

from __future__ import annotations

import gc
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from demand.panel import Panel
from evaluation.backtest import Question
from jobs.cluster import cluster
from jobs.fleet import Fleet, ask, compete
from jobs.plan import Plan, plan, plan_origins
from jobs.race import Race, run_race
from jobs.run_folder import RunFolder
from jobs.settings import ClusterSettings, Settings
from jobs.verdict import outcomes
from models.base import Forecaster
from models.catalog import recipe_class
from models.files import write_json
from tests.jobs.stand_in import Level, known

MANIFEST = {"job": "pipeline", "created": "2025-09-01T00:00:00Z", "data_hash": "d" * 64, "config_hash": "c" * 64,
            "code_version": "abc", "seed": 42, "libraries": {"numpy": "2"}}  # fmt: skip


@pytest.fixture(scope="session")
def smoke() -> Settings:
    """The smoke experiment in this process: two scored origins of 7 days, one inner."""
    from jobs import compose

    told = ["experiment=smoke", "source.path=nowhere", "parallel_training=false", "progress=false"]
    return compose.load("pipeline", told)


@pytest.fixture(scope="session")
def fleet_panel() -> Panel:
    """24 daily series of 40 to 160 days, smooth to sparse; three were born after the first origins."""
    rng = np.random.default_rng(11)
    lengths = np.concatenate([rng.integers(60, 161, 21), [9, 3, 26]])
    parts = [rng.poisson(1 + 4 * (i % 7), n) * (rng.random(n) < 1 - 0.1 * (i % 6)) for i, n in enumerate(lengths)]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Panel(np.array([f"S{i:03d}" for i in range(24)]), indptr, np.concatenate(parts).astype(float), 20_300, "D")


@dataclass(frozen=True, eq=False)
class Race24:
    """Everything `run_race` needs, ready to be run again into another folder."""

    panel: Panel
    recipes: dict[str, Forecaster]
    plan: Plan
    question: Question
    settings: Settings

    def run(self, folder: Path, **changes) -> Race:
        run = RunFolder(folder)
        (folder / "batches").mkdir(parents=True, exist_ok=True)
        return run_race(self.panel, self.recipes, self.plan, self.question, replace(self.settings, **changes), run)

    def fleet(self, folder: Path) -> Fleet:
        return Fleet(RunFolder(folder), self.settings, self.panel, {}, self.question, self.recipes, self.plan.origins,
                     self.plan)  # fmt: skip


def race_of(
    panel: Panel, settings: Settings, level: Forecaster | None = None, live: bool = True,
    kinds: tuple[str, ...] = ("mean", "seasonal_naive"), **planned,
) -> Race24:  # fmt: skip
    """Baselines and the stand-in, two series a batch."""
    recipes: dict[str, Forecaster] = {kind: recipe_class(kind)() for kind in kinds}
    recipes["arima"] = level or Level()
    question = ask(settings, panel, live)
    origins = plan_origins(panel, question.spec.horizon, settings.folds, live)
    costs = {"local_cpu_seconds": 1e9, "batch_seconds": 0.61, "pooled_cpus": 1, **planned}
    return Race24(panel, recipes, plan(panel, recipes, origins, question.season, **costs), question, settings)


@pytest.fixture
def race24(fleet_panel, smoke) -> Race24:
    return race_of(fleet_panel, smoke)


@pytest.fixture(scope="session")
def made(tmp_path_factory, fleet_panel, smoke):
    """(fleet, race, verdict, outcomes) of one run with a live origin; its folder is copied, never written to."""
    folder = tmp_path_factory.mktemp("made") / "r"
    (folder / "batches").mkdir(parents=True)
    write_json(folder / "manifest.json", MANIFEST)
    write_json(folder / "cleaning.json", {})
    (folder / "config.yaml").write_text("seed: 42\nmodels: {}\n")
    kinds = ("zero", "mean", "seasonal_naive")
    fleet = race_of(fleet_panel, smoke, Level(raises_on=("S007",)), kinds=kinds).fleet(folder)
    race, verdict = compete(fleet)
    return fleet, race, verdict, outcomes(fleet.panel, verdict, race, fleet.question, {}, smoke)


@pytest.fixture
def stand_in_is_known():
    """Runs of the stand-in can be released and promoted."""
    with known():
        yield


@pytest.fixture
def judged(made, tmp_path, stand_in_is_known):
    """The same run in a storage of its own."""
    fleet, *rest = made
    folder = tmp_path / "runs" / "r"
    shutil.copytree(fleet.run.path, folder)
    settings = replace(fleet.settings, storage=replace(fleet.settings.storage, root=str(tmp_path)))
    return replace(fleet, run=RunFolder(folder), settings=settings), *rest


@contextmanager
def embedded(settings: ClusterSettings) -> Iterator[int]:
    """`jobs.cluster.cluster`, and afterwards waits for Ray's processes: it ends them without asking how they ended,
    which Python reports as a ResourceWarning."""
    try:
        with cluster(settings) as cpus:
            yield cpus
    finally:
        for one in gc.get_objects():
            if type(one) is subprocess.Popen and one.returncode is None:
                one.wait(timeout=30)


def batch_bytes(folder: Path) -> dict[str, bytes]:
    """Every batch file's bytes by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "batches").glob("*.parquet"))}


def same_forecasts(a: Race, b: Race, ids=None) -> bool:
    """Whether two races forecast the same, bit for bit, reasons included (of these ids)."""
    assert a.raw.keys() == b.raw.keys()
    for kind in a.raw:
        assert a.raw[kind].keys() == b.raw[kind].keys()
        for cutoff, one in a.raw[kind].items():
            other = b.raw[kind][cutoff]
            if ids is not None:
                one, other = (f.take(np.flatnonzero(np.isin(f.ids, ids))) for f in (one, other))
            for name in ("ids", "mean", "quantiles", "made_by", "level", "reason", "note"):
                x, y = getattr(one, name), getattr(other, name)
                same = x.tolist() == y.tolist() if x.dtype.kind == "U" else x.tobytes() == y.tobytes()
                if not same:
                    return False
    return True
