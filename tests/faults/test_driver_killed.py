"""A run whose driver or workers are killed, again and again, ends with the bytes of the run nobody touched."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from jobs import tasks
from models.registry import Registry
from tests.faults.processes import own_tree, start, tree, wait_for, workers
from tests.jobs.stand_in import JOURNAL, PAUSE_S

pytestmark = [pytest.mark.slow, pytest.mark.ray]
WORKERS, STYLES, STYLES_A_BATCH = 2, 30, 3
TABLES = ("forecasts.parquet", "outcomes.parquet", "leaderboard.parquet", "forecast.parquet", "forecast.csv")


@pytest.fixture(scope="module")
def sales(tmp_path_factory) -> Path:
    """30 styles of 100 days, as a long table."""
    rng = np.random.default_rng(5)
    days = np.arange("2025-01-01", "2025-04-11", dtype="datetime64[D]")
    lines = ["unique_id,ds,y"]
    for i in range(STYLES):
        demand = rng.poisson(2 + 3 * (i % 5), len(days)) * (rng.random(len(days)) < 1 - 0.15 * (i % 4))
        lines += [f"S{i:03d},{day},{units}" for day, units in zip(days, demand.tolist(), strict=True)]
    path = Path(tmp_path_factory.mktemp("sales")) / "sales.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def told(sales: Path, root: Path, *more: str) -> list[str]:
    return ["-m", "tests.faults.driver", "pipeline", "experiment=smoke", f"source.path={sales}", f"storage.root={root}",
            "models.exponential_smoothing.enabled=false", "models.tsb.enabled=false", "local_cpu_seconds=1000",
            "batch_seconds=0.91", f"cluster.num_cpus={WORKERS}", "progress=false", *more]  # fmt: skip


def bytes_of(run: Path) -> dict[str, bytes]:
    batches = {f"batches/{path.name}": path.read_bytes() for path in sorted((run / "batches").glob("*.parquet"))}
    return batches | {name: (run / name).read_bytes() for name in TABLES}


def released(root: Path) -> dict[str, str]:
    """sha256 by file of the champion; its settings name the storage, which differs."""
    files = Registry(root / "registry").open("champion").manifest["files"]
    return {name: fact["sha256"] for name, fact in files.items() if name != "config.yaml"}


@pytest.fixture(scope="module")
def undisturbed(sales, tmp_path_factory) -> Path:
    """A whole run in one process, without Ray."""
    root = Path(tmp_path_factory.mktemp("undisturbed"))
    with own_tree("undisturbed") as mark:
        driver = start(told(sales, root, "run_id=r", "parallel_training=false"), mark, root / "log")
        assert driver.wait(timeout=170) == 0, (root / "log").read_text()
    return root


def finished(run: Path) -> dict[str, tuple[int, int]]:
    """(inode, time written) of the batches that count as done. One whose report was not yet written does not."""
    done = [path for path in (run / "batches").glob("*.parquet") if tasks.finished(run, path.stem)]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in done}


def test_when_the_driver_is_killed_five_times_then_the_resumed_run_has_the_same_bytes(sales, undisturbed, tmp_path):
    reference = bytes_of(undisturbed / "runs" / "r")
    root, journal = tmp_path / "root", tmp_path / "journal"
    journal.mkdir()
    run = root / "runs" / "r"
    n = len([name for name in reference if name.startswith("batches/")])
    assert n == STYLES // STYLES_A_BATCH + 1
    rng = np.random.default_rng(2025)
    # Five points spread over the race at random, the last one after it, among the tables and the release.
    points = [*np.sort(rng.choice(np.arange(n - 1), 4, replace=False)).tolist(), n]
    delays = rng.uniform(0, 0.3, len(points))
    stamps: dict[str, tuple[int, int]] = {}
    environment = {PAUSE_S: "0.05", JOURNAL: str(journal)}
    for k, (point, delay) in enumerate(zip(points, delays, strict=True)):
        with own_tree("killed") as mark:
            which = "resume=r" if k else "run_id=r"
            driver = start(told(sales, root, which), mark, tmp_path / "log", **environment)
            wait_for(
                lambda point=point, driver=driver: (
                    driver.poll() is not None or ((run / "manifest.json").exists() and len(finished(run)) >= point)
                ),
                120, f"{point} batches",
            )  # fmt: skip
            time.sleep(delay)
            assert driver.poll() is None, (tmp_path / "log").read_text()
            os.kill(driver.pid, signal.SIGKILL)
            assert driver.wait() == -signal.SIGKILL
        now = finished(run)
        assert {name: now[name] for name in stamps} == stamps  # nothing finished is done again
        stamps = now
    with own_tree("last") as mark:
        last = start(told(sales, root, "resume=r"), mark, tmp_path / "log", **environment)
        assert last.wait(timeout=170) == 0, (tmp_path / "log").read_text()
    assert bytes_of(run) == reference
    assert not list(run.rglob("*.part"))
    assert released(root) == released(undisturbed)
    assert Registry(root / "registry").numbers() == [1]
    # Each batch fits three times; a kill costs the batches in flight at most.
    fits = len(list(journal.iterdir()))
    assert 3 * (n - 1) <= fits <= 3 * (n - 1) + 3 * WORKERS * len(points)


def test_when_workers_are_killed_in_the_middle_of_a_batch_then_the_bytes_are_the_same(sales, undisturbed, tmp_path):
    run = tmp_path / "runs" / "r"
    journal = tmp_path / "journal"
    journal.mkdir()
    with own_tree("workers") as mark:
        environment = {PAUSE_S: "0.1", JOURNAL: str(journal)}
        driver = start(told(sales, tmp_path, "run_id=r"), mark, tmp_path / "log", **environment)
        killed: list[int] = []
        for point in (2, 6):
            wait_for(lambda point=point: len(finished(run)) >= point, 120, f"{point} batches")
            wait_for(lambda: workers(mark, "ray::local"), 30, "a worker at work")
            victim = next(iter(workers(mark, "ray::local")))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
            wait_for(lambda victim=victim: victim not in tree(mark), 10, "the worker's end")
        assert driver.wait(timeout=170) == 0, (tmp_path / "log").read_text()
    assert len(set(killed)) == 2
    assert bytes_of(run) == bytes_of(undisturbed / "runs" / "r")
    assert released(tmp_path) == released(undisturbed)
    assert len(list(journal.iterdir())) > 3 * (STYLES // STYLES_A_BATCH)  # something was begun twice
