"""A release's fitted models, asked about one history at a time: loaded once, nothing is fitted but the fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from demand.errors import DemandError, SchemaError, VersionUnreadable
from demand.panel import Floats, Panel
from demand.settings import build
from demand.store import read_panel
from evaluation.backtest import Question
from evaluation.classes import demand_classes
from evaluation.folds import Fold
from evaluation.intervals import Calibration
from evaluation.selection import exploded
from evaluation.stored import ENSEMBLE, released_question
from models.base import FittedForecaster, Forecast
from models.catalog import load_fitted
from models.config import ModelConfig
from models.ensemble import KIND, EnsembleSettings, combine
from models.fallback import complete, nothing
from models.files import read_arrays
from models.release import Release

Basis = Literal["style", "class", "fleet", ""]
SMOOTHING = "exponential_smoothing"
_LEAST = 1e-12  # weights that sum to less are none


@dataclass(frozen=True, eq=False)
class Answer:
    """One history's forecast, complete, and who had a say in it.

    weights: member -> share, those that took part (they sum to 1); empty where no ensemble made the row. basis: whose
    weights these are. unusable: kind -> why it has none.
    """

    forecast: Forecast
    weights: Mapping[str, float]
    basis: Basis
    unusable: Mapping[str, str]


class _Models:
    """The fits of one kind: each part is loaded when a series of it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.parts = sorted(part for part in folder.iterdir() if part.is_dir())
        if not self.parts:
            raise VersionUnreadable("the release holds no fit of this model", model=folder.name)
        self._part_of: dict[str, int] = {}
        for number, part in enumerate(self.parts):
            for series in read_arrays(part / "series.npz")["ids"].tolist():
                self._part_of.setdefault(str(series), number)
        self._loaded: dict[int, FittedForecaster] = {}

    def of(self, series: str) -> FittedForecaster:
        """The fit that knows the series; any of them where none does: it answers for itself whether it can."""
        number = self._part_of.get(series, 0)
        if number not in self._loaded:
            self._loaded[number] = load_fitted(self.parts[number] / "model")
        return self._loaded[number]


