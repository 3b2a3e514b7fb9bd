"""A stand-in for ARIMA that costs what a test wants and fails where a test wants; importable by Ray's workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from demand.errors import DemandError, FitError, OriginError
from demand.panel import Panel
from models import golden
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.catalog import FORECASTERS, Entry
from models.files import read_card, write_card

ENTRY = Entry("tests.jobs.stand_in", "Level", "FittedLevel")
PAUSE_S, JOURNAL = "STAND_IN_PAUSE_S", "STAND_IN_JOURNAL"


def take_arimas_place() -> None:
    """From now on `arima` is the stand-in in this process; golden predictions are asked here, which knows it."""
    FORECASTERS["arima"] = ENTRY
    golden._asked = asked_here


@contextmanager
def known() -> Iterator[None]:
    """Meanwhile saved stand-ins can be loaded, and golden predictions are asked in this process, which knows them."""
    with pytest.MonkeyPatch.context() as patch, golden_here():
        patch.setitem(FORECASTERS, "arima", ENTRY)
        yield


@contextmanager
def golden_here() -> Iterator[None]:
    """Meanwhile golden predictions are asked in this process, which has its libraries: a child takes two seconds.

    The child has tests of its own (tests/models/test_golden.py), and jobs that run as processes ask theirs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "_asked", asked_here)
        yield


def asked_here(folder: Path) -> golden.Rows | str:
    """What `golden` asks of a child, in this process: the answers, or what became of it."""
    try:
        return golden.answers(folder)
    except DemandError as error:
        return f"the models cannot be loaded: {error}"


@dataclass(frozen=True)
class Level(Forecaster):
    """The mean of the last 28 periods, fitted at few origins and rolled forward between.

    pause_s: seconds a series and fit. planned_s: what the plan is told. journal: a folder where every fit leaves a
    file. raises_on, dies_on, hangs_on: ids that break the fit, kill its worker, never end. needs: fewer periods than
    this in every series of a fit is a FitError. rolls: False = the fit refuses any later origin.
    """

    kind = "arima"
    pools_series = False
    refit_often = False

    pause_s: float = 0.0
    planned_s: float = 0.1
    journal: str = ""
    raises_on: tuple[str, ...] = ()
    dies_on: tuple[str, ...] = ()
    needs: int = 0
    rolls: bool = True

    @classmethod
    def from_config(cls, config) -> Level:
        """From the environment: what the configuration says is for ARIMA."""
        return cls(pause_s=float(os.environ.get(PAUSE_S, "0")), journal=os.environ.get(JOURNAL, ""))

    def fit(self, history: Panel, spec: ForecastSpec, context: FitContext) -> FittedLevel:
        assert np.isfinite(history.y).all()
        if self.journal:
            name = f"{history.ids[0]}-{history.n_series}-{history.end}-{time.time_ns()}-{os.getpid()}"
            (Path(self.journal) / name).touch()
        for name in history.ids.tolist():
            time.sleep(self.pause_s)
            if name in self.dies_on:
                os._exit(1)
            if name in self.raises_on:
                raise ZeroDivisionError(f"no level for {name}")
        if history.lengths.max() < self.needs:
            raise FitError("nothing long enough", needed=self.needs, longest=int(history.lengths.max()))
        return FittedLevel(spec, tuple(history.ids.tolist()), history.end, self.rolls)

    def seconds_per_fit(self, length: int, season: int) -> float:
        return self.planned_s


@dataclass(frozen=True)
class FittedLevel(FittedForecaster):
    """Knows only the series of its fit."""

    kind = "arima"
    spec: ForecastSpec
    ids: Sequence[str]
    end: int
    rolls: bool

    def forecast(self, history: Panel) -> Forecast:
        if not self.rolls and history.end != self.end:
            raise OriginError("cannot roll", fitted=self.end, asked=history.end)
        mean = np.nanmean(history.tail(28), axis=1)[:, None] * (1 + 0.01 * np.arange(self.spec.horizon))
        quantiles = mean[:, :, None] * (0.5 + np.array(self.spec.levels))
        unknown = dict.fromkeys(np.flatnonzero(~np.isin(history.ids, self.ids)).tolist(), "not seen in the fit")
        return Forecast.build(history, self.spec, self.kind, mean, quantiles, reasons=unknown)

    def save(self, folder: Path) -> None:
        facts = {"horizon": self.spec.horizon, "levels": list(self.spec.levels), "ids": list(self.ids)}
        write_card(folder, self.kind, {**facts, "end": self.end, "rolls": self.rolls})

    @classmethod
    def load(cls, folder: Path) -> FittedLevel:
        card = read_card(folder)
        spec = ForecastSpec(card["horizon"], tuple(card["levels"]))
        return cls(spec, card["ids"], card["end"], card["rolls"])


class LevelFromLastFit(Level):
    """Pools: a fit answers for every series, also those born later."""

    pools_series = True

    def seconds_per_fit(self, length: int, season: int) -> float:
        return 0.0
