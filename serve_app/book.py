"""A release opened to be answered from: its tables as Arrow columns, its forecasts and history read where they lie."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demand.calendar import Calendar, Dates
from demand.errors import StorageError, VersionUnreadable
from demand.panel import Floats, Panel
from evaluation.totals import Ahead, answered_days
from models.files import read_json
from models.order_widths import read_widths
from models.release import read_config
from serve_app.company_tables import CompanyTables
from serve_app.forecast_rows import ForecastRows
from serve_app.history import History
from serve_app.small_files import importances, model_of_group

TABLES = ("styles.parquet", "weeks.parquet", "fleet_totals.parquet", "forecasts.parquet", "members.parquet",
          "metrics.parquet", "outcomes.parquet", "accuracy.parquet")  # fmt: skip
AGAIN = "This release was made by an older version: run python -m jobs.pipeline to make one that can be served"


@dataclass(frozen=True, eq=False)
class Book:
    """One release, opened; it never changes, and several threads may read it.

    etag               of every answer made from it
    generated_at       when the release was made, as its manifest says
    card, manifest     as `jobs.publish` wrote them
    models             kinds whose live forecast is stored, in alphabetical order; `served` among them
    origin             the last day that was known
    horizon_periods    of every forecast; horizon_days: the whole days these speak for
    days_answered      those of 7, 30, 60, 90, 180 that the horizon answers
    ids                the styles, ascending: row i of every model's `styles` and forecast

    Opened: the ids, every small table and the styles of the served model. Read on demand and kept: the styles of other
    models. Read on demand, a few kept: forecasts and history.
    """

    path: Path
    number: int
    manifest_sha256: str
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]
    models: tuple[str, ...]
    ids: pa.StringArray
    _styles: pq.ParquetFile
    _weeks: pa.Table
    _totals: pa.Table
    _accuracy: pa.Table
    _served: ForecastRows
    _members: ForecastRows
    _lock: RLock = field(default_factory=RLock)
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def _history(self) -> History:
        return History(self.path / "panel")

    @classmethod
    def open(cls, path: Path, number: int, manifest_sha256: str) -> Book:
        """The release in this folder, which was compared with its manifest (`models.release.Release.open`).

        Raises VersionUnreadable when a file it needs is missing or does not hold what it must.
        """
        manifest, card = read_json(path / "manifest.json"), read_json(path / "card.json")
        missing = [name for name in (*TABLES, "panel/panel.json", "quality.json") if not (path / name).is_file()]
        if missing:
            raise VersionUnreadable("files to serve are missing", release=number, files=missing, hint=AGAIN)
        try:
            styles = pq.ParquetFile(path / "styles.parquet", memory_map=True)
            weeks, totals, accuracy = (
                pq.read_table(path / f"{name}.parquet") for name in ("weeks", "fleet_totals", "accuracy")
            )
            models = tuple(model_of_group(styles, i) for i in range(styles.num_row_groups))
            ids = styles.read_row_group(0, columns=["unique_id"])["unique_id"].combine_chunks()
            served, members = (ForecastRows.open(path / f"{name}.parquet") for name in ("forecasts", "members"))
            tables = (styles, weeks, totals, accuracy, served, members)
            book = cls(path, number, manifest_sha256, manifest, card, models, ids, *tables)
            book._check()
        except (OSError, pa.ArrowException, KeyError, ValueError, IndexError) as error:
            raise VersionUnreadable(
                "a stored file cannot be used", release=number, cause=f"{type(error).__name__}: {error}", hint=AGAIN
            ) from None
        return book

    def _check(self) -> None:
        n = len(self.ids)
        for file, models in ((self._served, (self.served,)), (self._members, self._members.models)):
            odd = [m for m in models if m not in file.models or file.rows(m) != n or m not in self.models]
            if odd:
                raise ValueError(f"the forecasts of {odd} are not those of the {n} styles")
        if set(self.models) != {self.served, *self._members.models}:
            raise ValueError(f"styles.parquet has {list(self.models)}, not the models that were forecast")
        if self._styles.metadata.num_rows != n * len(self.models):
            raise ValueError("styles.parquet does not have a row a model and style")
        self.styles(self.served)

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def etag(self) -> str:
        return self.manifest_sha256[:16]

    @property
    def generated_at(self) -> str:
        return str(self.manifest["created"])

    @property
    def served(self) -> str:
        return str(self.card["served"])

    @property
    def freq(self) -> str:
        return str(self.card["freq"])

    @property
    def unit(self) -> str:
        return str(self.card["unit"])

    @property
    def origin(self) -> str:
        return str(self.card["origin"])

    @property
    def horizon_periods(self) -> int:
        return int(self.card["horizon"])

    @cached_property
    def horizon_days(self) -> int:
        return Ahead.of(self.calendar, self.last_period, self.horizon_periods).covered

    @cached_property
    def days_answered(self) -> tuple[int, ...]:
        return answered_days(self.calendar, self.horizon_periods)

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels of every forecast, ascending."""
        return tuple(self.card["levels"])

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.freq)

    @cached_property
    def last_period(self) -> int:
        """The number of the newest period that the forecast knew."""
        return int(self.calendar.containing(np.datetime64(self.origin)))

    # ---- its tables -------------------------------------------------------------------------------------------

    def styles(self, model: str) -> pa.Table:
        """The rows of styles.parquet of one model, a row a style, as in `ids`. KeyError: not in this release."""
        place = self._place(model)
        return self._once(("styles", model), lambda: self._styles.read_row_group(place).combine_chunks())

    def row_of(self, model: str, style: str) -> int | None:
        """The row of a style in `styles(model)`, None when the release does not have it; in O(log n)."""
        self._place(model)
        at = bisect_left(self.ids, style, key=lambda cell: cell.as_py())
        return at if at < len(self.ids) and self.ids[at].as_py() == style else None

    def weeks(self, model: str) -> pa.Table:
        """The fleet's next weeks, at most 12."""
        return self._of(self._weeks, model)

    @cached_property
    def order_widths(self) -> tuple[float, ...]:
        """How wide order decisions take the paths of the served forecast; see `models.order_widths`."""
        return read_widths(self.path)

    @cached_property
    def past_weeks(self) -> pa.Table | None:
        """What was sold in the weeks before the forecast, all styles; None in a release of before they were kept."""
        file = self.path / "past_weeks.parquet"
        return pq.read_table(file) if file.is_file() else None

    def totals(self, model: str) -> pa.Table:
        """The fleet's totals, a row for each of 7, 30, 60, 90 and 180 days."""
        return self._of(self._totals, model)

    def accuracy(self, model: str) -> pa.Table:
        """A model's errors by step ahead and by demand class, as `evaluation.serving_accuracy` says."""
        return self._of(self._accuracy, model)

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run that made the release. Raises VersionUnreadable: config.yaml holds none."""
        return self._once("config", lambda: read_config(self.path))  # type: ignore[no-any-return]

    @property
    def board(self) -> pd.DataFrame:
        """The leaderboard, best first; not to be written to."""
        board: pd.DataFrame = self._once("board", lambda: pd.read_parquet(self.path / "metrics.parquet"))
        return board

    @property
    def outcomes(self) -> pa.Table:
        """A row for every style that came in, those that were rejected among them."""
        return self._once("outcomes", lambda: pq.read_table(self.path / "outcomes.parquet"))

    @property
    def quality(self) -> Mapping[str, Any]:
        """The cleaning report of the data."""
        report: Mapping[str, Any] = self._once("quality", lambda: read_json(self.path / "quality.json"))
        return report

    @cached_property
    def company(self) -> CompanyTables:
        """The company's tables beside the sales."""
        return CompanyTables(self.path / "company", self.number)

    def entry(self, model: str) -> Mapping[str, Any] | None:
        """What the manifest says of a model, None where nothing of it is kept."""
        found: Mapping[str, Any] | None = self.manifest["models"].get(model)
        return found

    def importances(self, model: str) -> dict[str, float]:
        """Feature -> share of a model's live fit, largest first; empty when it has none."""
        shares: dict[str, float] = self._once(("importances", model), lambda: importances(self.path, model))
        return shares

    def weights_of(self, style: str) -> dict[str, float]:
        """Ensemble member -> weight in this style; empty when the release has no ensemble or not this style."""
        path = self.path / "weights.parquet"
        table = self._once("weights", lambda: pq.read_table(path).combine_chunks() if path.is_file() else None)
        row = self.row_of(self.served, style)
        if table is None or row is None:
            return {}
        return {name: table[name][row].as_py() for name in table.column_names if name != "unique_id"}

    def explanation_of(self, style: str) -> dict[str, Any] | None:
        """Why this style's forecast is what it is: the stored row, with `effects` by the groups' names; None when the
        release has no such row (it was made before they were kept, or does not know the style).

        Read anew each time: the sentences of a large fleet are not worth a replica's memory.
        """
        file = self.path / "explanations.parquet"
        if not file.is_file():
            return None
        with self._readable():
            rows = pq.read_table(file, filters=[("unique_id", "==", style)]).to_pylist()
        groups = self._once("driver groups", lambda: read_json(self.path / "explanations.json")["groups"])
        if not rows:
            return None
        row = rows[0]
        return {**row, "effects": {said: row[f"effect_{group}"] for group, said in groups.items()}}

    # ---- forecasts and history --------------------------------------------------------------------------------

    def forecast_of(self, model: str, style: str) -> tuple[Dates, Floats, Floats, tuple[float, ...]]:
        """(dates [H], mean [H], quantiles [H, Q], levels [Q]) of one style. KeyError: unknown model or style."""
        row = self._row(model, style)
        mean, quantiles = (self._served if model == self.served else self._members).read(model, row)
        steps = self.last_period + 1 + np.arange(len(mean))
        return self.calendar.dates(steps), mean, quantiles.reshape(len(mean), -1), self.levels

    def history_of(self, style: str) -> tuple[Dates, Floats]:
        """(dates, y), oldest first; NaN = unknown. KeyError: unknown style. VersionUnreadable: the file is damaged."""
        panel = self.panel_of(style)
        return panel.calendar.dates(panel.periods), panel.y

    def panel_of(self, style: str) -> Panel:
        """The history of one style as a panel of its own."""
        self._row(self.served, style)
        with self._readable():
            return self._history.of(style)

    def panel(self) -> Panel:
        """The whole fleet's history, read anew: for a job's worth of work, not for one answer."""
        with self._readable():
            return self._history.whole()

    def means_of(self, model: str) -> Floats:
        """[N, H]: the mean forecast of every style, in the order of `ids`; read anew. KeyError: unknown model."""
        self._place(model)
        return (self._served if model == self.served else self._members).means(model)

    # ---- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            raise VersionUnreadable("a stored file cannot be used", release=self.number, cause=str(error)) from None

    def _place(self, model: str) -> int:
        try:
            return self.models.index(model)
        except ValueError:
            raise KeyError(model) from None

    def _row(self, model: str, style: str) -> int:
        row = self.row_of(model, style)
        if row is None:
            raise KeyError(style)
        return row

    def _of(self, table: pa.Table, model: str) -> pa.Table:
        self._place(model)
        return table.filter(pa.compute.equal(table["model"], model))

    def _once(self, key: Hashable, read: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read()
            return self._kept[key]