class OnDemand:
    """A release that answers for histories it is given; the same history gives the same bits.

    Reads the release's panel/, models/, weights.parquet, ENSEMBLE, card.json and config.yaml. Raises VersionUnreadable
    and StorageError when one of them is missing or damaged.
    """

    def __init__(self, release: Release) -> None:
        self.release = release
        self.card: Mapping[str, Any] = release.json("card.json")
        self.config = release.config()
        self.question: Question = released_question(release)
        self.served: str = self.card["served"]
        self.panel = read_panel(release.file("panel"))
        self._mixture = _Mixture.read(release, self.config) if self.served == KIND else None
        self.kinds: tuple[str, ...] = self._mixture.members if self._mixture else (self.served,)
        self._models: dict[str, _Models] = {}

    @cached_property
    def _known(self) -> Panel:
        """The release's own histories as its models saw them."""
        return self._seen(self.panel)

    def _seen(self, panel: Panel) -> Panel:
        return self.question.history(panel, Fold(panel.end, self.question.spec.horizon))

    @cached_property
    def remarks(self) -> dict[str, str]:
        """Style -> what the release notes beside its served forecast; such as that its row is another release's."""
        table = pq.read_table(self.release.file("forecasts.parquet"), columns=["unique_id", "note"])
        pairs = zip(table["unique_id"].to_pylist(), table["note"].to_pylist(), strict=True)
        return {style: note for style, note in pairs if note}

    def who_use_all(self) -> list[str]:
        """Styles whose answers together ask every model that has a say in any; at least one."""
        chosen = [str(self.panel.ids[0])]
        if self._mixture is not None:
            styles, weights = list(self._mixture.row_of), self._mixture.values
            chosen += [styles[int(row)] for row in weights.argmax(axis=0)[weights.max(axis=0, initial=0.0) > 0]]
        return [style for style in dict.fromkeys(chosen) if self.history_of(style) is not None]

    def history_of(self, style: str) -> Panel | None:
        """The release's history of a style, blanks not yet filled; None when it has none."""
        row = int(self.panel.index_of(np.array([style]))[0])
        return None if row < 0 else self.panel.take([row])

    def models(self, kind: str) -> _Models:
        """The stored fits of a kind, found once. Raises VersionUnreadable when there are none."""
        if kind not in self._models:
            folder = self.release.file(f"models/{kind}")
            if not folder.is_dir():
                raise VersionUnreadable("the release holds no fit of this model", model=kind)
            self._models[kind] = _Models(folder)
        return self._models[kind]

    def reads_ahead(self, style: str) -> dict[str, tuple[str, ...]]:
        """Column -> the kinds whose forecast its planned values may move: it was planned when they were fitted."""
        found: dict[str, list[str]] = {}
        for kind in self.kinds:
            try:
                columns = self.models(kind).of(style).reads_ahead()
            except DemandError:  # said by `answer`: the kind is unusable
                continue
            for name in columns:
                if name in self.panel.future:
                    found.setdefault(name, []).append(kind)
        return {name: tuple(kinds) for name, kinds in found.items()}

    def answer(self, history: Panel, *, own: bool = False) -> Answer:
        """The forecast of the one series of `history`, `card["horizon"]` periods ahead, a row in any case, signed.

        The series' id says whose fits and weights are used; an id the release does not know gets pooled fits and the
        weights of its demand class. own: the history is the release's (`history_of`, its planned values may differ).
        Raises SchemaError when the history is not one series of the release's calendar.
        """
        if history.n_series != 1 or history.freq != self.card["freq"]:
            raise SchemaError("one series on the release's calendar is asked for", freq=self.card["freq"])
        seen = self._as_seen(history, own)
        if self._mixture is None:
            made, unusable = self._ask((self.served,), seen)
            return Answer(self._complete(made[self.served], seen), {}, "", unusable)
        mixture, spec = self._mixture, self.question.spec
        weights, basis = mixture.weights_for(seen, own)
        # Who has no weight is not asked, unless nobody else can answer: some models are slow to load.
        made, unusable = self._ask([k for k, w in zip(self.kinds, weights, strict=True) if w > 0], seen)
        if len(unusable) == len(made):
            more, why = self._ask([kind for kind in self.kinds if kind not in made], seen)
            made, unusable = made | more, unusable | why
        usable = np.array([kind in made and kind not in unusable for kind in self.kinds])
        weights = _among(weights, usable)
        silent = nothing(seen, spec, "not asked")
        asked = [made.get(kind, silent) for kind in self.kinds]
        trimmed = np.isin(demand_classes(seen), mixture.trimmed)
        mixed = combine(seen, spec, asked, weights[None, :], mixture.settings.aggregation, trimmed)
        forecast = self._complete(mixture.calibration.applied(mixed, seen), seen, mixture.best)
        if forecast.level[0]:
            return Answer(forecast, {}, "", unusable)
        shares = {kind: float(w) for kind, w in zip(self.kinds, weights, strict=True) if w > 0}
        return Answer(forecast, shares, basis, unusable)

    def _ask(self, kinds: Sequence[str], seen: Panel) -> tuple[dict[str, Forecast], dict[str, str]]:
        """Each kind's own row, and why some have none that can be used."""
        made: dict[str, Forecast] = {}
        unusable: dict[str, str] = {}
        for kind in kinds:
            try:
                made[kind] = self.models(kind).of(str(seen.ids[0])).forecast(seen)
            except DemandError as error:
                made[kind], unusable[kind] = nothing(seen, self.question.spec, str(error)), str(error)
                continue
            if not made[kind].made[0]:
                unusable[kind] = str(made[kind].reason[0])
            elif self._mixture is not None and exploded(made[kind], seen, self.question.season)[0]:
                unusable[kind] = "its forecast is beyond anything this history makes possible"
        return made, unusable

    def _complete(self, forecast: Forecast, seen: Panel, best: str | None = None) -> Forecast:
        """The row, made by the fallback chain where it is missing: best single model, smoothing, last level."""
        alternatives, smoothing = [], None
        if not forecast.made[0]:
            alternatives = list(self._ask([best], seen)[0].values()) if best else []
            if self.release.file(f"models/{SMOOTHING}").is_dir():
                smoothing = self._ask([SMOOTHING], seen)[0][SMOOTHING]
        return complete(
            forecast, seen, self.question.spec, self.question.context, alternatives=alternatives, smoothing=smoothing
        )

    def _as_seen(self, history: Panel, own: bool) -> Panel:
        """The history as a model sees it: blanks filled, unusual demand capped where the settings say so."""
        row = int(self._known.index_of(history.ids)[0]) if own else -1
        if row < 0:
            return self._seen(history)
        return replace(history, y=self._known.series(row))  # capped among its fleet, as in the release


