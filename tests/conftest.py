"""Fixtures that every room's tests share: small seeded panels with the awkward series in them."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import fields
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from demand.calendar import Calendar
from demand.panel import Floats, Panel

os.environ.setdefault("MPLBACKEND", "Agg")  # read by matplotlib when a test first imports it; needs no display

# A disk takes milliseconds for every fsync, and the product asks for thousands: the tests' folders are kept in memory
# where there is room for them. (Those that watch for a loss of power see the calls themselves, on any file system.)
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """After a session without a failure the memory is given back; else the folders stay, to be looked at."""
    in_memory = os.environ.get("PYTEST_DEBUG_TEMPROOT") == str(MEMORY) and not session.config.option.basetemp
    if in_memory and exitstatus == 0:
        made = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        shutil.rmtree(made, ignore_errors=True)


# Derandomised: the same examples on every run, so that a red test stays red until the code changes.
hypothesis.settings.register_profile("house", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("house")

# The files that take longest, in this order: handed out first, they leave no worker alone with one at a stage's end.
LONGEST_FIRST = (
    "faults/test_retraining.py", "acceptance/test_end_to_end.py", "faults/test_driver_killed.py",
    "browser/test_dashboard.py", "contracts/test_openapi.py", "acceptance/test_operating.py",
    "models/test_object_store.py", "models/test_registry.py", "models/test_lstm.py", "jobs/test_promote.py",
    "acceptance/test_global_keys.py", "faults/test_two_nodes.py", "jobs/test_cluster.py", "serve_app/test_uploads.py",
    "jobs/test_carry.py", "acceptance/test_nothing_to_learn.py", "evaluation/test_stored.py", "jobs/test_race.py",
    "acceptance/test_exit_codes.py", "acceptance/test_scheduler.py", "browser/test_report.py", "jobs/test_monitor.py",
    "contracts/test_forecasters.py", "jobs/test_altered_runs.py", "contracts/test_registry.py", "jobs/test_compose.py",
    "acceptance/test_parallel.py", "jobs/test_earlier_names.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of LONGEST_FIRST before the others; within a file nothing moves."""
    place = {Path(__file__).parent / name: at for at, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


DAYS = 200
END = "2025-08-31"  # a Sunday, and the last day of a month: the end of a whole period for D, W-SUN, MS and ME


@pytest.fixture(autouse=True)
def room_logs_as_they_were():
    """A job sets the log level of every room; the next test in this process starts without it."""
    loggers = [logging.getLogger(room) for room in ("demand", "features", "models", "evaluation", "jobs", "serve_app")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def small_panel() -> Panel:
    """12 daily series of up to 200 days: every demand class, all-zero, constant, length 1, a few days, late start.

    Every y is known and not negative; arrays cannot be written to, as when they come from Ray's object store.
    """
    rng = np.random.default_rng(7)
    day = np.arange(DAYS)
    week = 1 + 0.4 * np.sin(2 * np.pi * day / 7)
    rows = {
        "all_zero": np.zeros(DAYS),
        "constant": np.full(DAYS, 5.0),
        "dying": np.where(day < 120, 60.0 * np.exp(-day / 30) * rng.gamma(4, 0.25, DAYS), 0.0),
        "erratic": 40 * week * rng.gamma(0.8, 1 / 0.8, DAYS),
        "few_days": rng.gamma(4, 5.0, 4),
        "intermittent": rng.gamma(16, 1.0, DAYS) * (rng.random(DAYS) < 0.25),
        "late": 30 * week[80:] * rng.gamma(16, 1 / 16, DAYS - 80),
        "length_1": np.array([12.0]),
        "lumpy": rng.gamma(0.7, 90.0, DAYS) * (rng.random(DAYS) < 0.12),
        "smooth": 100 * week * rng.gamma(25, 1 / 25, DAYS),
        "spike": np.where(day == 150, 5000.0, 10.0 + rng.random(DAYS)),
        "trend": (20 + 0.3 * day) * week * rng.gamma(25, 1 / 25, DAYS),
    }
    return _panel(rows, "D")


@pytest.fixture(scope="session")
def weekly_panel() -> Panel:
    """8 weekly series (W-SUN) of up to 156 weeks: yearly season, trend, sparse, all-zero, short."""
    return _panel(_coarse_rows(156, 52, np.random.default_rng(8)), "W-SUN")


@pytest.fixture(scope="session")
def monthly_panel() -> Panel:
    """8 monthly series (MS) of up to 48 months: yearly season, trend, sparse, all-zero, short."""
    return _panel(_coarse_rows(48, 12, np.random.default_rng(9)), "MS")


def _coarse_rows(n: int, season: int, rng: np.random.Generator) -> dict[str, Floats]:
    t = np.arange(n)
    year = 1 + 0.5 * np.sin(2 * np.pi * t / season)
    return {
        "all_zero": np.zeros(n),
        "constant": np.full(n, 80.0),
        "half_length": 300 * year[n // 2 :] * rng.gamma(16, 1 / 16, n - n // 2),
        "intermittent": rng.gamma(16, 5.0, n) * (rng.random(n) < 0.3),
        "length_1": np.array([9.0]),
        "lumpy": rng.gamma(0.7, 200.0, n) * (rng.random(n) < 0.15),
        "seasonal": 500 * year * rng.gamma(25, 1 / 25, n),
        "trend": (100 + 2 * t) * year * rng.gamma(25, 1 / 25, n),
    }


def _panel(rows: dict[str, Floats], freq: str) -> Panel:
    end = int(Calendar(freq).containing(np.array([END], dtype="datetime64[D]"))[0])
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in rows.values()])]).astype(np.int64)
    assert list(rows) == sorted(rows), "ids of a panel ascend"
    return read_only(Panel(np.array(list(rows)), indptr, np.concatenate(list(rows.values())), end, freq, unit="yds"))


def read_only(panel: Panel) -> Panel:
    """The same panel; its arrays now refuse to be written to."""
    for field in fields(panel):
        value = getattr(panel, field.name)
        for array in value.values() if isinstance(value, dict) else [value]:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    return panel
