"""A real release in a few seconds: baselines and a stand-in race in this process, judged and published without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from demand.calendar import Calendar
from demand.company.tables import COLUMNS, Company
from demand.panel import Panel, Strings
from jobs import compose
from jobs.company_tables import write_tables
from jobs.fleet import compete, registry_of
from jobs.lines import write_order_lines
from jobs.publish import publish
from jobs.settings import Settings, as_plain
from jobs.verdict import outcomes
from models.files import write_json
from models.registry import Registry
from serve_app.book import Book
from tests.jobs.conftest import MANIFEST, race_of
from tests.jobs.stand_in import Level, known

HORIZONS = {"D": 30, "B": 22}  # periods; others 13
KINDS = ("zero", "mean", "seasonal_naive", "exponential_smoothing")


@cache
def settings(freq: str, overrides: tuple[str, ...] = ()) -> Settings:
    horizon = HORIZONS.get(freq, 13 if freq.startswith("W") else 3)
    told = [f"horizon={horizon}", f"freq={freq}", "cross_validation_folds=5", "folds.inner=1", "source.path=nowhere",
            "parallel_training=false", "progress=false"]  # fmt: skip
    said = {one.partition("=")[0]: one for one in (*told, *overrides)}
    return compose.load("pipeline", list(said.values()))


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


def growing_panel(n_styles: int = 24, seed: int = 3) -> Panel:
    """Daily styles whose level rises, falls or stays over 500 days, with noise.

    Every eighth style sells no more in the last 60 days; names hold a slash, a formula and a letter beyond ASCII.
    """
    rng, days = np.random.default_rng(seed), 500
    slope = np.array([1.5, 0.0, -0.8, 0.3])[np.arange(n_styles) % 4]
    level = rng.uniform(20, 120, n_styles)[:, None] * (1 + slope[:, None] * np.arange(days) / days)
    y = rng.poisson(level).astype(np.float64)
    y[3::8, -60:] = 0.0
    ids = np.array(["=1+1", "A/1", "Größe 4", *(f"S{i:03d}" for i in range(3, n_styles))])
    end = int(Calendar("D").containing(np.datetime64("2025-08-31")))
    return Panel(np.sort(ids), np.arange(n_styles + 1) * days, y.ravel(), end, "D", unit="yds")


def make_release(
    root: Path, n_styles: int = 12, freq: str = "D", seed: int = 0, *, panel: Panel | None = None,
    overrides: tuple[str, ...] = (), quality: Mapping[str, object] | None = None, run_id: str = "r",
    level: Level | None = None, rejected: Mapping[str, str] | None = None,
    importances: Mapping[str, float] | None = None, company: Company | None = None,
) -> Path:  # fmt: skip
    """Publishes a release below `root` (a storage root) and promotes it; returns the registry's root.

    Several calls into one root make releases 1, 2, ..; each needs a run_id of its own. level: the stand-in for ARIMA;
    importances: what it rests on. rejected: styles that came in without a usable history. company: the tables beside
    the sales that it is to answer from.
    """
    panel = fleet_panel(n_styles, freq, seed) if panel is None else panel
    told = settings(panel.freq, overrides)
    told = replace(told, storage=replace(told.storage, root=str(root)))
    folder = root / told.storage.training_registry / run_id
    (folder / "batches").mkdir(parents=True)
    races = race_of(panel, told, level or Level(), kinds=KINDS)
    fleet = races.fleet(folder)
    write_json(folder / "manifest.json", {**MANIFEST, "seed": seed})
    write_json(folder / "cleaning.json", {"quality_score": 91.0, "rejected": {}, **(quality or {})})
    (folder / "config.yaml").write_text(yaml.safe_dump(as_plain(told)), encoding="utf-8")
    write_order_lines(fleet.run, panel.ids, 10 + np.arange(panel.n_series))
    write_tables(fleet.run, company, panel, told)
    race, verdict = compete(fleet)
    if importances is not None:
        place = folder / "models" / "arima" / "0"
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "importances.json", dict(importances))
    styles = outcomes(fleet.panel, verdict, race, fleet.question, rejected or {}, fleet.settings)
    with known():
        made = publish(fleet, race, verdict, styles)
    registry = registry_of(fleet.settings)
    if not made.promoted:  # other demand on the same days, for one: the gate is right, and these tests need a champion
        registry.promote(made.number, expected=registry.alias("champion"), facts={"forced": True})
    return registry.root


def tables_of(ids: Strings) -> Company:
    """Finished stock, open orders and knit orders of all these styles but the last, from the days of the demo."""
    styles = ids[:-1].tolist()
    day = [pd.Timestamp("2025-08-25") + pd.Timedelta(9 * at, "D") for at in range(len(styles))]
    begun = [pd.Timestamp("2025-07-01"), pd.Timestamp("2025-08-04")]
    amount = [40.0 * at for at in range(len(styles))]
    return Company(
        style_stock=_table("style_stock", styles, amount, "yds"),
        open_orders=_table("open_orders", styles, 30.0, 20.0, "yds", [*day[:-1], pd.NaT]),
        knit_orders=pd.concat([_table("knit_orders", styles, start, pd.NaT, 90.0, 80.0, 10.0, "1") for start in begun]),
        style_master=_table("style_master", styles, 2.0),
    )


def _table(name: str, *columns: object) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(COLUMNS[name], columns, strict=True)))


def open_book(registry_root: Path, which: int | str = "champion") -> Book:
    """The release as a server opens it."""
    release = Registry(registry_root).open(which)
    return Book.open(release.path, release.number, release.manifest_sha256)