@dataclass(frozen=True, eq=False)
class _Mixture:
    """The ensemble of a release: members [M], the weights of styles [N, M], of classes and of the fleet [M]."""

    settings: EnsembleSettings
    members: tuple[str, ...]
    row_of: Mapping[str, int]
    values: Floats
    by_class: Mapping[str, Floats]
    fleet: Floats
    best: str | None
    calibration: Calibration
    trimmed: tuple[str, ...]

    @classmethod
    def read(cls, release: Release, config: Mapping[str, Any]) -> _Mixture:
        facts = release.json(ENSEMBLE)
        frame = pq.read_table(release.file("weights.parquet")).to_pandas()
        outcomes = pq.read_table(release.file("outcomes.parquet"), columns=["unique_id", "demand_class"]).to_pandas()
        members = tuple(str(name) for name in frame.columns if name != "unique_id")
        values = frame[list(members)].to_numpy(dtype=np.float64)
        some = values.sum(axis=1) > _LEAST
        class_of = frame["unique_id"].map(outcomes.set_index("unique_id")["demand_class"])
        fleet = values[some].mean(axis=0) if some.any() else np.full(len(members), 1 / len(members))
        by_class = {
            str(name): values[rows].mean(axis=0)
            for name in sorted(class_of.dropna().unique())
            if (rows := some & (class_of == name).to_numpy()).any()
        }
        row_of = {str(series): row for row, series in enumerate(frame["unique_id"].tolist())}
        settings = EnsembleSettings.from_config(_model_config(config))
        return cls(settings, members, row_of, values, by_class, fleet, facts["best"],
                   Calibration.from_json(facts["calibration"]), tuple(facts.get("trimmed", ())))  # fmt: skip

    def weights_for(self, seen: Panel, own: bool) -> tuple[Floats, Basis]:
        """[M], and whose they are: the style's, its demand class's, the fleet's.

        A style that no member could serve at release has none of its own; with a newer history its class's are tried.
        """
        row = self.row_of.get(str(seen.ids[0]))
        if row is not None and (own or self.values[row].sum() > _LEAST):
            return self.values[row], "style"
        found = self.by_class.get(str(demand_classes(seen)[0]))
        return (self.fleet, "fleet") if found is None else (found, "class")


def _model_config(config: Mapping[str, Any]) -> ModelConfig:
    return build(ModelConfig, config["models"][KIND], f"models.{KIND}")


def _among(weights: Floats, usable: np.ndarray) -> Floats:
    """Weights [M] of the usable members, summing to 1; equal where all weight was on others; all 0 without any."""
    kept: Floats = np.where(usable, weights, 0.0)
    if kept.sum() > _LEAST:
        return (
            weights if np.array_equal(kept, weights) else kept / kept.sum()
        )  # stored weights as they were, to the bit
    equal: Floats = usable / max(1, int(usable.sum()))
    return equal
