"""A storage with two trained releases, as `jobs.train` leaves it, and what tests do to releases."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.entry import OK, exit_code
from models.registry import Registry
from tests.acceptance.made import SMALL, frame_of, written
from tests.jobs.stand_in import golden_here

# arima and xgboost alone learn; no trigger fires, whatever day the tests run on.
LIGHT = (
    *(f"models.{kind}.enabled=false" for kind in ("prophet", "lstm", "tsb", "moving_average", "naive")),
    "schedule.triggers.weekly='0 3 29 2 *'", "schedule.triggers.daily='0 3 29 2 *'",
)  # fmt: skip
DAYS, LATER = 100, 10


def sales(days: int = DAYS + LATER) -> pd.DataFrame:
    """Twelve styles with a strong week, which models beat the baselines on."""
    rng, day = np.random.default_rng(3), np.arange(DAYS + LATER)
    week = [1 + 0.6 * np.sin(2 * np.pi * (day + i) / 7) for i in range(12)]
    rows = {f"s{i:02d}": np.round((20 + 6 * i) * week[i] * rng.gamma(12, 1 / 12, DAYS + LATER), 1) for i in range(12)}
    frame = frame_of(rows)
    kept: pd.DataFrame = frame[frame["ds"] < frame["ds"].min() + pd.Timedelta(days=days)].reset_index(drop=True)
    return kept


class Desk:
    """One storage below `folder`, with the sales to `DAYS` and the whole of them beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "storage"
        self.source, self.whole = folder / "sales.parquet", folder / "whole.parquet"

    @classmethod
    def made(cls, folder: Path) -> Desk:
        """Release 1 of all models; release 2 with another xgboost, promoted; then 1 serves again."""
        desk = cls(folder)
        written(sales(DAYS), desk.source)
        written(sales(), desk.whole)
        assert desk.run("train", "run_id=first", *LIGHT) == OK
        another = ("only=[xgboost]", "force=true", "models.xgboost.hyperparameters.n_estimators=30")
        assert desk.run("train", "run_id=second", *another, *LIGHT) == OK
        assert desk.run("rollback") == OK
        assert (desk.registry.alias("champion"), desk.registry.alias("previous")) == (1, 2)
        return desk

    @property
    def registry(self) -> Registry:
        return Registry(self.root / "registry")

    def run(self, job: str, *told: str, source: Path | None = None, child: bool = False) -> int:
        """The job's exit code. child: golden predictions are asked in a process of their own, as a user's are."""
        argv = [*SMALL, f"source.path={source or self.source}", f"storage.root={self.root}", *told]
        last = {text.partition("=")[0]: text for text in argv}
        with nullcontext() if child else golden_here():
            return exit_code(job, import_module(f"jobs.{job}").body, list(last.values()))

    def forged(self, number: int, edit: Callable[[Path], object]) -> int:
        """A release like `number` whose files `edit` changed before it was sealed: whole, but not what it was."""
        release = self.registry.open(number)

        def fill(folder: Path):
            shutil.copytree(release.path, folder, dirs_exist_ok=True)
            (folder / "manifest.json").unlink()
            edit(folder)
            return {name: value for name, value in release.manifest.items() if name not in ("format", "files")}

        return self.registry.publish(fill)

    def tree(self) -> dict[str, bytes]:
        """Every byte of the registry."""
        root = self.registry.root
        files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    def noted(self) -> dict:
        """The facts of the newest promotion."""
        facts: dict = self.registry.promotions()[-1]["facts"]
        return facts

    def history(self) -> list[dict]:
        return self.registry.history()
